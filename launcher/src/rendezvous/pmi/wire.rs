//! What is said over the wire of PMI-1: lines of words `name=value`, one answer to each question.
//!
//! No value holds a blank, no name a `=`. Launchers differ in the order of the words and add some
//! of their own, so words are found by name: Slurm puts `rc=` first, Hydra last.
//!
//! # Source
//! Flux RFC 13, "Simple Process Manager Interface v1".

use std::fmt;

/// The most bytes of a question, its end included: Slurm reads no more at once.
pub const LONGEST_QUESTION: usize = 1023;
/// The most bytes of an answer, its end included.
pub const LONGEST_ANSWER: usize = 4 << 10;

/// What a process asks of its launcher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question<'a> {
    /// To be heard.
    Init,
    /// How long names and values may be.
    Maxes,
    /// How this job's key-value space is called.
    SpaceName,
    /// To note a value, for all to see after the next barrier.
    Put {
        /// The key-value space.
        space: &'a str,
        /// The value's name.
        key: &'a str,
        /// The value.
        value: &'a str,
    },
    /// To be told once all have asked this.
    Barrier,
    /// For a value.
    Get {
        /// The key-value space.
        space: &'a str,
        /// The value's name.
        key: &'a str,
    },
    /// To be let go.
    Finalize,
}

impl Question<'_> {
    /// What an answer to it is called.
    pub fn answer(&self) -> &'static str {
        match self {
            Question::Init => "response_to_init",
            Question::Maxes => "maxes",
            Question::SpaceName => "my_kvsname",
            Question::Put { .. } => "put_result",
            Question::Barrier => "barrier_out",
            Question::Get { .. } => "get_result",
            Question::Finalize => "finalize_ack",
        }
    }
}

impl fmt::Display for Question<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Question::Init => out.write_str("cmd=init pmi_version=1 pmi_subversion=1"),
            Question::Maxes => out.write_str("cmd=get_maxes"),
            Question::SpaceName => out.write_str("cmd=get_my_kvsname"),
            Question::Put { space, key, value } => {
                write!(out, "cmd=put kvsname={space} key={key} value={value}")
            }
            Question::Barrier => out.write_str("cmd=barrier_in"),
            Question::Get { space, key } => write!(out, "cmd=get kvsname={space} key={key}"),
            Question::Finalize => out.write_str("cmd=finalize"),
        }
    }
}

/// Why a line is no answer to what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// It is no text.
    #[error("the launcher must answer in text, found the byte 0x{0:02x}")]
    Byte(u8),
    /// It answers something else.
    #[error("the launcher must answer `{wanted}`, found `{found}`")]
    OtherAnswer {
        /// What was asked for.
        wanted: &'static str,
        /// What came.
        found: String,
    },
    /// The launcher says no.
    #[error("the launcher refuses: `{0}`")]
    Refused(String),
    /// Something is not in the answer.
    #[error("the launcher's answer must hold `{name}`, found `{found}`")]
    Lacks {
        /// What.
        name: &'static str,
        /// The answer.
        found: String,
    },
}

/// An answer: its line, without its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer(String);

impl Answer {
    /// Reads the answer to `question`, and that it says yes.
    ///
    /// # Errors
    /// [`WireError`].
    pub fn read(line: &[u8], question: &Question<'_>) -> Result<Self, WireError> {
        if let Some(&byte) = line.iter().find(|byte| !matches!(byte, b' '..=b'~' | b'\t')) {
            return Err(WireError::Byte(byte));
        }
        let answer = Answer(String::from_utf8_lossy(line).into_owned());
        if answer.word("cmd") != Some(question.answer()) {
            let (wanted, found) = (question.answer(), answer.shown());
            return Err(WireError::OtherAnswer { wanted, found });
        }
        // Some launchers leave it out where nothing can fail.
        if answer.word("rc").is_some_and(|code| code != "0") {
            return Err(WireError::Refused(answer.shown()));
        }
        Ok(answer)
    }

    /// The value of a word, if it is there.
    pub fn word(&self, name: &str) -> Option<&str> {
        let words = self.0.split_ascii_whitespace();
        words.filter_map(|word| word.split_once('=')).find(|word| word.0 == name).map(|word| word.1)
    }

