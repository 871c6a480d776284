//! What the words of a failed ssh mean, without I/O.
//!
//! ssh says what went wrong in words alone, and ends with 255 whatever it was. Its words are always
//! passed on; what is made of them here is the summary, the way out, and whether to try again.

use px_runtime::failure::signal_name;
use px_runtime::message::ExitStatus;

use super::command::Target;

/// Most bytes of ssh's words that are passed on: its last ones, which tell the reason.
const MOST_WORDS: usize = 2000;
/// How ssh ends when the failure is its own and not the host's.
const SSH_FAILED: i32 = 255;

/// What ended a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The key is another than the known one.
    ChangedKey,
    /// The key is not known, or not accepted.
    UnverifiedKey,
    /// The name has no address.
    Unresolved,
    /// Nothing listens.
    Refused,
    /// No packet gets there.
    Unreachable,
    /// Nothing answered in time.
    TimedOut,
    /// No key of ours is accepted.
    Denied,
    /// ssh's configuration is wrong.
    Configuration,
    /// The host closed the connection before anybody was asked who they are: what sshd does to
    /// logins beyond its `MaxStartups`.
    Dropped,
    /// The connection broke later.
    Lost,
}

/// What ssh prints, in lower case, and what it means; the first that fits counts.
const SIGNS: &[(&str, Cause)] = &[
    ("remote host identification has changed", Cause::ChangedKey),
    ("host key verification failed", Cause::UnverifiedKey),
    ("host key is known for", Cause::UnverifiedKey),
    ("could not resolve hostname", Cause::Unresolved),
    ("bad configuration option", Cause::Configuration),
    ("bad owner or permissions", Cause::Configuration),
    ("permission denied (", Cause::Denied),
    ("too many authentication failures", Cause::Denied),
    ("timeout, server", Cause::Lost),
    ("client_loop: ", Cause::Lost),
    ("connection timed out", Cause::TimedOut),
    ("operation timed out", Cause::TimedOut),
    ("connection refused", Cause::Refused),
    ("no route to host", Cause::Unreachable),
    ("network is unreachable", Cause::Unreachable),
    ("exchange_identification: ", Cause::Dropped),
    ("banner exchange: ", Cause::Dropped),
    ("not allowed at this time", Cause::Dropped),
    ("connection closed by ", Cause::Dropped),
    ("connection reset by ", Cause::Dropped),
];

impl Cause {
    /// Finds it in what ssh has written to stderr.
    pub fn of(stderr: &str) -> Option<Self> {
        let said = stderr.to_lowercase();
        SIGNS.iter().find(|(sign, _)| said.contains(sign)).map(|&(_, cause)| cause)
    }

    /// Whether the same login may go well a moment later.
    pub fn is_retryable(self) -> bool {
        self == Cause::Dropped
    }

    fn what(self) -> &'static str {
        match self {
            Cause::ChangedKey => "its host key is not the one that is known",
            Cause::UnverifiedKey => "its host key cannot be verified",
            Cause::Unresolved => "its name has no address",
            Cause::Refused => "connection refused",
            Cause::Unreachable => "no way to the host",
            Cause::TimedOut => "no answer in time",
            Cause::Denied => "login denied",
            Cause::Configuration => "ssh does not accept its configuration",
            Cause::Dropped => "the host closed the connection before the login",
            Cause::Lost => "the connection broke",
        }
    }

    fn help(self, target: Target<'_>) -> Option<String> {
        let Target { host, port, .. } = target;
        let port_words = port.map(|port| format!("-p {port} ")).unwrap_or_default();
        let user = target.user.map(|user| format!("-l {user} ")).unwrap_or_default();
        // The name under which ssh keeps the key of a port other than its usual one.
        let known = match port.filter(|&port| port != 22) {
            Some(port) => format!("'[{host}]:{port}'"),
            None => host.to_owned(),
        };
        match self {
            Cause::ChangedKey => Some(format!(
                "compare the key of `ssh-keyscan {port_words}{host}` with the one its \
                 administrator tells; only when they are the same, `ssh-keygen -R {known}` forgets \
                 the old one"
            )),
            Cause::UnverifiedKey => Some(format!(
                "compare the key of `ssh-keyscan {port_words}{host}` with the one its \
                 administrator tells, then add its line to ~/.ssh/known_hosts"
            )),
            Cause::Denied => Some(format!(
                "`ssh {port_words}{user}-o BatchMode=yes {host} true` must work without a \
                 password: `ssh-copy-id {port_words}{}{host}` installs a key, `ssh-add` unlocks one",
                target.user.map(|user| format!("{user}@")).unwrap_or_default()
            )),
            _ => None,
        }
    }
}

