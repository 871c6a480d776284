//! An agent that speaks pxrun's protocol as a compromised host could: well up to one point, and
//! there it does what its first word names.
//!
//! `px-hostile-agent --as-agent` stands for `pxrun --as-agent`: on the host `evil` with the manner
//! `$MANNER`, on any other it becomes `$HONEST`. Until it misbehaves it runs no command but gives
//! each rank's input back, as `cat` would; afterwards it goes on living, so that it is the root
//! that must end it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on panics")]

mod on_the_way;

use std::collections::{BTreeMap, VecDeque};
use std::io::{Read, Write};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use px_runtime::link::control::{self, AgentSays, Begin, Hello, Listen, Open, RootSays};
use px_runtime::link::frame::{self, Decoded, Kind};
use px_runtime::link::packing::Packer;
use px_runtime::link::preamble;
use px_runtime::link::seal::{self, HANDSHAKE_BYTES, Opener, RECORD_OVERHEAD, Sealer, Side, Terms};
use px_runtime::link::secret::Secret;
use px_runtime::message::{Conduct, Ended, ExitStatus, FromAgent, ToAgent};

/// How often it says that it lives.
const BEAT: Duration = Duration::from_millis(100);
/// Most bytes of a frame of data.
const PIECE: usize = 64 << 10;
/// What a dialer and a door say as their first record.
const CONFIRMATION: &[u8; 16] = b"pxrun link is in";
/// Manners of misbehaving on a connection of its own.
const OVER_TCP: [&str; 5] =
    ["torn data", "flipped record", "replayed record", "early data", "early bomb"];
/// Words that would do something to a terminal, or look like pxrun's own.
const ESCAPES: &str = "\u{1b}[2J\u{1b}]0;owned\u{7}\npxrun: error: forged\r";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let word = |name: &str| std::env::var(name).unwrap_or_default();
    if word("NAME") != "evil" {
        let error = Command::new(word("HONEST")).args(words).exec();
        eprintln!("px-hostile-agent: {error}");
        return ExitCode::FAILURE;
    }
    if words.first().is_some_and(|word| word == "--as-agent") {
        match on_the_way::named(&word("MANNER")) {
            Some(change) => on_the_way::stand_between(&words, change),
            None => Agent::new(&word("MANNER")).run(),
        }
    }
    ExitCode::SUCCESS
}

/// Where frames for the root go.
struct Line {
    stream: Option<TcpStream>,
    sealer: Option<Sealer>,
}

impl Line {
    fn write(&mut self, bytes: &[u8]) {
        let written = match (&mut self.stream, &mut self.sealer) {
            (Some(stream), Some(sealer)) => {
                let mut sealed = Vec::new();
                sealer.seal(bytes, &mut sealed).unwrap();
                stream.write_all(&sealed)
            }
            _ => std::io::stdout().write_all(bytes).and_then(|()| std::io::stdout().flush()),
        };
        // A root that listens no more has done what it should.
        if written.is_err() {
            std::process::exit(0);
        }
    }
}

/// What a rank's copy has had and given.
#[derive(Default)]
struct Copy {
    given: u64,
    printed: u64,
    waiting: VecDeque<u8>,
    input_has_ended: bool,
}

struct Agent {
    manner: String,
    /// Over ssh's stdio.
    control: Arc<Mutex<Line>>,
    /// Where data goes; the same line where there is no other.
    data: Arc<Mutex<Line>>,
    heard: Vec<u8>,
    secret: Option<Secret>,
    ranks: Vec<u32>,
    world: u32,
    copies: BTreeMap<u32, Copy>,
    credit: BTreeMap<u32, usize>,
    frames: u64,
    done: bool,
}

/// What the root says.
enum Heard {
    Says(RootSays<'static>),
    Feed(u32, Vec<u8>),
    Nothing,
}

impl Agent {
    fn new(manner: &str) -> Self {
        let control = Arc::new(Mutex::new(Line { stream: None, sealer: None }));
        Agent {
            manner: manner.to_owned(),
            data: Arc::clone(&control),
            control,
            heard: Vec::new(),
            secret: None,
            ranks: Vec::new(),
            world: 0,
            copies: BTreeMap::new(),
            credit: BTreeMap::new(),
            frames: 0,
            done: false,
        }
    }

