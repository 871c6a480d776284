//! What is said over an ssh login before the agent runs, without I/O.
//!
//! The root speaks first, then answers follow, each a line that begins with the mark:
//!
//! ```text
//! root: script NL mark SP hash SP size [SP lease] NL agent-path NL
//! host: ( need SP machine SP name  -- root: size bytes of the binary -- )? ( run | fail SP words )
//! ```
//!
//! Whatever else comes before an answer is noise of the host's start-up files. After `run` every
//! byte is the agent's.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use super::identity::{Identity, Machine};
use super::mark::Mark;
use super::script;

/// Most bytes of noise that a login is listened to for.
pub const MOST_NOISE: usize = 64 << 10;
/// Most bytes of an answer; the script's own longest is some 1,100.
const LONGEST_ANSWER: usize = 4 << 10;
/// Most bytes of an agent's path.
const LONGEST_PATH: usize = 4 << 10;

/// What has been heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// What was printed before the answer that the next event tells of.
    Noise(Vec<u8>),
    /// The host wants the binary: exactly its bytes are to be sent, nothing behind them.
    Push,
    /// The agent runs.
    Runs {
        /// Its first bytes, as far as they have come.
        rest: Vec<u8>,
    },
    /// The agent will not run there.
    Failed {
        /// Why, in the host's words: one line, not yet escaped.
        words: String,
    },
    /// More than [`MOST_NOISE`] came that was no answer.
    TooNoisy,
}

/// An agent's path that cannot be told to a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WrongPath {
    /// It would end its line.
    #[error("the agent's path holds a newline or NUL byte")]
    Unspeakable,
    /// No host has such a path.
    #[error("the agent's path has {0} bytes, more than {LONGEST_PATH}")]
    Long(usize),
}

/// One login, from its first words to the agent's first byte.
#[derive(Clone, Debug)]
pub struct Login {
    mark: Mark,
    pushed: Identity,
    lease: Option<Duration>,
    agent: Vec<u8>,
    answer: Vec<u8>,
    heard: Vec<u8>,
    /// Where in `heard` an answer may begin at the earliest.
    from: usize,
    noise: usize,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Asked,
    Pushed,
    Over,
}

impl Login {
    /// Begins a login to a host that is to run `pushed`, or what it has at `agent` itself.
    ///
    /// # Errors
    /// A path that does not fit on a line.
    pub fn new(mark: Mark, pushed: Identity, agent: Option<&Path>) -> Result<Self, WrongPath> {
        let agent = agent.map(|path| path.as_os_str().as_bytes().to_vec()).unwrap_or_default();
        if agent.contains(&b'\n') || agent.contains(&0) {
            return Err(WrongPath::Unspeakable);
        }
        if agent.len() > LONGEST_PATH {
            return Err(WrongPath::Long(agent.len()));
        }
        let answer = format!("\n{mark} ").into_bytes();
        let (heard, from, noise, stage) = (Vec::new(), 0, 0, Stage::Asked);
        Ok(Login { mark, pushed, lease: None, agent, answer, heard, from, noise, stage })
    }

    /// Has the agent give up after so long a silence, from its first moment on.
    pub fn with_lease(mut self, lease: Duration) -> Self {
        self.lease = Some(lease);
        self
    }

    /// What to write to the host first: some 6 KiB, which a pipe may take in pieces.
    pub fn first_words(&self) -> Vec<u8> {
        let Identity { hash, size, .. } = self.pushed;
        let lease = self.lease.map_or(String::new(), |lease| format!(" {}", lease.as_millis()));
        let script = script::line();
        let mut words = format!("{script}\n{} {hash} {size}{lease}\n", self.mark).into_bytes();
        words.extend(&self.agent);
        words.push(b'\n');
        words
    }

    /// What has come since the last answer and is none: what a login that broke off has said.
    pub fn unanswered(&self) -> &[u8] {
        &self.heard
    }

    /// Takes what the host has written. After [`Event::Runs`], [`Event::Failed`] or
    /// [`Event::TooNoisy`] the login is over: nothing more is to be given to it.
    pub fn hear(&mut self, bytes: &[u8]) -> Vec<Event> {
        let mut events = Vec::new();
        let mut bytes = bytes;
        // In pieces, so that a long read costs no more memory than the limits say.
        while !bytes.is_empty() && self.stage != Stage::Over {
            let (piece, later) = bytes.split_at(bytes.len().min(LONGEST_ANSWER));
            bytes = later;
            self.heard.extend_from_slice(piece);
            while self.stage != Stage::Over && self.take_answer(&mut events) {}
        }
        if let Some(Event::Runs { rest }) = events.last_mut() {
            rest.extend_from_slice(bytes);
        }
        events
    }

