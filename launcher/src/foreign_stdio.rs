//! What may pass through the standard streams that a launcher carries.
//!
//! `mpirun`, `mpiexec` and `srun` copy a process's input and output between pipes and their own network,
//! and promise little: some break off at a few hundred kilobytes, some end with 0 on a full disk. So
//! input does not come that way, and of output it is said how far the promises reach. This is asked by
//! rank 0 alone; what the launcher gives the others is nobody's input.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use px_runtime::failure::Message;
use px_runtime::input::open::InputName;
use px_runtime::job::OutputName;
use px_runtime::sys::timespec;
use rustix::event::{PollFd, PollFlags};
use rustix::fs::{FileType, fstat};
use rustix::io::Errno;

/// How long a launcher may take to pass on that there is no input.
const PATIENCE: Duration = Duration::from_secs(5);
/// The null device, as Linux numbers it.
const NULL: (u32, u32) = (1, 3);

/// What a standard stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stream {
    /// A regular file of this host's, which no launcher carries.
    File,
    /// The null device.
    Null,
    /// A pipe, a socket, a terminal: the launcher's, as far as can be known.
    Carried,
    /// What cannot be looked at, or another device.
    Strange,
}

/// What comes through a carried standard input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Carried {
    /// Nothing: it has ended.
    Nothing,
    /// At least a byte.
    Bytes,
    /// Nothing so far, and it has not ended.
    Silence,
}

/// Checks the standard streams of rank 0 in a world that a launcher started; returns what is to be said
/// once. Reads no byte. Waits at most some seconds, and only for an input that does not end.
///
/// # Errors
/// Input would come through the launcher.
pub fn check(input: &[InputName], output: &OutputName) -> Result<Option<String>, Message> {
    if input.contains(&InputName::Stdin) {
        let stdin = rustix::stdio::stdin();
        allow_input(kind(stdin), || listen(stdin, PATIENCE))?;
    }
    let passes = *output == OutputName::Stdout;
    Ok(if passes { note_on_output(kind(rustix::stdio::stdout())) } else { None })
}

/// Whether input may come from such a stream, `listen` being asked where that depends on what comes.
fn allow_input(stdin: Stream, listen: impl FnOnce() -> Carried) -> Result<(), Message> {
    let found = match stdin {
        Stream::File | Stream::Null => return Ok(()),
        Stream::Strange => "is neither a file nor empty",
        Stream::Carried => match listen() {
            Carried::Nothing => return Ok(()),
            Carried::Bytes => "comes through the launcher, which may lose it",
            Carried::Silence => "comes through the launcher, which has not ended it",
        },
    };
    Err(Message::new(format!("standard input {found}"))
        .help("use `-i FILE`; where there is no input, `-i /dev/null`"))
}

/// What to say of output that goes to such a stream.
fn note_on_output(stdout: Stream) -> Option<String> {
    (stdout == Stream::Carried).then(|| {
        "standard output goes through the launcher: it is whole up to there, and what the launcher \
         loses is not noticed; `-o FILE` is written by pxrun itself"
            .to_owned()
    })
}

fn kind(stream: impl AsFd) -> Stream {
    let Ok(found) = fstat(&stream) else { return Stream::Strange };
    let device = (rustix::fs::major(found.st_rdev), rustix::fs::minor(found.st_rdev));
    match FileType::from_raw_mode(found.st_mode) {
        FileType::RegularFile => Stream::File,
        FileType::CharacterDevice if device == NULL => Stream::Null,
        FileType::CharacterDevice if rustix::termios::isatty(&stream) => Stream::Carried,
        FileType::Fifo | FileType::Socket => Stream::Carried,
        _ => Stream::Strange,
    }
}

