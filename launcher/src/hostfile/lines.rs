//! From bytes to entries: limits first, then line by line, then the ranges of each.

use std::sync::Arc;

use super::entry::{Spec, entry};
use super::fault::{Fault, Found};
use super::stop::{Stop, character, column, finish};
use super::{Entry, MOST_BYTES, MOST_HOSTS, Place, Source, Wrong};

const BOM: &[u8] = "\u{feff}".as_bytes();

/// Parses a hostfile; `name` is what messages call it.
///
/// A byte order mark and CRLF are allowed, and the last line may lack its newline.
///
/// # Errors
/// The first thing that is wrong. Its place is inside the text.
///
/// # Cost
/// At most 65,536 entries, whatever the ranges in it ask for.
pub fn parse(name: &str, bytes: &[u8]) -> Result<Vec<Entry>, Wrong> {
    let source = Source::File(Arc::from(name));
    let wrong = |line, column, fault| {
        Err(Wrong { place: Place { source: source.clone(), line, column }, fault })
    };
    if bytes.len() > MOST_BYTES {
        return wrong(1, 1, Fault::Size);
    }
    let bytes = bytes.strip_prefix(BOM).unwrap_or(bytes);
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let good = &bytes[..error.valid_up_to()];
            let line = good.iter().filter(|&&byte| byte == b'\n').count() + 1;
            let start = good.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
            let column = String::from_utf8_lossy(&good[start..]).chars().count() + 1;
            return wrong(line as u32, column as u32, Fault::Encoding(bytes[good.len()]));
        }
    };
    let mut entries = Vec::new();
    for (line, number) in text.split('\n').zip(1..) {
        let text = line.strip_suffix('\r').unwrap_or(line);
        let line = Line { text, number, column: 1, source: &source };
        line.read_file_line(&mut entries)?;
    }
    if entries.is_empty() {
        return wrong(1, 1, Fault::Empty);
    }
    Ok(entries)
}

/// Parses the value of `-H`: entries like those of a hostfile, parted by commas.
///
/// # Errors
/// The first thing that is wrong.
pub fn parse_list(value: &str) -> Result<Vec<Entry>, Wrong> {
    let mut entries = Vec::new();
    let mut line = Line { text: value, number: 1, column: 1, source: &Source::HostOption };
    line.check_controls()?;
    while let Some(next) = line.read_list_entry(&mut entries)? {
        line = next;
    }
    Ok(entries)
}

/// Parses the value of a variable in which a scheduler names hosts, each once for a slot, with blanks
/// between them.
///
/// # Errors
/// The first thing that is wrong.
pub fn parse_words(variable: &'static str, value: &str) -> Result<Vec<Entry>, Wrong> {
    let source = Source::Variable(variable);
    let mut entries = Vec::new();
    let mut line = Line { text: value, number: 1, column: 1, source: &source };
    line.check_controls()?;
    while let Some(next) = line.read_word(&mut entries)? {
        line = next;
    }
    Ok(entries)
}

/// A line, or what is left of it, and where it comes from.
struct Line<'a> {
    text: &'a str,
    number: u32,
    /// Where the text begins.
    column: u32,
    source: &'a Source,
}

impl<'a> Line<'a> {
    fn read_file_line(&self, entries: &mut Vec<Entry>) -> Result<(), Wrong> {
        self.check_controls()?;
        let blank = self.text.trim_start_matches([' ', '\t']);
        if blank.is_empty() || blank.starts_with('#') {
            return Ok(());
        }
        let (rest, spec) = finish(entry(self.text)).map_err(|stop| self.wrong(stop))?;
        if rest.starts_with(',') {
            return Err(self.wrong(Stop { rest, fault: Fault::Comma }));
        }
        self.expand(&spec, entries)
    }

    /// Gives what follows the comma, if there is one.
    fn read_list_entry(&self, entries: &mut Vec<Entry>) -> Result<Option<Self>, Wrong> {
        let (rest, spec) = finish(entry(self.text)).map_err(|stop| self.wrong(stop))?;
        if rest.starts_with('#') {
            return Err(self.wrong(Stop { rest, fault: Fault::Comment }));
        }
        self.expand(&spec, entries)?;
        let next = rest.strip_prefix(',');
        Ok(next.map(|text| Line { text, column: self.place(text).column, ..*self }))
    }

    /// Gives what follows the word, if there was one.
    fn read_word(&self, entries: &mut Vec<Entry>) -> Result<Option<Self>, Wrong> {
        let blank = [' ', '\t'];
        let text = self.text.trim_start_matches(blank);
        let (word, next) = text.split_at(text.find(blank).unwrap_or(text.len()));
        if word.is_empty() {
            return Ok(None);
        }
        let word = Line { text: word, column: self.place(text).column, ..*self };
        let (rest, spec) = finish(entry(word.text)).map_err(|stop| word.wrong(stop))?;
        if !rest.is_empty() {
            return Err(word.wrong(Stop { rest, fault: Fault::HostCharacter(character(rest)) }));
        }
        word.expand(&spec, entries)?;
        Ok(Some(Line { text: next, column: self.place(next).column, ..*self }))
    }

    fn check_controls(&self) -> Result<(), Wrong> {
        let control = |next: char| next.is_control() && next != '\t';
        match self.text.find(control) {
            None => Ok(()),
            Some(at) => {
                let rest = &self.text[at..];
                let character: String = rest.chars().take(1).collect();
                Err(self.wrong(Stop { rest, fault: Fault::Control(Found::new(&character)) }))
            }
        }
    }

    fn expand(&self, spec: &Spec<'_>, entries: &mut Vec<Entry>) -> Result<(), Wrong> {
        let count = spec.host.count().saturating_add(entries.len() as u64);
        if count > MOST_HOSTS as u64 {
            let fault = Fault::TooManyHosts(count);
            return Err(self.wrong(Stop { rest: spec.at, fault }));
        }
        let place = self.place(spec.at);
        entries.extend(spec.host.names().into_iter().map(|host| Entry {
            host,
            user: spec.user.map(str::to_owned),
            port: spec.port,
            slots: spec.slots,
            max_slots: spec.max_slots,
            place: place.clone(),
        }));
        Ok(())
    }

    fn wrong(&self, stop: Stop<'_>) -> Wrong {
        Wrong { place: self.place(stop.rest), fault: stop.fault }
    }

    /// Where the rest of the line begins.
    fn place(&self, rest: &str) -> Place {
        let column = self.column + column(self.text, rest) - 1;
        Place { source: self.source.clone(), line: self.number, column }
    }
}