    /// Takes one answer out of what has been heard, if a whole one is there.
    fn take_answer(&mut self, events: &mut Vec<Event>) -> bool {
        let found = memchr::memmem::find(&self.heard[self.from..], &self.answer);
        let begin = found.map(|at| self.from + at);
        let certain = begin.unwrap_or((self.heard.len() + 1).saturating_sub(self.answer.len()));
        self.from = certain;
        if self.noise + certain > MOST_NOISE {
            return self.end(events, Event::TooNoisy);
        }
        let Some(begin) = begin else { return false };
        let words = begin + self.answer.len();
        let length = memchr::memchr(b'\n', &self.heard[words..]);
        if length.unwrap_or(self.heard.len() - words) > LONGEST_ANSWER {
            return self.end(events, Event::TooNoisy);
        }
        let Some(length) = length else { return false };
        let rest = self.heard.split_off(words + length + 1);
        let noise = std::mem::replace(&mut self.heard, rest);
        let answer = String::from_utf8_lossy(&noise[words..words + length]).into_owned();
        self.from = 0;
        self.noise += begin;
        if !noise[..begin].is_empty() {
            events.push(Event::Noise(noise[..begin].to_vec()));
        }
        self.judge(&answer, events);
        true
    }

    fn judge(&mut self, answer: &str, events: &mut Vec<Event>) {
        let (word, words) = answer.split_once(' ').unwrap_or((answer, ""));
        match (self.stage, word) {
            (Stage::Asked, "need") => match self.misfit(words) {
                None => {
                    self.stage = Stage::Pushed;
                    events.push(Event::Push);
                }
                Some(words) => {
                    self.end(events, Event::Failed { words });
                }
            },
            (Stage::Asked | Stage::Pushed, "run") => {
                let rest = std::mem::take(&mut self.heard);
                self.end(events, Event::Runs { rest });
            }
            (_, "fail") => {
                self.end(events, Event::Failed { words: words.trim().to_owned() });
            }
            _ => {
                let words = format!("answered `{answer}`, which is none of the known answers");
                self.end(events, Event::Failed { words });
            }
        }
    }

    /// Why the binary would not run on the machine that the host tells, if so.
    fn misfit(&self, words: &str) -> Option<String> {
        let (digits, name) = words.split_once(' ').unwrap_or((words, ""));
        match Machine::of_digits(digits) {
            Some(machine) if machine == self.pushed.machine => None,
            Some(machine) => {
                let ours = self.pushed.machine;
                Some(format!(
                    "Exec format error: the host runs {machine} programs (`uname -m` says \
                     `{name}`), this pxrun is built for {ours}"
                ))
            }
            None => Some(format!("told `{digits}` for the machine it runs programs of")),
        }
    }

