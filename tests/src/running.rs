//! A job that runs.

use std::io::{Read, Write};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::job::{Job, Sink, Stdin};
use crate::memory::Peak;
use crate::outcome::{Outcome, Status, shown};
use crate::processes::{self, Process};
use crate::sys;

/// How long the processes of a job that has ended may still be seen; generous, since the sharp
/// bound has a suite of its own.
const GONE: Duration = Duration::from_secs(60);

/// A started job. Dropped before its end, it is killed with everything it started.
#[derive(Debug)]
pub struct Running {
    command: String,
    mark: String,
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Capture,
    stderr: Capture,
    held: (Option<ChildStdout>, Option<ChildStderr>),
    writer: Option<JoinHandle<()>>,
    peak: Option<Peak>,
    started: Instant,
    bound: Duration,
}

/// Bytes that a thread collects until the other end closes.
#[derive(Debug, Default)]
struct Capture {
    bytes: Arc<Mutex<Vec<u8>>>,
    thread: Option<JoinHandle<()>>,
}

impl Capture {
    fn of(mut source: impl Read + Send + 'static) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&bytes);
        let thread = thread::spawn(move || {
            let mut block = vec![0; 64 << 10];
            while let Ok(count @ 1..) = source.read(&mut block) {
                locked(&sink).extend_from_slice(&block[..count]);
            }
        });
        Capture { bytes, thread: Some(thread) }
    }

    fn is_complete(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        locked(&self.bytes)
    }
}

fn locked(bytes: &Mutex<Vec<u8>>) -> MutexGuard<'_, Vec<u8>> {
    bytes.lock().unwrap_or_else(PoisonError::into_inner)
}

fn new_mark() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

impl Running {
    pub(crate) fn start(job: Job) -> Self {
        let mark = new_mark();
        let mut command = job.command(&mark);
        command.stdin(job.stdin.stdio()).stdout(job.stdout.stdio()).stderr(job.stderr.stdio());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", job.shown()));
        drop(command);
        let mut running = Running {
            command: job.shown(),
            mark,
            stdin: child.stdin.take(),
            stdout: Capture::default(),
            stderr: Capture::default(),
            held: (child.stdout.take(), child.stderr.take()),
            writer: None,
            peak: job.measured.then(Peak::default),
            started: Instant::now(),
            bound: job.bound,
            child,
        };
        if matches!(job.stdout, Sink::Captured) {
            running.stdout = Capture::of(running.take_stdout());
        }
        if matches!(job.stderr, Sink::Captured) {
            running.stderr = Capture::of(running.take_stderr());
        }
        if let Stdin::Piped(bytes) = job.stdin {
            let mut stdin = running.stdin.take().expect("a pipe");
            // A job that stops reading is the job's affair: it is judged by its end.
            running.writer = Some(thread::spawn(move || drop(stdin.write_all(&bytes))));
        }
        running
    }

    /// The process number of the outermost process.
    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).expect("a process number")
    }

    /// The mark of the job's processes.
    pub fn mark(&self) -> &str {
        &self.mark
    }

    /// Sends a signal to the outermost process.
    pub fn signal(&self, signal: i32) -> &Self {
        sys::kill(self.pid(), signal).expect("the job runs");
        self
    }

    /// The live processes of the job with this name.
    pub fn named(&self, name: &str) -> Vec<Process> {
        processes::named(&self.mark, name)
    }

    /// Writes to the stdin that the test holds.
    pub fn write(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        let stdin = self.stdin.as_mut().expect("a held stdin");
        stdin.write_all(bytes.as_ref()).expect("write to the job");
        stdin.flush().expect("flush");
        self
    }

    /// Gives the stdin that the test holds away, say to a thread that writes.
    pub fn take_stdin(&mut self) -> ChildStdin {
        self.stdin.take().expect("a held stdin")
    }

    /// Closes the stdin that the test holds.
    pub fn close_stdin(&mut self) -> &mut Self {
        self.stdin = None;
        self
    }

    /// Takes the stdout that the test holds.
    pub fn take_stdout(&mut self) -> ChildStdout {
        self.held.0.take().expect("a held stdout")
    }

    /// Takes the stderr that the test holds.
    pub fn take_stderr(&mut self) -> ChildStderr {
        self.held.1.take().expect("a held stderr")
    }

    /// What has come on the captured stdout so far.
    pub fn stdout(&self) -> Vec<u8> {
        self.stdout.bytes().clone()
    }

    /// How many bytes have come on the captured stdout so far.
    pub fn printed(&self) -> usize {
        self.stdout.bytes().len()
    }

    /// What has come on the captured stderr so far.
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.stderr.bytes()).into_owned()
    }

    /// Waits until something holds.
    ///
    /// # Panics
    ///
    /// When it does not within the bound, with everything seen.
    pub fn until(&mut self, what: &str, mut holds: impl FnMut(&Self) -> bool) -> &mut Self {
        let left = self.bound.saturating_sub(self.started.elapsed());
        let mut peak = self.peak.take();
        let held = processes::holds_within(left, || {
            if let Some(peak) = &mut peak {
                peak.look(&self.mark);
            }
            holds(self)
        });
        self.peak = peak;
        if !held {
            self.give_up(what);
        }
        self
    }

    /// Tells whether the outermost process has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_some()
    }

    /// Waits for the end of the outermost process, of its output, and of all it started.
    pub fn finish(mut self) -> Outcome {
        self.stdin = None;
        self.wait_for_end();
        processes::wait_until_gone(&self.mark, GONE);
        self.until("end of output", |job| {
            job.stdout.is_complete() && job.stderr.is_complete() && job.writer_is_done()
        });
        self.outcome()
    }

    /// Waits for the end of the outermost process alone.
    pub fn wait_for_end(&mut self) -> Status {
        let mut peak = self.peak.take();
        let left = self.bound.saturating_sub(self.started.elapsed());
        let mut status = None;
        processes::holds_within(left, || {
            if let Some(peak) = &mut peak {
                peak.look(&self.mark);
            }
            status = self.child.try_wait().expect("a child");
            status.is_some()
        });
        self.peak = peak;
        match status {
            Some(status) => status.into(),
            None => self.give_up("the end of the job"),
        }
    }

    fn writer_is_done(&self) -> bool {
        self.writer.as_ref().is_none_or(JoinHandle::is_finished)
    }

    fn outcome(&mut self) -> Outcome {
        let status = self.child.wait().expect("a child").into();
        Outcome {
            command: self.command.clone(),
            status,
            stdout: std::mem::take(&mut self.stdout.bytes()),
            stderr: self.stderr(),
            peak: self.peak.as_ref().map(Peak::bytes),
        }
    }

    fn give_up(&mut self, what: &str) -> ! {
        let left = processes::survivors(&self.mark);
        let (stdout, stderr) = (shown(&self.stdout.bytes()), shown(&self.stderr.bytes()));
        panic!(
            "gave up waiting for: {what}\ncommand: {}\nalive:   {left:?}\nstdout:  {stdout}\n\
             stderr:  {stderr}",
            self.command
        )
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        processes::kill_all(&self.mark);
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
