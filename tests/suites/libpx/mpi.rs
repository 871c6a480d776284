//! Programs of MPI that have jobs run, under the launchers of two MPIs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use px_tests::installed::{installed, quiet};
use px_tests::job::{BOUND, Job};
use px_tests::lab::Mpi;
use px_tests::outcome::Status;
use px_tests::processes::wait_until_gone;
use px_tests::records;
use px_tests::scratch::Scratch;

/// The program that is made of `c/mpi.c` for an MPI, compiled once.
fn compiled(mpi: Mpi) -> PathBuf {
    static SCRATCH: OnceLock<Scratch> = OnceLock::new();
    let scratch = SCRATCH.get_or_init(|| {
        let scratch = Scratch::new();
        Mpi::BOTH.iter().for_each(|&mpi| compile(mpi, &scratch.at(mpi.compiler())));
        scratch
    });
    scratch.at(mpi.compiler())
}

fn package(mpi: Mpi) -> &'static str {
    match mpi {
        Mpi::Open => "px_mpi_openmpi",
        Mpi::Mpich => "px_mpi_mpich",
    }
}

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("suites/libpx/c/mpi.c")
}

fn compile(mpi: Mpi, program: &Path) {
    let prefix = installed();
    let mut compiler = prefix.command(mpi.compiler());
    compiler.args("-std=c11 -g -O1 -pthread -Wall -Wextra -Werror -o".split(' ')).arg(program);
    compiler.arg(source()).args(prefix.pkg_config(&["--cflags", "--libs", package(mpi)]));
    quiet(&mut compiler);
}

/// The same for the sanitizer of addresses, with the transport over MPI, which is C too, in it.
fn compile_with_sanitizer(mpi: Mpi, program: &Path) {
    let transport = Path::new(env!("CARGO_MANIFEST_DIR")).join("../bindings-c/mpi/px_mpi.c");
    let prefix = installed();
    let mut compiler = prefix.command(mpi.compiler());
    compiler.args("-std=c11 -g -O1 -pthread -fsanitize=address".split(' '));
    // As where it is built.
    compiler.arg("-Wno-stringop-overflow").arg("-o").arg(program).arg(source()).arg(transport);
    compiler.args(prefix.pkg_config(&["--cflags", "--libs", "px"]));
    quiet(&mut compiler);
}

/// What a rank has said about itself: names and values.
struct Report(String);

impl Report {
    /// All values of a name, in order.
    fn all(&self, name: &str) -> Vec<&str> {
        let lines = self.0.lines().filter_map(|line| line.split_once(' '));
        lines.filter(|(found, _)| *found == name).map(|(_, value)| value).collect()
    }

    #[track_caller]
    fn one(&self, name: &str) -> &str {
        let all = self.all(name);
        assert_eq!(all.len(), 1, "wanted one `{name}` in\n{}", self.0);
        all[0]
    }
}

/// A run of the program, with a directory of its own.
struct Run {
    mpi: Mpi,
    ranks: usize,
    words: Vec<String>,
    scratch: Scratch,
    program: PathBuf,
    /// Words before the program of each rank.
    before: Vec<String>,
    variables: Vec<(&'static str, String)>,
}

impl Run {
    fn of(mpi: Mpi, ranks: usize, words: &str) -> Run {
        let words = words.split_whitespace().map(str::to_owned).collect();
        let (scratch, program) = (Scratch::new(), compiled(mpi));
        Run { mpi, ranks, words, scratch, program, before: Vec::new(), variables: Vec::new() }
    }

    fn word(mut self, name: &str, value: &Path) -> Run {
        self.words.push(format!("{name}={}", value.display()));
        self
    }

    fn input(self, bytes: &[u8]) -> Run {
        let path = self.scratch.file("input", bytes);
        self.word("input", &path)
    }

