//! The words that start a login, without I/O.

use std::ffi::OsString;
use std::path::Path;

use super::script::COMMAND;

/// What OpenSSH is told before `--`, whatever the user's configuration says otherwise.
///
/// Never asked for is anything that would weaken the check of a host's key.
const OPTIONS: &[&str] = &["-T", "-a", "-x", "-e", "none"];
/// Those in the form of its configuration file.
///
/// The first lets clients before 8.7 skip the three options that they do not know yet. It takes the
/// place of the same word in the user's file, so it must allow at least as much as that does.
const SETTINGS: &[&str] = &[
    "IgnoreUnknown=*",
    "BatchMode=yes",
    "ConnectTimeout=10",
    "ServerAliveInterval=5",
    "ServerAliveCountMax=3",
    "ControlMaster=no",
    "ClearAllForwardings=yes",
    "RemoteCommand=none",
    "RequestTTY=no",
    "StdinNull=no",
    "ForkAfterAuthentication=no",
    "SessionType=default",
    "PermitLocalCommand=no",
];

/// The remote shell program, and what the user passes to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rsh {
    program: String,
    arguments: Vec<String>,
}

/// Where a login goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    /// The host's name or address, as ssh understands it.
    pub host: &'a str,
    /// The user there, where it is not ssh's to say.
    pub user: Option<&'a str>,
    /// The port, where it is not ssh's to say.
    pub port: Option<u16>,
}

/// What is wrong with `--rsh`, or with a host for it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RshError {
    /// There is no word.
    #[error("`--rsh` must name a command, found nothing")]
    Empty,
    /// A quote without its partner.
    #[error("`--rsh` has {quote} without an end, at byte {place} of `{text}`")]
    Unbalanced {
        /// The name of the quote.
        quote: &'static str,
        /// Where it begins, counted from 1.
        place: usize,
        /// What the user wrote.
        text: String,
    },
    /// A backslash at the end.
    #[error("`--rsh` ends with a backslash: `{0}`")]
    Escape(String),
    /// A byte that no word of a command line holds.
    #[error("`--rsh` holds a NUL byte")]
    Nul,
    /// Only OpenSSH's way to name a port is known.
    #[error("`{program}` cannot be told port {port} of `{host}`")]
    Port {
        /// The program of `--rsh`.
        program: String,
        /// The port.
        port: u16,
        /// Its host.
        host: String,
    },
    /// It would be an option, or nothing.
    #[error("{what} must not be empty or begin with `-`, found `{found}`")]
    Dash {
        /// Host or user.
        what: &'static str,
        /// What was found.
        found: String,
    },
}

impl Default for Rsh {
    fn default() -> Self {
        Rsh { program: "ssh".to_owned(), arguments: Vec::new() }
    }
}

impl Rsh {
    /// Reads the value of `--rsh`: words apart by blanks, with quotes and backslashes as in sh.
    ///
    /// # Errors
    /// A value without words, or with a quote that does not end.
    pub fn parse(text: &str) -> Result<Self, RshError> {
        let mut words = split(text)?.into_iter();
        let program = words.next().filter(|word| !word.is_empty()).ok_or(RshError::Empty)?;
        Ok(Rsh { program, arguments: words.collect() })
    }

    /// The program to start.
    pub fn program(&self) -> &str {
        &self.program
    }

    /// Whether it takes OpenSSH's options and says its words.
    pub fn is_openssh(&self) -> bool {
        Path::new(&self.program).file_name().is_some_and(|name| name == "ssh")
    }

    /// The words before those that say where a login goes, the program first.
    ///
    /// The user's own arguments come before ours: ssh keeps the first of two settings, so what was
    /// said on the command line is followed.
    pub fn opening(&self) -> Vec<String> {
        let mut words = vec![self.program.clone()];
        words.extend(self.arguments.iter().cloned());
        if self.is_openssh() {
            words.extend(OPTIONS.iter().map(|&word| word.to_owned()));
            words.extend(SETTINGS.iter().flat_map(|&set| ["-o".to_owned(), set.to_owned()]));
        }
        words
    }

    /// All words of a login to `target`, those of [`Rsh::opening`] first.
    ///
    /// # Errors
    /// A host or user that would be taken for an option; a port for a program that is not OpenSSH.
    pub fn words(&self, target: Target<'_>) -> Result<Vec<OsString>, RshError> {
        refuse_option("a host", target.host)?;
        target.user.map_or(Ok(()), |user| refuse_option("a user", user))?;
        let mut words = self.opening();
        if self.is_openssh() {
            words.extend(target.user.into_iter().flat_map(|user| ["-l".to_owned(), user.into()]));
            words.extend(
                target.port.into_iter().flat_map(|port| ["-p".to_owned(), port.to_string()]),
            );
            words.extend(["--".to_owned(), target.host.to_owned()]);
        } else {
            words.push(self.plain_name(target)?);
        }
        words.push(COMMAND.to_owned());
        Ok(words.into_iter().map(OsString::from).collect())
    }

    /// Whether the user's arguments may say on which way a host is reached.
    pub fn chooses_its_way(&self) -> bool {
        self.arguments.iter().any(|word| {
            let word = word.to_ascii_lowercase();
            word.starts_with("-j") || word.starts_with("-f") || word.contains("proxy")
        })
    }

