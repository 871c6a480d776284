//! What `--help` prints.

/// The text: a screen or two.
pub const TEXT: &str = "\
pxrun - runs one copy of a command on every core, deals it input and gathers its output

usage: pxrun [OPTIONS] [--] COMMAND [ARG]...

  pxrun wc -l < access.log                        count lines with every core
  pxrun -k -i access.log grep -F ERROR            filter, output in the order of the input
  pxrun -np 8 --contract lines -k python up.py < in > out    one long-lived copy a core, in order
  pxrun --records nul --deal dynamic python handle.py < names    by whoever is free
  pxrun --run per-chunk -k --chunk-size 1M gzip < in > in.gz    a fresh copy for each chunk
  pxrun --ok 0,1 grep ERROR < log                 status 1 of grep is no error

ranks
  -n, -np, --np N           copies; default: the cores this process may use
  --oversubscribe[=K]       K copies a core (2 without K)
input
  -i, --input FILE          input, `-` for stdin; may be repeated; default stdin
  --records KIND            what a record is: lines, nul, bytes=N (default lines)
  --delimiter C             records end with this byte: `,` `\\t` `\\x1e`
  --header N                the first N records of each file start every copy's input
  --chunk-size SIZE         chunks of at least this many bytes: 64K, 1M
  --chunk-records N         chunks of N records; default: fitting the input
  --deal WAY                who gets a chunk: round-robin, block, dynamic
  --run HOW                 per-rank: one long-lived copy a core; per-chunk: one a chunk
output
  -o, --output FILE         output; replaces FILE when the job has gone well
  -k                        the same as --order input
  --order ORDER             none (whole lines as they come), input, rank
  --contract lines          each copy prints one line for each line: lets -k keep copies alive
  -t, --tag                 each line of output and stderr starts with its rank: `[3] `
  --spill-dir DIR           where output waits for its turn
failures
  --ok STATUS[,STATUS]      exit statuses that are no error (default 0)
  --allow-early-exit        a copy may end before it has read all (head, grep -q)
  --keep-going              finish the rest after a failure, and fail at the end
  --grace S                 seconds between SIGTERM and SIGKILL (default 5)
  --timeout S               seconds that a copy may run
  --leak-timeout S          seconds that a copy's stdout may stay open after it (default 2)
reports
  --progress WHEN           auto, always, never: a bar on stderr
  --joblog FILE             a line for each copy that has ended
  --dry-run                 print the plan, start nothing
  -v, -q                    say more, say only errors
  -V, --version   -h, --help

exit status: 0 all went well; a failed copy's own; 126 not executable; 127 not found;
128+n killed by signal n; 141 the reader of the output left; 125 any error of pxrun's own
";

#[cfg(test)]
mod tests {
    use super::TEXT;

    #[test]
    fn help_names_every_option_and_fits_on_two_screens() {
        for name in crate::words::WITH_VALUE {
            assert!(TEXT.contains(&format!("--{name}")), "{name}");
        }
        assert!(TEXT.lines().count() <= 60);
        assert!(TEXT.lines().all(|line| line.chars().count() <= 100));
    }
}