    fn run(mut self) {
        if self.manner != "silent" && self.manner != "stops talking" {
            self.beat();
        }
        self.greet();
        while !self.done {
            match self.hear() {
                Heard::Says(said) => self.obey(said),
                Heard::Feed(rank, bytes) => self.feed(rank, &bytes),
                Heard::Nothing => {}
            }
        }
        self.live_on();
    }

    /// Says from now on that it lives.
    fn beat(&self) {
        // Not before its greeting, which has no frames.
        let held = self.control.lock().unwrap();
        let control = Arc::clone(&self.control);
        std::thread::spawn(move || {
            loop {
                std::thread::sleep(BEAT);
                let mut bytes = Vec::new();
                frame::encode(&mut bytes, Kind::Heartbeat, 0, &[]);
                control.lock().unwrap().write(&bytes);
            }
        });
        drop(held);
    }

    /// Takes whatever comes, until the root closes the line.
    fn live_on(&mut self) -> ! {
        let mut bytes = [0; PIECE];
        while let Ok(1..) = std::io::stdin().read(&mut bytes) {}
        std::process::exit(0)
    }

    fn raw(&self, bytes: &[u8]) {
        self.data.lock().unwrap().write(bytes);
    }

    fn say_on(line: &Mutex<Line>, message: &AgentSays) {
        let mut payload = Vec::new();
        assert!(control::encode(&mut payload, message));
        let mut bytes = Vec::new();
        frame::encode(&mut bytes, Kind::Control, 0, &payload);
        line.lock().unwrap().write(&bytes);
    }

    fn say(&self, message: &AgentSays) {
        Agent::say_on(&self.control, message);
    }

    fn tell(&mut self, told: FromAgent) {
        self.frames += 1;
        Agent::say_on(&self.data, &AgentSays::Told(told));
    }

    fn print(&mut self, kind: Kind, rank: u32, bytes: &[u8]) {
        for piece in bytes.chunks(PIECE) {
            self.frames += 1;
            let mut framed = Vec::new();
            frame::encode(&mut framed, kind, rank, piece);
            self.raw(&framed);
        }
    }

    /// A frame whose header is the caller's to spoil.
    fn frame(kind: Kind, rank: u32, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        frame::encode(&mut bytes, kind, rank, payload);
        bytes
    }

    fn hello() -> Hello {
        Hello {
            host: "evil".into(),
            boot: "00000000-0000-0000-0000-000000000666".into(),
            network: 666,
            parallelism: 2,
            cores: vec![vec![0], vec![1]],
            login: None,
        }
    }

    fn greet(&mut self) {
        let mut hello = Agent::hello();
        let mut first = preamble::encode(env!("CARGO_PKG_VERSION"));
        match self.manner.as_str() {
            "silent" => self.live_on(),
            "other version" => first = preamble::encode("9.9.9\u{1b}[2J"),
            "no preamble" => first = b"Welcome to this host\n".to_vec(),
            "long preamble" => first = [b"pxagent\n".as_slice(), &[255; 300]].concat(),
            "torn preamble" => {
                self.raw(&first[..5]);
                std::process::exit(0);
            }
            "dribbled preamble" => {
                // Under one lock, so that no heartbeat comes between.
                let mut control = self.control.lock().unwrap();
                for byte in first.iter().take(11) {
                    control.write(&[*byte]);
                    std::thread::sleep(Duration::from_secs(10));
                }
                drop(control);
                self.live_on();
            }
            "wide" => hello.parallelism = u32::MAX,
            "large" => hello.parallelism = 1 << 20,
            "long hello" => hello.cores = vec![vec![7; 1000]; 100],
            tcp if OVER_TCP.contains(&tcp) => {
                hello.login = Some((IpAddr::from([127, 0, 0, 1]), IpAddr::from([127, 0, 0, 1])));
            }
            _ => {}
        }
        self.raw(&first);
        match self.manner.as_str() {
            "heartbeats alone" | "other version" | "no preamble" | "long preamble" => {
                self.live_on()
            }
            "length" => self.spoil(Kind::Control, |header| header[8..12].fill(255)),
            "control of 8 MiB" => self.raw(&Agent::frame(Kind::Control, 0, &vec![0; 8 << 20])),
            "many lists" => self.many_lists(),
            "garbage" => self.raw(&[0x55; 100_000]),
            _ => {}
        }
        self.say(&AgentSays::Hello(Box::new(hello.clone())));
        match self.manner.as_str() {
            "hello twice" => self.say(&AgentSays::Hello(Box::new(hello))),
            "ready early" => self.say(&AgentSays::Ready(None)),
            "output early" => self.print(Kind::Output, 0, b"forged\n"),
            "copy early" => self.tell(FromAgent::Started { rank: 0 }),
            "floods its words" => {
                std::thread::spawn(|| while std::io::stderr().write_all(&[b'.'; PIECE]).is_ok() {});
            }
            "many strangers" => {
                for _ in 0..1000 {
                    self.say(&AgentSays::Strangers(u64::MAX));
                }
            }
            "torn hello" => {
                let bytes = Agent::frame(Kind::Control, 0, &[0; 1000]);
                self.raw(&bytes[..500]);
                std::process::exit(0);
            }
            _ => {}
        }
    }