    fn job(&self) -> Job {
        let mut job = Job::new("").program(&self.program);
        job = self.words.iter().fold(job, Job::arg);
        job = self.variables.iter().fold(job, |job, (name, value)| job.env(name, value));
        job = job.arg(format!("report={}", self.scratch.at("report").display()));
        let launcher: &[&str] = match self.mpi {
            Mpi::Open => &["--allow-run-as-root", "--oversubscribe", "--bind-to", "none"],
            Mpi::Mpich => &[],
        };
        let ranks = self.ranks.to_string();
        let before: Vec<&str> = self.before.iter().map(String::as_str).collect();
        let before = [&[self.mpi.launcher()], launcher, &["-n", &ranks], &before].concat();
        job.env("LD_LIBRARY_PATH", installed().at("lib")).under(&before)
    }

    /// Runs it to its end; returns what each rank has said.
    #[track_caller]
    fn reports(&self) -> Vec<Report> {
        self.job().run().ok();
        let report =
            |rank| Report(String::from_utf8(self.scratch.read(&format!("report.{rank}"))).unwrap());
        let reports: Vec<_> = (0..self.ranks).map(report).collect();
        for report in &reports {
            assert_eq!(report.one("size"), self.ranks.to_string(), "{}", report.0);
            // The program's own messages went where they should, and no others.
            assert_eq!((report.one("disturbed"), report.one("own")), ("0", "77"), "{}", report.0);
            assert_eq!(report.one("in_owner"), "0", "the callback ran in MPI's thread");
        }
        reports
    }

