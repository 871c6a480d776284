//! The bare limits: what this machine can do at best, with nothing of pxrun's duties.
//!
//! Each is a process of its own, called by the harness. At its end it prints its own CPU time in
//! the words that pxrun uses, so that both are read by the same code.

mod copies;
mod feed;
mod pump;
mod starts;

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

use crate::options;
use crate::problem::Problem;
use crate::sys;

/// One of the limits.
#[derive(Clone, Copy)]
pub enum Limit {
    /// Splices a file into N pipes; the copies write files of their own.
    BareFeeder,
    /// The same, and what the copies print is read and written to one file.
    BarePump,
    /// Starts a command over and over.
    SpawnLoop,
}

impl Limit {
    /// The subcommand.
    pub fn name(self) -> &'static str {
        match self {
            Limit::BareFeeder => "bare-feeder",
            Limit::BarePump => "bare-pump",
            Limit::SpawnLoop => "spawn-loop",
        }
    }
}

/// The limit that the first word asks for.
pub fn asked_for(words: &[OsString]) -> Option<Limit> {
    let first = words.first()?;
    let limits = [Limit::BareFeeder, Limit::BarePump, Limit::SpawnLoop];
    limits.into_iter().find(|limit| OsStr::new(limit.name()) == first)
}

/// What a limit is told, by `--name value` words, then `--` and the command.
struct Orders {
    np: usize,
    pipe_bytes: usize,
    pace: Option<Duration>,
    count: u64,
    input: PathBuf,
    /// A folder for the feeder's copies, a file for the pump.
    output: PathBuf,
    command: Vec<OsString>,
}

/// Runs a limit to its end and prints its own CPU time.
pub fn run(limit: Limit, words: &[OsString]) -> Result<(), Problem> {
    let orders = orders(words)?;
    match limit {
        Limit::BareFeeder => feed::bare_feeder(&orders)?,
        Limit::BarePump => pump::bare_pump(&orders)?,
        Limit::SpawnLoop => starts::spawn_loop(&orders)?,
    }
    let (user, system) = sys::own_cpu().map_err(Problem::step("read the own cpu time"))?;
    let (user, system) = (user.as_secs_f64(), system.as_secs_f64());
    eprintln!("side-by-side: note: own cpu: {user:.6} s user, {system:.6} s system");
    Ok(())
}

fn orders(words: &[OsString]) -> Result<Orders, Problem> {
    let mut orders = Orders {
        np: 1,
        pipe_bytes: 1 << 20,
        pace: None,
        count: 1,
        input: PathBuf::new(),
        output: PathBuf::new(),
        command: Vec::new(),
    };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if word == "--" {
            orders.command = words.by_ref().cloned().collect();
            break;
        }
        let value =
            words.next().ok_or_else(|| Problem::Usage(format!("{word:?} needs a value")))?;
        set(&mut orders, &word.to_string_lossy(), value)?;
    }
    if orders.command.is_empty() || orders.np == 0 {
        return Err(Problem::Usage(
            "a limit needs `--`, a command and at least one rank".to_owned(),
        ));
    }
    Ok(orders)
}

fn set(orders: &mut Orders, name: &str, value: &OsStr) -> Result<(), Problem> {
    let number = || options::size(name, &value.to_string_lossy());
    match name {
        "--np" => orders.np = number()? as usize,
        "--pipe-size" => orders.pipe_bytes = number()? as usize,
        "--pace-micros" => orders.pace = Some(Duration::from_micros(number()?)),
        "--count" => orders.count = number()?,
        "--input" => orders.input = value.into(),
        "--output" => orders.output = value.into(),
        _ => return Err(Problem::Usage(format!("a limit has no option `{name}`"))),
    }
    Ok(())
}
