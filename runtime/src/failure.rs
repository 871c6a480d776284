//! What can go wrong with a job, how it is said, and the exit status that stands for it.

use std::fmt::Write as _;

use rustix::io::Errno;

use crate::message::ExitStatus;

/// Usage, unread input, leaks, breaches of contract, changed input, timeouts, output errors and
/// every other error of pxrun's own.
pub const OWN: u8 = 125;
/// The command was found and cannot be executed.
pub const NOT_EXECUTABLE: u8 = 126;
/// There is no such command.
pub const NOT_FOUND: u8 = 127;
/// The reader of the output has left: 128 + SIGPIPE.
pub const CLOSED_OUTPUT: u8 = 141;

/// One message: a line that says what and where, then facts, then a way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// WHERE: WHAT, VALUE FOUND.
    pub text: String,
    /// Facts.
    pub notes: Vec<String>,
    /// A command or an edit.
    pub help: Option<String>,
}

impl Message {
    /// Makes a message without notes.
    pub fn new(text: impl Into<String>) -> Self {
        Message { text: text.into(), notes: Vec::new(), help: None }
    }

    /// Adds a fact.
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// Sets the way out.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Renders it as `level`: `error`, `warning`, `note`.
    ///
    /// Control bytes, which a file name may hold, are escaped.
    pub fn render(&self, level: &str) -> String {
        let mut out = format!("pxrun: {level}: {}\n", escape(&self.text));
        for note in &self.notes {
            let _ = writeln!(out, "  note: {}", escape(note));
        }
        if let Some(help) = &self.help {
            let _ = writeln!(out, "  help: {}", escape(help));
        }
        out
    }
}

/// Replaces control characters, so that a name cannot move the cursor or hide a line.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() || is_invisible(character) {
            let _ = write!(out, "{}", character.escape_default());
        } else {
            out.push(character);
        }
    }
    out
}

/// Whether a character takes no room or turns the direction of those around it.
fn is_invisible(character: char) -> bool {
    matches!(character,
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// What kind of failure it is, as far as the exit status goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A copy ended with a status that is not accepted.
    Copy(ExitStatus),
    /// The command cannot be started.
    Start(Errno),
    /// The reader of the output has left.
    ClosedOutput,
    /// Anything that is pxrun's to tell: unread input, a leak, a breach, ...
    Own,
}

/// The exit status for one failure.
///
/// | failure | status |
/// |---|---|
/// | a copy exited | its own |
/// | a copy was killed by signal n | 128 + n |
/// | the command does not exist | 127 |
/// | it exists and cannot be executed | 126 |
/// | the reader of the output has left | 141 |
/// | all else | 125 |
pub fn exit_status(kind: Kind) -> u8 {
    match kind {
        // A status that `--ok` leaves out is no success, also when it is 0.
        Kind::Copy(ExitStatus::Exited(0)) => OWN,
        Kind::Copy(ExitStatus::Exited(status)) => u8::try_from(status).unwrap_or(OWN),
        Kind::Copy(ExitStatus::Signaled(signal @ 1..=127)) => {
            u8::try_from(128 + signal).unwrap_or(OWN)
        }
        // No process ends by such a signal.
        Kind::Copy(ExitStatus::Signaled(_)) => OWN,
        Kind::Start(Errno::NOENT) => NOT_FOUND,
        Kind::Start(Errno::ACCESS | Errno::NOEXEC | Errno::TXTBSY | Errno::PERM | Errno::ISDIR) => {
            NOT_EXECUTABLE
        }
        Kind::ClosedOutput => CLOSED_OUTPUT,
        Kind::Start(_) | Kind::Own => OWN,
    }
}

/// A failure of the job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What kind.
    pub kind: Kind,
    /// Where it stands among failures when the job went on: the rank, or the chunk.
    pub place: u64,
    /// What to say.
    pub message: Message,
}

/// Names a signal as `kill -l` does.
pub fn signal_name(number: i32) -> String {
    match rustix::process::Signal::from_named_raw(number) {
        Some(signal) => {
            let name = format!("{signal:?}");
            // Abort is the one that is not named there as in signal(7).
            let name = name.trim_matches('"').trim_start_matches("Signal::");
            format!("SIG{}", if name == "ABORT" { "ABRT" } else { name })
        }
        None => format!("signal {number}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_has_its_exit_status() {
        assert_eq!(exit_status(Kind::Copy(ExitStatus::Exited(3))), 3);
        assert_eq!(exit_status(Kind::Copy(ExitStatus::Exited(126))), 126);
        assert_eq!(exit_status(Kind::Copy(ExitStatus::Exited(0))), 125);
        assert_eq!(exit_status(Kind::Copy(ExitStatus::Signaled(9))), 137);
        assert_eq!(exit_status(Kind::Copy(ExitStatus::Signaled(-128))), 125);
        assert_eq!(exit_status(Kind::Copy(ExitStatus::Signaled(i32::MAX))), 125);
        assert_eq!(exit_status(Kind::Start(Errno::NOENT)), 127);
        assert_eq!(exit_status(Kind::Start(Errno::NOEXEC)), 126);
        assert_eq!(exit_status(Kind::Start(Errno::AGAIN)), 125);
        assert_eq!(exit_status(Kind::ClosedOutput), 141);
        assert_eq!(exit_status(Kind::Own), 125);
    }

    #[test]
    fn signals_have_their_usual_names() {
        assert_eq!(signal_name(9), "SIGKILL");
        assert_eq!(signal_name(2), "SIGINT");
        assert_eq!(signal_name(6), "SIGABRT");
    }

    #[test]
    fn a_message_cannot_be_forged_by_what_it_names() {
        assert_eq!(escape("a\u{202e}b"), "a\\u{202e}b");
        let message = Message::new("cannot open `a\nb\x1b[2J`").note("x");
        assert_eq!(
            message.render("error"),
            "pxrun: error: cannot open `a\\nb\\u{1b}[2J`\n  note: x\n"
        );
    }
}
