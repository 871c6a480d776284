//! The `pxrun-mpi` command.

use std::io::Write;
use std::process::ExitCode;

use px_runtime::failure::OWN;

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    match words.as_slice() {
        [word] if word == "--version" || word == "-V" => {
            let written = std::io::stdout().write_all(pxrun_mpi::version_line().as_bytes());
            ExitCode::from(if written.is_ok() { 0 } else { OWN })
        }
        _ => pxrun::main_among(pxrun_mpi::joined::join),
    }
}
