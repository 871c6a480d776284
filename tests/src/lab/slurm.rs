//! Starts the Slurm of a lab: the controller on the head, a `slurmd` on each node, and munge on
//! both, each in the foreground, in the namespaces of its host.

use std::fs::{self, File};
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::Lab;
use super::slurm_conf::{PORT, SlurmPlan};
use super::texts::HEAD;
use crate::processes;

/// How long each part of the start may take.
const BOOT: Duration = Duration::from_secs(60);

/// A daemon that was started.
#[derive(Debug)]
pub(super) struct Daemon {
    name: String,
    log: PathBuf,
    child: Child,
}

impl Daemon {
    fn start(name: String, lab: &Path, host: &str, mut shell: Command, words: &[&str]) -> Self {
        let log = lab.join(host).join(format!("{}.log", words[0]));
        let said = File::create(&log).expect("a file");
        shell.arg(lab.join("slurm.sh")).arg(lab).args(words);
        shell.stdin(Stdio::null()).stdout(said.try_clone().expect("a descriptor")).stderr(said);
        // Ctrl-C on the tests is not for it.
        let child = shell.current_dir("/").process_group(0).spawn();
        Daemon { name, log, child: child.expect("nsenter") }
    }

    /// Waits for its end, which somebody else brings about.
    pub(super) fn reap(&mut self) {
        let _ = self.child.wait();
    }

    fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_some()
    }

    fn log(&self) -> String {
        format!("{}:\n{}", self.name, fs::read_to_string(&self.log).unwrap_or_default())
    }
}

impl Lab {
    /// Starts the controller.
    pub(super) fn start_slurm(&mut self) {
        let shell = self.command("sh");
        let words = ["slurmctld", "-D", "-c"];
        let daemon = Daemon::start("slurmctld".into(), self.path(), "head", shell, &words);
        self.daemons.push(daemon);
    }

    /// Starts the nodes, and waits until all are idle.
    pub(super) fn start_nodes(&mut self, plan: &SlurmPlan) {
        // A node that finds no controller tries again much later.
        let place = (HEAD, PORT);
        self.await_slurm("no controller", |lab| {
            lab.within(|| TcpStream::connect_timeout(&place.into(), BOOT).is_ok())
        });
        let nodes = plan.nodes(self.hosts.len());
        for (at, node) in nodes.iter().enumerate() {
            let shell = match self.hosts.get(at) {
                Some(host) => host.command("sh"),
                None => self.command("sh"),
            };
            let words = ["slurmd", "-D", "-N", node];
            let name = format!("slurmd of {node}");
            self.daemons.push(Daemon::start(name, self.path(), node, shell, &words));
        }
        self.await_slurm("no idle nodes", |lab| {
            let states = lab.command("sinfo").args(["-h", "-N", "-o", "%T"]).output();
            let states = String::from_utf8(states.expect("nsenter").stdout).expect("text");
            states.lines().filter(|state| *state == "idle").count() == nodes.len()
        });
    }

    fn await_slurm(&mut self, wanting: &str, mut holds: impl FnMut(&Lab) -> bool) {
        let mut ended = false;
        let held = processes::holds_within(BOOT, || {
            ended = self.daemons.iter_mut().any(Daemon::has_ended);
            ended || holds(self)
        });
        if !held || ended {
            let logs: Vec<String> = self.daemons.iter().map(Daemon::log).collect();
            panic!("Slurm does not start: {wanting}\n{}", logs.join("\n"));
        }
    }
}
