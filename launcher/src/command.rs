//! Finding the command before anything starts.

use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use px_runtime::agent::assignment::VARIABLES;
use px_runtime::failure::{Message, NOT_EXECUTABLE, NOT_FOUND};
use px_runtime::job::Command;
use px_runtime::link::control::LauncherEnv;

use crate::Refusal;
use crate::launcher_env::StartedBy;

/// Searched when there is no PATH.
const USUAL_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Finds the file that `words[0]` names and puts the whole command together, `more` (`NAME=VALUE`)
/// being set in its environment and what a launcher said to this process left out of it unless it is
/// to be kept. A name that is relative is so to `directory`, where copies run.
///
/// # Errors
/// 127 when there is no such command, 126 when it cannot be executed.
pub fn resolve(
    words: &[OsString],
    more: &[Vec<u8>],
    launcher_env: LauncherEnv,
    directory: Option<&Path>,
) -> Result<Command, Refusal> {
    let name = words.first().map(OsString::as_os_str).unwrap_or_default();
    let own_path = more.iter().rev().find_map(|pair| pair.strip_prefix(b"PATH="));
    let search = own_path.map(|path| OsStr::from_bytes(path).to_owned());
    let path = find(name, search, directory)?;
    let text = |words: &mut dyn Iterator<Item = Vec<u8>>| {
        words
            .map(|word| CString::new(word).map_err(|_| Message::new("the command has a NUL byte")))
            .collect::<Result<Vec<_>, _>>()
    };
    let argv = text(&mut words.iter().map(|word| word.as_bytes().to_vec()))?;
    // What tells a copy its place is ours to say, also inside another job's copy.
    let ours = |key: &OsStr| VARIABLES.iter().any(|name| key == *name);
    let set_anew = |key: &OsStr| {
        more.iter().any(|pair| {
            pair.strip_prefix(key.as_bytes()).is_some_and(|rest| rest.starts_with(b"="))
        })
    };
    let given: Vec<_> = std::env::vars_os().collect();
    let started = match launcher_env {
        LauncherEnv::Dropped => StartedBy::told(given.iter().map(|(key, _)| key.as_os_str())),
        LauncherEnv::Kept => StartedBy::default(),
    };
    let dropped = |key: &OsStr| ours(key) || set_anew(key) || started.owns(key);
    let kept = given.into_iter().filter(|(key, _)| !dropped(key));
    let kept = kept.map(|(key, value)| {
        let mut pair = key.into_vec();
        pair.push(b'=');
        pair.extend(value.into_vec());
        pair
    });
    let environment = text(&mut kept.chain(more.iter().cloned()))?;
    let path = text(&mut std::iter::once(path.into_os_string().into_vec()))?.remove(0);
    Ok(Command { path, argv, environment, shown: shown(words) })
}

/// The command as messages show it: not longer than a line.
fn shown(words: &[OsString]) -> String {
    const LONGEST: usize = 60;
    let text: Vec<_> = words.iter().map(|word| quoted(&word.to_string_lossy())).collect();
    let text = text.join(" ");
    if text.chars().count() <= LONGEST {
        return text;
    }
    let head: String = text.chars().take(LONGEST - 3).collect();
    format!("{head}...")
}

/// A word as a shell would need it written.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "_@%+=:,./-".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// Puts together a command that no copy on this very host runs.
pub fn elsewhere(words: &[OsString]) -> Result<Command, Refusal> {
    let nul = |_| Message::new("the command has a NUL byte");
    let argv = words.iter().map(|word| CString::new(word.as_bytes()).map_err(nul));
    let argv = argv.collect::<Result<Vec<_>, _>>()?;
    let path = argv.first().cloned().unwrap_or_default();
    Ok(Command { path, argv, environment: Vec::new(), shown: shown(words) })
}

/// Finds a program of this host's, without a word of why not.
pub fn locate(name: &OsStr) -> Option<PathBuf> {
    find(name, None, None).ok()
}

fn find(name: &OsStr, search: Option<OsString>, from: Option<&Path>) -> Result<PathBuf, Refusal> {
    let from_there = |path: PathBuf| from.map_or(path.clone(), |from| from.join(&path));
    if name.is_empty() {
        return Err(refusal("the command's name is empty".to_owned(), NOT_FOUND));
    }
    let name_shown = name.to_string_lossy();
    if name.as_bytes().contains(&b'/') {
        let candidate = from_there(PathBuf::from(name));
        return match look(&candidate) {
            Found::File => Ok(candidate),
            Found::Unfit(why) => {
                Err(refusal(format!("cannot execute `{name_shown}`: {why}"), NOT_EXECUTABLE))
            }
            Found::Nothing(why) => {
                Err(refusal(format!("cannot find `{name_shown}`: {why}"), NOT_FOUND))
            }
        };
    }
    let path = search.or_else(|| std::env::var_os("PATH")).unwrap_or_else(|| USUAL_PATH.into());
    let mut unfit = None;
    for directory in std::env::split_paths(&path) {
        let directory =
            if directory.as_os_str().is_empty() { PathBuf::from(".") } else { directory };
        let candidate = from_there(directory.join(name));
        match look(&candidate) {
            Found::File => return Ok(candidate),
            // A directory, or what lies behind one that may not be searched, is no command.
            Found::Unfit(why) if candidate.is_file() => unfit = Some((candidate, why)),
            _ => {}
        }
    }
    Err(match unfit {
        Some((file, why)) => {
            refusal(format!("cannot execute `{}`: {why}", file.display()), NOT_EXECUTABLE)
        }
        None => refusal(format!("cannot find the command `{name_shown}` in PATH"), NOT_FOUND),
    })
}

enum Found {
    File,
    Unfit(String),
    Nothing(String),
}

fn look(path: &Path) -> Found {
    match std::fs::metadata(path) {
        Ok(found) if found.is_dir() => Found::Unfit("it is a directory".to_owned()),
        Ok(_) => match rustix::fs::access(path, rustix::fs::Access::EXEC_OK) {
            Ok(()) => Found::File,
            Err(errno) => Found::Unfit(errno.to_string()),
        },
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            Found::Unfit(error.to_string())
        }
        Err(error) => Found::Nothing(error.to_string()),
    }
}

fn refusal(text: String, status: u8) -> Refusal {
    Refusal { message: Message::new(text), status }
}
