//! What is handed to MPI rank 0 besides descriptors, as bytes, without I/O.
//!
//! ```text
//! parcel = directory words environment
//! words, environment = count item*
//! directory, item = length byte*         counts and lengths are 32 bits, little end first
//! ```

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

/// The most bytes of a parcel: more than the kernel lets a program have of words and environment.
pub const MOST: usize = 8 << 20;

/// All from which the same plan can be made again, in another process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parcel {
    /// Where pxrun was started.
    pub directory: PathBuf,
    /// Its command line, without its own name.
    pub words: Vec<OsString>,
    /// Its environment, `NAME=VALUE` each: the launcher has added to that of rank 0.
    pub environment: Vec<OsString>,
}

/// What is wrong with a parcel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParcelError {
    /// It is too large.
    #[error("words and environment must be at most {MOST} bytes together, found {0}")]
    TooLong(usize),
    /// It ends before what its lengths announce, or after it.
    #[error("its lengths do not add up to its {0} bytes")]
    Lengths(usize),
}

impl Parcel {
    /// Turns it into bytes.
    ///
    /// # Errors
    /// There would be more than [`MOST`].
    pub fn encode(&self) -> Result<Vec<u8>, ParcelError> {
        let lists = [&self.words, &self.environment];
        let items = lists.iter().flat_map(|list| list.iter()).map(|item| 4 + item.len());
        let length = 12 + self.directory.as_os_str().len() + items.sum::<usize>();
        if length > MOST {
            return Err(ParcelError::TooLong(length));
        }
        let mut bytes = Vec::with_capacity(length);
        let item = |bytes: &mut Vec<u8>, item: &[u8]| {
            bytes.extend(number(item.len()));
            bytes.extend(item);
        };
        item(&mut bytes, self.directory.as_os_str().as_bytes());
        for list in lists {
            bytes.extend(number(list.len()));
            list.iter().for_each(|word| item(&mut bytes, word.as_bytes()));
        }
        Ok(bytes)
    }

    /// Reads it from bytes.
    ///
    /// # Errors
    /// They are too many, or no parcel.
    ///
    /// # Cost
    /// No more memory than some times the bytes, whatever they announce.
    pub fn decode(bytes: &[u8]) -> Result<Parcel, ParcelError> {
        if bytes.len() > MOST {
            return Err(ParcelError::TooLong(bytes.len()));
        }
        let mut rest = bytes;
        let mut take = || {
            let directory = item(&mut rest)?;
            let words = list(&mut rest)?;
            let environment = list(&mut rest)?;
            rest.is_empty().then_some(Parcel { directory: directory.into(), words, environment })
        };
        take().ok_or(ParcelError::Lengths(bytes.len()))
    }
}

/// A length below [`MOST`] in its four bytes.
fn number(length: usize) -> [u8; 4] {
    u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes()
}

fn length(rest: &mut &[u8]) -> Option<usize> {
    let (length, after) = rest.split_first_chunk()?;
    *rest = after;
    usize::try_from(u32::from_le_bytes(*length)).ok()
}

fn item(rest: &mut &[u8]) -> Option<OsString> {
    let length = length(rest)?;
    let (item, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(OsString::from_vec(item.to_vec()))
}

fn list(rest: &mut &[u8]) -> Option<Vec<OsString>> {
    // Grows with what is there, not with what is announced.
    (0..length(rest)?).map(|_| item(rest)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts() -> impl Strategy<Value = Vec<OsString>> {
        let text = prop::collection::vec(any::<u8>(), 0..20).prop_map(OsString::from_vec);
        prop::collection::vec(text, 0..9)
    }

    proptest! {
        #[test]
        fn a_parcel_arrives_as_it_was_sent(words in texts(), environment in texts()) {
            let parcel = Parcel { directory: "/a b".into(), words, environment };
            prop_assert_eq!(Parcel::decode(&parcel.encode().unwrap()), Ok(parcel));
        }

        #[test]
        fn a_parcel_that_was_cut_or_added_to_is_none(words in texts(), cut in 1usize..12) {
            let parcel = Parcel { directory: "/".into(), words, environment: Vec::new() };
            let mut bytes = parcel.encode().unwrap();
            let shorter = &bytes[..bytes.len() - cut];
            prop_assert_eq!(Parcel::decode(shorter), Err(ParcelError::Lengths(shorter.len())));
            bytes.push(0);
            prop_assert_eq!(Parcel::decode(&bytes), Err(ParcelError::Lengths(bytes.len())));
        }

        #[test]
        fn any_bytes_are_a_parcel_or_an_error(bytes: Vec<u8>) {
            if let Ok(parcel) = Parcel::decode(&bytes) {
                prop_assert_eq!(parcel.encode(), Ok(bytes));
            }
        }
    }

    #[test]
    fn a_parcel_is_bounded_at_both_ends() {
        let word = OsString::from_vec(vec![b'x'; MOST]);
        let parcel = Parcel { words: vec![word], ..Parcel::default() };
        assert_eq!(parcel.encode(), Err(ParcelError::TooLong(MOST + 16)));
        let bytes = vec![0; MOST + 1];
        assert_eq!(Parcel::decode(&bytes), Err(ParcelError::TooLong(MOST + 1)));
        let announced = [0, 0, 0, 0, 255, 255, 255, 255];
        assert_eq!(Parcel::decode(&announced), Err(ParcelError::Lengths(8)));
    }
}
