//! The examples: their sources, and their programs, compiled once by the lines at their top.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use px_tests::installed::{installed, quiet};
use px_tests::lab::Mpi;
use px_tests::{Job, Lab, Outcome};

/// What an example is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    C,
    Fortran,
}

/// How many ranks each example is run by.
pub const RANKS: [usize; 3] = [1, 2, 8];

/// The examples that `pxrun` starts.
const NAMES: [&str; 4] = ["word_count", "monte_carlo", "histogram", "ring"];

impl Language {
    pub const BOTH: [Language; 2] = [Language::C, Language::Fortran];

    /// Where its examples are.
    pub fn folder(self) -> PathBuf {
        top().join("examples").join(match self {
            Language::C => "c",
            Language::Fortran => "fortran",
        })
    }

    fn source(self, name: &str) -> String {
        let suffix = match self {
            Language::C => "c",
            Language::Fortran => "f90",
        };
        format!("{name}.{suffix}")
    }

    /// How a line of the comment at the top begins.
    fn comment(self) -> &'static str {
        match self {
            Language::C => " *",
            Language::Fortran => "!",
        }
    }
}

/// The top of the repository.
pub fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// An example's program.
pub fn program(language: Language, name: &str) -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let built = BUILT.get_or_init(|| {
        in_own_directory("examples", |directory| {
            for language in Language::BOTH {
                for name in NAMES {
                    build(language, name, directory, |line| line);
                }
            }
        })
    });
    built.join(format!("{language:?}")).join(name)
}

/// The example that is a program of this MPI.
pub fn mpi_program(language: Language, mpi: Mpi) -> PathBuf {
    static BUILT: [OnceLock<PathBuf>; 2] = [OnceLock::new(), OnceLock::new()];
    let own = suffix(mpi);
    let built = BUILT[usize::from(mpi == Mpi::Mpich)].get_or_init(|| {
        in_own_directory(own, |directory| {
            for language in Language::BOTH {
                build(language, "mpi_job", directory, |line| {
                    let line = line.replace("px_mpi_openmpi", &format!("px_mpi_{own}"));
                    let line = line.replace("mpicc ", &format!("mpicc.{own} "));
                    line.replace("mpifort ", &format!("mpifort.{own} "))
                });
            }
        })
    });
    built.join(format!("{language:?}")).join("mpi_job")
}

/// What the name of all that is of one MPI ends with.
pub fn suffix(mpi: Mpi) -> &'static str {
    match mpi {
        Mpi::Open => "openmpi",
        Mpi::Mpich => "mpich",
    }
}

/// Fills a directory that other runs of this suite use too, one after the other.
fn in_own_directory(name: &str, fill: impl FnOnce(&Path)) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("bindings-{name}"));
    fs::create_dir_all(&directory).unwrap();
    let lock = File::create(directory.join("lock")).unwrap();
    lock.lock().unwrap();
    fill(&directory);
    directory
}

/// Compiles an example as its first lines say; no compiler may say a word to it.
fn build(language: Language, name: &str, into: &Path, adapt: impl FnOnce(String) -> String) {
    let directory = into.join(format!("{language:?}"));
    fs::create_dir_all(&directory).unwrap();
    let source = language.source(name);
    let text = fs::read_to_string(language.folder().join(&source)).unwrap();
    fs::write(directory.join(&source), &text).unwrap();
    let lines = adapt(compile_lines(&text, language.comment()));
    let mut sh = installed().command("sh");
    quiet(sh.args(["-euc", &lines]).current_dir(&directory));
}

/// The first block of indented lines in the comment at the top of a source.
fn compile_lines(text: &str, comment: &str) -> String {
    let comments = text.lines().skip(1).map_while(|line| line.strip_prefix(comment));
    let lines = comments.skip_while(|line| !line.starts_with("     "));
    let lines = lines.take_while(|line| line.starts_with("     "));
    lines.collect::<Vec<_>>().join("\n")
}

/// A job of `pxrun` with an example as its command, by the words before it.
pub fn job(words: &str, language: Language, name: &str) -> Job {
    finds_libpx(Job::new(words)).arg(program(language, name))
}

/// The same on the hosts of a lab, `ranks` dealt out evenly.
pub fn on_hosts(lab: &Lab, ranks: usize, words: &str, language: Language, name: &str) -> Job {
    let slots = ranks.div_ceil(lab.hosts().len());
    let job = lab.pxrun(&format!("-np {ranks} -x LD_LIBRARY_PATH --hostfile"));
    let job = finds_libpx(job).arg(lab.hostfile(slots)).words(words);
    job.arg(program(language, name))
}

/// A program by itself.
pub fn by_itself(program: PathBuf) -> Job {
    finds_libpx(Job::new("").program(program))
}

pub fn finds_libpx(job: Job) -> Job {
    job.env("LD_LIBRARY_PATH", installed().at("lib"))
}

/// Runs the script of a language's folder at the top of the repository.
pub fn run_script(
    language: Language,
    describe: impl FnOnce(&mut Command) -> &mut Command,
) -> Outcome {
    let folder = language.folder();
    let mut command = installed().command(folder.strip_prefix(top()).unwrap().join("run.sh"));
    let output = describe(command.env("LC_ALL", "C").current_dir(top())).output().unwrap();
    Outcome {
        command: format!("{command:?}"),
        status: output.status.into(),
        stdout: output.stdout,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        peak: None,
    }
}