    /// A greeting with a list of lists, each of which claims to be as long as can be.
    fn many_lists(&self) {
        let mut payload = Vec::new();
        let hello = Hello { cores: Vec::new(), login: None, ..Agent::hello() };
        assert!(control::encode(&mut payload, &AgentSays::Hello(Box::new(hello))));
        // The list of cores and whether there was a login come last.
        payload.truncate(payload.len() - 9);
        payload.extend_from_slice(&(1_u64 << 17).to_le_bytes());
        for _ in 0..7000 {
            payload.extend_from_slice(&0_u64.to_le_bytes());
        }
        payload.extend_from_slice(&(1_u64 << 40).to_le_bytes());
        self.raw(&Agent::frame(Kind::Control, 0, &payload));
    }

    fn spoil(&self, kind: Kind, change: impl FnOnce(&mut [u8])) {
        let mut bytes = Agent::frame(kind, 0, &[0; 100]);
        change(&mut bytes);
        self.raw(&bytes);
    }

    fn hear(&mut self) -> Heard {
        loop {
            if let Decoded::Frame(found) = frame::decode(&self.heard, 16 << 20).unwrap() {
                let length = frame::HEADER + found.payload.len();
                let heard = match found.kind {
                    Kind::Control => Heard::Says(control::decode(found.payload).unwrap()),
                    Kind::Feed => Heard::Feed(found.rank, found.payload.to_vec()),
                    _ => Heard::Nothing,
                };
                self.heard.drain(..length);
                return heard;
            }
            self.read();
        }
    }

    fn read(&mut self) {
        let mut bytes = vec![0; PIECE];
        match std::io::stdin().read(&mut bytes) {
            Ok(count @ 1..) => self.heard.extend_from_slice(&bytes[..count]),
            _ => std::process::exit(0),
        }
    }

    fn obey(&mut self, said: RootSays<'static>) {
        match said {
            RootSays::Secret(mut secret) => self.secret = Some(Secret::take(&mut secret)),
            RootSays::Open(open) => self.open(&open),
            RootSays::Linked(_) => self.linked(),
            RootSays::Begin(begin) => self.begin(*begin),
            RootSays::Order(order) => self.order(&order),
            RootSays::Leave => {
                match self.manner.as_str() {
                    "never leaves" => {}
                    "leaves with another count" => self.say(&AgentSays::Left { frames: 7 }),
                    "leaves without a word" => std::process::exit(0),
                    _ => self.say(&AgentSays::Left { frames: self.frames }),
                }
                self.done = true;
            }
            RootSays::Dial(_) | RootSays::Pause | RootSays::Resume => {}
        }
    }

