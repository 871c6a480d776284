//! System calls that need `unsafe` or care, behind safe functions. No other module has `unsafe`.

pub mod apart;
pub mod checker;
pub mod fd;
pub mod fork;
pub mod interfaces;
pub mod mapping;
pub mod memory;
pub mod munge;
pub mod place;
pub mod process;
pub mod shared;
pub mod signal;
pub mod sigpipe;
pub mod spawn;
pub mod turn;

use std::time::Duration;

/// Converts for the calls that take a timeout.
pub fn timespec(duration: Duration) -> rustix::time::Timespec {
    rustix::time::Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(duration.subsec_nanos()),
    }
}
