//! Meeting over stdin and stdout of one `srun` that the root has started, without I/O.
//!
//! ```text
//! agent, on stdout: NL mark SP credential NL      in one write, of less than 1,024 bytes
//! root, on stdin:   ( task SP credential NL )*    goes to every agent; each takes its own
//! ```
//!
//! What else comes on stdout is noise of prologs and start-up files. A credential is munge's: it
//! holds a card, and says which user made it. Munge opens a credential only once on each host, so
//! the root makes one for each agent.

use crate::ssh::mark::Mark;

use super::MeetError;

/// The most bytes that an agent says: more than that a launcher may mix with what others say.
pub const MOST_SAID: usize = 1023;
/// The most bytes of a line of the root, its end included.
pub const MOST_LINE: usize = 4 << 10;
/// The most bytes of noise that are listened to, for each agent and in all.
pub const MOST_NOISE: (usize, usize) = (4 << 10, 64 << 10);

/// What has been heard from the agents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// What was printed that is no agent's word.
    Noise(Vec<u8>),
    /// One agent's credential, still to be opened.
    Credential(String),
    /// So much noise came that no more is listened to.
    TooNoisy,
}

/// The root's ear.
#[derive(Clone, Debug)]
pub struct Ear {
    mark: Vec<u8>,
    /// A line that has not ended.
    heard: Vec<u8>,
    /// The line has begun with noise that is told already.
    inside_noise: bool,
    noise_left: usize,
    is_deaf: bool,
}

impl Ear {
    /// Listens to so many agents, who know `mark`.
    pub fn new(mark: Mark, agents: u32) -> Self {
        let agents = usize::try_from(agents).unwrap_or(usize::MAX);
        let noise_left = MOST_NOISE.0.saturating_mul(agents).saturating_add(MOST_NOISE.1);
        let mark = format!("{mark} ").into_bytes();
        Ear { mark, heard: Vec::new(), inside_noise: false, noise_left, is_deaf: false }
    }

    /// Takes what has come. After [`Event::TooNoisy`] nothing more is heard.
    pub fn hear(&mut self, bytes: &[u8]) -> Vec<Event> {
        let mut events = Vec::new();
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            // In parts, so that a line without end costs no more memory than one with.
            for part in piece.chunks(MOST_SAID) {
                self.take(part, &mut events);
            }
        }
        events
    }

    fn take(&mut self, part: &[u8], events: &mut Vec<Event>) {
        if self.is_deaf {
            return;
        }
        self.heard.extend_from_slice(part);
        let is_whole = part.ends_with(b"\n");
        if !is_whole && self.heard.len() <= MOST_SAID {
            return;
        }
        let line = std::mem::take(&mut self.heard);
        let begins = !std::mem::replace(&mut self.inside_noise, !is_whole);
        let is_said = begins && is_whole && line.len() <= MOST_SAID;
        let word = line.strip_prefix(&self.mark[..]).filter(|_| is_said);
        match word.and_then(|word| std::str::from_utf8(word).ok()) {
            Some(word) => events.push(Event::Credential(word.trim_end().to_owned())),
            None if line == b"\n" && begins => {}
            None => self.note(line, events),
        }
    }

    fn note(&mut self, line: Vec<u8>, events: &mut Vec<Event>) {
        match self.noise_left.checked_sub(line.len()) {
            Some(left) => {
                self.noise_left = left;
                match events.last_mut() {
                    Some(Event::Noise(noise)) => noise.extend_from_slice(&line),
                    _ => events.push(Event::Noise(line)),
                }
            }
            None => {
                self.is_deaf = true;
                events.push(Event::TooNoisy);
            }
        }
    }
}

/// What an agent says: to be written at once.
///
/// # Errors
/// [`MeetError::LongCredential`].
pub fn said(mark: Mark, credential: &str) -> Result<String, MeetError> {
    let said = format!("\n{mark} {credential}\n");
    if said.len() > MOST_SAID {
        let most = MOST_SAID - (said.len() - credential.len());
        return Err(MeetError::LongCredential { most, found: credential.len() });
    }
    Ok(said)
}

/// What the root says to one agent.
pub fn told(task: u32, credential: &str) -> String {
    format!("{task} {credential}\n")
}

/// An agent's ear: it waits for the one line that is for its task.
#[derive(Clone, Debug)]
pub struct Waiting {
    task: String,
    heard: Vec<u8>,
}

impl Waiting {
    /// Waits for what is told to `task`.
    pub fn new(task: u32) -> Self {
        Waiting { task: format!("{task} "), heard: Vec::new() }
    }

    /// Takes what has come; what follows the credential is not looked at.
    ///
    /// # Errors
    /// [`MeetError::LongLine`].
    pub fn hear(&mut self, bytes: &[u8]) -> Result<Option<String>, MeetError> {
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            if self.heard.len() + piece.len() > MOST_LINE {
                return Err(MeetError::LongLine(MOST_LINE));
            }
            self.heard.extend_from_slice(piece);
            if !piece.ends_with(b"\n") {
                return Ok(None);
            }
            let line = std::mem::take(&mut self.heard);
            if let Some(credential) = line.strip_prefix(self.task.as_bytes()) {
                return Ok(Some(String::from_utf8_lossy(credential).trim_end().to_owned()));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests;
