//! The command line of the harness, read once into one value.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use crate::hosts::Race;
use crate::problem::Problem;
use crate::works::{ALL, Entry, WITH_LIBPX};

pub const HELP: &str = "\
Time pxrun beside its peers, an oracle and the bare limits of this machine.

side-by-side [OPTIONS]

  --size SIZE       bytes of input (default 1G; K, M, G are powers of 1024)
  --input FILE      take the input's first --size bytes from FILE instead of generating them
  --dir DIR         where inputs and outputs are kept during the run (default TMPDIR or /tmp)
  --rounds N        timed rounds after one warm-up round (default 7)
  --only WORK       only this work; may be repeated: wc sed python cat sed-k chunks start deal, and
                    with libpx: px-lines px-words px-messages px-latency px-first,
                    on several hosts: hosts-start hosts-link hosts-cat hosts-wc hosts-agents,
                    with MPI and Slurm: mpi-start mpi-link mpi-idle mpi-work mpi4py slurm-step;
                    `machine`, `libpx`, `hosts` and `cluster` are all works of one table
  --np N            ranks (default: the cores this process may use)
  --pipe-size SIZE  size of the pipes of the bare feeder and the bare pump (default 1M)
  --paced[=MICROS]  also run a bare feeder that sleeps between its rounds (default 100)
  --starts N        one-record chunks of the work `chunks` (default 10000)
  --chunks N        chunks of the work `deal` (default 1000000)
  --agents N        agents of the work `hosts-agents` (default 1000)
  --idle SECONDS    how long agents are watched in `mpi-idle` (default 10)
  --burn N          million steps of each copy in `mpi-work` (default 1000)
  --pool N          chunks of the work `mpi4py` (default 10000)
  --bounces N       how often a message goes there and back in `px-latency` (default 100000)
  --limit SECONDS   the longest that one run may take (default 120)
  --chart FILE      where the chart goes (default: side-by-side.svg beside this program)
  --record          rewrite the results in benches/README.md and benches/results.svg; with `--only`
                    those of a table all of whose works are run
  --help            print this

What needs several hosts needs root, and is left out without.

Environment: PXRUN is the pxrun to time (default: the one beside this program), PX_PEERS a folder
in which peers are looked for first.
";

/// What the words ask for.
pub enum Asked {
    Help,
    Run(Box<Options>),
}

/// A validated command line.
pub struct Options {
    pub size_bytes: u64,
    pub input: Option<PathBuf>,
    pub dir: PathBuf,
    pub rounds: usize,
    pub only: Vec<String>,
    pub np: usize,
    pub pipe_bytes: usize,
    pub pace: Option<Duration>,
    pub starts: u64,
    pub chunks: u64,
    pub agents: u64,
    pub idle_seconds: u64,
    pub burn: u64,
    pub pool: u64,
    pub bounces: u64,
    pub limit: Duration,
    pub chart: PathBuf,
    pub record: bool,
}

impl Options {
    fn defaults() -> Options {
        Options {
            size_bytes: 1 << 30,
            input: None,
            dir: std::env::temp_dir(),
            rounds: 7,
            only: Vec::new(),
            np: std::thread::available_parallelism().map_or(1, usize::from),
            pipe_bytes: 1 << 20,
            pace: None,
            starts: 10_000,
            chunks: 1_000_000,
            agents: 1_000,
            idle_seconds: 10,
            burn: 1_000,
            pool: 10_000,
            bounces: 100_000,
            limit: Duration::from_secs(120),
            chart: beside_this_program("side-by-side.svg"),
            record: false,
        }
    }

    /// Whether the work of this name is to be run.
    pub fn wants(&self, work: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == work)
    }

    /// Whether all of these are to be run.
    pub fn wants_all(&self, works: &[Entry]) -> bool {
        works.iter().all(|work| self.wants(work.id))
    }

    /// Whether any of these is to be run.
    pub fn wants_any(&self, works: &[Entry]) -> bool {
        works.iter().any(|work| self.wants(work.id))
    }
}

/// The path of a file in this program's own folder.
pub fn beside_this_program(name: &str) -> PathBuf {
    std::env::current_exe().map_or_else(|_| PathBuf::from(name), |exe| exe.with_file_name(name))
}

/// Reads the words after the program's name.
pub fn parse(words: &[OsString]) -> Result<Asked, Problem> {
    let mut options = Options::defaults();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let word = text(word)?;
        let (name, attached) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (word, None),
        };
        match name {
            "--help" | "-h" => return Ok(Asked::Help),
            "--record" => options.record = true,
            "--paced" => {
                options.pace =
                    Some(Duration::from_micros(number(name, attached.unwrap_or("100"))?));
            }
            _ => {
                let value = match attached {
                    Some(value) => value,
                    None => text(words.next().ok_or_else(|| missing(name))?)?,
                };
                set(&mut options, name, value)?;
            }
        }
    }
    let whole = |works: &[Entry]| options.wants_all(works) || !options.wants_any(works);
    let races = Race::ALL.into_iter().all(|race| whole(race.works()));
    if options.record && !(whole(&ALL) && whole(&WITH_LIBPX) && races) {
        let what = "`--record` writes the results of all works of a table; `--only machine`, \
                    `--only libpx`, `--only hosts` and `--only cluster` name them";
        return Err(Problem::Usage(what.to_owned()));
    }
    Ok(Asked::Run(Box::new(options)))
}