    fn open(&mut self, open: &Open) {
        match self.manner.as_str() {
            "never fit" => return self.done = true,
            "unfit with status 0" => {
                return self.say(&AgentSays::Unfit { status: 0, text: "all is well".into() });
            }
            "unfit with escapes" => {
                return self.say(&AgentSays::Unfit { status: 125, text: ESCAPES.into() });
            }
            "unfit at length" => {
                let text = "x".repeat(60_000);
                return self.say(&AgentSays::Unfit { status: 125, text });
            }
            _ => {}
        }
        self.say(&AgentSays::Fit);
        if open.listen == Listen::Yes {
            if OVER_TCP.contains(&self.manner.as_str()) {
                let door = TcpListener::bind("127.0.0.1:0").unwrap();
                self.say(&AgentSays::Listening(Ok(door.local_addr().unwrap())));
                self.let_in(&door, open);
            } else {
                self.say(&AgentSays::Listening(Err("no door".to_owned())));
            }
        }
    }

    /// Takes the root's connection as a door does.
    fn let_in(&mut self, door: &TcpListener, open: &Open) {
        let (mut stream, _) = door.accept().unwrap();
        let terms = Terms {
            version: env!("CARGO_PKG_VERSION").into(),
            job: open.job.clone(),
            agent: open.agent,
            attempt: 1,
            dialer: Side::Root,
        };
        let secret = self.secret.take().unwrap();
        let mut hello = [0; HANDSHAKE_BYTES];
        stream.read_exact(&mut hello).unwrap();
        let (answer, mut sealer, mut opener) =
            seal::answer(&terms, &seal::Proof::Secret(secret), &hello).unwrap();
        stream.write_all(&answer).unwrap();
        let mut confirmation = [0; CONFIRMATION.len() + RECORD_OVERHEAD];
        stream.read_exact(&mut confirmation).unwrap();
        let mut record = Vec::new();
        opener.open(&confirmation, &mut record).unwrap();
        assert_eq!(record, CONFIRMATION);
        record.clear();
        sealer.seal(CONFIRMATION, &mut record).unwrap();
        stream.write_all(&record).unwrap();
        let reading = stream.try_clone().unwrap();
        self.data = Arc::new(Mutex::new(Line { stream: Some(stream), sealer: Some(sealer) }));
        match self.manner.as_str() {
            "early data" => self.print(Kind::Output, 0, b"forged\n"),
            "early bomb" => {
                let mut packer = Packer::new().unwrap();
                let packed = packer.pack(&vec![0; 256 << 20]).unwrap();
                self.raw(&packed);
            }
            _ => {}
        }
        self.await_order(reading, opener);
    }

    /// Misbehaves once the first order for a copy has come over the connection.
    fn await_order(&self, mut stream: TcpStream, mut opener: Opener) {
        let manner = self.manner.clone();
        let data = Arc::clone(&self.data);
        std::thread::spawn(move || {
            let (mut sealed, mut plain) = (Vec::new(), Vec::new());
            let mut bytes = vec![0; PIECE];
            while let Ok(count @ 1..) = stream.read(&mut bytes) {
                sealed.extend_from_slice(&bytes[..count]);
                let used = opener.open(&sealed, &mut plain).unwrap();
                sealed.drain(..used);
                while let Ok(Decoded::Frame(found)) = frame::decode(&plain, 1 << 20) {
                    if found.kind == Kind::Control {
                        return spoil_data(&manner, &data);
                    }
                    let length = frame::HEADER + found.payload.len();
                    plain.drain(..length);
                }
            }
        });
    }

    fn linked(&self) {
        match self.manner.as_str() {
            "fit twice" => self.say(&AgentSays::Fit),
            "left early" => self.say(&AgentSays::Left { frames: 0 }),
            _ => {}
        }
    }

    fn begin(&mut self, begin: Begin) {
        self.ranks = begin.assignment.ranks;
        self.world = begin.assignment.world;
        if self.manner == "never ready" {
            return self.done = true;
        }
        self.say(&AgentSays::Ready(None));
        if self.manner == "ready twice" {
            self.say(&AgentSays::Ready(None));
        }
    }

