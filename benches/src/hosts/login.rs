//! Stands in for ssh: `pxrun --rsh "side-by-side stand-in-login"`.
//!
//! `HOST COMMAND` runs the command here, as sshd's login shell would, under the name HOST, and as
//! if a connection over the loopback had brought it. The agent that it starts is a real one, with
//! a name of its own, so that a thousand of them pass for a thousand hosts.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use crate::problem::Problem;
use crate::sys;

/// Takes the host's name and becomes its command.
pub fn become_agent(words: &[OsString]) -> Result<ExitCode, Problem> {
    let [host, command] = words else {
        return Err(Problem::Usage("a login needs a host and a command".to_owned()));
    };
    sys::take_name(host).map_err(Problem::step("take another name"))?;
    let mut shell = Command::new("/bin/sh");
    shell.arg("-c").arg(command).env("SSH_CONNECTION", "127.0.0.1 1 127.0.0.1 22");
    Err(Problem::step("start a shell")(shell.exec()))
}