/// Waits until `stream` has ended or something came, and leaves in it what came.
fn listen(stream: impl AsFd, patience: Duration) -> Carried {
    let begun = Instant::now();
    loop {
        let mut fds = [PollFd::new(&stream, PollFlags::IN | PollFlags::RDHUP)];
        let left = timespec(patience.saturating_sub(begun.elapsed()));
        match rustix::event::poll(&mut fds, Some(&left)) {
            Ok(0) => return Carried::Silence,
            Err(Errno::INTR) => {}
            // A pipe has no end that could be told otherwise: then it is taken for one with bytes.
            Err(_) => return Carried::Bytes,
            Ok(_) => {
                let ended = fds[0].revents().intersects(PollFlags::HUP | PollFlags::RDHUP);
                // Asked only now: an end that was seen is behind all bytes.
                let unread = rustix::io::ioctl_fionread(&stream);
                return if ended && unread == Ok(0) { Carried::Nothing } else { Carried::Bytes };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::net::UnixStream;

    use super::*;

    fn pipe() -> (std::os::fd::OwnedFd, std::os::fd::OwnedFd) {
        px_runtime::sys::fd::pipe().unwrap()
    }

    #[test]
    fn only_input_that_no_launcher_carries_is_allowed() {
        let unasked = || panic!("there is no launcher's pipe to be waited for");
        for stdin in [Stream::File, Stream::Null] {
            assert_eq!(allow_input(stdin, unasked), Ok(()));
        }
        assert_eq!(allow_input(Stream::Carried, || Carried::Nothing), Ok(()));
        for carried in [Carried::Bytes, Carried::Silence] {
            let refusal = allow_input(Stream::Carried, || carried).unwrap_err();
            assert!(refusal.help.unwrap().starts_with("use `-i FILE`"));
        }
        assert!(allow_input(Stream::Strange, unasked).is_err());
    }

    #[test]
    fn output_through_the_launcher_is_told_and_no_other() {
        assert!(note_on_output(Stream::Carried).unwrap().contains("`-o FILE`"));
        for stdout in [Stream::File, Stream::Null, Stream::Strange] {
            assert_eq!(note_on_output(stdout), None);
        }
        let elsewhere = OutputName::Path("out".into());
        assert_eq!(check(&[InputName::Path("in".into())], &elsewhere), Ok(None));
    }

    #[test]
    fn streams_are_told_apart() {
        let (read, write) = pipe();
        assert_eq!((kind(&read), kind(&write)), (Stream::Carried, Stream::Carried));
        assert_eq!(kind(UnixStream::pair().unwrap().0), Stream::Carried);
        assert_eq!(kind(File::open("/dev/null").unwrap()), Stream::Null);
        assert_eq!(kind(File::open("/dev/zero").unwrap()), Stream::Strange);
        assert_eq!(kind(File::open("/dev").unwrap()), Stream::Strange);
        assert_eq!(kind(File::open("/proc/self/exe").unwrap()), Stream::File);
    }

    #[test]
    fn a_pipe_that_ends_without_a_byte_is_empty() {
        let (read, write) = pipe();
        drop(write);
        assert_eq!(listen(&read, Duration::ZERO), Carried::Nothing);
        // Also when the end comes while it is waited for.
        let (read, write) = pipe();
        let ending = std::thread::spawn(move || drop(write));
        assert_eq!(listen(&read, Duration::from_secs(600)), Carried::Nothing);
        ending.join().unwrap();
        let (ours, theirs) = UnixStream::pair().unwrap();
        theirs.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(listen(&ours, Duration::ZERO), Carried::Nothing);
    }

    #[test]
    fn bytes_are_seen_and_stay_where_they_are() {
        let (read, write) = pipe();
        rustix::io::write(&write, b"ab").unwrap();
        assert_eq!(listen(&read, Duration::ZERO), Carried::Bytes);
        drop(write);
        assert_eq!(listen(&read, Duration::ZERO), Carried::Bytes, "an end behind bytes is none");
        let mut found = [0; 4];
        assert_eq!(rustix::io::read(&read, &mut found), Ok(2));
        assert_eq!(&found[..2], b"ab");
        assert_eq!(listen(&read, Duration::ZERO), Carried::Nothing);
    }

    #[test]
    fn a_pipe_that_does_not_end_is_waited_for_no_longer_than_allowed() {
        let (read, _write) = pipe();
        assert_eq!(listen(&read, Duration::from_millis(20)), Carried::Silence);
    }
}
