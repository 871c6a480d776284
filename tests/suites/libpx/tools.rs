//! The programs in C, looked after by tools that see what a test does not: memory that is read,
//! written or lost wrongly, and threads that are not as far apart as they should be.
//!
//! Valgrind looks after libpx as it is installed. The sanitizers need code that was compiled for them:
//! the programs are by the C compiler, and libpx is where the Rust toolchain has what it takes.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use px_tests::installed::{installed, quiet};
use px_tests::job::{Feed, Job};
use px_tests::lab::not_run;
use px_tests::{Outcome, Scratch, binary};

use crate::{compiled, lines, sources};

/// What a program ends with in which a tool has found something.
const FOUND: i32 = 98;
/// Some programs run many times slower under them.
const BOUND: Duration = Duration::from_secs(600);

/// Programs that are started by nobody and read lines.
const ALONE: [&str; 13] = [
    "copy",
    "copy private hold=8 whole",
    "checks statuses",
    "checks before_and_after",
    "checks handles",
    "checks forked",
    "checks threads COUNT",
    "random 5 3000",
    "random 6 3000",
    "anything 1 2000 1 INPUT",
    "anything 2 2000 1 INPUT",
    "anything 3 1000 6 INPUT",
    "anything 4 1000 8 INPUT",
];

/// Words of pxrun, a program that it starts, and the status that the job has.
const FED: [(&str, &str, i32); 26] = [
    ("-np 2 -k", "relay hold=8", 0),
    ("-np 2 -k --chunk-size 30k", "relay large private", 0),
    ("-np 2 -k --run per-chunk --chunk-size 100k", "relay", 0),
    ("-np 2 -k", "guests keeps", 125),
    ("-np 2 -k", "guests keeps_the_last", 125),
    ("-np 2 -k", "guests finalizes_with_chunks", 125),
    ("-np 2 -k", "guests ends_unfinalized", 0),
    ("-np 2 -k", "guests forks", 0),
    ("-np 2 -k --chunk-size 5k", "guests eight", 0),
    ("-np 2 -k --chunk-size 9k", "guests moves", 0),
    ("-np 2 -k --chunk-size 9k", "guests threads", 0),
    ("-np 2 -k", "guests hangs_up", 125),
    ("-np 2 --keep-going", "guests fails", 125),
    // These give back chunks as failed, and the last one none.
    ("-np 2 --keep-going", "anything 5 1500 1 INPUT", 125),
    ("-np 3 --keep-going", "anything 6 500 4 INPUT", 125),
    ("-np 3 --keep-going --run per-chunk --chunk-size 100k", "anything 8 600 1 INPUT", 0),
    ("-np 3", "talk ring", 0),
    ("-np 2", "talk order", 0),
    ("-np 3", "talk any", 0),
    ("-np 3", "talk flood", 0),
    ("-np 2", "talk threads", 0),
    ("-np 2", "talk timeouts", 0),
    ("-np 2", "talk chaos 300", 0),
    ("-np 2", "talk truncated", 0),
    ("-np 2", "talk arguments", 0),
    ("-np 2", "talk gone", 0),
];

/// Programs that run jobs of their own, and what they say of them.
const JOBS: [(&str, &str); 7] = [
    ("job ranks=2 order=1 chunk-size=100000 output-fd=1 input=INPUT -- cat", "run 0\n"),
    ("job ranks=2 output-callback=1000 input=INPUT -- cat", "run -19\n"),
    ("job ranks=2 input=INPUT -- false", "run -19\n"),
    ("job twice map=lines ranks=3 order=1 chunk-size=50000 output-callback input=INPUT", "run 0\n"),
    ("job map=check ranks=4 chunk-records=500 output-fd=1 input=INPUT", "run 0\n"),
    ("job map=fork ranks=2 chunk-records=500 output-fd=1 input=INPUT", "run 0\n"),
    ("job map=fail ranks=2 chunk-records=50 output-fd=1 input=INPUT", "run -19\n"),
];

/// A way to look after programs.
struct Tool<'a> {
    /// Words before a program, and the program by its name.
    start: &'a dyn Fn(Job, &str) -> Job,
    /// What it says on stderr of what it has found.
    says: &'a str,
    /// The variable by which it is told what to do, and the words.
    told: (&'a str, String),
    /// Whether it knows that processes which share their memory share nothing else.
    knows_processes: bool,
}

/// What the programs read.
struct Given {
    scratch: Scratch,
    input: Vec<u8>,
    path: PathBuf,
    count: String,
    /// Of more chunks than a program may hold.
    many: Vec<u8>,
}

impl Given {
    fn new() -> Self {
        let scratch = Scratch::new();
        let input = lines(3_000, "no end\n");
        let path = scratch.file("input", &input);
        let count = input.iter().filter(|byte| **byte == b'\n').count().to_string();
        Given { scratch, input, path, count, many: lines(60_000, "") }
    }
}

