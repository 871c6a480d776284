//! Every way in which a run of the harness, or of one contestant, can fail.

use std::fmt;
use std::io;
use std::process::{ExitCode, ExitStatus};
use std::time::Duration;

/// What went wrong.
pub enum Problem {
    /// The words on the command line cannot be used.
    Usage(String),
    /// A step of the harness's own failed in the system.
    Step { what: String, source: io::Error },
    /// A signal asked the harness to end.
    Interrupted { signal: i32 },
    /// A contestant ended badly; the last thing it said is kept.
    Status { status: ExitStatus, said: String },
    /// A contestant was still running when its time was over.
    TooSlow { limit: Duration },
    /// A contestant ended well with a result that is not the expected one.
    Wrong(String),
    /// Processes of a contestant were still there after its end.
    LeftBehind { processes: usize },
}

impl Problem {
    /// Wraps a system error with the step that met it.
    pub fn step(what: impl Into<String>) -> impl FnOnce(io::Error) -> Problem {
        let what = what.into();
        move |source| Problem::Step { what, source }
    }

    /// Whether the contestant is to blame, so that the others can go on.
    pub fn is_the_contestants(&self) -> bool {
        matches!(
            self,
            Problem::Status { .. }
                | Problem::TooSlow { .. }
                | Problem::Wrong(_)
                | Problem::LeftBehind { .. }
        )
    }

    /// The status that the harness ends with.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Problem::Usage(_) => ExitCode::from(2),
            Problem::Interrupted { signal } => {
                ExitCode::from(u8::try_from(128 + signal).unwrap_or(1))
            }
            _ => ExitCode::FAILURE,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::Usage(what) => write!(out, "{what}\n  help: see `--help`"),
            Problem::Step { what, source } => write!(out, "cannot {what}: {source}"),
            Problem::Interrupted { signal } => write!(out, "stopped by signal {signal}"),
            Problem::Status { status, said } if said.is_empty() => write!(out, "{status}"),
            Problem::Status { status, said } => write!(out, "{status}: {said}"),
            Problem::TooSlow { limit } => {
                write!(out, "still running after {} s", limit.as_secs())
            }
            Problem::Wrong(what) => write!(out, "wrong result: {what}"),
            Problem::LeftBehind { processes } => write!(out, "left {processes} processes behind"),
        }
    }
}
