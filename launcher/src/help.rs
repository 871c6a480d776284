//! What `--help` prints.

/// The text: a screen or two.
pub const TEXT: &str = "\
pxrun - runs one copy of a command on every core of every host, deals it input, gathers its output

usage: pxrun [OPTIONS] [--] COMMAND [ARG]...

  pxrun wc -l < access.log                        count lines with every core
  pxrun -k -i access.log grep -F ERROR            filter, output in the order of the input
  pxrun -np 8 --contract lines -k python up.py < in > out    one long-lived copy a core, in order
  pxrun --records nul --deal dynamic python handle.py < names    by whoever is free
  pxrun --run per-chunk -k --chunk-size 1M gzip < in > in.gz    a fresh copy for each chunk
  pxrun --ok 0,1 grep ERROR < log                 status 1 of grep is no error
  pxrun --hostfile hosts python up.py < in        every core of every host that `ssh HOST` reaches

ranks
  -n, -np, --np N           copies; default: all slots of the hosts, or the cores of this one
  --oversubscribe[=K]       more than there are slots; without hosts: K copies a core (2 without K)
  --map-by WAY              slot: one host after the other is filled; host: one on each in turn
  -N, --ranks-per-host K    K copies on each host; also -ppn, -perhost, -npernode
  --bind-to WHAT            none, or core: each copy has a core of its own
hosts
  -f, --hostfile FILE       hosts to run on, as Open MPI, MPICH, PBS write them; also -machinefile
  -H, --host HOST,HOST      the same in a word: `node1:4,ann@node[2-9]:4`
  --backend WAY             auto, local, ssh, mpi or slurm: what starts pxrun on the hosts
  --mpiexec PATH            with --backend mpi: the mpiexec to start
  --rendezvous DIR          where tasks of srun without PMI find each other; all must see it
  -x, --env NAME[=VALUE]    sets a variable for the copies on all hosts
  --keep-launcher-env       copies see also what mpirun or srun told pxrun
  --wdir DIR                where copies run; default: the same path as here
  --min-hosts N             go on without hosts that cannot take part, if N can
  --lease S                 seconds of silence after which a host is lost (default 10)
  --rsh COMMAND             what to log in with (default ssh)
  --ssh-parallel N          logins at once (default 32)
  --agent-path FILE         the pxrun that hosts have already; default: it is sent to them
  --link HOW                data goes by tcp or by ssh; auto: by tcp if a connection can be made
  --listen ADDR[:PORT[-PORT]]    where hosts may connect to, if nothing can connect to them
  --compress                for networks slower than a core
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
  -k, --keep-order          the same as --order input
  --order ORDER             none (whole lines as they come), input, rank
  --contract lines          each copy prints one line for each line: lets -k keep copies alive
  --contract px             copies are programs that use libpx, see px(7): lets -k keep them alive
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
  --dry-run[=offline]       print the plan, start nothing; offline: ask no host either
  -v, --verbose   -q, --quiet    say more, say only errors
  -V, --version   -h, --help

exit status: 0 all went well; a failed copy's own; 126 not executable; 127 not found;
128+n killed by signal n; 141 the reader of the output left; 125 any error of pxrun's own
";

#[cfg(test)]
mod tests {
    use super::TEXT;
    use crate::options::FLAGS;
    use crate::words::{SHORT_WITH_VALUE, SPELLINGS, WITH_VALUE};

    /// The variables of pxrun's own that users set.
    const OWN_SETTINGS: [&str; 2] = ["PX_HOSTFILE", "PX_BACKEND"];

    #[test]
    fn help_names_every_option_and_fits_on_two_screens() {
        for name in all() {
            assert!(TEXT.contains(&format!("--{name}")), "{name}");
        }
        assert!(TEXT.lines().count() <= 80);
        assert!(TEXT.lines().all(|line| line.chars().count() <= 100));
    }

    #[test]
    fn the_manual_names_every_option_in_each_of_its_spellings() {
        let manual = include_str!("../man/pxrun.1").replace('\\', "");
        let long = all().map(|name| format!("--{name}"));
        let elsewhere = SPELLINGS.iter().map(|(name, _)| format!("-{name}"));
        let letters = SHORT_WITH_VALUE.iter().map(|(letter, _)| char::from(*letter));
        let letters = letters.chain(FLAGS.iter().filter_map(|(_, letter)| *letter));
        for word in long.chain(elsewhere).chain(letters.map(|letter| format!("-{letter}"))) {
            let ends = |rest: &str| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '-');
            let mut places = manual.match_indices(&word);
            let found = places.any(|(at, _)| {
                let before = manual[..at].chars().next_back();
                before != Some('-') && ends(&manual[at + word.len()..])
            });
            assert!(found, "{word}");
        }
        for name in px_runtime::agent::assignment::VARIABLES.iter().chain(&OWN_SETTINGS) {
            assert!(manual.contains(name), "{name}");
        }
    }

    /// The long names of all options.
    fn all() -> impl Iterator<Item = &'static str> {
        let others = ["oversubscribe", "dry-run", "help"].into_iter();
        WITH_VALUE.into_iter().chain(FLAGS.into_iter().map(|(name, _)| name)).chain(others)
    }
}
