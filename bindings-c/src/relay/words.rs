//! What the ranks of a transport say to each other, as pure functions on bytes.
//!
//! A message is its kind in one byte, then bytes of a stream as they are, or something said.

use px_runtime::link::control;
use serde::{Deserialize, Serialize};

use super::window::LARGEST;
use crate::job::Outcome;
use crate::status::{self, Fault};

/// What must be equal at all ranks.
pub(super) const VERSION: u32 = 1;
/// Most bytes of a message.
pub(super) const MESSAGE: usize = 1 + LARGEST;
/// Most bytes of a text: more than there are of a job, whose last 64 KiB are kept, and of these each may
/// be shown as three. So all ranks have the same one.
const TEXT: usize = LARGEST - (4 << 10);

/// The kind of a message with bytes of a stream.
pub(super) const BYTES: u8 = 1;
const SAID: u8 = 2;

/// A message.
#[derive(Debug, PartialEq, Eq)]
pub enum Word<'a> {
    /// The next bytes of the stream.
    Bytes(&'a [u8]),
    /// Something else.
    Said(Said),
}

/// What is said beside the bytes of a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Said {
    /// To rank 0: the rank is there.
    Hello {
        /// [`VERSION`]
        version: u32,
        /// What is wrong there.
        found: Option<Fault>,
    },
    /// To rank 0: something went wrong later.
    Failed(Fault),
    /// So many further bytes may be sent.
    Credit {
        /// Bytes.
        bytes: u32,
    },
    /// No further bytes come.
    Close,
    /// From rank 0: the job is over.
    Outcome(Outcome),
    /// To rank 0: nothing further comes from there.
    Left,
}

/// Makes a message of what is said.
pub fn encode(mut said: Said) -> Vec<u8> {
    if let Some(fault) = fault_of(&mut said) {
        fault.text.truncate(fault.text.floor_char_boundary(TEXT));
    }
    let mut message = vec![SAID];
    // Beside the text, which was cut, it is some dozen bytes long.
    let _ = control::encode(&mut message, &said);
    message
}

/// Reads a message; `None` when it is none.
pub fn decode(message: &[u8]) -> Option<Word<'_>> {
    match message.split_first()? {
        (&BYTES, bytes) if !bytes.is_empty() && bytes.len() <= LARGEST => Some(Word::Bytes(bytes)),
        (&SAID, said) if said.len() <= LARGEST => {
            let mut said: Said = control::decode(said).ok()?;
            let failed = fault_of(&mut said).is_none_or(|fault| status::is_failure(fault.status));
            failed.then_some(Word::Said(said))
        }
        _ => None,
    }
}

fn fault_of(said: &mut Said) -> Option<&mut Fault> {
    match said {
        Said::Hello { found: Some(fault), .. }
        | Said::Failed(fault)
        | Said::Outcome(Outcome { fault: Some(fault), .. }) => Some(fault),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::px_result;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn anything_at_all_is_read_without_panic(message: Vec<u8>, said: Vec<u8>) {
            let _ = decode(&message);
            let _ = decode(&[&[SAID], &said[..]].concat());
        }
    }

    #[test]
    fn what_is_said_is_read_as_it_was_said() {
        let fault = || Fault::new(-19, "rank 3 said so");
        let result = px_result { status: 3, chunks: 1, input_bytes: 2, output_bytes: u64::MAX };
        for said in [
            Said::Hello { version: VERSION, found: None },
            Said::Hello { version: VERSION, found: Some(fault()) },
            Said::Failed(fault()),
            Said::Credit { bytes: 7 },
            Said::Close,
            Said::Outcome(Outcome { fault: Some(fault()), result: Some(result) }),
            Said::Left,
        ] {
            assert_eq!(decode(&encode(said.clone())), Some(Word::Said(said)));
        }
    }

    #[test]
    fn a_failure_that_there_is_not_cannot_be_read() {
        for status in [0, 1, -1000, i32::MIN] {
            assert_eq!(decode(&encode(Said::Failed(Fault::new(status, "so")))), None);
        }
    }

    #[test]
    fn a_text_of_any_length_fits() {
        let text = "ä".repeat(1 << 20);
        let message = encode(Said::Failed(Fault::new(-19, text)));
        assert!(message.len() <= MESSAGE);
        let Some(Word::Said(Said::Failed(fault))) = decode(&message) else { panic!() };
        assert_eq!(fault.text, "ä".repeat(TEXT / 2));
    }

    #[test]
    fn what_is_kept_of_the_words_of_a_job_comes_whole() {
        let text = "\u{fffd}".repeat(64 << 10) + &"y".repeat(1 << 10);
        let fault = Fault::new(-19, text);
        let said = Said::Outcome(Outcome::failed(fault));
        assert_eq!(decode(&encode(said.clone())), Some(Word::Said(said)));
    }

    #[test]
    fn bytes_are_neither_none_nor_too_many() {
        let mut message = vec![BYTES];
        assert_eq!(decode(&message), None);
        message.resize(MESSAGE, 9);
        assert_eq!(decode(&message), Some(Word::Bytes(&message[1..])));
        message.push(9);
        assert_eq!(decode(&message), None);
    }
}
