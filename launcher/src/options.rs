//! The options as given, still words.

use std::ffi::{OsStr, OsString};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, ArgMatches, Command};
use px_runtime::failure::Message;

use crate::words::{SHORT_WITH_VALUE, Split, WITH_VALUE};

/// What the user asked for.
#[derive(Debug)]
pub enum Asked {
    /// The help text.
    Help,
    /// The version.
    Version,
    /// A job.
    Job(Box<Options>),
}

/// Options and command of a job.
#[derive(Debug)]
pub struct Options {
    matches: ArgMatches,
    /// The command and its arguments; at least one.
    pub command: Vec<OsString>,
}

/// Options that may be given more than once.
const REPEATABLE: [&str; 3] = ["input", "hostfile", "env"];

/// Options without a value.
pub(crate) const FLAGS: [(&str, Option<char>); 9] = [
    ("keep-order", Some('k')),
    ("tag", Some('t')),
    ("allow-early-exit", None),
    ("keep-going", None),
    ("compress", None),
    ("keep-launcher-env", None),
    ("verbose", Some('v')),
    ("quiet", Some('q')),
    ("version", Some('V')),
];

fn parser() -> Command {
    let mut command = Command::new("pxrun")
        .no_binary_name(true)
        .disable_help_flag(true)
        .disable_version_flag(true)
        .args_override_self(false)
        .arg(Arg::new("help").short('h').long("help").action(ArgAction::SetTrue))
        .arg(
            Arg::new("oversubscribe")
                .long("oversubscribe")
                .num_args(0..=1)
                .require_equals(true)
                .default_missing_value(""),
        )
        .arg(
            Arg::new("dry-run")
                .long("dry-run")
                .num_args(0..=1)
                .require_equals(true)
                .default_missing_value(""),
        );
    for name in WITH_VALUE {
        let mut arg = Arg::new(name)
            .long(name)
            .value_parser(clap::builder::OsStringValueParser::new())
            .allow_hyphen_values(true)
            .action(if REPEATABLE.contains(&name) { ArgAction::Append } else { ArgAction::Set });
        if let Some((letter, _)) = SHORT_WITH_VALUE.iter().find(|(_, long)| *long == name) {
            arg = arg.short(char::from(*letter));
        }
        command = command.arg(arg);
    }
    for (name, letter) in FLAGS {
        let mut arg = Arg::new(name).long(name).action(ArgAction::SetTrue);
        if let Some(letter) = letter {
            arg = arg.short(letter);
        }
        command = command.arg(arg);
    }
    command
}

/// Parses the options.
///
/// # Errors
/// An unknown option (with the nearest known one), one given twice, a value that is missing or
/// too many, no command.
pub fn parse(split: Split) -> Result<Asked, Message> {
    let matches = parser().try_get_matches_from(&split.options).map_err(|error| explain(&error))?;
    if matches.get_flag("help") {
        return Ok(Asked::Help);
    }
    if matches.get_flag("version") {
        return Ok(Asked::Version);
    }
    if split.command.is_empty() {
        return Err(Message::new("there is no command to run")
            .help("pxrun [OPTIONS] COMMAND [ARG]...; `pxrun --help` shows examples"));
    }
    Ok(Asked::Job(Box::new(Options { matches, command: split.command })))
}

fn explain(error: &clap::Error) -> Message {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        Some(ContextValue::Strings(texts)) => texts.first().cloned(),
        _ => None,
    };
    let option = text(ContextKind::InvalidArg).unwrap_or_default();
    let option = option.split([' ', '=', '[']).next().unwrap_or_default();
    match error.kind() {
        ErrorKind::UnknownArgument => {
            let message = Message::new(format!("unknown option `{option}`"));
            match text(ContextKind::SuggestedArg) {
                Some(near) => message.help(format!(
                    "the nearest option is `{}`",
                    near.split([' ', '=', '[']).next().unwrap_or_default()
                )),
                None => message.help(
                    "`pxrun --help` lists the options; a command that begins with `-` needs `--` \
                     before it",
                ),
            }
        }
        ErrorKind::ArgumentConflict => Message::new(format!("`{option}` is given more than once")),
        ErrorKind::TooManyValues => Message::new(format!("`{option}` takes no value")),
        _ => Message::new(format!("`{option}` needs a value")),
    }
}

impl Options {
    /// The value of an option, as given.
    pub fn raw(&self, name: &str) -> Option<&OsStr> {
        self.matches.get_one::<OsString>(name).map(OsString::as_os_str)
    }

    /// All values of an option that may be repeated.
    pub fn all(&self, name: &str) -> Vec<OsString> {
        self.matches
            .get_many::<OsString>(name)
            .map_or(Vec::new(), |values| values.cloned().collect())
    }

    /// Whether a flag is set.
    pub fn flag(&self, name: &str) -> bool {
        self.matches.get_flag(name)
    }

    /// What `--dry-run` is given: nothing, or how far it may go.
    pub fn dry_run(&self) -> Option<&str> {
        self.matches.get_one::<String>("dry-run").map(String::as_str)
    }

    /// The factor of `--oversubscribe`; empty for none.
    pub fn oversubscribe(&self) -> Option<&str> {
        self.matches.get_one::<String>("oversubscribe").map(String::as_str)
    }

    /// Parses the value of an option.
    ///
    /// # Errors
    /// What `parse` says about it, with the option's name before it.
    pub fn value<T>(
        &self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>, Message> {
        let Some(raw) = self.raw(name) else { return Ok(None) };
        let text = raw.to_string_lossy();
        let parsed = parse(&text).map_err(|wrong| Message::new(format!("`--{name}` {wrong}")))?;
        Ok(Some(parsed))
    }

    /// Parses an option that is one of a few words.
    ///
    /// # Errors
    /// All words that there are.
    pub fn choice<T: Copy>(&self, name: &str, choices: &[(&str, T)]) -> Result<Option<T>, Message> {
        self.value(name, |text| {
            let found = choices.iter().find(|(word, _)| *word == text);
            found.map(|(_, choice)| *choice).ok_or_else(|| {
                let words: Vec<_> = choices.iter().map(|(word, _)| format!("`{word}`")).collect();
                format!("must be one of {}, found `{text}`", words.join(", "))
            })
        })
    }
}
