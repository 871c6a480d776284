//! What a lab is to be like, and whether this machine can have it.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use super::Lab;
use super::mpi::Mpi;
use super::slurm_conf::{self, SlurmPlan};
use super::texts::MOST;

/// How many logins a host's sshd lets be under way at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Startups {
    /// More than any test starts.
    #[default]
    Generous,
    /// What sshd does when nobody configures it: from ten on it refuses some.
    Default,
}

/// The cables of a lab.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Cables {
    /// The kernel's own: fast, can only be cut.
    #[default]
    Plain,
    /// In user space: can lose, delay and slow frames.
    Wire,
}

/// What one host is to be like.
#[derive(Clone, Debug)]
pub struct HostPlan {
    pub(super) shell: String,
    pub(super) setup: String,
    pub(super) sshd: String,
    pub(super) startups: Startups,
}

impl Default for HostPlan {
    fn default() -> Self {
        let (setup, sshd) = (String::new(), String::new());
        HostPlan { shell: "/bin/sh".into(), setup, sshd, startups: Startups::default() }
    }
}

impl HostPlan {
    /// Gives root another login shell.
    pub fn shell(&mut self, path: &str) -> &mut Self {
        path.clone_into(&mut self.shell);
        self
    }

    /// Adds shell lines that run in the host's own mount namespace, as root, before its sshd.
    /// `$HOME` is the host's own home, `$NAME` its name, `$LAB` the lab's directory.
    pub fn setup(&mut self, lines: &str) -> &mut Self {
        self.setup += lines;
        self.setup += "\n";
        self
    }

    /// Adds lines to the configuration of its sshd.
    pub fn sshd(&mut self, lines: &str) -> &mut Self {
        self.sshd += lines;
        self.sshd += "\n";
        self
    }

    /// Lets sshd refuse logins as it does by default.
    pub fn default_startups(&mut self) -> &mut Self {
        self.startups = Startups::Default;
        self
    }
}

/// What a lab is to be like.
#[derive(Clone, Debug)]
pub struct Plan {
    pub(super) hosts: Vec<HostPlan>,
    pub(super) cables: Cables,
    pub(super) slurm: Option<SlurmPlan>,
    pub(super) mpis: Vec<Mpi>,
}

impl Plan {
    /// A lab of `hosts` equal hosts.
    pub(super) fn of(hosts: usize) -> Self {
        assert!(hosts <= MOST, "at most {MOST} hosts");
        Plan {
            hosts: vec![HostPlan::default(); hosts],
            cables: Cables::default(),
            slurm: None,
            mpis: Vec::new(),
        }
    }

    /// Changes one host, by its number from 1.
    pub fn host(
        mut self,
        number: usize,
        change: impl FnOnce(&mut HostPlan) -> &mut HostPlan,
    ) -> Self {
        change(&mut self.hosts[number - 1]);
        self
    }

    /// Changes every host.
    pub fn each(mut self, change: impl Fn(&mut HostPlan) -> &mut HostPlan) -> Self {
        for host in &mut self.hosts {
            change(host);
        }
        self
    }

    /// Gives every host a cable in user space, for loss, delay and rate.
    pub fn wired(mut self) -> Self {
        self.cables = Cables::Wire;
        self
    }

    /// Gives it a Slurm: every host is a node, the head submits.
    pub fn slurm(mut self, change: impl FnOnce(&mut SlurmPlan) -> &mut SlurmPlan) -> Self {
        change(self.slurm.get_or_insert_default());
        self
    }

    /// Lets its hosts run programs of an MPI.
    pub fn mpi(mut self, mpi: Mpi) -> Self {
        self.mpis.push(mpi);
        self
    }

    /// Tells whether this machine can have such a lab.
    ///
    /// # Errors
    ///
    /// The reason why it cannot.
    pub fn possible(&self) -> Result<(), String> {
        available()?;
        let slurm = self.slurm.iter().flat_map(|_| slurm_conf::PROGRAMS);
        if let Some(program) = first_missing(slurm) {
            return Err(format!("there is no `{program}`"));
        }
        self.mpis.iter().try_for_each(|mpi| mpi.installed())?;
        if self.cables == Cables::Wire && !Path::new("/dev/net/tun").exists() {
            return Err("there is no /dev/net/tun".to_owned());
        }
        match self.hosts.iter().find(|host| !Path::new(&host.shell).exists()) {
            Some(host) => Err(format!("there is no {}", host.shell)),
            None => Ok(()),
        }
    }

    /// Brings it up, once no other lab is.
    ///
    /// # Panics
    ///
    /// When a step fails, with what it said.
    pub fn up(self) -> Lab {
        Lab::start(self)
    }
}

/// What brings up a lab or talks to one.
const PROGRAMS: [&str; 10] =
    ["ip", "nft", "nsenter", "unshare", "mount", "umount", "ssh", "ssh-keygen", "sshd", "hostname"];

/// Tells whether this machine can have a lab at all.
///
/// # Errors
///
/// The reason why it cannot.
pub(super) fn available() -> Result<(), String> {
    static ANSWER: OnceLock<Result<(), String>> = OnceLock::new();
    ANSWER.get_or_init(look).clone()
}

fn look() -> Result<(), String> {
    if !rustix::process::geteuid().is_root() {
        return Err("hosts of a lab need root".to_owned());
    }
    if let Some(program) = first_missing(PROGRAMS) {
        return Err(format!("there is no `{program}`"));
    }
    // In namespaces of its own, which end with it.
    let script = "mount -t tmpfs probe /mnt && ip link add pxprobe type bridge && \
                  ip link add pxone type veth peer name pxtwo";
    let mut probe = Command::new("unshare");
    probe.args(["--net", "--mount", "--uts", "--ipc", "sh", "-c", script]).stdin(Stdio::null());
    let output = probe.output().map_err(|error| format!("unshare: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("the kernel allows no hosts: {}", said.trim()))
}

pub(super) fn first_missing(
    programs: impl IntoIterator<Item = &'static str>,
) -> Option<&'static str> {
    // Daemons are in no plain user's PATH.
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin";
    let is_there = |program: &str| path.split(':').any(|dir| Path::new(dir).join(program).exists());
    programs.into_iter().find(|program| !is_there(program))
}
