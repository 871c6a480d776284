//! Where in the user's text something is.

use std::fmt;
use std::sync::Arc;

/// What holds the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file, by the name that the user gave.
    File(Arc<str>),
    /// The value of `-H` or `--host`.
    HostOption,
    /// The value of an environment variable.
    Variable(&'static str),
}

/// A line and a column, both from 1; columns count characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// What holds the text.
    pub source: Source,
    /// The line.
    pub line: u32,
    /// The column.
    pub column: u32,
}

impl Place {
    /// Names the line alone, `hosts:3`; an option or a variable is one line, so its
    /// column stays: `-H:1:5`.
    pub fn short(&self) -> String {
        match &self.source {
            Source::File(name) => format!("{name}:{}", self.line),
            Source::HostOption | Source::Variable(_) => self.to_string(),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match &self.source {
            Source::File(name) => name,
            Source::HostOption => "-H",
            Source::Variable(name) => name,
        };
        write!(out, "{name}:{}:{}", self.line, self.column)
    }
}