    /// Runs it to its end, and holds when all ranks have said the same of one job.
    #[track_caller]
    fn agrees(&self) -> Agreed {
        let reports = self.reports();
        let of = |report: &Report| Agreed {
            status: report.one("status").parse().unwrap(),
            text: report.all("text").concat(),
            result: report.all("result").concat(),
        };
        let first = of(&reports[0]);
        for report in &reports {
            assert_eq!(of(report), first);
        }
        first
    }
}

/// What all ranks say of a job.
#[derive(Debug, PartialEq, Eq)]
struct Agreed {
    status: i32,
    text: String,
    result: String,
}

impl Agreed {
    #[track_caller]
    fn fails(&self, status: i32, text: &str) {
        assert_eq!(self.status, status, "{self:?}");
        assert!(self.text.contains(text), "wanted `{text}` in {self:?}");
    }
}

/// The number of words of each line.
fn counted(input: &[u8]) -> Vec<u8> {
    let mut counts = Vec::new();
    let lines = input.strip_suffix(b"\n").unwrap_or(input).split(|&byte| byte == b'\n');
    for line in lines.filter(|_| !input.is_empty()) {
        let words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        counts.extend(format!("{}\n", words.count()).bytes());
    }
    counts
}

/// Lines of all lengths, with words of all lengths.
fn text() -> Vec<u8> {
    let mut text = records::numbered(20_000, 7);
    text.extend((0..3_000).flat_map(|n| format!("{}\n", "a bc  ".repeat(n % 97)).into_bytes()));
    text.extend(b"and no end");
    text
}

fn each(ranks: &[usize], check: impl Fn(Mpi, usize)) {
    for mpi in Mpi::BOTH {
        ranks.iter().for_each(|&ranks| check(mpi, ranks));
    }
}

#[test]
fn ranks_count_words_as_one_would() {
    let (input, wanted) = (text(), counted(&text()));
    each(&[1, 2, 4], |mpi, ranks| {
        let run = Run::of(mpi, ranks, "chunk=20000").input(&input);
        let output = run.scratch.at("output");
        let run = run.word("output", &output);
        let agreed = run.agrees();
        assert_eq!((agreed.status, &*agreed.text), (0, ""));
        assert_eq!(agreed.result, format!("0 {} {}", input.len(), wanted.len()));
        assert!(fs::read(output).unwrap() == wanted, "{mpi:?}, {ranks} ranks");
    });
}

#[test]
fn every_rank_gets_chunks_and_output_comes_to_a_function_too() {
    let (input, wanted) = (text(), counted(&text()));
    each(&[3], |mpi, ranks| {
        let run = Run::of(mpi, ranks, "chunk=20000 times=3 fortran=1").input(&input);
        let taken = run.scratch.at("taken");
        let run = run.word("taken", &taken);
        for report in run.reports() {
            assert_eq!(report.all("status"), ["0"; 3]);
            assert!(report.one("chunks").parse::<u32>().unwrap() >= 3);
        }
        assert!(fs::read(taken).unwrap() == wanted.repeat(3));
    });
}

#[test]
fn a_chunk_that_is_larger_than_what_may_be_on_its_way_arrives_whole() {
    let input = text().repeat(20);
    each(&[2], |mpi, ranks| {
        let run = Run::of(mpi, ranks, "chunk=6000000").input(&input);
        let output = run.scratch.at("output");
        let run = run.word("output", &output);
        assert_eq!(run.agrees().status, 0);
        assert!(fs::read(output).unwrap() == counted(&input));
    });
}

#[test]
fn no_input_is_a_job_too() {
    each(&[2], |mpi, ranks| {
        let agreed = Run::of(mpi, ranks, "").agrees();
        assert_eq!((agreed.status, &*agreed.result), (0, "0 0 0"));
        let agreed = Run::of(mpi, ranks, "").input(b"").agrees();
        assert_eq!((agreed.status, &*agreed.result), (0, "0 0 0"));
    });
}

#[test]
fn a_chunk_that_fails_on_one_rank_fails_the_job_on_all() {
    each(&[1, 3], |mpi, ranks| {
        let words = format!("chunk=20000 fails={}", ranks - 1);
        let run = Run::of(mpi, ranks, &words).input(&text());
        let output = run.scratch.at("output");
        let agreed = run.word("output", &output).agrees();
        agreed.fails(-19, &format!("rank {}", ranks - 1));
        assert_ne!(agreed.result, "");
        assert!(!output.exists());
    });
}

#[test]
fn what_is_wrong_with_the_job_is_told_to_all() {
    each(&[2], |mpi, ranks| {
        let agreed = |words: &str| Run::of(mpi, ranks, words).input(b"some words\n").agrees();
        agreed("uncalled=1").fails(-1, "rank 1: ");
        agreed("uncalled=0").fails(-1, "px_job_callback");
        agreed("jobless=0").fails(-1, "`job` is NULL");
        agreed("freed=1").fails(-6, "rank 1: this is no job");
        agreed("ranks=3").fails(-1, "3 ranks");
        agreed("hosts=node1").fails(-14, "`host` is set");
        agreed("uncalled=0 command=cat").fails(-14, "px_job_run");
        let nowhere = Run::of(mpi, ranks, "input=/nowhere/at/all").agrees();
        nowhere.fails(-19, "/nowhere/at/all");
    });
}

#[test]
fn mpi_must_be_there_with_its_threads() {
    each(&[2], |mpi, ranks| {
        let agreed = |words: &str| Run::of(mpi, ranks, words).input(b"some words\n").agrees();
        agreed("early=1").fails(-15, "MPI_Init_thread");
        agreed("single=1").fails(-16, "rank 1: MPI was initialised with MPI_THREAD_SINGLE");
        agreed("null=1 times=0").fails(-1, "MPI_COMM_NULL");
        agreed("between=1 times=0").fails(-1, "an intercommunicator");
        agreed("late=1 times=0").fails(-15, "MPI was finalised");
        for report in Run::of(mpi, ranks, "elsewhere=1").input(b"some words\n").reports() {
            assert_eq!(report.one("status"), "-16");
        }
    });
}

#[test]
fn a_process_that_waits_leaves_its_core_to_others() {
    each(&[2], |mpi, ranks| {
        let run = Run::of(mpi, ranks, "naps=all").input(b"some words\n");
        for report in run.reports() {
            let busy = report.one("busy").trim_end_matches('%').parse::<u32>().unwrap();
            assert!(busy < 50, "{mpi:?}: {busy} % of a core");
        }
    });
}

#[test]
fn a_rank_that_dies_takes_the_job_with_it() {
    each(&[2], |mpi, ranks| {
        let run = Run::of(mpi, ranks, "chunk=20000 dies=1").input(&text());
        let running = run.job().start();
        let mark = running.mark().to_owned();
        let outcome = running.finish();
        outcome.check(outcome.status != Status::Exited(0), || "wanted a failure".to_owned());
        wait_until_gone(&mark, BOUND);
    });
}

/// What a tool has seen in libraries that are an MPI's, or that one uses, is not looked at.
const OF_MPI: [&str; 6] = ["libmpi", "libopen-", "libpmix", "libevent", "libhwloc", "libuc"];

/// What a program ends with in which a tool has found something.
const FOUND: i32 = 98;

/// Runs that go well and that do not, each of which ends with status 0 under a tool too.
fn tools_find_nothing(mpi: Mpi, look: impl Fn(Run) -> Run) {
    let input = text();
    let run = look(Run::of(mpi, 2, "chunk=20000")).input(&input);
    let output = run.scratch.at("output");
    let run = run.word("output", &output);
    assert_eq!(run.agrees().status, 0);
    assert!(fs::read(output).unwrap() == counted(&input), "{mpi:?}");
    look(Run::of(mpi, 2, "chunk=20000 fails=1")).input(&input).agrees().fails(-19, "rank 1");
    look(Run::of(mpi, 2, "uncalled=1")).input(b"some words\n").agrees().fails(-1, "rank 1: ");
}

#[test]
fn valgrind_finds_nothing_but_what_is_of_the_mpi() {
    let suppressed = |kind: &str, frame: &str| format!("{{\n mpi\n {kind}\n ...\n {frame}\n}}\n");
    let mut text = suppressed("Memcheck:Leak", "fun:_dl_init");
    for library in OF_MPI {
        let frame = format!("obj:*/{library}*");
        text += &suppressed("Memcheck:Leak", &frame);
        // What it sends of its own is in part never set.
        text += &suppressed("Memcheck:Param\n writev(vector[...])", &frame);
    }
    for mpi in Mpi::BOTH {
        tools_find_nothing(mpi, |mut run| {
            let suppressions = run.scratch.file("suppressions", &text);
            run.before = vec![
                "valgrind".to_owned(),
                "--quiet".to_owned(),
                format!("--error-exitcode={FOUND}"),
                "--leak-check=full".to_owned(),
                format!("--suppressions={}", suppressions.display()),
            ];
            run
        });
    }
}

#[test]
fn the_sanitizer_of_addresses_finds_nothing_but_what_is_of_the_mpi() {
    let scratch = Scratch::new();
    let text: String = OF_MPI.iter().map(|library| format!("leak:{library}\n")).collect();
    let suppressions = scratch.file("suppressions", text);
    for mpi in Mpi::BOTH {
        let program = scratch.at(mpi.compiler());
        compile_with_sanitizer(mpi, &program);
        tools_find_nothing(mpi, |mut run| {
            run.program.clone_from(&program);
            // Through code without frame pointers, too.
            let told = format!("exitcode={FOUND}:fast_unwind_on_malloc=0");
            let leaks = format!("print_suppressions=0:suppressions={}", suppressions.display());
            run.variables = vec![("ASAN_OPTIONS", told), ("LSAN_OPTIONS", leaks)];
            run
        });
    }
}

#[test]
fn all_calls_of_mpi_are_watched() {
    let source = fs::read_to_string(source()).unwrap();
    // These any thread may make.
    let free = ["MPI_Finalized", "MPI_Initialized", "MPI_Is_thread_main", "MPI_Query_thread"];
    for mpi in Mpi::BOTH {
        let library = installed().at(&format!("lib/lib{}.so.0", package(mpi)));
        let output = Command::new("nm").args(["-D", "-u"]).arg(library).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let calls: Vec<_> =
            text.split_whitespace().filter(|name| name.starts_with("MPI_")).collect();
        assert!(calls.contains(&"MPI_Isend"), "{text}");
        for call in calls.iter().filter(|call| !free.contains(call)) {
            let watched = [format!("WATCHED({call},"), format!("watch(\"{call}\")")];
            assert!(watched.iter().any(|line| source.contains(line)), "{call} is not watched");
        }
    }
}