impl Tool<'_> {
    /// Runs all programs; none of them gives the tool anything to say.
    fn finds_nothing(&self) {
        let given = Given::new();
        // It would see it.
        self.alone(&given, "wrong").run().exits(FOUND).says(self.says);
        for program in ALONE {
            for feed in Feed::BOTH {
                self.judge(self.alone(&given, program).fed(feed, &given.input), 0);
            }
        }
        for (options, program, status) in FED {
            let job = Job::new("--contract px").words(options);
            self.judge(self.words(&given, job, program).fed(Feed::File, &given.input), status);
        }
        self.finds_nothing_where_things_are_not_as_usual(&given);
        for (program, says) in JOBS {
            self.judge(self.alone(&given, program), 0).says(says);
        }
        // They look at all that a process has.
        for command in ["guest INPUT", "guest INPUT cat"].iter().filter(|_| self.knows_processes) {
            self.judge(self.alone(&given, command), 0);
        }
    }

    fn finds_nothing_where_things_are_not_as_usual(&self, given: &Given) {
        let alone = |words: &str| self.alone(given, words);
        self.judge(alone("checks held").input(&given.many), 0);
        let path = given.scratch.file("changes", &given.many);
        self.judge(alone("checks changed").arg(&path).input_file(&path), 0);
        self.judge(alone("checks unreadable").stdin(File::open("/").unwrap()), 0);
        let full = File::options().write(true).open("/dev/full").unwrap();
        self.judge(alone("checks unwritable").input("one\n").stdout(full), 0);
        self.judge(alone("checks foreign PMI_SIZE").env("PMI_SIZE", "8"), 0);
        self.judge(alone("checks astray").env("PX_FD", "1000"), 0);
        self.judge(alone("checks aborts why").input("one\n"), 7);
        let job = self.words(given, Job::new("--contract px -np 2"), "checks aborts why");
        self.judge(job.input(&given.input), 7);
        let job = self.words(given, Job::new("-np 3 -k"), "checks not_fed 3");
        self.judge(job.input("one\ntwo\nthree\n"), 0);
    }

    /// A program and its words, started by nobody.
    fn alone(&self, given: &Given, words: &str) -> Job {
        self.words(given, Job::new("").program("env"), words)
    }

    /// A program and its words, as the rest of a command line.
    fn words(&self, given: &Given, job: Job, words: &str) -> Job {
        let (name, more) = words.split_once(' ').unwrap_or((words, ""));
        let path = given.path.display().to_string();
        let more = more.replace("INPUT", &path).replace("COUNT", &given.count);
        let job = (self.start)(job, name).words(&more).env(self.told.0, &self.told.1);
        job.env("LD_LIBRARY_PATH", installed().at("lib")).env("PX_HELPER", binary::pxrun())
    }

    #[track_caller]
    fn judge(&self, job: Job, status: i32) -> Outcome {
        let outcome = job.bound(BOUND).run();
        outcome.says_not(self.says).says_not("not so").says_not("panicked").exits(status);
        outcome
    }
}

#[test]
fn valgrind_finds_nothing() {
    let memcheck = [
        "valgrind",
        "--quiet",
        "--error-exitcode=98",
        "--leak-check=full",
        // A child between fork and exec has lost what other threads knew.
        "--child-silent-after-fork=yes",
    ];
    let start = |job: Job, name: &str| memcheck.iter().fold(job, Job::arg).arg(compiled(name));
    let told = ("VALGRIND_OPTS", String::new());
    Tool { start: &start, says: "==", told, knows_processes: true }.finds_nothing();
}

/// A sanitizer, and what the toolchain calls it.
struct Sanitizer {
    name: &'static str,
    runtime: &'static str,
    /// It needs the standard library compiled for it, too.
    whole: bool,
}

const ADDRESS: Sanitizer = Sanitizer { name: "address", runtime: "asan", whole: false };
const THREAD: Sanitizer = Sanitizer { name: "thread", runtime: "tsan", whole: true };

impl Sanitizer {
    /// Compiles a program for it; `library` are the words that add libpx.
    fn compile(&self, name: &str, scratch: &Scratch, library: &[String], links: bool) -> PathBuf {
        let program = scratch.at(name);
        if program.exists() {
            return program;
        }
        let sanitize = format!("-fsanitize={}", self.name);
        let object = |name: &str, words: &[&str]| {
            let object = scratch.at(&format!("{name}.o"));
            let mut compiler = installed().command("cc");
            compiler.args("-std=c11 -D_POSIX_C_SOURCE=200809L -g -O1 -pthread -c".split(' '));
            compiler.args(words).arg("-o").arg(&object).arg(sources().join(format!("{name}.c")));
            compiler.args(installed().pkg_config(&["--cflags", "px"]));
            quiet(&mut compiler);
            object
        };
        let mut linker = installed().command("cc");
        linker.arg("-o").arg(&program).arg(object(name, &[&sanitize]));
        linker.args(self.whole.then(|| object("clone", &[])));
        linker.args(library).arg("-pthread").args(links.then_some(sanitize));
        quiet(&mut linker);
        program
    }