    fn order(&mut self, order: &ToAgent<'_>) {
        match *order {
            ToAgent::Start { rank, .. } => self.start(rank),
            ToAgent::OutputCredit { rank, bytes } => {
                *self.credit.entry(rank).or_default() += bytes;
                self.give_back(rank);
            }
            ToAgent::EndOfInput { rank } => {
                if let Some(copy) = self.copies.get_mut(&rank) {
                    copy.input_has_ended = true;
                    self.give_back(rank);
                }
            }
            ToAgent::Signal { .. } if self.manner != "never ends" => {
                for rank in self.ranks.clone() {
                    self.end(rank, ExitStatus::Signaled(15), true);
                }
            }
            _ => {}
        }
    }

    fn start(&mut self, rank: u32) {
        self.copies.insert(rank, Copy::default());
        self.tell(FromAgent::Started { rank });
        let foreign = (0..self.world).find(|rank| !self.ranks.contains(rank)).unwrap_or(u32::MAX);
        match self.manner.as_str() {
            "output of another's rank" => self.print(Kind::Output, foreign, b"forged\n"),
            "complaint of another's rank" => self.print(Kind::Diagnostic, foreign, b"forged\n"),
            "end of another's rank" => {
                let end = ended(&Copy::default(), ExitStatus::Exited(0), false);
                self.tell(FromAgent::Ended { rank: foreign, end });
            }
            "output of no rank" => self.print(Kind::Output, u32::MAX, b"forged\n"),
            "kind" => self.spoil(Kind::Output, |header| header[0] = 99),
            "reserved bytes" => self.spoil(Kind::Output, |header| header[2] = 1),
            "checksum" => self.spoil(Kind::Output, |bytes| bytes[50] ^= 1),
            "length in the job" => self.spoil(Kind::Output, |header| header[8..12].fill(255)),
            "heartbeat with a payload" => {
                self.raw(&Agent::frame(Kind::Heartbeat, 0, b"forged\n"));
            }
            "trailing byte" => {
                let mut payload = Vec::new();
                let told = AgentSays::Told(FromAgent::Exited { rank });
                assert!(control::encode(&mut payload, &told));
                payload.push(0);
                self.raw(&Agent::frame(Kind::Control, 0, &payload));
            }
            "unknown message" => self.raw(&Agent::frame(Kind::Control, 0, &[99; 8])),
            "control of 8 MiB in the job" => {
                self.raw(&Agent::frame(Kind::Control, 0, &vec![0; 8 << 20]));
            }
            "feeds the root" => self.print(Kind::Feed, rank, b"forged\n"),
            "hello in the job" => self.say(&AgentSays::Hello(Box::new(Agent::hello()))),
            "ready in the job" => self.say(&AgentSays::Ready(None)),
            "unfit in the job" => {
                self.say(&AgentSays::Unfit { status: 0, text: "forged".into() });
            }
            "left in the job" => self.say(&AgentSays::Left { frames: self.frames }),
            "more output than its credit" => {
                let line = b"own\n".repeat(PIECE / 4);
                for _ in 0..1024 {
                    self.print(Kind::Output, rank, &line);
                }
            }
            "more complaints than its credit" => {
                for _ in 0..1024 {
                    self.print(Kind::Diagnostic, rank, &[b'.'; PIECE]);
                }
            }
            "more consumed than given" => {
                self.tell(FromAgent::Consumed { rank, bytes: u64::MAX });
            }
            "more read than given" => self.tell(FromAgent::Read { rank, bytes: 1 << 40 }),
            "cannot start" => {
                let (step, source) = (px_runtime::message::StartStep::Start, rustix::io::Errno::IO);
                self.tell(FromAgent::StartFailed { rank, step, source });
            }
            "cannot read the input" => {
                let message = format!("input `forged`: {ESCAPES}");
                self.tell(FromAgent::InputFailed { rank, message });
            }
            "stops talking" => self.done = true,
            "ends in mid-frame" => {
                let bytes = Agent::frame(Kind::Output, rank, b"forged\n");
                self.raw(&bytes[..20]);
                std::process::exit(0);
            }
            "closes its line in mid-frame" => {
                let bytes = Agent::frame(Kind::Output, rank, b"forged\n");
                self.raw(&bytes[..20]);
                self.close_its_line();
            }
            "ends in mid-job" => std::process::exit(0),
            _ => {}
        }
    }