/// A failed login, put into words. What it names comes from outside, and is escaped when rendered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// What went wrong, to stand behind the host's name.
    pub what: String,
    /// The program's own words, where it had any.
    pub note: Option<String>,
    /// The way out, where it is sure.
    pub help: Option<String>,
    /// Whether the same login may go well a moment later.
    pub is_retryable: bool,
}

/// Explains a login to `target` that ended before the agent ran.
pub fn explain(target: Target<'_>, stderr: &[u8], exit: ExitStatus) -> Explanation {
    let said = String::from_utf8_lossy(stderr);
    let words = bounded(said.trim());
    let note = (!words.is_empty()).then(|| words.to_owned());
    // Any other status is the host's own: it has said these words, not ssh.
    let cause = Cause::of(words).filter(|_| exit == ExitStatus::Exited(SSH_FAILED));
    if let Some(cause) = cause {
        let help = cause.help(target);
        let is_retryable = cause.is_retryable();
        return Explanation { what: cause.what().to_owned(), note, help, is_retryable };
    }
    let what = match exit {
        ExitStatus::Exited(SSH_FAILED) => "ssh failed".to_owned(),
        ExitStatus::Exited(0) => "the login ended before the agent ran".to_owned(),
        ExitStatus::Exited(status) => {
            format!("the login ended before the agent ran, with status {status}")
        }
        ExitStatus::Signaled(signal) => {
            format!("the login was killed by signal {signal} ({})", signal_name(signal))
        }
    };
    Explanation { what, note, help: None, is_retryable: false }
}

/// The end of a text, from the beginning of a line where there is one.
fn bounded(text: &str) -> &str {
    let Some(from) = text.len().checked_sub(MOST_WORDS) else { return text };
    let from = (from..text.len()).find(|&at| text.is_char_boundary(at)).unwrap_or(text.len());
    let end = &text[from..];
    end.split_once('\n').map_or(end, |(_, lines)| lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: Target<'static> = Target { host: "h", user: None, port: None };
    const FAILED: ExitStatus = ExitStatus::Exited(255);

    #[test]
    fn each_failure_of_ssh_is_named() {
        let cases = [
            ("ssh: connect to host h port 22: Connection refused\r\n", Cause::Refused),
            ("ssh: connect to host h port 22: Connection timed out", Cause::TimedOut),
            ("Connection timed out during banner exchange", Cause::TimedOut),
            ("ssh: connect to host h port 22: No route to host", Cause::Unreachable),
            ("ssh: Could not resolve hostname h: Name or service not known", Cause::Unresolved),
            ("u@h: Permission denied (publickey,password).", Cause::Denied),
            ("Host key verification failed.", Cause::UnverifiedKey),
            (
                "@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification \
                 failed.",
                Cause::ChangedKey,
            ),
            ("kex_exchange_identification: Connection closed by remote host", Cause::Dropped),
            ("kex_exchange_identification: read: Connection reset by peer", Cause::Dropped),
            ("Connection closed by 10.0.0.1 port 22", Cause::Dropped),
            ("command-line: line 0: Bad configuration option: x", Cause::Configuration),
            ("Timeout, server h not responding.", Cause::Lost),
        ];
        for (said, cause) in cases {
            assert_eq!(Cause::of(said), Some(cause), "{said}");
            let told = explain(HOST, said.as_bytes(), FAILED);
            assert_eq!(told.note.as_deref(), Some(said.trim()));
            assert_eq!(told.is_retryable, cause == Cause::Dropped, "{said}");
        }
    }

    #[test]
    fn no_way_out_switches_a_check_off() {
        for cause in SIGNS.iter().map(|&(_, cause)| cause) {
            let help = cause.help(Target { port: Some(2222), ..HOST }).unwrap_or_default();
            assert!(!help.contains("StrictHostKeyChecking"), "{help}");
            assert!(!help.contains("ssh-keygen -R") || help.contains("compare the key"), "{help}");
        }
        let help = Cause::ChangedKey.help(Target { port: Some(2222), ..HOST }).unwrap();
        assert!(help.contains("ssh-keyscan -p 2222 h") && help.contains("-R '[h]:2222'"));
    }

    #[test]
    fn words_of_the_host_are_not_taken_for_those_of_ssh() {
        let told = explain(HOST, b"Connection closed by me", ExitStatus::Exited(1));
        assert_eq!(told.what, "the login ended before the agent ran, with status 1");
        assert!(!told.is_retryable);
    }

    #[test]
    fn long_words_are_passed_on_from_a_line_near_their_end() {
        let said = format!("{}\nthe reason\n", "\u{e9}".repeat(5000));
        assert_eq!(explain(HOST, said.as_bytes(), FAILED).note.as_deref(), Some("the reason"));
        assert!(explain(HOST, &[b'x'; 9000], FAILED).note.unwrap().len() <= MOST_WORDS);
    }
}
