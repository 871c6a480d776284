//! `[3] ` before each line.

/// Tags the lines of one rank.
pub struct Tagger {
    tag: Vec<u8>,
    delimiter: u8,
    at_start: bool,
}

impl Tagger {
    /// Makes a tagger for `rank`, at the start of a line.
    pub fn new(rank: u32, delimiter: u8) -> Self {
        Tagger { tag: format!("[{rank}] ").into_bytes(), delimiter, at_start: true }
    }

    /// Starts anew: the next byte begins a line.
    pub fn restart(&mut self) {
        self.at_start = true;
    }

    /// Returns `bytes` with the tag before each line that begins in them.
    pub fn tag(&mut self, bytes: &[u8]) -> Vec<u8> {
        let lines = memchr::memchr_iter(self.delimiter, bytes).count() + 1;
        let mut tagged = Vec::with_capacity(bytes.len() + lines * self.tag.len());
        for line in bytes.split_inclusive(|&byte| byte == self.delimiter) {
            if self.at_start {
                tagged.extend_from_slice(&self.tag);
            }
            tagged.extend_from_slice(line);
            self.at_start = line.last() == Some(&self.delimiter);
        }
        tagged
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_tagged_once_however_it_arrives() {
        let mut tagger = Tagger::new(3, b'\n');
        let tagged = [tagger.tag(b"a\nb"), tagger.tag(b"c\n"), tagger.tag(b"d")].concat();
        assert_eq!(tagged, b"[3] a\n[3] bc\n[3] d");
    }
}
