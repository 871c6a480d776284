//! Finds pxrun, the peers and the commands they run, by asking them who they are.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::contestant::Launch;
use crate::options::beside_this_program;
use crate::problem::Problem;
use crate::running;

/// A program that is there, and what it calls itself.
pub struct Tool {
    pub path: PathBuf,
    pub version: String,
}

/// Everything that a work may want to run; `None` is missing on this machine.
pub struct Tools {
    pub pxrun: Option<Tool>,
    pub gnu_parallel: Option<Tool>,
    pub moreutils: Option<Tool>,
    pub rust_parallel: Option<Tool>,
    pub split: Option<Tool>,
    pub xargs: Option<Tool>,
    pub python: Option<Tool>,
    pub wc: PathBuf,
    pub cat: PathBuf,
    pub sed: PathBuf,
    pub true_: PathBuf,
}

const ANSWER_LIMIT: Duration = Duration::from_secs(10);

impl Tools {
    /// Looks for all of them; `scratch` is for their answers.
    pub fn find(scratch: &Path) -> Result<Tools, Problem> {
        let version = |path: PathBuf, whose: &str| version(path, whose, scratch);
        let first = |names: &[&str], whose: &str| -> Result<Option<Tool>, Problem> {
            for path in names.iter().filter_map(|name| in_path(name)) {
                if let Some(tool) = version(path, whose)? {
                    return Ok(Some(tool));
                }
            }
            Ok(None)
        };
        Ok(Tools {
            pxrun: match pxrun() {
                Some(path) => version(path, "pxrun")?,
                None => None,
            },
            gnu_parallel: first(&["parallel", "parallel.gnu"], "GNU parallel")?,
            moreutils: moreutils(scratch)?,
            rust_parallel: first(&["rust-parallel"], "rust-parallel")?,
            split: first(&["split"], "GNU coreutils")?,
            xargs: first(&["xargs"], "GNU findutils")?,
            python: python(scratch)?,
            wc: needed("wc")?,
            cat: needed("cat")?,
            sed: needed("sed")?,
            true_: needed("true")?,
        })
    }

    /// The contestants that cannot run, by the names a reader knows.
    pub fn missing(&self) -> Vec<&'static str> {
        let all = [
            ("pxrun", self.pxrun.is_none()),
            ("GNU parallel", self.gnu_parallel.is_none()),
            ("moreutils parallel", self.moreutils.is_none()),
            ("rust-parallel", self.rust_parallel.is_none()),
            ("GNU split", self.split.is_none()),
            ("GNU xargs", self.xargs.is_none()),
            ("python3", self.python.is_none()),
        ];
        all.into_iter().filter(|(_, missing)| *missing).map(|(name, _)| name).collect()
    }

    /// The versions of those that are there.
    pub fn versions(&self) -> Vec<&str> {
        let all = [
            &self.pxrun,
            &self.gnu_parallel,
            &self.moreutils,
            &self.rust_parallel,
            &self.split,
            &self.xargs,
            &self.python,
        ];
        all.into_iter().flatten().map(|tool| tool.version.as_str()).collect()
    }
}

/// Where pxrun is: PXRUN, else beside this program, else the workspace's release build.
fn pxrun() -> Option<PathBuf> {
    if let Some(path) = env::var_os("PXRUN") {
        return fs::canonicalize(path).ok();
    }
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/release/pxrun");
    let places = [beside_this_program("pxrun"), built];
    places.into_iter().find_map(|path| fs::canonicalize(path).ok())
}

/// Looks in PX_PEERS, PATH and cargo's folder.
fn in_path(name: &str) -> Option<PathBuf> {
    let peers = env::var_os("PX_PEERS").map(PathBuf::from);
    let path = env::var_os("PATH").unwrap_or_default();
    let cargo = env::home_dir().map(|home| home.join(".cargo/bin"));
    let folders = peers.into_iter().chain(env::split_paths(&path)).chain(cargo);
    let mut files = folders.map(|folder| folder.join(name));
    files.find(|file| {
        fs::metadata(file)
            .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    })
}

fn needed(name: &str) -> Result<PathBuf, Problem> {
    in_path(name).ok_or_else(|| Problem::Usage(format!("`{name}` is not in PATH")))
}

/// The first line of `--version`, where it says whose the program is.
fn version(path: PathBuf, whose: &str, scratch: &Path) -> Result<Option<Tool>, Problem> {
    let Some(answer) = ask(&path, &["--version"], scratch)? else { return Ok(None) };
    let version = answer.lines().next().unwrap_or("").trim().to_owned();
    Ok(answer.contains(whose).then_some(Tool { path, version }))
}

/// moreutils' parallel knows no `--version`; its usage line is unlike any other's.
fn moreutils(scratch: &Path) -> Result<Option<Tool>, Problem> {
    for name in ["parallel.moreutils", "parallel-moreutils", "parallel"] {
        let Some(path) = in_path(name) else { continue };
        let answer = ask(&path, &["-h"], scratch)?.unwrap_or_default();
        if answer.contains("command -- arguments") {
            return Ok(Some(Tool {
                path,
                version: "moreutils parallel (tells no version)".to_owned(),
            }));
        }
    }
    Ok(None)
}

/// The interpreter itself: what is in PATH may be a shell script that chooses one, at a cost.
fn python(scratch: &Path) -> Result<Option<Tool>, Problem> {
    let Some(path) = in_path("python3") else { return Ok(None) };
    let print = "import sys; print(sys.executable)";
    let Some(answer) = ask(&path, &["-c", print], scratch)? else { return Ok(None) };
    version(PathBuf::from(answer.trim()), "Python", scratch)
}

/// What a program says to these words, on stdout and stderr; `None` where it cannot be run.
fn ask(path: &Path, words: &[&str], scratch: &Path) -> Result<Option<String>, Problem> {
    let stdout = scratch.join("stdout");
    let words = words.iter().map(OsString::from);
    let words = [path.as_os_str().to_owned()].into_iter().chain(words).collect();
    let launch = Launch { words, stdin: None, stdout: stdout.clone() };
    match running::run(&[launch], scratch, ANSWER_LIMIT) {
        Ok(_) => {}
        Err(problem @ Problem::Interrupted { .. }) => return Err(problem),
        Err(_) => return Ok(None),
    }
    let mut answer = Vec::new();
    for file in [stdout, scratch.join("stderr")] {
        answer
            .extend(fs::read(&file).map_err(Problem::step(format!("read `{}`", file.display())))?);
    }
    Ok(Some(String::from_utf8_lossy(&answer).into_owned()))
}
