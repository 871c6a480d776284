use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use px_runtime::sys::fd::pipe;
use px_runtime::sys::process::pidfd;
use rustix::process::Pid;

use super::*;
use crate::command::locate;
use crate::mpiexec::family::{Family, Kind};
use crate::mpiexec::handover::receive;
use crate::{hosts, options, words};

/// What the stand-in for rank 0 is to do, and where; set for it alone.
const ACT: &str = "PX_TEST_ACT";
const SOCKET: &str = "PX_TEST_SOCKET";
const LAUNCHER: &str = "PX_TEST_LAUNCHER";

/// What is left of a launcher's words are those of the agent.
const LAST: &str = "while [ $# -gt 2 ]; do shift; done\n";

/// What the other tests start in the place of `pxrun-mpi`; started by nobody it is given nothing.
#[test]
fn only_who_has_a_socket_is_given_a_job() {
    let variable = |name| std::env::var(name).unwrap();
    let Ok(socket) = std::env::var(SOCKET) else {
        let place = tempfile::tempdir().unwrap();
        let refused = receive(&place.path().join("root"));
        assert!(matches!(refused, Err(HandoverError::Connect(..))));
        return;
    };
    let mut received = receive(Path::new(&socket)).unwrap();
    assert_eq!(received.parcel.words, ["-k", "cat"]);
    assert_eq!(received.parcel.directory, std::env::current_dir().unwrap());
    let act = variable(ACT);
    if act == "fails" {
        return received.line.tell(Verdict::Status(125)).unwrap();
    }
    if act == "waits" {
        rustix::io::write(&received.report, b"?").unwrap();
        loop {
            thread::park();
        }
    }
    if act != "dies early" {
        received.line.is_up().unwrap();
    }
    match act.as_str() {
        "dies" | "dies early" => {}
        "outlives the launcher" => {
            let launcher = variable(LAUNCHER).parse().ok().and_then(Pid::from_raw).unwrap();
            rustix::process::kill_process(launcher, Signal::KILL).unwrap();
            // Until somebody ends it.
            loop {
                thread::park();
            }
        }
        "obeys" => {
            rustix::io::write(&received.report, b"?").unwrap();
            let mut order = [0; 8];
            let mut fds = [PollFd::new(&received.control, PollFlags::IN)];
            rustix::event::poll(&mut fds, None).unwrap();
            let count = rustix::io::read(&received.control, &mut order).unwrap();
            assert_eq!(&order[..count], [Order::Stop(Signal::TERM).encode()]);
            received.line.tell(Verdict::Signal(Signal::TERM)).unwrap();
        }
        other => panic!("{other}"),
    }
}

/// A job that can be run, and the other ends of its ties.
struct Scene {
    place: tempfile::TempDir,
    ties: Ties,
    control: Option<OwnedFd>,
    report: OwnedFd,
    _held: Option<OwnedFd>,
    patience: Duration,
}

impl Scene {
    fn new() -> Self {
        let (control_end, control) = pipe().unwrap();
        let (report, report_end) = pipe().unwrap();
        let (lifeline, held) = pipe().unwrap();
        Scene {
            place: tempfile::tempdir().unwrap(),
            ties: Ties { control: control_end, report: report_end, lifeline },
            control: Some(control),
            report,
            _held: Some(held),
            patience: Duration::from_secs(600),
        }
    }

    /// Writes a script through another process, so that nothing forked meanwhile holds it open.
    fn script(&self, name: &str, body: &str) -> PathBuf {
        let path = self.place.path().join(name);
        let line = format!("cat > '{}'; chmod 755 '{0}'", path.display());
        let mut shell = Command::new("sh");
        let mut shell = shell.args(["-c", &line]).stdin(Stdio::piped()).spawn().unwrap();
        let text = format!("#!/bin/sh\n{body}\n");
        shell.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        assert!(shell.wait().unwrap().success());
        path
    }

    /// An agent that stands in for `pxrun-mpi`.
    fn agent(&self, act: &str) -> PathBuf {
        let binary = std::env::current_exe().unwrap();
        let here = std::env::current_dir().unwrap();
        let test = "mpiexec::run::tests::only_who_has_a_socket_is_given_a_job";
        let body = format!(
            "[ \"$1\" = --as-agent ] || exit 9\ncd '{}' || exit 9\n\
             {ACT}='{act}' {SOCKET}=\"$2\" exec '{}' --exact {test} --nocapture",
            here.display(),
            binary.display()
        );
        self.script("agent", &body)
    }

