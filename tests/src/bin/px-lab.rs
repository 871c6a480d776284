//! Holds a lab up while a command runs on its head: `px-lab [--plain] HOSTS [COMMAND...]`, by
//! default a shell. The lab is wired, so `px-lab 3 ssh node2 ip addr` shows what a test sees; a
//! plain one has cables without faults, and faster.

use std::env;
use std::process::ExitCode;

use px_tests::lab::Lab;

fn main() -> ExitCode {
    let mut words = env::args().skip(1).peekable();
    let plain = words.next_if(|word| word == "--plain").is_some();
    let Some(hosts) = words.next().and_then(|word| word.parse().ok()) else {
        eprintln!("usage: px-lab [--plain] HOSTS [COMMAND...]");
        return ExitCode::FAILURE;
    };
    let plan = if plain { Lab::of(hosts) } else { Lab::of(hosts).wired() };
    if let Err(reason) = plan.possible() {
        eprintln!("px-lab: {reason}");
        return ExitCode::FAILURE;
    }
    let lab = plan.up();
    let mut command = lab.command(&words.next().unwrap_or_else(|| "sh".to_owned()));
    match command.args(words).status() {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("px-lab: nsenter: {error}");
            ExitCode::FAILURE
        }
    }
}
