//! The `pxrun-mpi` command.

use std::io::Write;
use std::process::ExitCode;

use px_runtime::failure::{Message, OWN};

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    match words.as_slice() {
        [word] if word == "--version" => {
            let written = std::io::stdout().write_all(pxrun_mpi::version_line().as_bytes());
            ExitCode::from(if written.is_ok() { 0 } else { OWN })
        }
        _ => {
            let message = Message::new("no command").help("`pxrun-mpi --version` names its MPI");
            let _ = std::io::stderr().write_all(message.render("error").as_bytes());
            ExitCode::from(OWN)
        }
    }
}
