//! A line for each copy that has ended, in the columns of GNU parallel's `--joblog`.

use std::fs::{File, Metadata, OpenOptions};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use px_runtime::failure::{Message, escape};
use px_runtime::input::open::InputName;
use px_runtime::job::{Job, OutputName};
use px_runtime::message::ExitStatus;
use px_runtime::root::CopyRecord;

/// An open log.
pub struct Joblog {
    file: File,
    name: String,
    command: String,
}

/// Whether the job reads or writes the file that was found.
fn used_elsewhere(found: &Metadata, job: &Job) -> bool {
    let inputs = job.input.iter().map(|name| match name {
        InputName::Stdin => Path::new("/proc/self/fd/0"),
        InputName::Path(path) => path,
    });
    let output = match &job.output {
        OutputName::Stdout => Path::new("/proc/self/fd/1"),
        OutputName::Path(path) => path,
    };
    inputs
        .chain([output])
        .filter_map(|path| std::fs::metadata(path).ok())
        .any(|other| (other.dev(), other.ino()) == (found.dev(), found.ino()))
}

impl Joblog {
    /// Makes the file, or empties it, and writes the line of column names.
    ///
    /// # Errors
    /// That it cannot be written.
    pub fn create(path: &Path, job: &Job) -> Result<Self, Message> {
        let name = path.display().to_string();
        let failed =
            |error: std::io::Error| Message::new(format!("cannot write joblog `{name}`: {error}"));
        let open = OpenOptions::new().write(true).create(true).truncate(false).open(path);
        let mut file = open.map_err(failed)?;
        let found = file.metadata().map_err(failed)?;
        if found.is_file() {
            if used_elsewhere(&found, job) {
                let text = format!("joblog `{name}` is an input or the output too");
                return Err(Message::new(text).help("name another file"));
            }
            file.set_len(0).map_err(failed)?;
        }
        let columns = "Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand\n";
        file.write_all(columns.as_bytes()).map_err(failed)?;
        let words = job.command.argv.iter().map(|word| word.to_string_lossy());
        let command = escape(&words.collect::<Vec<_>>().join(" "));
        Ok(Joblog { file, name, command })
    }

    /// Appends a copy's line.
    ///
    /// # Errors
    /// That it cannot be written.
    pub fn note(&mut self, copy: &CopyRecord<'_>) -> Result<(), Message> {
        let end = copy.end;
        let (exit, signal) = match end.status {
            ExitStatus::Exited(status) => (status, 0),
            ExitStatus::Signaled(signal) => (0, signal),
        };
        let line = format!(
            "{}\t{}\t{:.3}\t{:10.3}\t{}\t{}\t{exit}\t{signal}\t{}\n",
            copy.chunk.unwrap_or(u64::from(copy.rank)) + 1,
            escape(copy.host),
            end.started,
            end.ran,
            end.given - end.unread,
            end.printed,
            self.command,
        );
        let written = self.file.write_all(line.as_bytes());
        written
            .map_err(|error| Message::new(format!("cannot write joblog `{}`: {error}", self.name)))
    }
}
