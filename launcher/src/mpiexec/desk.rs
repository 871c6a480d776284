//! Where MPI rank 0 is waited for: a socket in a directory of its own.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::process::Uid;
use tempfile::TempDir;

use super::handover::{HandoverError, Line};

/// The longest path of a socket, in bytes; the kernel wants one more for its end.
const LONGEST_PATH: usize = 107;

/// A socket in a directory that only its user can enter, and that goes when this is dropped.
#[derive(Debug)]
pub struct Desk {
    listener: UnixListener,
    socket: PathBuf,
    directory: TempDir,
}

impl Desk {
    /// Opens one in the first of `places` in which there can be one.
    ///
    /// # Errors
    /// That there is none.
    pub fn open(places: &[PathBuf]) -> Result<Desk, HandoverError> {
        let only_ours = std::fs::Permissions::from_mode(0o700);
        for place in places.iter().filter(|place| place.is_absolute()) {
            let mut builder = tempfile::Builder::new();
            let builder = builder.prefix("pxrun-").permissions(only_ours.clone());
            let Ok(directory) = builder.tempdir_in(place) else { continue };
            let socket = directory.path().join("root");
            if socket.as_os_str().len() > LONGEST_PATH {
                continue;
            }
            let listening = UnixListener::bind(&socket).and_then(|listener| {
                listener.set_nonblocking(true)?;
                Ok(listener)
            });
            let listener = listening.map_err(|why| HandoverError::Listen(socket.clone(), why))?;
            return Ok(Desk { listener, socket, directory });
        }
        let tried: Vec<_> = places.iter().map(|place| format!("`{}`", place.display())).collect();
        Err(HandoverError::NoDirectory(tried.join(", ")))
    }

    /// Where it listens.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Where more files for the launcher may lie.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Lets in the next who has come and belongs to `user`, if somebody has come.
    ///
    /// # Errors
    /// Those of accepting; a stranger, who is let go.
    pub fn accept(&self, user: Uid) -> Result<Option<Line>, HandoverError> {
        match self.listener.accept() {
            Ok((stream, _)) => Line::with(stream, user).map(Some),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(None),
            Err(error) => Err(HandoverError::Accept(error)),
        }
    }
}

impl AsFd for Desk {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use rustix::process::geteuid;

    use super::*;

    /// A desk, and the directory that it is in.
    fn desk() -> (TempDir, Desk) {
        let place = tempfile::tempdir().unwrap();
        let desk = Desk::open(&[place.path().to_owned()]).unwrap();
        (place, desk)
    }

    #[test]
    fn only_its_user_can_enter_the_directory() {
        let (_place, desk) = desk();
        let mode = desk.directory().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o700);
        assert!(desk.socket().starts_with(desk.directory()));
    }

    #[test]
    fn a_place_whose_paths_are_too_long_for_a_socket_is_passed_over() {
        let place = tempfile::tempdir().unwrap();
        let deep = place.path().join("x".repeat(100));
        std::fs::create_dir(&deep).unwrap();
        let short = place.path().to_owned();
        let missing = place.path().join("missing");
        let desk = Desk::open(&[PathBuf::from("."), missing, deep.clone(), short.clone()]).unwrap();
        assert_eq!(desk.directory().parent(), Some(short.as_path()));
        assert_eq!(std::fs::read_dir(&deep).unwrap().count(), 0);
        let told = Desk::open(std::slice::from_ref(&deep)).unwrap_err().to_string();
        assert_eq!(told, format!("cannot make a directory for a socket in `{}`", deep.display()));
    }

    #[test]
    fn somebody_else_is_let_go_and_the_next_one_let_in() {
        let (_place, desk) = desk();
        assert!(desk.accept(geteuid()).unwrap().is_none(), "nobody has come");
        let _first = UnixStream::connect(desk.socket()).unwrap();
        let other = Uid::from_raw(geteuid().as_raw() + 1);
        let told = desk.accept(other).unwrap_err();
        assert!(matches!(told, HandoverError::Stranger { .. }), "{told}");
        let second = UnixStream::connect(desk.socket()).unwrap();
        assert!(desk.accept(geteuid()).unwrap().is_some());
        let told = Line::with(second, other).unwrap_err();
        assert!(matches!(told, HandoverError::Stranger { .. }), "{told}");
    }
}
