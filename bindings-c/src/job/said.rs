//! What a job says, as far as it is kept.

use std::fmt::Write as _;

/// Most bytes kept of what a job says.
const KEPT: usize = 64 << 10;

/// The last of what was said, which is where a job says why it failed.
#[derive(Debug, Default)]
pub struct Said {
    bytes: Vec<u8>,
    forgotten: u64,
}

impl Said {
    /// Keeps more.
    pub fn hear(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        // Rarely, so that a byte is moved once at most.
        if self.bytes.len() > 2 * KEPT {
            let most = self.bytes.len() - KEPT;
            self.forgotten += most as u64;
            self.bytes.drain(..most);
        }
    }

    /// All of it as a text that ends without a line end.
    pub fn text(&self) -> String {
        let forgotten = self.bytes.len().saturating_sub(KEPT);
        let mut text = String::new();
        let all = self.forgotten + forgotten as u64;
        if all > 0 {
            let _ = writeln!(text, "({all} bytes before this are left out)");
        }
        text.push_str(&String::from_utf8_lossy(&self.bytes[forgotten..]));
        text.truncate(text.trim_end().len());
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_kept_whole_as_long_as_it_is_short() {
        let mut said = Said::default();
        assert_eq!(said.text(), "");
        said.hear(b"pxrun: error: one\n");
        said.hear(b"  note: two\n");
        assert_eq!(said.text(), "pxrun: error: one\n  note: two");
    }

    #[test]
    fn of_a_flood_the_end_is_kept_in_bounded_memory() {
        let mut said = Said::default();
        let mut all = 0;
        for number in 0..50_000 {
            let line = format!("line {number}\n");
            all += line.len();
            said.hear(line.as_bytes());
            assert!(said.bytes.len() <= 2 * KEPT);
        }
        let text = said.text();
        assert!(text.ends_with("\nline 49999"));
        let (first, rest) = text.split_once('\n').unwrap();
        assert_eq!(first, format!("({} bytes before this are left out)", all - KEPT));
        assert_eq!(rest.len(), KEPT - 1);
    }
}
