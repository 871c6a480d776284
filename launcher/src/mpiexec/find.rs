//! Finds `pxrun-mpi` and a launcher of the MPI that it was built for, asking each what it is.
//!
//! An MPI program under the launcher of another MPI is not refused by anyone: each of its
//! processes becomes a world of one. So nothing is started that did not say that it fits.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use px_runtime::failure::Message;
use px_runtime::sys::timespec;

use super::child::{Child, how};
use super::environment::own;
use super::family::{Kind, version_of_agent};
use crate::agent::VERSION;
use crate::command::locate;

/// The program that is to run on each host.
const AGENT: &str = "pxrun-mpi";
/// Under which names a launcher is looked for.
const LAUNCHERS: [&str; 7] = [
    "mpiexec",
    "mpirun",
    "mpiexec.hydra",
    "mpirun.openmpi",
    "mpiexec.openmpi",
    "mpirun.mpich",
    "mpiexec.mpich",
];
/// For a program to say what it is.
const ANSWER: Duration = Duration::from_secs(10);
/// Kept of an answer, in bytes.
const KEPT: usize = 64 << 10;
/// A program that says more than this, in bytes, is none that was asked for.
const MOST: u64 = 1 << 20;
/// Shown of an answer, in characters.
const SHOWN: usize = 80;

/// A launcher and an agent that fit together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The file of the launcher.
    pub launcher: PathBuf,
    /// Its name as the user would type it: some look for their own parts where this says.
    pub called: OsString,
    /// What it is.
    pub launcher_kind: Kind,
    /// The file of the agent, from `/` on.
    pub agent: PathBuf,
    /// What it was built for.
    pub agent_kind: Kind,
}

/// Finds both: the ones that are named, else `pxrun-mpi` beside this binary or in PATH, and the
/// first launcher in PATH that can start it.
///
/// # Errors
/// That one of them is missing, does not answer, or does not fit; with what each has said.
///
/// # Cost
/// A process each, one after the other, until one fits.
pub fn find(agent: Option<&Path>, launcher: Option<&Path>) -> Result<Found, Message> {
    let agent = find_agent(agent)?;
    let agent_kind = kind_of_agent(&agent)?;
    let (launcher, called, launcher_kind) = match launcher {
        Some(launcher) => named_launcher(launcher.as_os_str(), &agent, &agent_kind)?,
        None => fitting_launcher(&agent, &agent_kind)?,
    };
    Ok(Found { launcher, called, launcher_kind, agent, agent_kind })
}

fn find_agent(named: Option<&Path>) -> Result<PathBuf, Message> {
    let found = match named {
        Some(named) => Some(named.to_owned()),
        None => beside().or_else(|| locate(OsStr::new(AGENT))),
    };
    let found = found.ok_or_else(|| {
        Message::new(format!("cannot find `{AGENT}`, neither beside `pxrun` nor in PATH"))
            .help(format!("{BUILD}; or name it: `--agent-path FILE`"))
    })?;
    std::path::absolute(&found)
        .map_err(|error| Message::new(format!("`{}` is no usable path: {error}", found.display())))
}

/// How to come by an agent that fits.
const BUILD: &str = "build it with the compiler of the MPI that is to be used, say \
                     `MPICC=mpicc cargo build --release` in `launcher/mpi`";

fn beside() -> Option<PathBuf> {
    let path = std::env::current_exe().ok()?.parent()?.join(AGENT);
    locate(path.as_os_str())
}

fn kind_of_agent(agent: &Path) -> Result<Kind, Message> {
    let shown = agent.display();
    let said = ask(agent, agent.as_os_str(), ANSWER)
        .map_err(|why| Message::new(format!("`{shown} --version` {why}")).help(BUILD))?;
    let wrong = |wanted: String| {
        let found = first_line(&said);
        Message::new(format!("`{shown}` must be {wanted}, found `{found}`")).help(BUILD)
    };
    let version = version_of_agent(&said).ok_or_else(|| wrong(format!("a `{AGENT}`")))?;
    if version != VERSION {
        return Err(wrong(format!("of version {VERSION}, as `pxrun` is")));
    }
    Kind::of(&said).ok_or_else(|| wrong("built for an MPI that pxrun can start".to_owned()))
}

type Launcher = (PathBuf, OsString, Kind);

