//! The posix_spawn loop: a command is started over and over, so many at a time, and nothing else.

use std::ffi::{CString, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;

use super::Orders;
use crate::problem::Problem;
use crate::sys::{self, Patience, Spawner};

/// Starts the command `orders.count` times with `orders.np` in flight.
pub fn spawn_loop(orders: &Orders) -> Result<(), Problem> {
    let argv = c_strings(orders.command.iter().cloned())?;
    let environment = std::env::vars_os().map(|(name, value)| {
        let mut word = name;
        word.push("=");
        word.push(value);
        word
    });
    let spawner = Spawner::new(argv, c_strings(environment)?);
    let spawner = spawner.ok_or_else(|| Problem::Usage("no command".to_owned()))?;
    spawner.with(|spawn| start_all(orders, spawn))
}

fn start_all(
    orders: &Orders,
    spawn: &dyn Fn() -> io::Result<rustix::process::Pid>,
) -> Result<(), Problem> {
    let mut to_start = orders.count;
    let mut in_flight = 0;
    while to_start > 0 || in_flight > 0 {
        if to_start > 0 && in_flight < orders.np {
            spawn().map_err(Problem::step("start a copy"))?;
            to_start -= 1;
            in_flight += 1;
            continue;
        }
        let ended = sys::reap(None, Patience::Wait).map_err(Problem::step("wait for a copy"))?;
        match ended {
            Some(ended) if !ended.status.success() => {
                return Err(Problem::Status {
                    status: ended.status,
                    said: "a copy failed".to_owned(),
                });
            }
            _ => in_flight -= 1,
        }
    }
    Ok(())
}

fn c_strings(words: impl Iterator<Item = OsString>) -> Result<Vec<CString>, Problem> {
    let c_string = |word: OsString| {
        CString::new(word.as_bytes()).map_err(|_| Problem::Usage("a word holds a NUL".to_owned()))
    };
    words.map(c_string).collect()
}
