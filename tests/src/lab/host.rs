//! One host, and what can happen to it.

use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::cable::Cable;
use super::plan::Cables;
use super::space::{self, Space};
use super::texts;
use crate::processes::{self, Process};
use crate::wire::Quality;

/// How long an sshd may take to listen.
const BOOT: Duration = Duration::from_secs(60);

/// A host of a lab. Its name is `node1` for the first.
#[derive(Debug)]
pub struct Host {
    pub(super) number: usize,
    pub(super) hosts: usize,
    pub(super) lab: PathBuf,
    pub(super) head: Arc<Space>,
    pub(super) cables: Cables,
    pub(super) state: Mutex<State>,
}

/// What changes.
#[derive(Debug, Default)]
pub(super) struct State {
    /// There is none while the host has no power.
    space: Option<Arc<Space>>,
    cable: Option<Cable>,
    sshd: Option<Child>,
    quality: Quality,
}

impl Host {
    /// Its name.
    pub fn name(&self) -> String {
        texts::name(self.number)
    }

    /// Its address.
    pub fn address(&self) -> Ipv4Addr {
        texts::address(self.number)
    }

    /// Root's home on it, which no other host has; under another name it can be seen from here.
    pub fn home(&self) -> PathBuf {
        self.file("home")
    }

    /// What its sshd has logged: each login with the key, each refusal.
    pub fn log(&self) -> String {
        fs::read_to_string(self.file("sshd.log")).unwrap_or_default()
    }

    /// Cuts its cable silently: nobody is told, packets vanish in both directions.
    pub fn cut(&self) -> &Self {
        self.head.ip(&format!("link set {} nomaster\n", texts::cable(self.number)));
        self
    }

    /// Mends a cut cable.
    pub fn heal(&self) -> &Self {
        self.head.ip(&format!("link set {} master pxbr0\n", texts::cable(self.number)));
        self
    }

    /// Takes its power: silence, and every process is gone. [`Host::start`] gives it back.
    pub fn kill(&self) -> &Self {
        self.cut();
        self.crash();
        let mut state = self.state();
        // What its kernel still wanted to say goes with its card.
        state.cable = None;
        if self.cables == Cables::Plain {
            self.head.ip(&format!("link del {}\n", texts::cable(self.number)));
        }
        let space = state.space.take().expect("power");
        Space::remove(std::slice::from_ref(&space));
        drop(state);
        self
    }

    /// Ends all its processes by SIGKILL; its kernel and network stay, and say so to others.
    pub fn crash(&self) -> &Self {
        self.space().expect("power").kill_all();
        if let Some(mut sshd) = self.state().sshd.take() {
            sshd.wait().expect("a child");
        }
        self
    }

    /// Starts it after a crash or a power failure, and waits until it takes logins.
    pub fn start(&self) -> &Self {
        self.plug();
        self.boot();
        self.await_boot();
        self
    }

    /// Loses so many percent of the packets in each direction. Needs [`super::Plan::wired`].
    pub fn loss(&self, percent: u64) -> &Self {
        self.change(|quality| quality.loss_ppm = percent * 10_000)
    }

    /// Lets each packet take so long, in each direction. Needs [`super::Plan::wired`].
    pub fn delay(&self, delay: Duration) -> &Self {
        self.change(|quality| quality.delay = delay)
    }

    /// Lets so many megabits a second pass in each direction. Needs [`super::Plan::wired`].
    pub fn rate(&self, megabits: u64) -> &Self {
        self.change(|quality| quality.rate_kbit = megabits * 1000)
    }

    /// Takes back loss, delay, rate and [`Host::firewall`].
    pub fn clear(&self) -> &Self {
        if self.cables == Cables::Wire {
            self.change(|quality| *quality = Quality::default());
        }
        self.nft("add table inet lab\ndelete table inet lab\n");
        self
    }

    /// Adds a rule of nftables for what comes in to it, say `tcp dport != 22 drop`.
    pub fn firewall(&self, rule: &str) -> &Self {
        self.nft(&format!(
            "add table inet lab\n\
             add chain inet lab in {{ type filter hook input priority 0 ; }}\n\
             add rule inet lab in {rule}\n"
        ));
        self
    }

