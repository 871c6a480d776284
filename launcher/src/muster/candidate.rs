//! One host on its way into the job.

use std::rc::Rc;
use std::time::{Duration, Instant};

use px_runtime::failure::Message;
use px_runtime::link::channel::Ends;
use px_runtime::link::control::{Begin, Hello, Way};
use px_runtime::link::doors::Doors;
use px_runtime::link::joining::{Approach, JoinError, Joining, News, Rules};
use px_runtime::link::remote::{Remote, Supply};
use px_runtime::link::secret::Secret;
use px_runtime::message::ExitStatus;
use px_runtime::poller::{Poller, Ready};
use px_runtime::root::Verbosity;

use crate::hostfile::allocation::Host;
use crate::hosts::Listing;
use crate::ssh::command::Target;
use crate::ssh::explain::explain;
use crate::ssh::jump::Jumps;
use crate::ssh::login::{Event, Login};
use crate::ssh::mark::Mark;
use crate::ssh::own::Own;
use crate::ssh::process::{Read, Shell};
use crate::{agent, say};

/// Further logins after one that was dropped.
const RETRIES: u32 = 3;
/// From the login to the agent's greeting.
const PATIENCE: Duration = Duration::from_secs(60);
/// For a login that says no more to end.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// What all candidates need.
pub(super) struct Context<'a> {
    pub(super) listing: &'a Listing,
    pub(super) rules: &'a Rules,
    pub(super) poller: &'a Poller,
    pub(super) verbosity: Verbosity,
    pub(super) only_ask: bool,
}

/// What logins need besides.
pub(super) struct Logins {
    pub(super) secret: Secret,
    pub(super) own: Own,
    pub(super) jumps: Jumps,
}

/// How far a host is.
pub(super) enum Stage {
    /// Nobody asks it.
    Idle,
    /// It is this very one.
    Here,
    /// It is asked once the time and a place have come.
    Queued(Instant),
    /// It comes by itself, or is given up then.
    Expected(Instant),
    /// Its login runs.
    Login(Box<LoggingIn>),
    /// Its agent runs.
    Joining(Box<Joining>),
    /// It takes no part.
    Failed,
}

/// A login that runs.
pub(super) struct LoggingIn {
    shell: Shell,
    login: Login,
    logins: Rc<Logins>,
    ends_at: Instant,
    over: bool,
}

/// Why a host takes no part.
pub(super) struct Failure {
    pub(super) what: String,
    pub(super) note: Option<String>,
    pub(super) help: Option<String>,
    pub(super) status: u8,
}

impl Failure {
    fn new(what: impl Into<String>) -> Self {
        let status = px_runtime::failure::OWN;
        Failure { what: what.into(), note: None, help: None, status }
    }
}

/// A host on its way.
pub(super) struct Candidate {
    number: u32,
    name: String,
    user: Option<String>,
    port: Option<u16>,
    pub(super) stage: Stage,
    hello: Option<Hello>,
    linked: Option<(Way, Option<String>)>,
    ready: bool,
    blind: Option<String>,
    strangers: u64,
    /// The host that its login goes through, once that was asked.
    jump: Option<Option<String>>,
    logins: u32,
    pub(super) failure: Option<Failure>,
    pub(super) told: bool,
}

impl Candidate {
    pub(super) fn new(number: u32, host: &Host) -> Self {
        Candidate {
            number,
            name: host.host.clone(),
            user: host.user.clone(),
            port: host.port,
            stage: Stage::Idle,
            hello: None,
            linked: None,
            ready: false,
            blind: None,
            strangers: 0,
            jump: None,
            logins: 0,
            failure: None,
            told: false,
        }
    }

    pub(super) fn is_here(&mut self) {
        let hello = agent::hello();
        if self.name.is_empty() {
            self.name.clone_from(&hello.host);
        }
        self.hello = Some(hello);
        self.stage = Stage::Here;
    }

    pub(super) fn queue(&mut self, now: Instant) {
        if matches!(self.stage, Stage::Idle) {
            self.stage = Stage::Queued(now);
        }
    }

    /// Expects it to come by itself.
    pub(super) fn expect(&mut self, now: Instant) {
        self.stage = Stage::Expected(now + PATIENCE);
    }