    fn finds_nothing(&self, library: &[String], links: bool) {
        let scratch = Scratch::new();
        let start = |job: Job, name: &str| job.arg(self.compile(name, &scratch, library, links));
        let name = format!("{}SAN_OPTIONS", &self.runtime[..1].to_uppercase());
        let mut told = format!("exitcode={FOUND}");
        if self.whole {
            // What is not compiled for it takes its locks unseen. And a program that is about to
            // start has descriptors of its own, under numbers that others of this process have too.
            let apart = scratch.file("apart", "race:px_runtime::sys::apart::program\n");
            told += &format!(":ignore_noninstrumented_modules={}", u8::from(links));
            told += &format!(":suppressions={}", apart.display());
        }
        // Nor does it tell the one's signal handlers from the other's.
        let (told, knows_processes) = ((&*name, told), !self.whole);
        Tool { start: &start, says: "Sanitizer: ", told, knows_processes }.finds_nothing();
    }

    /// The words that add a libpx that was compiled for it.
    ///
    /// # Errors
    /// What the toolchain lacks.
    fn library(&self) -> Result<Vec<String>, String> {
        let mut lacks = String::new();
        for toolchain in ["", "+nightly"] {
            match self.library_by(toolchain) {
                Ok(words) => return Ok(words),
                Err(what) => {
                    lacks += &format!("{}{what}", if lacks.is_empty() { "" } else { "; " })
                }
            }
        }
        Err(lacks)
    }

    fn library_by(&self, toolchain: &str) -> Result<Vec<String>, String> {
        // The test's own variables name a toolchain, and would hold for this one.
        let rust = |program: &str| {
            let mut command = Command::new("env");
            command.args(["-u", "RUSTUP_TOOLCHAIN", "-u", "RUSTC", "-u", "RUSTDOC"]).arg(program);
            command.args((!toolchain.is_empty()).then_some(toolchain));
            command
        };
        let said = |words: &[&str]| {
            let output = rust("rustc").args(words).output().map_err(|error| error.to_string())?;
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            output.status.success().then_some(text).ok_or(format!("no `rustc {toolchain}`"))
        };
        let version = said(&["-vV"])?;
        let host = version.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default();
        let sysroot = PathBuf::from(said(&["--print", "sysroot"])?.trim_end());
        let source = sysroot.join("lib/rustlib/src/rust/library/Cargo.lock");
        if self.whole && !source.exists() {
            return Err(format!("{} is not there", source.display()));
        }
        let libraries = sysroot.join("lib/rustlib").join(host).join("lib");
        let ending = format!("_rt.{}.a", self.runtime);
        let runtime = std::fs::read_dir(&libraries).into_iter().flatten().flatten();
        let runtime = runtime.map(|entry| entry.path());
        let runtime =
            runtime.into_iter().find(|path| path.display().to_string().ends_with(&ending));
        let runtime = runtime.ok_or(format!("no {ending} in {}", libraries.display()))?;
        let target = binary::target_directory().join(format!("sanitizer-{}", self.name));
        let mut cargo = rust("cargo");
        cargo.args(["build", "--quiet", "--package", "libpx", "--target", host]);
        cargo.args(self.whole.then_some("-Zbuild-std"));
        cargo.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")));
        let flags = format!("-Zsanitizer={} -Cunsafe-allow-abi-mismatch=sanitizer", self.name);
        cargo.env("RUSTC_BOOTSTRAP", "1").env("RUSTFLAGS", flags);
        cargo.env("CARGO_TARGET_DIR", &target).env_remove("CARGO_ENCODED_RUSTFLAGS");
        quiet(&mut cargo);
        let archive = target.join(host).join("debug/libpx.a").display().to_string();
        let runtime = format!("-Wl,--whole-archive,{},--no-whole-archive", runtime.display());
        let natives = ["-rdynamic", "-ldl", "-lrt", "-lm"].map(str::to_owned);
        Ok([vec![archive, runtime], natives.to_vec()].concat())
    }
}

#[test]
fn the_sanitizer_of_addresses_finds_nothing_in_the_programs() {
    ADDRESS.finds_nothing(&installed().pkg_config(&["--libs", "px"]), true);
}

#[test]
fn the_sanitizer_of_threads_finds_nothing_in_the_programs() {
    THREAD.finds_nothing(&installed().pkg_config(&["--libs", "px"]), true);
}

#[test]
fn the_sanitizer_of_addresses_finds_nothing_in_libpx() {
    match ADDRESS.library() {
        Ok(library) => ADDRESS.finds_nothing(&library, false),
        Err(lacks) => not_run("the_sanitizer_of_addresses_finds_nothing_in_libpx", &lacks),
    }
}

#[test]
fn the_sanitizer_of_threads_finds_nothing_in_libpx() {
    match THREAD.library() {
        Ok(library) => THREAD.finds_nothing(&library, false),
        Err(lacks) => not_run("the_sanitizer_of_threads_finds_nothing_in_libpx", &lacks),
    }
}
