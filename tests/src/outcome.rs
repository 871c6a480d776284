//! What a job came to.

use std::fmt::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// By itself, with this status.
    Exited(i32),
    /// By this signal.
    Signaled(i32),
}

impl From<ExitStatus> for Status {
    fn from(status: ExitStatus) -> Self {
        match (status.code(), status.signal()) {
            (Some(code), _) => Status::Exited(code),
            (None, signal) => Status::Signaled(signal.expect("exited or signaled")),
        }
    }
}

/// A job that has ended, and what it said. The checks panic with all of it, and can be chained.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The command line, for messages.
    pub command: String,
    /// How the outermost process ended.
    pub status: Status,
    /// Its stdout, as far as it was captured.
    pub stdout: Vec<u8>,
    /// Its stderr, as far as it was captured.
    pub stderr: String,
    /// The most memory its own processes had together, in bytes, where that was asked for.
    pub peak: Option<u64>,
}

impl Outcome {
    /// Checks that it ended with status 0.
    #[track_caller]
    pub fn ok(&self) -> &Self {
        self.exits(0)
    }

    /// Checks that it ended by itself with this status.
    #[track_caller]
    pub fn exits(&self, code: i32) -> &Self {
        self.check(self.status == Status::Exited(code), || format!("wanted status {code}"))
    }

    /// Checks that a signal ended it.
    #[track_caller]
    pub fn dies_by(&self, signal: i32) -> &Self {
        self.check(self.status == Status::Signaled(signal), || format!("wanted signal {signal}"))
    }

    /// Checks that it is an error of `pxrun`'s own: status 125, and a message in its form.
    #[track_caller]
    pub fn own_error(&self) -> &Self {
        self.exits(125).says("pxrun: error: ")
    }

    /// Checks that stderr has this text, in any case.
    #[track_caller]
    pub fn says(&self, text: &str) -> &Self {
        self.says_any(&[text])
    }

    /// Checks that stderr has at least one of these texts, in any case.
    #[track_caller]
    pub fn says_any(&self, texts: &[&str]) -> &Self {
        let said = self.stderr.to_lowercase();
        let any = texts.iter().any(|text| said.contains(&text.to_lowercase()));
        self.check(any, || format!("wanted one of {texts:?} on stderr"))
    }

    /// Checks that stderr lacks this text.
    #[track_caller]
    pub fn says_not(&self, text: &str) -> &Self {
        let said = self.stderr.to_lowercase().contains(&text.to_lowercase());
        self.check(!said, || format!("wanted no `{text}` on stderr"))
    }

    /// Checks that stderr is empty.
    #[track_caller]
    pub fn quiet(&self) -> &Self {
        self.check(self.stderr.is_empty(), || "wanted nothing on stderr".to_owned())
    }

    /// Checks the whole of stdout.
    #[track_caller]
    pub fn prints(&self, bytes: impl AsRef<[u8]>) -> &Self {
        let bytes = bytes.as_ref();
        self.check(self.stdout == bytes, || {
            let same = self.stdout.iter().zip(bytes).take_while(|(a, b)| a == b).count();
            format!("wanted {} on stdout, other from byte {same} on", shown(bytes))
        })
    }

    /// Checks how many lines stdout has.
    #[track_caller]
    pub fn prints_lines(&self, count: usize) -> &Self {
        let lines = self.stdout.iter().filter(|&&byte| byte == b'\n').count();
        self.check(lines == count, || format!("wanted {count} lines on stdout, found {lines}"))
    }

    /// Checks the bound on memory: 64 MiB and 2 MiB a rank.
    #[track_caller]
    pub fn within_memory(&self, ranks: u64) -> &Self {
        let (peak, most) = (self.peak.expect("a measured job"), (64 + 2 * ranks) << 20);
        self.check(peak > 0 && peak <= most, || {
            format!("wanted a peak of at most {} KiB, found {} KiB", most >> 10, peak >> 10)
        })
    }

    /// Stdout as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Stdout's lines, sorted.
    pub fn sorted_lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.text().lines().map(str::to_owned).collect();
        lines.sort();
        lines
    }

    /// Fails with everything seen unless it holds.
    ///
    /// # Panics
    ///
    /// Unless it holds.
    #[track_caller]
    pub fn check(&self, holds: bool, wanted: impl FnOnce() -> String) -> &Self {
        assert!(holds, "{}\n{}", wanted(), self.seen());
        self
    }

    /// Everything seen, shortened.
    pub fn seen(&self) -> String {
        let mut text = format!("command: {}\nstatus:  {:?}\n", self.command, self.status);
        let stderr = shown(self.stderr.as_bytes());
        write!(text, "stdout:  {}\nstderr:  {stderr}", shown(&self.stdout)).expect("memory");
        text
    }
}

/// Bytes for a message: their count, and the first and last of them.
pub fn shown(bytes: &[u8]) -> String {
    const MOST: usize = 2000;
    let text = if bytes.len() <= MOST {
        String::from_utf8_lossy(bytes).into_owned()
    } else {
        let (first, last) = (&bytes[..MOST / 4], &bytes[bytes.len() - 3 * (MOST / 4)..]);
        format!("{} [...] {}", String::from_utf8_lossy(first), String::from_utf8_lossy(last))
    };
    format!("{} bytes `{text}`", bytes.len())
}
