//! Whom the kernel ends first when memory runs out: a copy, not the process that can tell of it.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;

/// Added to our own score for a copy's; 1000 would be all of the machine's memory.
const ABOVE_OURS: i32 = 300;

/// Gives copies a higher score than this process has.
///
/// A child inherits the score, so it is raised for the moment in which one is started: an open file
/// and two small writes cost less than finding the child's own.
pub(super) struct OomPreference {
    file: Option<(File, String, String)>,
}

impl OomPreference {
    pub(super) fn new() -> Self {
        let path = "/proc/self/oom_score_adj";
        let own = std::fs::read_to_string(path).ok().and_then(|text| text.trim().parse().ok());
        let file = OpenOptions::new().write(true).open(path).ok();
        let file = file.zip(own).map(|(file, own): (File, i32)| {
            (file, own.to_string(), (own + ABOVE_OURS).min(1000).to_string())
        });
        OomPreference { file }
    }

    /// Runs `start` with the raised score; not being allowed to is no failure.
    pub(super) fn around<T>(&self, start: impl FnOnce() -> T) -> T {
        let Some((file, own, raised)) = &self.file else { return start() };
        let _ = file.write_all_at(raised.as_bytes(), 0);
        let started = start();
        let _ = file.write_all_at(own.as_bytes(), 0);
        started
    }
}
