//! Hosts to test on, all of them on this machine.
//!
//! A host is a network namespace with an address, a name, mounts, `/dev/shm`, a home and an sshd
//! of its own; the head, where `pxrun` is started, is another one, with the bridge between them.
//! Kernel, process numbers and all files that a host's set-up does not hide are shared. Nothing
//! outside is touched: neither the machine's network nor its `/etc`.
//!
//! ```no_run
//! use std::time::Duration;
//! use px_tests::lab::Lab;
//!
//! # fn a_test() {
//! let lab = px_tests::lab!(Lab::of(3).host(2, |host| host.shell("/bin/csh")).wired());
//! lab.host(3).delay(Duration::from_millis(50));
//! lab.ssh(1, "hostname").ok().prints("node1\n");
//! lab.pxrun("-np 3 cat").arg("--hostfile").arg(lab.hostfile(1)).run().ok();
//! assert!(lab.leftovers(Duration::from_secs(5)).is_empty());
//! # }
//! ```
//!
//! A lab may have a Slurm, whose controller is on the head and whose nodes are the hosts, and its
//! hosts may run programs of an MPI:
//!
//! ```no_run
//! use px_tests::lab::{Lab, Mpi};
//!
//! # fn a_test() {
//! let lab = px_tests::lab!(Lab::of(2).slurm(|slurm| slurm.cpus(4)).mpi(Mpi::Open));
//! lab.job("srun -N 2 hostname").run().ok().prints_lines(2);
//! lab.mpirun(Mpi::Open, 2, "hostname").run().ok().prints_lines(2);
//! # }
//! ```
//!
//! Each test has a lab of its own, in a state that no other test has touched; that is cheap, since
//! the keys, which cost most, are made once a process. There is one at a time on a machine: a
//! second waits for the lock. [`lab!`](crate::lab!) reports a test by name as not run where there
//! can be none. A lab goes when it is dropped, and what a killed owner left goes when the next
//! comes up. By hand: `cargo run -p px-tests --bin px-lab -- 4`.

mod cable;
mod files;
mod host;
mod keys;
mod lock;
mod mpi;
mod plan;
mod slurm;
mod slurm_conf;
mod space;
mod texts;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::job::Job;
use crate::outcome::Outcome;
use crate::processes::{self, Process};
use crate::scratch::Scratch;

pub use host::Host;
use lock::Lock;
pub use mpi::Mpi;
pub use plan::{HostPlan, Plan, Startups};
use slurm::Daemon;
pub use slurm_conf::SlurmPlan;
pub use space::PINS;
use space::Space;
pub use texts::{HEAD, NOWHERE};

/// A process that is still there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resident {
    /// The name of the host it is on, `head` for the head.
    pub host: String,
    /// Its number.
    pub pid: i32,
    /// Its command line.
    pub command: String,
}

/// A running lab.
#[derive(Debug)]
pub struct Lab {
    hosts: Vec<Host>,
    head: Arc<Space>,
    scratch: Scratch,
    daemons: Vec<Daemon>,
    /// Given back last.
    _lock: Lock,
}

impl Lab {
    /// Describes a lab of `hosts` hosts.
    pub fn of(hosts: usize) -> Plan {
        Plan::of(hosts)
    }

    /// Brings up a plain lab.
    pub fn up(hosts: usize) -> Self {
        Lab::of(hosts).up()
    }

    /// Tells whether this machine can have a lab at all.
    ///
    /// # Errors
    ///
    /// The reason why it cannot.
    pub fn available() -> Result<(), String> {
        plan::available()
    }

    fn start(plan: Plan) -> Self {
        let keys = keys::keys(plan.hosts.len() + 1);
        let lock = Lock::take();
        lock::sweep();
        let scratch = Scratch::new();
        files::write_head(scratch.path(), &plan, &keys);
        lock::register(scratch.path());
        let head = Arc::new(Space::new("head"));
        let lab = scratch.path().to_owned();
        let host = |number| Host {
            number,
            hosts: plan.hosts.len(),
            lab: lab.clone(),
            head: Arc::clone(&head),
            cables: plan.cables,
            state: Mutex::default(),
        };
        let hosts = (1..=plan.hosts.len()).map(host).collect();
        // From here on a failure tears down what is there.
        let mut lab =
            Lab { hosts, head: Arc::clone(&head), scratch, daemons: Vec::new(), _lock: lock };
        lab.head.ip(&texts::head_network(lab.hosts.len()));
        if plan.slurm.is_some() {
            lab.start_slurm();
        }
        for (host, own) in lab.hosts.iter().zip(&plan.hosts) {
            files::write_host(lab.path(), host.number, own, &plan, &keys[host.number]);
            host.plug();
            host.boot();
        }
        lab.hosts.iter().for_each(Host::await_boot);
        if let Some(slurm) = &plan.slurm {
            lab.start_nodes(slurm);
        }
        lab
    }