fn named_launcher(called: &OsStr, agent: &Path, wanted: &Kind) -> Result<Launcher, Message> {
    let shown = called.to_string_lossy();
    let path = locate(called).ok_or_else(|| {
        Message::new(format!("`--mpiexec`: cannot find `{shown}`, or it cannot be executed"))
    })?;
    let said = ask(&path, called, ANSWER)
        .map_err(|why| Message::new(format!("`{shown} --version` {why}")).help(OTHER))?;
    match Kind::of(&said) {
        Some(kind) if kind.family == wanted.family => Ok((path, called.to_owned(), kind)),
        Some(kind) => {
            let agent = agent.display();
            let text = format!("`{shown}` is {kind}, but `{agent}` is built for {wanted}");
            Err(Message::new(text).note(WORLDS).help(OTHER))
        }
        None => {
            let found = first_line(&said);
            let text = format!("`{shown}` must be the launcher of an MPI, found `{found}`");
            Err(Message::new(text).help(OTHER))
        }
    }
}

/// Why a mismatch is no trifle.
const WORLDS: &str = "an MPI program under the launcher of another MPI runs as many worlds of one";
/// What to do about one.
const OTHER: &str = "name a launcher that fits: `--mpiexec PATH`; or build `pxrun-mpi` for this \
                     one: `MPICC=PATH-OF-ITS-mpicc cargo build --release` in `launcher/mpi`";

fn fitting_launcher(agent: &Path, wanted: &Kind) -> Result<Launcher, Message> {
    let mut asked = HashSet::new();
    let mut answers = Vec::new();
    for name in LAUNCHERS {
        let Some(path) = locate(OsStr::new(name)) else { continue };
        // Most of these names are links to one program.
        if !asked.insert(path.canonicalize().unwrap_or_else(|_| path.clone())) {
            continue;
        }
        let shown = path.display();
        let answer = match ask(&path, OsStr::new(name), ANSWER) {
            Ok(said) => match Kind::of(&said) {
                Some(kind) if kind.family == wanted.family => return Ok((path, name.into(), kind)),
                Some(kind) => format!("`{shown}` is {kind}"),
                None => format!("`{shown}` says `{}`", first_line(&said)),
            },
            Err(why) => format!("`{shown}` {why}"),
        };
        answers.push(answer);
    }
    let agent = agent.display();
    let text = format!("`{agent}` is built for {wanted}, and PATH has no launcher of that");
    let mut message = Message::new(text).help(OTHER);
    if answers.is_empty() {
        answers.push(format!("none of these is there: {}", LAUNCHERS.join(", ")));
    }
    message.notes = answers;
    Err(message)
}

/// Has a program say what it is; else says what it did instead.
fn ask(path: &Path, called: &OsStr, time: Duration) -> Result<String, String> {
    let words = vec![called.to_owned(), "--version".into()];
    let mut child = Child::start(path, words, own(), KEPT)
        .map_err(|errno| format!("cannot be started: {errno}"))?;
    let deadline = Instant::now() + time;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(format!("has not ended within {} s", time.as_secs_f64()));
        }
        if child.heard() > MOST {
            return Err(format!("has said more than {MOST} bytes"));
        }
        let mut fds = Vec::new();
        child.watch(&mut fds);
        let _ = rustix::event::poll(&mut fds, Some(&timespec(left)));
        child.hear(|_| ());
        if let Some(status) = child.status() {
            return match child.said() {
                said if said.trim().is_empty() => Err(format!("says nothing and {}", how(status))),
                said => Ok(said),
            };
        }
    }
}