    fn end(&mut self, events: &mut Vec<Event>, event: Event) -> bool {
        self.stage = Stage::Over;
        events.push(event);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ssh::identity::Hash;
    use proptest::prelude::*;

    const X86_64: &str = "7f454c4602013e00 x86_64";
    const AARCH64: &str = "7f454c460201b700 aarch64";

    fn login() -> Login {
        let machine = Machine::of_digits(&X86_64[..16]).unwrap();
        let pushed = Identity { hash: Hash([0xab; 32]), size: 42, machine };
        Login::new(Mark::from([7; 16]), pushed, Some(Path::new("/opt/px run"))).unwrap()
    }

    fn marked(answer: &str) -> Vec<u8> {
        format!("\n{} {answer}\n", Mark::from([7; 16])).into_bytes()
    }

    /// Plays the caller: what comes after the agent's first byte is no longer given to the login.
    fn heard<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Event> {
        let (mut login, mut events) = (login(), Vec::new());
        for piece in pieces {
            match events.last_mut() {
                Some(Event::Runs { rest }) => rest.extend_from_slice(piece),
                Some(Event::Failed { .. } | Event::TooNoisy) => {}
                _ => events.extend(login.hear(piece)),
            }
        }
        events
    }

    #[test]
    fn the_first_words_are_three_lines() {
        let words = String::from_utf8(login().first_words()).unwrap();
        let lines: Vec<_> = words.split('\n').collect();
        let hash = "ab".repeat(32);
        assert_eq!(lines[0], script::line());
        assert_eq!(lines[1..], [&format!("{} {hash} 42", "07".repeat(16)), "/opt/px run", ""]);
    }

    #[test]
    fn a_path_that_does_not_fit_on_a_line_is_refused() {
        let pushed = login().pushed;
        let new = |path: &str| Login::new(Mark::from([7; 16]), pushed, Some(Path::new(path))).err();
        assert_eq!(new("a\nb"), Some(WrongPath::Unspeakable));
        assert_eq!(new(&"a".repeat(5000)), Some(WrongPath::Long(5000)));
    }

    #[test]
    fn noise_before_an_answer_is_told_and_what_follows_run_is_the_agents() {
        let told = [
            b"welcome\nunfinished".as_slice(),
            &marked(&format!("need {X86_64}")),
            &marked("run"),
            b"frames",
        ];
        let expected = [
            Event::Noise(b"welcome\nunfinished".to_vec()),
            Event::Push,
            Event::Runs { rest: b"frames".to_vec() },
        ];
        assert_eq!(heard([told.concat().as_slice()]), expected);
    }

    #[test]
    fn a_binary_of_another_machine_is_not_pushed() {
        let told = marked(&format!("need {AARCH64}"));
        let events = heard([told.as_slice()]);
        let [Event::Failed { words }] = events.as_slice() else { panic!("{events:?}") };
        assert!(words.contains("Exec format error") && words.contains("runs aarch64"), "{words}");
        assert!(words.contains("built for x86_64"), "{words}");
    }

    #[test]
    fn noise_is_listened_to_up_to_its_limit() {
        let run = marked("run");
        let most = vec![b'\n'; MOST_NOISE];
        let events = heard([[most.as_slice(), &run].concat().as_slice()]);
        assert_eq!(events, [Event::Noise(most.clone()), Event::Runs { rest: Vec::new() }]);
        let more = [b"x", most.as_slice(), &run].concat();
        assert_eq!(heard([more.as_slice()]), [Event::TooNoisy]);
        assert_eq!(heard(more.chunks(1)), [Event::TooNoisy]);
    }

    #[test]
    fn an_endless_answer_ends_the_login() {
        let mut told = marked("fail ");
        told.pop();
        told.extend([b'x'; 2 * LONGEST_ANSWER]);
        assert_eq!(heard([told.as_slice()]), [Event::TooNoisy]);
        assert_eq!(heard(told.chunks(1)), [Event::TooNoisy]);
    }

    fn told() -> impl Strategy<Value = Vec<u8>> {
        let noise = proptest::collection::vec(
            prop_oneof![
                Just(b"\n".to_vec()),
                Just(b"\n07".to_vec()),
                Just(b"\n070707070707070707070707070707".to_vec()),
                Just(b"x".repeat(5000)),
                Just(b"x".repeat(40_000)),
                any::<Vec<u8>>(),
            ],
            0..4,
        );
        let answer = prop_oneof![
            Just(marked(&format!("need {X86_64}"))),
            Just(marked(&format!("need {AARCH64}"))),
            Just(marked("run")),
            Just(marked("fail cannot \u{1b} so\t")),
            Just(marked(&"y".repeat(LONGEST_ANSWER))),
        ];
        proptest::collection::vec((noise, answer), 0..4).prop_map(|turns| {
            turns
                .into_iter()
                .flat_map(|(noise, answer)| [noise.concat(), answer].concat())
                .collect()
        })
    }

    proptest! {
        #[test]
        fn any_split_of_the_stream_gives_the_same_events(
            told in told(),
            lengths in proptest::collection::vec(1..600_usize, 1..40),
        ) {
            let mut pieces = Vec::new();
            let mut left = told.as_slice();
            for &length in lengths.iter().cycle() {
                if left.is_empty() {
                    break;
                }
                let (piece, later) = left.split_at(length.min(left.len()));
                pieces.push(piece);
                left = later;
            }
            prop_assert_eq!(heard(pieces), heard([told.as_slice()]));
        }
    }
}