    /// A host, by its number from 1.
    pub fn host(&self, number: usize) -> &Host {
        &self.hosts[number - 1]
    }

    /// All hosts.
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// The directory of its files, which all hosts see.
    pub fn path(&self) -> &Path {
        self.scratch.path()
    }

    /// The keys of hosts that `ssh` on the head knows.
    pub fn known_hosts(&self) -> PathBuf {
        self.path().join("head/known_hosts")
    }

    /// Root's home on the head.
    pub fn home(&self) -> PathBuf {
        self.path().join("head/home")
    }

    /// Describes a job of `pxrun` on the head, by the words of its command line.
    pub fn pxrun(&self, words: &str) -> Job {
        let entry = self.entry();
        Job::new(words).under(&entry.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Describes a job of another program on the head, by the words of its command line.
    pub fn job(&self, words: &str) -> Job {
        let (program, words) = words.trim().split_once(' ').unwrap_or((words.trim(), ""));
        self.pxrun(words).program(program)
    }

    /// Another command on the head.
    pub fn command(&self, program: &str) -> Command {
        let entry = self.entry();
        let mut command = Command::new(&entry[0]);
        command.args(&entry[1..]).arg(program);
        command
    }

    /// Runs a command line on a host through a login, as a user on the head does.
    pub fn ssh(&self, number: usize, line: &str) -> Outcome {
        let name = texts::name(number);
        let mut command = self.command("ssh");
        command.args(["-o", "BatchMode=yes", "-o", "ConnectTimeout=20", "--", &name, line]);
        let output = command.stdin(Stdio::null()).output().expect("nsenter");
        Outcome {
            command: format!("ssh {name} {line}"),
            status: output.status.into(),
            stdout: output.stdout,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            peak: None,
        }
    }

    /// Runs something of the test's own on the head's network, say to connect.
    pub fn within<T: Send>(&self, run: impl FnOnce() -> T + Send) -> T {
        self.head.within(run)
    }

    /// Writes a hostfile of all hosts, with `slots` on each, and returns its path.
    pub fn hostfile(&self, slots: usize) -> PathBuf {
        let line = |host: &Host| format!("{} slots={slots}\n", host.name());
        let text: String = self.hosts.iter().map(line).collect();
        self.scratch.file(&format!("hostfile-{slots}"), text)
    }

    /// Waits until nothing of any job runs on head and hosts, and returns what is left after
    /// `bound`. Services do not count, and processes of sshd neither: on a cut host they outlive
    /// the login.
    pub fn leftovers(&self, bound: Duration) -> Vec<Resident> {
        let mut left = Vec::new();
        processes::holds_within(bound, || {
            left = self.residents();
            left.is_empty()
        });
        left
    }

    fn residents(&self) -> Vec<Resident> {
        let mut head = self.head.processes();
        head.retain(|process| !space::is_service(&process.name));
        let shown = |host: &str, processes: Vec<Process>| -> Vec<Resident> {
            let of = |process: Process| Resident {
                host: host.to_owned(),
                pid: process.pid,
                command: processes::command_line(process.pid),
            };
            processes.into_iter().map(of).collect()
        };
        let hosts = self.hosts.iter().flat_map(|host| shown(&host.name(), host.processes()));
        shown("head", head).into_iter().chain(hosts).collect()
    }

    /// The words that put a command on the head.
    fn entry(&self) -> Vec<String> {
        let lab = self.path().display();
        let words = ["unshare", "--mount", "--uts", "--propagation=private", "sh"];
        let mut entry = vec!["nsenter".to_owned(), self.head.entry()];
        entry.extend(words.map(str::to_owned));
        entry.extend([format!("{lab}/head.sh"), format!("{lab}")]);
        entry
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let swept = std::panic::catch_unwind(lock::sweep);
        self.hosts.iter().for_each(Host::reap);
        self.daemons.iter_mut().for_each(Daemon::reap);
        if let Err(panic) = swept
            && !std::thread::panicking()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

/// Says past the test runner's capture that a test was not run, and why.
pub fn not_run(place: &str, reason: &str) {
    let name = place.split_once("::").map_or(place, |(_, name)| name);
    let name = name.strip_suffix("::place").unwrap_or(name);
    // Nobody left to read it is no failure of the test.
    let _ = writeln!(std::io::stderr(), "not run: {name}: {reason}");
}

/// Brings up the lab of a [`Plan`], or reports the test as not run, by name, and returns from it.
/// Without a plan it only looks whether this machine can have a lab.
#[macro_export]
macro_rules! lab {
    () => {
        $crate::lab!(@unless $crate::lab::Lab::available())
    };
    (@unless $answer:expr) => {{
        fn place() {}
        if let Err(reason) = $answer {
            return $crate::lab::not_run(std::any::type_name_of_val(&place), &reason);
        }
    }};
    ($plan:expr) => {{
        let plan: $crate::lab::Plan = $plan;
        $crate::lab!(@unless plan.possible());
        plan.up()
    }};
}
