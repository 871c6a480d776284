//! The programs in C, looked after by tools that see what a test does not: memory that is read,
//! written or lost wrongly, and threads that are not as far apart as they should be.
//!
//! Valgrind looks after libpx as it is installed. The sanitizers need code that was compiled for them:
//! the programs are by the C compiler, and libpx is where the Rust toolchain has what it takes.

use std::path::{Path, PathBuf};
use std::process::Command;

use px_tests::installed::{installed, quiet};
use px_tests::job::{Feed, Job};
use px_tests::lab::not_run;
use px_tests::{Outcome, Scratch, Status, binary};

use crate::{compiled, lines, sources};

/// What a program ends with in which a tool has found something.
const FOUND: i32 = 98;

/// Programs that are started by nobody.
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

/// Words of pxrun, and programs that it starts.
const FED: [(&str, &str); 23] = [
    ("-np 2 -k", "relay hold=8"),
    ("-np 2 -k --chunk-size 30k", "relay large private"),
    ("-np 2 -k --run per-chunk --chunk-size 100k", "relay"),
    ("-np 2 -k", "guests keeps"),
    ("-np 2 -k", "guests keeps_the_last"),
    ("-np 2 -k", "guests finalizes_with_chunks"),
    ("-np 2 -k", "guests ends_unfinalized"),
    ("-np 2 -k", "guests forks"),
    ("-np 2 -k --chunk-size 5k", "guests eight"),
    ("-np 2 -k --chunk-size 9k", "guests moves"),
    ("-np 2 -k --chunk-size 9k", "guests threads"),
    ("-np 2 -k", "guests hangs_up"),
    ("-np 2 --keep-going", "guests fails"),
    ("-np 2 --keep-going", "anything 5 1500 1 INPUT"),
    ("-np 3 --keep-going", "anything 6 500 4 INPUT"),
    ("-np 3 --keep-going --run per-chunk --chunk-size 100k", "anything 7 300 2 INPUT"),
    ("-np 3", "talk ring"),
    ("-np 2", "talk threads"),
    ("-np 2", "talk timeouts"),
    ("-np 2", "talk chaos 300"),
    ("-np 2", "talk truncated"),
    ("-np 2", "talk arguments"),
    ("-np 2", "talk gone"),
];

/// A way to look after programs.
struct Tool<'a> {
    /// Words before a program, and the program by its name.
    start: &'a dyn Fn(Job, &str) -> Job,
    /// What it says on stderr of what it has found.
    says: &'a str,
    /// The variable by which it is told what to do, and the words.
    told: (&'a str, String),
    /// Whether the program may start jobs of its own.
    has_helper: bool,
}

impl Tool<'_> {
    /// Runs all programs; none of them gives the tool anything to say.
    fn finds_nothing(&self) {
        let scratch = Scratch::new();
        let input = lines(3_000, "no end\n");
        let path = scratch.file("input", &input);
        let count = input.iter().filter(|byte| **byte == b'\n').count().to_string();
        let words = |job: Job, words: &str| {
            let (name, more) = words.split_once(' ').unwrap_or((words, ""));
            let job = (self.start)(job, name);
            let job =
                more.split(' ').filter(|word| !word.is_empty()).fold(job, |job, word| match word {
                    "INPUT" => job.arg(&path),
                    "COUNT" => job.arg(&count),
                    _ => job.arg(word),
                });
            let helper = if self.has_helper { binary::pxrun() } else { "/no/such/helper".into() };
            job.env(self.told.0, &self.told.1)
                .env("PX_HELPER", helper)
                .env("LD_LIBRARY_PATH", installed().at("lib"))
        };
        // It would see it.
        let outcome = words(Job::new("").program("env"), "wrong").run();
        outcome.exits(FOUND).says(self.says);
        for program in ALONE {
            for feed in Feed::BOTH {
                let job = words(Job::new("").program("env"), program);
                self.judge(&job.fed(feed, &input).run(), &[0]);
            }
        }
        for (options, program) in FED {
            let job = words(Job::new("--contract px").words(options), program);
            self.judge(&job.fed(Feed::File, &input).run(), &[0, 125]);
        }
    }

    fn judge(&self, outcome: &Outcome, statuses: &[i32]) {
        outcome.says_not(self.says).says_not("not so").says_not("panicked");
        let Status::Exited(status) = outcome.status else { panic!("{}", outcome.seen()) };
        outcome.check(status != FOUND && statuses.contains(&status), || {
            format!("wanted one of {statuses:?}")
        });
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
    Tool { start: &start, says: "==", told, has_helper: true }.finds_nothing();
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
        let object = scratch.at(&format!("{name}.o"));
        let sanitize = format!("-fsanitize={}", self.name);
        let mut compiler = installed().command("cc");
        compiler.args("-std=c11 -D_POSIX_C_SOURCE=200809L -g -O1 -pthread -c".split(' '));
        compiler.arg(&sanitize).arg("-o").arg(&object).arg(sources().join(format!("{name}.c")));
        compiler.args(installed().pkg_config(&["--cflags", "px"]));
        quiet(&mut compiler);
        let mut linker = installed().command("cc");
        linker.arg("-o").arg(&program).arg(&object).args(library).arg("-pthread");
        linker.args(links.then_some(sanitize));
        quiet(&mut linker);
        program
    }

    fn finds_nothing(&self, library: &[String], links: bool) {
        let scratch = Scratch::new();
        let start = |job: Job, name: &str| job.arg(self.compile(name, &scratch, library, links));
        let name = format!("{}SAN_OPTIONS", &self.runtime[..1].to_uppercase());
        // What is not compiled for it takes its locks unseen.
        let told = format!("exitcode={FOUND}:ignore_noninstrumented_modules={}", u8::from(links));
        let told = (&*name, if self.whole { told } else { format!("exitcode={FOUND}") });
        // A process that shares the memory of another is more than the one for threads can follow.
        Tool { start: &start, says: "Sanitizer: ", told, has_helper: !self.whole }.finds_nothing();
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