    /// All words that have ssh print its settings for `target`.
    pub fn question(&self, target: Target<'_>) -> Vec<OsString> {
        let mut words = vec![self.program.clone()];
        words.extend(self.arguments.iter().cloned());
        words.push("-G".to_owned());
        words.extend(target.user.into_iter().flat_map(|user| ["-l".to_owned(), user.into()]));
        words.extend(target.port.into_iter().flat_map(|port| ["-p".to_owned(), port.to_string()]));
        words.extend(["--".to_owned(), target.host.to_owned()]);
        words.into_iter().map(OsString::from).collect()
    }

    fn plain_name(&self, target: Target<'_>) -> Result<String, RshError> {
        let host = target.host.to_owned();
        if let Some(port) = target.port {
            return Err(RshError::Port { program: self.program.clone(), port, host });
        }
        Ok(target.user.map_or(host, |user| format!("{user}@{}", target.host)))
    }
}

fn refuse_option(what: &'static str, name: &str) -> Result<(), RshError> {
    if name.is_empty() || name.starts_with('-') {
        return Err(RshError::Dash { what, found: name.to_owned() });
    }
    Ok(())
}

/// Splits as sh does, without expanding anything.
fn split(text: &str) -> Result<Vec<String>, RshError> {
    if text.contains('\0') {
        return Err(RshError::Nul);
    }
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut rest = text.char_indices();
    while let Some((at, character)) = rest.next() {
        match character {
            ' ' | '\t' | '\n' => words.extend(word.take()),
            '\'' | '"' => {
                let word = word.get_or_insert_default();
                quoted(character, &mut rest, word).ok_or_else(|| RshError::Unbalanced {
                    quote: if character == '"' { "a double quote" } else { "a single quote" },
                    place: at + 1,
                    text: text.to_owned(),
                })?;
            }
            '\\' => match rest.next() {
                Some((_, escaped)) => word.get_or_insert_default().push(escaped),
                None => return Err(RshError::Escape(text.to_owned())),
            },
            _ => word.get_or_insert_default().push(character),
        }
    }
    words.extend(word);
    Ok(words)
}

/// Takes what stands up to the closing quote; `None` where there is none.
fn quoted(quote: char, rest: &mut std::str::CharIndices<'_>, word: &mut String) -> Option<()> {
    loop {
        match rest.next()?.1 {
            character if character == quote => return Some(()),
            '\\' if quote == '"' => match rest.next()?.1 {
                escaped @ ('"' | '\\' | '$' | '`') => word.push(escaped),
                other => word.extend(['\\', other]),
            },
            character => word.push(character),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(rsh: &str, target: Target<'_>) -> Result<Vec<String>, RshError> {
        let words = Rsh::parse(rsh)?.words(target)?;
        Ok(words.into_iter().map(|word| word.into_string().unwrap()).collect())
    }

    const HOST: Target<'static> = Target { host: "h", user: None, port: None };

    #[test]
    fn openssh_is_told_everything_and_the_host_stands_behind_two_dashes() {
        let target = Target { user: Some("ann"), port: Some(2222), ..HOST };
        let words = words("/usr/bin/ssh -i 'my key'", target).unwrap();
        assert_eq!(words[..3], ["/usr/bin/ssh", "-i", "my key"]);
        let shown = words[3..].join(" ");
        let settings = SETTINGS.iter().map(|set| format!("-o {set} ")).collect::<String>();
        let end = format!("-l ann -p 2222 -- h {COMMAND}");
        assert_eq!(shown, format!("-T -a -x -e none {settings}{end}"));
    }

    #[test]
    fn no_option_weakens_the_check_of_a_hosts_key() {
        assert!(!SETTINGS.concat().contains("HostKey"));
    }

    #[test]
    fn another_program_gets_host_and_command_alone() {
        let told = words("docker-login --quiet", Target { user: Some("ann"), ..HOST }).unwrap();
        assert_eq!(told, ["docker-login", "--quiet", "ann@h", COMMAND]);
        let port = words("rsh", Target { port: Some(22), ..HOST }).unwrap_err();
        assert_eq!(port.to_string(), "`rsh` cannot be told port 22 of `h`");
    }

    #[test]
    fn a_host_is_never_an_option() {
        for host in ["-oProxyCommand=x", ""] {
            assert!(matches!(words("ssh", Target { host, ..HOST }), Err(RshError::Dash { .. })));
        }
        let user = Target { user: Some("-x"), ..HOST };
        assert!(matches!(words("rsh", user), Err(RshError::Dash { .. })));
    }

    #[test]
    fn a_command_is_split_as_sh_splits_it() {
        let read = |text| split(text).unwrap();
        assert_eq!(read(r#" a 'b c'd  "e \" \x" f\ g '' "#), ["a", "b cd", r#"e " \x"#, "f g", ""]);
        assert_eq!(read("").len(), 0);
        let error = split("ssh 'a b").unwrap_err().to_string();
        assert_eq!(error, "`--rsh` has a single quote without an end, at byte 5 of `ssh 'a b`");
        assert_eq!(split("a\\"), Err(RshError::Escape("a\\".to_owned())));
        assert_eq!(Rsh::parse("  "), Err(RshError::Empty));
    }
}
