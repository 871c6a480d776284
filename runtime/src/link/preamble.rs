//! The first bytes that an agent says: which version it is, before anything else is understood.
//!
//! Eight bytes that are always the same, one with the version's length, the version. They are read
//! by every version of the root, so they never change.

const MAGIC: &[u8; 8] = b"pxagent\n";
/// Longest version.
const LONGEST: usize = 64;

/// What a run of bytes says of the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Preamble {
    /// It is of this version, and so many bytes say so.
    Version(String, usize),
    /// More bytes are needed.
    Incomplete,
    /// It is no agent.
    Other,
}

/// Says which version an agent is.
pub fn encode(version: &str) -> Vec<u8> {
    let version = &version.as_bytes()[..version.len().min(LONGEST)];
    let length = u8::try_from(version.len()).unwrap_or(0);
    [&MAGIC[..], &[length], version].concat()
}

/// Reads what an agent says first.
pub fn decode(bytes: &[u8]) -> Preamble {
    let common = bytes.len().min(MAGIC.len());
    if bytes[..common] != MAGIC[..common] {
        return Preamble::Other;
    }
    let Some(&length) = bytes.get(MAGIC.len()) else { return Preamble::Incomplete };
    let length = usize::from(length);
    if length > LONGEST {
        return Preamble::Other;
    }
    let start = MAGIC.len() + 1;
    match bytes.get(start..start + length).map(std::str::from_utf8) {
        None => Preamble::Incomplete,
        Some(Err(_)) => Preamble::Other,
        Some(Ok(version)) => Preamble::Version(version.to_owned(), start + length),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_from_any_prefix_that_holds_it() {
        let bytes = [encode("0.1.0"), b"more".to_vec()].concat();
        for end in 0..14 {
            assert_eq!(decode(&bytes[..end]), Preamble::Incomplete);
        }
        assert_eq!(decode(&bytes), Preamble::Version("0.1.0".into(), 14));
        assert_eq!(decode(b"pxagent\n\xff"), Preamble::Other);
        assert_eq!(decode(b"Welcome"), Preamble::Other);
    }
}