    /// The value of a word.
    ///
    /// # Errors
    /// [`WireError::Lacks`].
    pub fn need(&self, name: &'static str) -> Result<&str, WireError> {
        self.word(name).ok_or_else(|| WireError::Lacks { name, found: self.shown() })
    }

    /// The value of a word that is a number.
    ///
    /// # Errors
    /// [`WireError::Lacks`].
    pub fn number(&self, name: &'static str) -> Result<usize, WireError> {
        let number = self.need(name)?.parse();
        number.map_err(|_| WireError::Lacks { name, found: self.shown() })
    }

    fn shown(&self) -> String {
        self.0.chars().take(120).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn questions_are_these_lines() {
        let (space, key, value) = ("kvs_1", "px-3", "px1/0.1.0/x");
        for (question, line) in [
            (Question::Init, "cmd=init pmi_version=1 pmi_subversion=1"),
            (Question::Maxes, "cmd=get_maxes"),
            (Question::SpaceName, "cmd=get_my_kvsname"),
            (
                Question::Put { space, key, value },
                "cmd=put kvsname=kvs_1 key=px-3 value=px1/0.1.0/x",
            ),
            (Question::Barrier, "cmd=barrier_in"),
            (Question::Get { space, key }, "cmd=get kvsname=kvs_1 key=px-3"),
            (Question::Finalize, "cmd=finalize"),
        ] {
            assert_eq!(question.to_string(), line);
        }
    }

    /// The first of each pair is Hydra's, the second Slurm's.
    #[test]
    fn answers_of_both_launchers_are_read() {
        let read = |line: &str, question| Answer::read(line.as_bytes(), &question).unwrap();
        for line in [
            "cmd=response_to_init pmi_version=1 pmi_subversion=1 rc=0",
            "cmd=response_to_init rc=0 pmi_version=1 pmi_subversion=1",
        ] {
            assert_eq!(read(line, Question::Init).word("pmi_version"), Some("1"));
        }
        for line in [
            "cmd=maxes kvsname_max=256 keylen_max=64 vallen_max=1024",
            "cmd=maxes rc=0 kvsname_max=256 keylen_max=256 vallen_max=1024 ",
        ] {
            assert_eq!(read(line, Question::Maxes).number("vallen_max"), Ok(1024));
        }
        let get = Question::Get { space: "s", key: "k" };
        for line in ["cmd=get_result rc=0 msg=success value=a=b", "cmd=get_result rc=0 value=a=b"] {
            assert_eq!(read(line, get).need("value"), Ok("a=b"));
        }
    }

    #[test]
    fn an_answer_to_something_else_a_refusal_and_a_gap_are_told() {
        let get = Question::Get { space: "s", key: "k" };
        let read = |line: &str| Answer::read(line.as_bytes(), &get);
        let refused = "cmd=get_result rc=-1 msg=key_k_not_found value=unknown";
        assert_eq!(read(refused), Err(WireError::Refused(refused.into())));
        assert!(matches!(read("cmd=get_result rc=1"), Err(WireError::Refused(_))));
        assert!(matches!(read("cmd=barrier_out"), Err(WireError::OtherAnswer { .. })));
        assert!(matches!(read(""), Err(WireError::OtherAnswer { .. })));
        assert_eq!(read("cmd=get_result value=\u{1b}"), Err(WireError::Byte(0x1b)));
        let gap = read("cmd=get_result rc=0 values=1").unwrap();
        assert!(matches!(gap.need("value"), Err(WireError::Lacks { name: "value", .. })));
        assert!(matches!(gap.number("cmd"), Err(WireError::Lacks { name: "cmd", .. })));
    }

    proptest! {
        #[test]
        fn any_line_is_read_or_refused_in_few_words(
            tail in proptest::collection::vec(any::<u8>(), 0..2000)
        ) {
            let get = Question::Get { space: "s", key: "k" };
            for line in [tail.clone(), [b"cmd=get_result ", &tail[..]].concat()] {
                match Answer::read(&line, &get) {
                    Ok(answer) => prop_assert_eq!(answer.word("cmd"), Some("get_result")),
                    Err(error) => prop_assert!(error.to_string().len() < 300),
                }
            }
        }
    }
}
