//! Stands in for an agent at logins: it checks itself as pxrun does, and says what it was given.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::process::ExitCode;

use pxrun::ssh::own::check_agent;

fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    match words.iter().filter_map(|word| word.to_str()).collect::<Vec<_>>().as_slice() {
        ["--check-agent", hash] => match check_agent(hash.as_ref()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("px-stand-in: {error}");
                ExitCode::FAILURE
            }
        },
        ["--as-agent"] => {
            print!("{}", situation());
            let _ = std::io::stdout().flush();
            let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::stdout());
            ExitCode::SUCCESS
        }
        ["--version"] => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

/// What an agent inherits that a login script might have changed, and where it was started from.
fn situation() -> String {
    let mut status = String::new();
    let file = std::fs::File::open("/proc/self/status");
    let _ = file.and_then(|mut file| file.read_to_string(&mut status));
    let inherited = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.trim().to_owned()
    };
    let changed: Vec<_> = std::env::vars_os()
        .map(|(name, _)| name.to_string_lossy().into_owned())
        .filter(|name| name.starts_with("px_"))
        .collect();
    let binary = std::fs::read_link("/proc/self/exe").unwrap_or_default();
    format!(
        "umask {}\nignored {}\nblocked {}\nvariables {changed:?}\nbinary {}\n",
        inherited("Umask:"),
        inherited("SigIgn:"),
        inherited("SigBlk:"),
        binary.display()
    )
}
