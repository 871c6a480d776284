//! An end for what may never return: a library that hangs cannot be called off.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

use px_runtime::sys::process::exit_now;

/// Ends this process when it is not dropped in time.
pub struct Watchdog(#[expect(dead_code, reason = "dropping it is the message")] Sender<()>);

impl Watchdog {
    /// Has the process end with `status` once `limit` is over.
    ///
    /// # Errors
    /// `EAGAIN`: no thread can be started.
    pub fn set(limit: Duration, status: u8) -> std::io::Result<Self> {
        let (sender, dropped) = channel();
        std::thread::Builder::new().name("px-watchdog".into()).spawn(move || {
            if dropped.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
                exit_now(status.into());
            }
        })?;
        Ok(Watchdog(sender))
    }
}