fn first_line(said: &str) -> String {
    let line = said.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    let mut shown: String = line.chars().take(SHOWN).collect();
    if shown.len() < line.len() {
        shown += "...";
    }
    shown
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::mpiexec::family::Family;

    /// Programs that say what a test wants.
    struct Stage(tempfile::TempDir);

    impl Stage {
        fn new() -> Self {
            Stage(tempfile::tempdir().unwrap())
        }

        fn program(&self, name: &str, body: &str) -> PathBuf {
            let path = self.0.path().join(name);
            // Written by another process: one that this one is forking off meanwhile would hold
            // the file open, and it could not be executed.
            let script = format!("cat > '{}'; chmod 755 '{0}'", path.display());
            let mut shell = std::process::Command::new("sh");
            let shell = shell.args(["-c", &script]).stdin(std::process::Stdio::piped());
            let mut shell = shell.spawn().unwrap();
            let text = format!("#!/bin/sh\n{body}\n");
            std::io::Write::write_all(&mut shell.stdin.take().unwrap(), text.as_bytes()).unwrap();
            assert!(shell.wait().unwrap().success());
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o755);
            path
        }

        fn agent(&self, library: &str) -> PathBuf {
            self.program("agent", &format!("echo 'pxrun-mpi {VERSION} ({library}, 2022)'"))
        }
    }

    const OPEN_MPI: &str = "echo 'mpirun (Open MPI) 4.1.4'";
    const HYDRA: &str = "echo 'HYDRA build details:'; echo ' Version: 4.0.2'";

    #[test]
    fn an_agent_and_a_launcher_of_one_family_are_found() {
        let stage = Stage::new();
        let agent = stage.agent("Open MPI v4.1.4");
        let launcher = stage.program("mpirun", OPEN_MPI);
        let found = find(Some(&agent), Some(&launcher)).unwrap();
        assert_eq!(found.launcher_kind.shown, "Open MPI 4.1.4");
        assert_eq!((found.agent, found.called), (agent, launcher.into_os_string()));
    }

    #[test]
    fn without_a_name_the_first_launcher_in_path_that_fits_is_taken() {
        let stage = Stage::new();
        for (library, program, family) in [
            ("Open MPI v4.1.4", "mpirun.openmpi", Family::OpenMpi),
            ("MPICH Version: 4.0.2", "mpiexec.hydra", Family::Hydra),
        ] {
            match find(Some(&stage.agent(library)), None) {
                Ok(found) => assert_eq!(found.launcher_kind.family, family),
                Err(told) => {
                    assert_eq!(locate(OsStr::new(program)), None);
                    assert!(told.text.contains("PATH has no launcher of that"), "{}", told.text);
                }
            }
        }
    }

    #[test]
    fn a_launcher_of_another_mpi_is_refused_with_what_each_has_said() {
        let stage = Stage::new();
        let agent = stage.agent("MPICH Version: 4.0.2");
        let launcher = stage.program("mpirun", OPEN_MPI);
        let told = find(Some(&agent), Some(&launcher)).unwrap_err();
        let (agent, launcher) = (agent.display(), launcher.display());
        let text =
            format!("`{launcher}` is Open MPI 4.1.4, but `{agent}` is built for MPICH 4.0.2");
        assert_eq!(told.text, text);
        assert!(told.help.unwrap().contains("MPICC="));
    }

    #[test]
    fn a_program_that_hangs_or_never_stops_talking_is_given_up() {
        let stage = Stage::new();
        let silent = stage.program("silent", "exec sleep 1000");
        let told = ask(&silent, silent.as_os_str(), Duration::from_millis(50)).unwrap_err();
        assert_eq!(told, "has not ended within 0.05 s");
        let chatty = stage.program("chatty", "exec yes");
        let told = ask(&chatty, chatty.as_os_str(), Duration::from_secs(600)).unwrap_err();
        assert_eq!(told, "has said more than 1048576 bytes");
        let mute = stage.program("mute", "exit 4");
        let told = ask(&mute, mute.as_os_str(), Duration::from_secs(600)).unwrap_err();
        assert_eq!(told, "says nothing and ended with status 4");
    }

    #[test]
    fn what_is_no_agent_or_one_of_another_version_is_told_with_what_was_found() {
        let stage = Stage::new();
        let other = stage.program("other", HYDRA);
        let told = find(Some(&other), None).unwrap_err().text;
        assert!(told.ends_with("must be a `pxrun-mpi`, found `HYDRA build details:`"), "{told}");
        let old = stage.program("old", "echo 'pxrun-mpi 0.0.1 (Open MPI v4.1.4)'");
        let told = find(Some(&old), None).unwrap_err().text;
        assert!(told.contains(&format!("must be of version {VERSION}, as `pxrun` is")), "{told}");
        let strange = stage.agent("LAM 7");
        let told = find(Some(&strange), None).unwrap_err().text;
        assert!(told.contains("must be built for an MPI that pxrun can start"), "{told}");
        let told = find(Some(Path::new("/nowhere/pxrun-mpi")), None).unwrap_err().text;
        assert!(told.contains("cannot be started: No such file"), "{told}");
        let agent = stage.agent("Open MPI v4.1.4");
        let told = find(Some(&agent), Some(Path::new("/nowhere/mpirun"))).unwrap_err().text;
        assert!(told.contains("cannot find `/nowhere/mpirun`"), "{told}");
    }
}