    /// Closes what the root reads, and lives on.
    fn close_its_line(&self) {
        rustix::stdio::dup2_stdout(std::fs::File::open("/dev/null").unwrap()).unwrap();
    }

    fn feed(&mut self, rank: u32, bytes: &[u8]) {
        let Some(copy) = self.copies.get_mut(&rank) else { return };
        copy.given += bytes.len() as u64;
        copy.waiting.extend(bytes);
        self.tell(FromAgent::Consumed { rank, bytes: bytes.len() as u64 });
        self.give_back(rank);
    }

    /// Prints what credit there is for, then ends.
    fn give_back(&mut self, rank: u32) {
        if self.manner == "never ends" {
            return;
        }
        let most = if self.manner == "crumbs" { 1 } else { PIECE };
        loop {
            let credit = self.credit.entry(rank).or_default();
            let Some(copy) = self.copies.get_mut(&rank) else { return };
            let count = copy.waiting.len().min(*credit).min(most);
            if count == 0 {
                break;
            }
            *credit -= count;
            copy.printed += count as u64;
            let bytes: Vec<u8> = copy.waiting.drain(..count).collect();
            self.print(Kind::Output, rank, &bytes);
        }
        let copy = &self.copies[&rank];
        if copy.input_has_ended && copy.waiting.is_empty() {
            self.end(rank, ExitStatus::Exited(0), false);
        }
    }

    fn end(&mut self, rank: u32, status: ExitStatus, stopped: bool) {
        let Some(copy) = self.copies.remove(&rank) else { return };
        self.tell(FromAgent::Exited { rank });
        let mut end = ended(&copy, status, stopped);
        match self.manner.as_str() {
            "ended with other counts" => end.printed += 1,
            "ended with more given" => end.given += 1,
            "ended with more unread" => end.unread = end.given + 1,
            "ended by signal -128" => end.status = ExitStatus::Signaled(-128),
            "ended by signal 2147483647" => end.status = ExitStatus::Signaled(i32::MAX),
            "ended with status -1" => end.status = ExitStatus::Exited(-1),
            "ended with status 256" => end.status = ExitStatus::Exited(256),
            "ended at no time" => (end.started, end.ran) = (f64::NAN, f64::INFINITY),
            "ended before its time" => (end.started, end.ran) = (-1e300, -1.0),
            "output after its end" => {
                self.tell(FromAgent::Ended { rank, end });
                return self.print(Kind::Output, rank, b"forged\n");
            }
            "ended twice" => self.tell(FromAgent::Ended { rank, end: end.clone() }),
            _ => {}
        }
        self.tell(FromAgent::Ended { rank, end });
    }
}

fn ended(copy: &Copy, status: ExitStatus, stopped: bool) -> Ended {
    Ended {
        status,
        given: copy.given,
        unread: 0,
        leaked: false,
        started: 1.0,
        ran: 0.1,
        printed: copy.printed,
        complained: 0,
        stopped,
        conduct: Conduct::Stranger,
    }
}

/// Misbehaves on the sealed connection, once a copy is to be started.
fn spoil_data(manner: &str, data: &Mutex<Line>) {
    let mut line = data.lock().unwrap();
    let Line { stream: Some(stream), sealer: Some(sealer) } = &mut *line else { return };
    let mut frame = Vec::new();
    frame::encode(&mut frame, Kind::Heartbeat, 0, &[]);
    let mut sealed = Vec::new();
    match manner {
        "torn data" => {
            let mut torn = Vec::new();
            frame::encode(&mut torn, Kind::Output, 0, b"forged\n");
            sealer.seal(&torn[..20], &mut sealed).unwrap();
            stream.write_all(&sealed).unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
        }
        "flipped record" => {
            sealer.seal(&frame, &mut sealed).unwrap();
            sealed[5] ^= 1;
            stream.write_all(&sealed).unwrap();
        }
        "replayed record" => {
            sealer.seal(&frame, &mut sealed).unwrap();
            stream.write_all(&sealed).and_then(|()| stream.write_all(&sealed)).unwrap();
        }
        _ => {}
    }
}
