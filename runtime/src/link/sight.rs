//! Whether an agent sees the same input files as the root: proven, never assumed.
//!
//! The root names each file, its size and its time of change, and windows of it that nobody can
//! foresee; the agent opens the file of that name and answers with the windows' hashes. A file of
//! the same name and size with other contents is told from the root's own.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use crate::input::InputError;
use crate::input::files::{FileInput, FileSeen};
use crate::input::layout::Layout;

/// Windows looked at in one file.
const WINDOWS: u64 = 4;
/// Length of a window in bytes.
const WINDOW: u64 = 4096;
/// With more files than this their bytes are sent instead: proving would cost more.
const MOST_FILES: usize = 256;

/// A window of one file.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Window {
    file: u32,
    offset: u64,
    length: u32,
}

/// What the root tells of its input files.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct View {
    files: Vec<(Vec<u8>, FileSeen)>,
    layout: Layout,
    windows: Vec<Window>,
}

/// What an agent found of them: hashes of the windows, or why it does not see the same files.
#[derive(Debug, Serialize, Deserialize)]
pub struct Seen(Result<Vec<[u8; 32]>, String>);

/// Why an agent is sent the bytes themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Blind {
    /// The root cannot name the files, or there are too many.
    Unnamed(String),
    /// The agent does not see them.
    Unseen(String),
    /// It sees others.
    Differs(String),
}

impl std::fmt::Display for Blind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Blind::Unnamed(why) | Blind::Unseen(why) | Blind::Differs(why) => f.write_str(why),
        }
    }
}

impl View {
    /// Describes `input` with windows at places that `random` gives.
    ///
    /// # Errors
    /// [`Blind::Unnamed`] where no other process could open the files by name.
    pub fn of(input: &FileInput, mut random: impl FnMut() -> u64) -> Result<View, Blind> {
        let files = input.seen();
        if files.len() > MOST_FILES {
            let text = format!("there are {} input files, more than {MOST_FILES}", files.len());
            return Err(Blind::Unnamed(text));
        }
        let mut named = Vec::new();
        let mut windows = Vec::new();
        for (number, seen) in files.into_iter().enumerate() {
            let path = input.path(number).ok_or_else(|| {
                Blind::Unnamed(format!("input `{}` has no name by now", input.name(number)))
            })?;
            named.push((path.into_os_string().as_bytes().to_vec(), seen));
            for _ in 0..WINDOWS.min(seen.size.div_ceil(WINDOW)) {
                let last = seen.size.saturating_sub(WINDOW);
                let offset = if last == 0 { 0 } else { random() % (last + 1) };
                let length = u32::try_from(WINDOW.min(seen.size)).unwrap_or(0);
                windows.push(Window { file: u32::try_from(number).unwrap_or(0), offset, length });
            }
        }
        Ok(View { files: named, layout: input.layout().clone(), windows })
    }

    /// Compares what an agent found with what lies here.
    ///
    /// # Errors
    /// Why the agent's files are not these; reading them here is an error of the input.
    pub fn compare(&self, input: &FileInput, seen: Seen) -> Result<Result<(), Blind>, InputError> {
        let theirs = match seen.0 {
            Ok(hashes) if hashes.len() == self.windows.len() => hashes,
            Ok(_) => return Ok(Err(Blind::Unseen("it looked at other windows".to_owned()))),
            Err(why) => return Ok(Err(Blind::Unseen(why))),
        };
        for (window, theirs) in self.windows.iter().zip(theirs) {
            if self.hash(input, *window)? != theirs {
                let name = input.name(window.file as usize);
                let text = format!("its `{name}` has other contents at byte {}", window.offset);
                return Ok(Err(Blind::Differs(text)));
            }
        }
        Ok(Ok(()))
    }

    /// Opens the files of this name here and answers for them.
    pub fn look(&self) -> (Seen, Option<FileInput>) {
        match self.look_at_all() {
            Ok((hashes, input)) => (Seen(Ok(hashes)), Some(input)),
            Err(why) => (Seen(Err(why)), None),
        }
    }

    fn look_at_all(&self) -> Result<(Vec<[u8; 32]>, FileInput), String> {
        let named =
            self.files.iter().map(|(path, seen)| (Path::new(OsStr::from_bytes(path)), seen));
        let input = FileInput::again(named, self.layout.clone()).map_err(|why| why.to_string())?;
        for (number, (_, theirs)) in self.files.iter().enumerate() {
            let ours = input.seen()[number];
            let name = input.name(number);
            if ours.size != theirs.size {
                let (ours, theirs) = (ours.size, theirs.size);
                return Err(format!("its `{name}` has {ours} bytes and not {theirs}"));
            }
            if ours != *theirs {
                return Err(format!("its `{name}` was changed at another time"));
            }
        }
        let hashes = self.windows.iter().map(|window| self.hash(&input, *window));
        let hashes = hashes.collect::<Result<Vec<_>, _>>().map_err(|why| why.to_string())?;
        Ok((hashes, input))
    }

    fn hash(&self, input: &FileInput, window: Window) -> Result<[u8; 32], InputError> {
        let bytes = input.window(window.file as usize, window.offset, window.length as usize)?;
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, &bytes).as_ref());
        Ok(hash)
    }
}