    fn run_by(&self, launcher: &Path, family: Family, agent: &Path) -> Result<Verdict, Stopped> {
        let asked = ["-H", "localhost", "cat"].map(OsString::from);
        let options = options::parse(words::split(asked).unwrap()).unwrap();
        let options::Asked::Job(options) = options else { panic!("no job") };
        let wish = hosts::wish(&options, None).unwrap();
        let listing = hosts::listing(&options, wish).unwrap().unwrap();
        let kind = Kind { family, shown: "an MPI".to_owned() };
        let found = Found {
            launcher: launcher.to_owned(),
            called: launcher.into(),
            launcher_kind: kind.clone(),
            agent: agent.to_owned(),
            agent_kind: kind,
        };
        let words = ["-k", "cat"].map(OsString::from);
        run(&Call {
            found: &found,
            listing: &listing,
            words: &words,
            ties: &self.ties,
            verbosity: Verbosity::Quiet,
            patience: self.patience,
        })
    }

    /// Runs with a launcher whose last two arguments are those of the agent in `$agent`.
    fn run(&self, launcher: &str, act: &str) -> Result<Verdict, Stopped> {
        let agent = self.agent(act);
        let body = format!("{LAST}agent='{}'\n{launcher}", agent.display());
        let launcher = self.script("launcher", &body);
        self.run_by(&launcher, Family::Hydra, &agent)
    }

    fn refused(&self, launcher: &str, act: &str) -> Message {
        match self.run(launcher, act) {
            Err(Stopped::Refused(refusal)) => refusal.message,
            Err(Stopped::By(signal)) => panic!("by {signal:?}"),
            Err(Stopped::Orphaned(who)) => panic!("{who} is gone"),
            Ok(verdict) => panic!("{verdict:?}"),
        }
    }

    /// Has the user order an end once rank 0 has said that it has the job.
    fn ordered(self, launcher: &Path, family: Family, act: &str) -> Result<Verdict, Stopped> {
        let agent = self.agent(act);
        let control = self.control.as_ref().unwrap().try_clone().unwrap();
        let report = self.report.try_clone().unwrap();
        let user = thread::spawn(move || {
            let mut byte = [0];
            rustix::io::read(&report, &mut byte).unwrap();
            rustix::io::write(&control, &[Order::Stop(Signal::TERM).encode()]).unwrap();
        });
        let result = self.run_by(launcher, family, &agent);
        drop(self);
        user.join().unwrap();
        result
    }
}

/// Whether a process ends, if it has not.
fn ends(pid: &str) -> bool {
    let pid = pid.trim().parse().ok().and_then(Pid::from_raw).unwrap();
    let Ok(end) = pidfd(pid) else { return true };
    let mut fds = [PollFd::new(&end, PollFlags::IN)];
    rustix::event::poll(&mut fds, Some(&timespec(Duration::from_secs(60)))) == Ok(1)
}

#[test]
fn orders_reach_rank_0_and_its_verdict_comes_back_past_a_launcher_that_talks_much() {
    let scene = Scene::new();
    let body = format!("head -c 300000 /dev/zero\n{LAST}");
    let agent = scene.place.path().join("agent");
    let launcher = scene.script("launcher", &format!("{body}exec '{}' \"$@\"", agent.display()));
    let result = scene.ordered(&launcher, Family::Hydra, "obeys");
    assert!(matches!(result, Ok(Verdict::Signal(Signal::TERM))));
}

#[test]
fn the_real_launchers_carry_a_job_too() {
    for (name, family) in [("mpirun.openmpi", Family::OpenMpi), ("mpiexec.hydra", Family::Hydra)] {
        let Some(launcher) = locate(name.as_ref()) else {
            let _ = writeln!(std::io::stderr(), "not run: with {name}, which is not installed");
            continue;
        };
        let result = Scene::new().ordered(&launcher, family, "obeys");
        let shown = match &result {
            Err(Stopped::Refused(refusal)) => refusal.message.render("error"),
            _ => String::new(),
        };
        assert!(matches!(result, Ok(Verdict::Signal(Signal::TERM))), "{name}: {shown}");
    }
}

#[test]
fn a_launcher_that_fails_is_told_with_its_last_words() {
    let told = Scene::new().refused("echo ------; echo 'no route to node7' >&2; exit 3", "-");
    assert!(told.text.ends_with("/launcher` ended with status 3 before MPI was up"), "{told:?}");
    assert_eq!(told.notes, ["no route to node7"]);
    assert!(told.help.unwrap().contains("--backend ssh"));
}