fn set(options: &mut Options, name: &str, value: &str) -> Result<(), Problem> {
    match name {
        "--size" => options.size_bytes = size(name, value)?,
        "--input" => options.input = Some(PathBuf::from(value)),
        "--dir" => options.dir = PathBuf::from(value),
        "--rounds" => options.rounds = count(name, value)?,
        "--only" => options.only.extend(known_works(value)?),
        "--np" => options.np = count(name, value)?,
        "--pipe-size" => {
            options.pipe_bytes =
                usize::try_from(size(name, value)?).map_err(|_| bad(name, value))?;
        }
        "--starts" => options.starts = number(name, value)?.max(1),
        "--chunks" => options.chunks = number(name, value)?.max(16),
        "--agents" => options.agents = number(name, value)?.clamp(1, 9_999),
        "--idle" => options.idle_seconds = number(name, value)?.max(1),
        "--burn" => options.burn = number(name, value)?.max(1),
        "--pool" => options.pool = number(name, value)?.max(16),
        "--bounces" => options.bounces = number(name, value)?.max(1),
        "--limit" => options.limit = Duration::from_secs(number(name, value)?),
        "--chart" => options.chart = PathBuf::from(value),
        _ => return Err(Problem::Usage(format!("no option is called `{name}`"))),
    }
    Ok(())
}

fn known_works(value: &str) -> Result<Vec<String>, Problem> {
    let ids = |works: &[Entry]| works.iter().map(|work| work.id.to_owned()).collect();
    if value == "machine" {
        return Ok(ids(&ALL));
    }
    if value == "libpx" {
        return Ok(ids(&WITH_LIBPX));
    }
    if let Some(race) = Race::ALL.into_iter().find(|race| race.name() == value) {
        return Ok(ids(race.works()));
    }
    let on_hosts = Race::ALL.into_iter().flat_map(Race::works);
    if ALL.iter().chain(&WITH_LIBPX).chain(on_hosts).any(|work| work.id == value) {
        return Ok(vec![value.to_owned()]);
    }
    Err(Problem::Usage(format!("no work is called `{value}`")))
}

fn text(word: &OsString) -> Result<&str, Problem> {
    word.to_str().ok_or_else(|| Problem::Usage(format!("`{}` is not UTF-8", word.display())))
}

fn missing(name: &str) -> Problem {
    Problem::Usage(format!("`{name}` needs a value, or is no option"))
}

fn bad(name: &str, value: &str) -> Problem {
    Problem::Usage(format!("`{name}` must be a whole number in range, found `{value}`"))
}

fn number(name: &str, value: &str) -> Result<u64, Problem> {
    value.parse().map_err(|_| bad(name, value))
}

fn count(name: &str, value: &str) -> Result<usize, Problem> {
    value.parse().ok().filter(|count| *count > 0).ok_or_else(|| bad(name, value))
}

/// Reads `64K`, `256M`, `1G` or plain bytes.
pub fn size(name: &str, value: &str) -> Result<u64, Problem> {
    let digits = value.trim_end_matches(['K', 'M', 'G', 'i', 'B']);
    let shift = match &value[digits.len()..] {
        "" => 0,
        "K" | "KiB" => 10,
        "M" | "MiB" => 20,
        "G" | "GiB" => 30,
        _ => return Err(bad(name, value)),
    };
    let size = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(1 << shift));
    size.filter(|size| *size > 0).ok_or_else(|| bad(name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_powers_of_1024() {
        assert_eq!(size("--size", "3M").ok(), Some(3 << 20));
        assert_eq!(size("--size", "1GiB").ok(), Some(1 << 30));
        assert_eq!(size("--size", "17").ok(), Some(17));
        assert!(size("--size", "3T").is_err());
        assert!(size("--size", "0").is_err());
    }

    #[test]
    fn record_takes_all_works_of_a_table() {
        let parsed = |words: &[&str]| parse(&words.iter().map(OsString::from).collect::<Vec<_>>());
        for words in [
            &["--record"][..],
            &["--record", "--only", "hosts"],
            &["--record", "--only", "cluster"],
            &["--record", "--only", "libpx"],
        ] {
            assert!(matches!(parsed(words), Ok(Asked::Run(_))), "{words:?}");
        }
        for work in ["wc", "hosts-wc", "mpi-start", "px-lines"] {
            assert!(parsed(&["--record", "--only", work]).is_err(), "{work}");
        }
    }
}