    /// Takes the way on which it has come.
    pub(super) fn arrive(&mut self, way: Approach, context: &Context<'_>, now: Instant) {
        if matches!(self.stage, Stage::Expected(_)) {
            self.approach(Ok(way), context, now);
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn number(&self) -> u32 {
        self.number
    }

    pub(super) fn hello(&self) -> Option<&Hello> {
        self.hello.as_ref()
    }

    /// Where it is, as its listing or its launcher says.
    pub(super) fn address(&self) -> (&str, Option<&str>, Option<u16>) {
        (&self.name, self.user.as_deref(), self.port)
    }

    /// What tells its host from others, if it has said.
    pub(super) fn identity(&self) -> Option<(&str, &str, u64)> {
        self.hello.as_ref().map(|hello| (hello.boot.as_str(), hello.host.as_str(), hello.network))
    }

    pub(super) fn has_failed(&self) -> bool {
        matches!(self.stage, Stage::Failed)
    }

    pub(super) fn is_logging_in(&self) -> bool {
        matches!(self.stage, Stage::Login(_))
            || matches!(self.stage, Stage::Joining(_)) && self.hello.is_none()
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        matches!(self.stage, Stage::Queued(at) if now >= at)
    }

    /// Whether it is known what it has, and data has a way to it.
    pub(super) fn has_answered(&self) -> bool {
        match self.stage {
            Stage::Here | Stage::Idle => true,
            Stage::Joining(_) => self.linked.is_some(),
            _ => false,
        }
    }

    /// Whether copies can be started there, or need not be.
    pub(super) fn is_ready(&self) -> bool {
        match self.stage {
            Stage::Joining(_) => self.ready,
            _ => true,
        }
    }

    pub(super) fn is_blind(&mut self, blind: impl ToString) {
        self.blind = Some(blind.to_string());
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        match &self.stage {
            Stage::Queued(at) | Stage::Expected(at) => Some(*at),
            Stage::Login(login) => Some(login.ends_at),
            Stage::Joining(joining) => Some(joining.deadline()),
            _ => None,
        }
    }

    pub(super) fn ready(&mut self, event: Ready) {
        if let Stage::Joining(joining) = &mut self.stage {
            joining.ready(event);
        }
    }

    fn target(&self) -> Target<'_> {
        Target { host: &self.name, user: self.user.as_deref(), port: self.port }
    }

    fn fail(&mut self, failure: Failure) {
        match std::mem::replace(&mut self.stage, Stage::Failed) {
            Stage::Login(login) => login.shell.kill(),
            Stage::Joining(mut joining) => joining.dismiss(Instant::now()),
            _ => {}
        }
        self.failure = Some(failure);
    }

    /// The host that its login goes through.
    pub(super) fn jump(&self) -> Option<&str> {
        self.jump.as_ref()?.as_deref()
    }

    /// Finds the host that its login goes through.
    pub(super) fn find_jump(&mut self, jumps: &Jumps, context: &Context<'_>) -> Option<String> {
        if self.jump.is_none() {
            let rsh = &context.listing.reach.rsh;
            self.jump = Some(jumps.on_the_way(rsh, self.target()));
        }
        self.jump().map(str::to_owned)
    }

    /// Starts a login.
    pub(super) fn log_in(&mut self, logins: &Rc<Logins>, context: &Context<'_>, now: Instant) {
        self.logins += 1;
        match self.start_login(logins, context, now) {
            Ok(login) => self.stage = Stage::Login(Box::new(login)),
            Err(failure) => self.fail(failure),
        }
    }

    fn start_login(
        &self,
        logins: &Rc<Logins>,
        context: &Context<'_>,
        now: Instant,
    ) -> Result<LoggingIn, Failure> {
        let reach = &context.listing.reach;
        let told = |error: &dyn std::fmt::Display| Failure::new(error.to_string());
        let words = reach.rsh.words(self.target()).map_err(|error| told(&error))?;
        let mark = Mark::random().map_err(|error| told(&error))?;
        let login = Login::new(mark, logins.own.identity(), reach.agent.as_deref());
        let login = login.map_err(|error| told(&error))?.with_lease(reach.lease);
        let program = reach.rsh.program().to_owned();
        let shell = Shell::start(words, self.number, context.poller);
        let mut shell =
            shell.map_err(|errno| Failure::new(format!("cannot start `{program}`: {errno}")))?;
        shell.say(&login.first_words());
        let logins = Rc::clone(logins);
        Ok(LoggingIn { shell, login, logins, ends_at: now + PATIENCE, over: false })
    }

    /// Does what can be done now.
    pub(super) fn turn(&mut self, context: &Context<'_>, doors: &mut Doors, now: Instant) {
        match &mut self.stage {
            Stage::Login(_) => self.go_on_logging_in(context, now),
            Stage::Joining(joining) => {
                let news = joining.turn(context.poller, doors, now);
                self.hear(news, context, now);
                if self.has_failed() {
                    doors.forget(self.number);
                }
            }
            Stage::Expected(until) if now >= *until => {
                if self.name.is_empty() {
                    self.name = format!("process {}", self.number);
                }
                let text = format!("its agent did not come within {} s", PATIENCE.as_secs());
                self.fail(Failure::new(text));
            }
            _ => {}
        }
    }

    fn go_on_logging_in(&mut self, context: &Context<'_>, now: Instant) {
        let Stage::Login(login) = &mut self.stage else { return };
        // A pipe that nobody reads any more tells by its other end what happened.
        let _ = login.shell.write(&login.logins.own);
        loop {
            match login.shell.read() {
                Ok(Read::Some(bytes)) => {
                    for event in login.login.hear(&bytes) {
                        match event {
                            Event::Noise(bytes) => warn_of_noise(&self.name, &bytes, context),
                            Event::Push => login.shell.push(),
                            Event::Runs { rest } => return self.join(rest, context, now),
                            Event::Failed { words } => return self.fail(Failure::new(words)),
                            Event::TooNoisy => {
                                let text = "its login prints more than 64 KiB before anything runs";
                                return self.fail(Failure::new(text));
                            }
                        }
                    }
                    let _ = login.shell.write(&login.logins.own);
                }
                Ok(Read::Nothing) => break,
                Ok(Read::End) | Err(_) => {
                    if !std::mem::replace(&mut login.over, true) {
                        login.ends_at = login.ends_at.min(now + LAST_WORDS);
                    }
                    break;
                }
            }
        }
        let ended = login.over.then(|| login.shell.ended()).flatten();
        match ended {
            Some(status) => self.login_ended(status, now),
            None if now >= login.ends_at => {
                let said = String::from_utf8_lossy(login.shell.said()).into_owned();
                let mut failure = Failure::new(if login.over {
                    "the login said no more and did not end".to_owned()
                } else {
                    format!("no agent answered within {} s", PATIENCE.as_secs())
                });
                failure.note = Some(said).filter(|said| !said.trim().is_empty());
                self.fail(failure);
            }
            // A login that has closed its output ends at once; it is looked at again soon.
            None => {}
        }
    }

    fn login_ended(&mut self, status: ExitStatus, now: Instant) {
        let Stage::Login(login) = &mut self.stage else { return };
        let said = login.shell.said().to_vec();
        let explained = explain(self.target(), &said, status);
        if explained.is_retryable && self.logins <= RETRIES {
            // Those who were dropped together must not come back together.
            let jitter = super::random() % 1000;
            let wait = Duration::from_millis(200 + jitter) * self.logins;
            self.stage = Stage::Queued(now + wait);
            return;
        }
        let failure =
            Failure { note: explained.note, help: explained.help, ..Failure::new(explained.what) };
        self.fail(failure);
    }

    fn join(&mut self, rest: Vec<u8>, context: &Context<'_>, now: Instant) {
        let Stage::Login(login) = std::mem::replace(&mut self.stage, Stage::Failed) else { return };
        let secret = login.logins.secret.for_agent(&context.rules.job, self.number, 1);
        let (stdin, stdout, stderr) = login.shell.into_pipes();
        let way = secret.map_err(|error| error.to_string()).map(|secret| Approach {
            ends: Ends::Pair(stdout, stdin),
            seal: None,
            came: rest,
            words: Some(stderr),
            secret: Some(secret),
        });
        self.approach(way, context, now);
    }

    fn approach(&mut self, way: Result<Approach, String>, context: &Context<'_>, now: Instant) {
        let rules = context.rules.clone();
        let joining = way.and_then(|way| {
            Joining::new(self.number, self.name.clone(), rules, way, context.poller, now)
                .map_err(|error| error.to_string())
        });
        match joining {
            Ok(joining) => self.stage = Stage::Joining(Box::new(joining)),
            Err(why) => self.fail(Failure::new(why)),
        }
    }

    fn hear(&mut self, news: Result<Vec<News>, JoinError>, context: &Context<'_>, now: Instant) {
        let news = match news {
            Ok(news) => news,
            Err(error) => return self.joining_failed(&error),
        };
        for item in news {
            match item {
                News::Hello(hello) => {
                    // Nobody named the host of an agent that somebody else has started.
                    if self.name.is_empty() {
                        self.name.clone_from(&hello.host);
                    }
                    self.hello = Some(*hello);
                    if context.only_ask {
                        self.linked = Some((Way::Control, None));
                    }
                }
                News::Linked(way, why) => self.linked = Some((way, why)),
                News::Strangers(count) => self.strangers = self.strangers.saturating_add(count),
                News::Ready(blind) => {
                    self.ready = true;
                    if let Some(blind) = blind {
                        self.is_blind(blind);
                    }
                }
            }
        }
        let _ = now;
    }

    fn joining_failed(&mut self, error: &JoinError) {
        let mut failure = Failure::new(error.to_string());
        if let JoinError::Unfit { status, .. } = error {
            failure.status = *status;
        }
        if let JoinError::NoConnection(_) = error {
            let help =
                "`--link auto` falls back to ssh; `--listen` has the host connect to this one";
            failure.help = Some(help.to_owned());
        }
        if let JoinError::Version { .. } = error {
            failure.help = Some("`--agent-path` names another, or leave it out".to_owned());
        }
        if let Stage::Joining(joining) = &mut self.stage {
            let words = joining.words();
            failure.note = Some(words).filter(|words| !words.trim().is_empty());
        }
        self.fail(failure);
    }

    /// Says what to run there.
    pub(super) fn begin(&mut self, begin: Begin) {
        if let Stage::Joining(joining) = &mut self.stage
            && let Err(error) = joining.begin(begin)
        {
            self.joining_failed(&error);
        }
    }

    /// Ends its part.
    pub(super) fn dismiss(&mut self) {
        match std::mem::replace(&mut self.stage, Stage::Idle) {
            Stage::Login(login) => login.shell.kill(),
            Stage::Joining(mut joining) => joining.dismiss(Instant::now()),
            other => self.stage = other,
        }
    }

    /// What is to be said of its link, and to whom.
    ///
    /// `carrier` is what its control channel goes over.
    pub(super) fn remarks(&self, ranks: usize, carrier: &str) -> Vec<(Verbosity, String)> {
        let name = &self.name;
        let mut remarks = Vec::new();
        if let Some((Way::Control, Some(why))) = &self.linked {
            let text = format!("data to and from `{name}` goes over ssh: {why}");
            remarks.push((Verbosity::Usual, text));
        }
        if let Some((way, _)) = &self.linked {
            let way = match way {
                Way::Direct => "a connection to it",
                Way::Reverse => "a connection from it",
                Way::Control => carrier,
            };
            let ranks = if ranks == 1 { "1 rank".to_owned() } else { format!("{ranks} ranks") };
            let input = match &self.blind {
                Some(why) => format!("is sent the input: {why}"),
                None => "reads the input itself".to_owned(),
            };
            let text = format!("`{name}` runs {ranks}, data goes over {way}, it {input}");
            remarks.push((Verbosity::Verbose, text));
        }
        if self.strangers > 0 {
            let count = self.strangers;
            let text = format!("{count} strangers knocked at the door of `{name}` and were let go");
            remarks.push((Verbosity::Usual, text));
        }
        remarks
    }

    /// The link of a host that is not this one.
    pub(super) fn into_link(self, supply: Supply, now: Instant) -> Option<Remote> {
        match self.stage {
            Stage::Joining(joining) => Some(joining.into_link(supply, now)),
            _ => None,
        }
    }
}

fn warn_of_noise(name: &str, bytes: &[u8], context: &Context<'_>) {
    const SHOWN: usize = 500;
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN)]);
    if text.trim().is_empty() || context.verbosity == Verbosity::Quiet {
        return;
    }
    let message = Message::new(format!("the login to `{name}` printed: {}", text.trim()));
    say(&message.render("warning"));
}