#[test]
fn an_mpi_that_nobody_comes_from_is_given_up_and_leaves_nothing() {
    let scene = Scene { patience: Duration::from_millis(200), ..Scene::new() };
    let pids = scene.place.path().join("pids");
    let body = format!("sleep 1000 & echo $! > '{}.new'; mv '{0}.new' '{0}'\nwait", pids.display());
    let told = scene.refused(&body, "-");
    assert!(told.text.contains("has not brought MPI up within 0.2 s, on 1 host"), "{told:?}");
    if let Ok(pid) = std::fs::read_to_string(&pids) {
        assert!(ends(&pid));
    }
}

#[test]
fn a_rank_0_that_dies_ends_the_job_with_the_launchers_explanation() {
    let told = Scene::new().refused("\"$agent\" \"$@\" >&2; echo rank 0 is gone; exit 1", "dies");
    assert_eq!(told.text, "MPI rank 0, on this host, ended before the job did");
    assert!(told.notes[0].ends_with("/launcher` ended with status 1"), "{told:?}");
    assert_eq!(told.notes.last().unwrap(), "rank 0 is gone");
}

#[test]
fn a_rank_0_that_dies_or_fails_before_mpi_is_up_is_told() {
    let line = "\"$agent\" \"$@\"; echo no network; exit 1";
    let told = Scene::new().refused(line, "dies early");
    assert!(told.text.ends_with("/launcher` ended with status 1 before MPI was up"), "{told:?}");
    assert_eq!(told.notes.last().unwrap(), "no network");
    let told = Scene::new().run(line, "fails");
    assert!(matches!(told, Ok(Verdict::Status(125))));
}

#[test]
fn orders_are_obeyed_while_rank_0_waits_for_the_others() {
    let scene = Scene::new();
    let body = format!("{LAST}exec '{}' \"$@\"", scene.place.path().join("agent").display());
    let launcher = scene.script("launcher", &body);
    let result = scene.ordered(&launcher, Family::Hydra, "waits");
    assert!(matches!(result, Err(Stopped::By(Signal::TERM))));
}

#[test]
fn what_a_launcher_that_died_has_left_is_ended() {
    let scene = Scene::new();
    let pid = scene.place.path().join("pid");
    // It is there before the process that ends the launcher is.
    let line = format!(
        r#"export {LAUNCHER}=$$; sh -c 'echo $$ > "$0"; exec "$@"' '{}' "$agent" "$@" & wait"#,
        pid.display()
    );
    let told = scene.refused(&line, "outlives the launcher");
    assert_eq!(told.text, "MPI rank 0, on this host, ended before the job did");
    assert!(told.notes[0].ends_with("was killed by signal 9 (SIGKILL)"), "{told:?}");
    assert!(ends(&std::fs::read_to_string(&pid).unwrap()));
}

#[test]
fn a_launcher_that_does_not_end_after_the_job_is_ended() {
    let (scene, elsewhere) = (Scene::new(), tempfile::tempdir().unwrap());
    let agent = scene.place.path().join("agent");
    let pid = elsewhere.path().join("pid");
    let body = format!(
        "{LAST}echo $$ > '{}'\n'{}' \"$@\"\nexec sleep 1000",
        pid.display(),
        agent.display()
    );
    let launcher = scene.script("launcher", &body);
    let result = scene.ordered(&launcher, Family::Hydra, "obeys");
    assert!(matches!(result, Ok(Verdict::Signal(Signal::TERM))));
    assert!(ends(&std::fs::read_to_string(&pid).unwrap()));
}

#[test]
fn orders_are_obeyed_also_before_mpi_is_up() {
    let scene = Scene::new();
    let control = scene.control.as_ref().unwrap();
    for order in [Order::Resume, Order::Pause, Order::Stop(Signal::INT)] {
        rustix::io::write(control, &[order.encode()]).unwrap();
    }
    assert!(matches!(scene.run("sleep 1000", "-"), Err(Stopped::By(Signal::INT))));
    let mut byte = [0];
    assert_eq!(rustix::io::read(&scene.report, &mut byte), Ok(1));
    assert_eq!(byte, [PAUSED]);
    rustix::io::write(control, &[Order::Kill.encode()]).unwrap();
    assert!(matches!(scene.run("sleep 1000", "-"), Err(Stopped::By(Signal::QUIT))));
}

#[test]
fn the_end_of_who_watches_ends_the_launcher() {
    let scene = Scene { control: None, ..Scene::new() };
    assert!(matches!(scene.run("sleep 1000", "-"), Err(Stopped::Orphaned("pxrun"))));
    let scene = Scene { _held: None, ..Scene::new() };
    assert!(matches!(scene.run("sleep 1000", "-"), Err(Stopped::Orphaned("the guardian"))));
}
