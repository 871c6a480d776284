//! Finds munge as Slurm uses it: its daemon may listen at a socket of Slurm's own.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use px_runtime::sys::munge::{Munge, MungeError};
use rustix::event::PollFlags;
use rustix::io::Errno;

use super::wait::until_ready;

/// Most bytes of Slurm's configuration that are looked at.
const MOST_BYTES: usize = 1 << 20;
/// How long `scontrol` may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Opens munge at the socket that Slurm's configuration names, else where it is by itself.
///
/// `None` where there is no munge.
///
/// # Errors
/// Those of [`Munge::open`].
pub fn find(environment: impl Fn(&str) -> Option<OsString>) -> Result<Option<Munge>, MungeError> {
    let named = environment("SLURM_CONF").map_or("/etc/slurm/slurm.conf".into(), PathBuf::from);
    // The file costs no question to Slurm's controller; where there is none (nodes can get their
    // configuration from the controller) or it includes others, `scontrol` knows.
    let socket = match File::open(&named).ok().and_then(read) {
        Some(text) => match socket(&text) {
            None if includes(&text) => ask_scontrol(),
            found => found,
        },
        None => ask_scontrol(),
    };
    Munge::open(socket.as_deref())
}

fn read(file: File) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(MOST_BYTES as u64).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// The socket that a configuration names: `AuthInfo=socket=PATH,...`, as Slurm's file has it and
/// `scontrol show config` prints it.
fn socket(text: &[u8]) -> Option<PathBuf> {
    let value = text.split(|&byte| byte == b'\n').find_map(|line| {
        let (name, value) = line.split_at(memchr::memchr(b'=', line)?);
        let is_it = name.trim_ascii().eq_ignore_ascii_case(b"AuthInfo");
        is_it.then(|| value[1..].trim_ascii())
    })?;
    let value = value.split(|byte| matches!(byte, b' ' | b'\t' | b'#')).next()?;
    let path = value.split(|&byte| byte == b',').find_map(|part| part.strip_prefix(b"socket="))?;
    path.starts_with(b"/").then(|| OsString::from_vec(path.to_vec()).into())
}

/// Whether a configuration goes on in other files.
fn includes(text: &[u8]) -> bool {
    text.split(|&byte| byte == b'\n').any(|line| {
        line.trim_ascii_start().get(..8).is_some_and(|word| word.eq_ignore_ascii_case(b"include "))
    })
}

fn ask_scontrol() -> Option<PathBuf> {
    let mut scontrol = Command::new("scontrol")
        .args(["show", "config"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let told = scontrol.stdout.take().and_then(|mut out| {
        let deadline = Instant::now() + PATIENCE;
        let mut told = Vec::new();
        while told.len() < MOST_BYTES && until_ready(&out, PollFlags::IN, deadline).ok()? {
            let mut piece = [0; 4 << 10];
            match rustix::io::read(&mut out, &mut piece) {
                Ok(0) => return Some(told),
                Ok(length) => told.extend_from_slice(&piece[..length]),
                Err(Errno::INTR) => {}
                Err(_) => return None,
            }
        }
        None
    });
    // It may not have ended, where its controller does not answer.
    let _ = scontrol.kill();
    let _ = scontrol.wait();
    socket(&told?)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_socket_is_found_in_the_file_and_in_what_scontrol_prints() {
        for (text, path) in [
            ("ClusterName=a\nAuthInfo=socket=/run/m/sock\nX=1", Some("/run/m/sock")),
            ("authinfo = cred_expire=60,socket=/m,ttl=9 # ours", Some("/m")),
            ("AuthInfo                = socket=/run/m/sock\n", Some("/run/m/sock")),
            ("AuthInfo                = (null)\n", None),
            ("# AuthInfo=socket=/old\nClusterName=a", None),
            ("AuthInfo=socket=relative", None),
            ("AuthAltParameters=socket=/m", None),
            ("", None),
        ] {
            assert_eq!(socket(text.as_bytes()).as_deref(), path.map(Path::new), "{text}");
        }
    }

    #[test]
    fn a_file_that_goes_on_elsewhere_is_told() {
        assert!(includes(b"A=1\n  Include /etc/more.conf\n"));
        assert!(!includes(b"A=1\nIncludes=2\n# include x"));
    }
}