    /// The live processes on it, its services left out.
    pub fn processes(&self) -> Vec<Process> {
        let mut found = self.space().map(|space| space.processes()).unwrap_or_default();
        found.retain(|process| !space::is_service(&process.name));
        found
    }

    /// A command on it, started from here without a login, in all its namespaces.
    pub fn command(&self, program: &str) -> Command {
        let state = self.state();
        let sshd = state.sshd.as_ref().expect("a host that runs");
        let mut command = Command::new("nsenter");
        command.arg(format!("--target={}", sshd.id())).args(["--mount", "--uts", "--ipc", "--net"]);
        command.arg("--").arg(program).env("HOME", self.home());
        command
    }

    /// Runs something of the test's own on its network, say to listen or to connect.
    pub fn within<T: Send>(&self, run: impl FnOnce() -> T + Send) -> T {
        self.space().expect("power").within(run)
    }

    /// Gives it a network, unless it has one.
    pub(super) fn plug(&self) {
        let mut state = self.state();
        if state.space.is_some() {
            return;
        }
        let space = Space::new(&self.number.to_string());
        match self.cables {
            Cables::Plain => self.head.ip(&texts::veth(self.number, space.pin())),
            Cables::Wire => {
                let mut cable = Cable::lay(self.number, &self.head, &space);
                cable.set(&state.quality);
                state.cable = Some(cable);
            }
        }
        space.ip(&texts::host_network(self.number, self.hosts));
        self.head.ip(&texts::plugged(self.number));
        state.space = Some(Arc::new(space));
    }

    /// Starts its sshd.
    pub(super) fn boot(&self) {
        let mut state = self.state();
        assert!(state.sshd.is_none(), "{} runs", self.name());
        let _ = fs::remove_file(self.file("sshd.pid"));
        let said = File::create(self.file("boot.log")).expect("a file");
        let space = state.space.as_ref().expect("power");
        let mut command = space.command("unshare");
        command.args(["--mount", "--uts", "--ipc", "--propagation=private", "sh"]);
        command.arg(self.lab.join("host.sh")).arg(&self.lab).arg(self.name());
        command
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        command.stdin(Stdio::null()).stdout(said.try_clone().expect("a descriptor")).stderr(said);
        // Ctrl-C on the tests is not for the host.
        let child = command.current_dir("/").process_group(0).spawn();
        state.sshd = Some(child.expect("nsenter"));
    }

    /// Waits until its sshd listens, which is when it writes its number.
    pub(super) fn await_boot(&self) {
        let mut state = self.state();
        let sshd = state.sshd.as_mut().expect("a start");
        let mut ended = None;
        let listens = || fs::metadata(self.file("sshd.pid")).is_ok_and(|file| file.len() > 0);
        let up = processes::holds_within(BOOT, || {
            ended = sshd.try_wait().expect("a child");
            listens() || ended.is_some()
        });
        if !up || ended.is_some() {
            let said = fs::read_to_string(self.file("boot.log")).unwrap_or_default();
            panic!("{} does not start: {ended:?}\n{said}{}", self.name(), self.log());
        }
    }

    /// Reaps its processes that were killed from outside.
    pub(super) fn reap(&self) {
        let mut state = self.state();
        if let Some(mut sshd) = state.sshd.take() {
            let _ = sshd.wait();
        }
        state.cable = None;
    }

    fn change(&self, change: impl FnOnce(&mut Quality)) -> &Self {
        let mut state = self.state();
        let state = &mut *state;
        change(&mut state.quality);
        state.cable.as_mut().expect("a wired lab, and power").set(&state.quality);
        self
    }

    fn nft(&self, lines: &str) {
        let space = self.space().expect("power");
        space::feed(space.command("nft").args(["-f", "-"]), lines);
    }

    fn space(&self) -> Option<Arc<Space>> {
        self.state().space.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.lab.join(self.name()).join(name)
    }
}
