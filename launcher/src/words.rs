//! Which words are options and which are the command.
//!
//! Everything from COMMAND on belongs to it, its own flags too. The way in which mpirun spells
//! the number of ranks (`-np 4`, `-np4`, `-np=4`) is understood only before COMMAND.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use px_runtime::failure::Message;

/// The words of a command line, told apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Split {
    /// Options with their values.
    pub options: Vec<OsString>,
    /// The command and its arguments.
    pub command: Vec<OsString>,
}

/// Long options that take a value as the next word.
pub(crate) const WITH_VALUE: [&str; 36] = [
    "np",
    "input",
    "output",
    "records",
    "delimiter",
    "header",
    "chunk-size",
    "chunk-records",
    "deal",
    "run",
    "order",
    "contract",
    "ok",
    "grace",
    "timeout",
    "leak-timeout",
    "spill-dir",
    "progress",
    "joblog",
    "hostfile",
    "host",
    "map-by",
    "ranks-per-host",
    "bind-to",
    "rsh",
    "ssh-parallel",
    "agent-path",
    "min-hosts",
    "listen",
    "link",
    "lease",
    "wdir",
    "env",
    "backend",
    "rendezvous",
    "mpiexec",
];
/// Short options that take a value, and their long names.
pub(crate) const SHORT_WITH_VALUE: [(u8, &str); 7] = [
    (b'n', "np"),
    (b'i', "input"),
    (b'o', "output"),
    (b'f', "hostfile"),
    (b'H', "host"),
    (b'N', "ranks-per-host"),
    (b'x', "env"),
];
/// How other launchers spell an option, with one dash or two.
pub(crate) const SPELLINGS: [(&str, &str); 8] = [
    ("hostfile", "hostfile"),
    ("machinefile", "hostfile"),
    ("host", "host"),
    ("ppn", "ranks-per-host"),
    ("perhost", "ranks-per-host"),
    ("npernode", "ranks-per-host"),
    ("map-by", "map-by"),
    ("bind-to", "bind-to"),
];

/// Tells options and command apart.
///
/// # Errors
/// An option at the end that lacks its value.
pub fn split(words: impl IntoIterator<Item = OsString>) -> Result<Split, Message> {
    let mut split = Split::default();
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        let bytes = word.as_encoded_bytes();
        if bytes == b"--" {
            split.command.extend(words);
            return Ok(split);
        }
        if !bytes.starts_with(b"-") {
            split.command.push(word);
            split.command.extend(words);
            return Ok(split);
        }
        let (word, needs_value) = understand(word);
        let shown = word.to_string_lossy().into_owned();
        split.options.push(word);
        if needs_value {
            match words.next() {
                Some(value) => join_value(&mut split.options, value),
                None => return Err(Message::new(format!("`{shown}` needs a value"))),
            }
        }
    }
    Ok(split)
}

/// Returns the word in its usual spelling, and whether its value is the next word.
fn understand(word: OsString) -> (OsString, bool) {
    let bytes = word.as_encoded_bytes();
    if let Some((name, value)) = spelled_elsewhere(bytes) {
        let mut word = OsString::from(format!("--{name}"));
        if let Some(value) = value {
            word.push("=");
            word.push(OsStr::from_bytes(value));
        }
        return (word, value.is_none());
    }
    // After the spellings: `-npernode` is none of `-np`.
    if let Some(rest) = bytes.strip_prefix(b"-np") {
        return match rest {
            b"" => ("--np".into(), true),
            [b'=', number @ ..] | number => (format!("--np={}", lossy(number)).into(), false),
        };
    }
    if let Some(long) = bytes.strip_prefix(b"--") {
        let needs = WITH_VALUE.iter().any(|name| name.as_bytes() == long);
        return (word, needs);
    }
    let letters = &bytes[1..];
    let takes_value = |letter: &u8| SHORT_WITH_VALUE.iter().any(|(short, _)| short == letter);
    let at = letters.iter().position(takes_value);
    let needs = at.is_some_and(|at| at + 1 == letters.len());
    (word, needs)
}

/// The usual name of an option that is written as another launcher has it, and its value if that
/// is in the same word.
fn spelled_elsewhere(bytes: &[u8]) -> Option<(&'static str, Option<&[u8]>)> {
    let rest = bytes.strip_prefix(b"-")?;
    let rest = rest.strip_prefix(b"-").unwrap_or(rest);
    let (word, value) = match memchr::memchr(b'=', rest) {
        Some(at) => (&rest[..at], Some(&rest[at + 1..])),
        None => (rest, None),
    };
    let found = SPELLINGS.iter().find(|(spelling, _)| spelling.as_bytes() == word)?;
    Some((found.1, value))
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A value may begin with `-`, so it is joined to its option.
fn join_value(options: &mut Vec<OsString>, value: OsString) {
    let Some(mut option) = options.pop() else { return };
    let long = option.as_encoded_bytes().starts_with(b"--");
    if long {
        option.push("=");
        option.push(value);
        options.push(option);
    } else {
        // `-` as a value of a short option would be taken for one of its own.
        options.push(option);
        options.push(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split_str(words: &[&str]) -> (Vec<String>, Vec<String>) {
        let split = split(words.iter().map(OsString::from)).unwrap();
        let text =
            |words: Vec<OsString>| words.into_iter().map(|w| w.into_string().unwrap()).collect();
        (text(split.options), text(split.command))
    }

    #[test]
    fn mpirun_spellings_count_only_before_the_command() {
        for words in [["-np", "4"].as_slice(), &["-np4"], &["-np=4"], &["--np=4"], &["--np", "4"]] {
            let mut all = words.to_vec();
            all.extend(["grep", "-np", "foo"]);
            let (options, command) = split_str(&all);
            assert_eq!(options, ["--np=4"]);
            assert_eq!(command, ["grep", "-np", "foo"]);
        }
        let (options, command) = split_str(&["-n", "2", "grep", "-np", "foo"]);
        assert_eq!(
            (options, command),
            (vec!["-n".into(), "2".into()], vec!["grep".into(), "-np".into(), "foo".into()])
        );
    }

    #[test]
    fn every_spelling_of_other_launchers_is_understood() {
        for (spelling, name) in SPELLINGS {
            for words in [vec![format!("-{spelling}"), "v".into()], vec![format!("--{spelling}=v")]]
            {
                let words: Vec<&str> = words.iter().map(String::as_str).collect();
                assert_eq!(split_str(&words).0, [format!("--{name}=v")], "{words:?}");
            }
        }
    }

    #[test]
    fn a_command_that_begins_with_a_dash_follows_two_dashes() {
        assert_eq!(split_str(&["-k", "--", "-odd", "--np"]).1, ["-odd", "--np"]);
    }

    proptest! {
        #[test]
        fn no_word_is_lost(words in proptest::collection::vec("[-a-z=0-9]{0,6}", 0..8)) {
            if let Ok(split) = split(words.iter().map(OsString::from)) {
                prop_assert!(words.len() >= split.command.len());
                let tail: Vec<OsString> = words[words.len() - split.command.len()..].iter().map(OsString::from).collect();
                prop_assert_eq!(tail, split.command);
            }
        }
    }
}
