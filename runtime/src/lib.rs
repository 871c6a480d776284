//! What `pxrun` does with bytes: cuts input into chunks of whole records, deals them to ranks,
//! runs one copy of a command a rank, and commits the copies' output in the order asked for.
//!
//! Every record reaches exactly one copy, whole and in input order within that copy; no byte of
//! output is lost, doubled or mixed within a line; memory does not grow with the input; and when
//! the processes here end, in whatever way, nothing that they started lives on.
//!
//! The parts, in the way of a byte:
//!
//! | part | does | I/O |
//! |---|---|---|
//! | [`records`], [`cut`] | where records and chunks end | no |
//! | [`input`] | the files or streams behind the bytes | yes |
//! | [`deal`] | which rank gets which chunk | no |
//! | [`message`] | what root and agent say to each other | no |
//! | [`agent`] | runs the ranks: feeds them, reads them, ends them | yes |
//! | [`libpx`] | what an agent and a program that uses libpx share | |
//! | [`output`] | holds, orders, cuts and writes what they print | yes |
//! | [`root`] | ties one input to one output: credit, commit, failures | through the others |
//! | [`engine`] | the one loop that waits and wakes everything | yes |
//! | [`guardian`] | sees to it that nothing is left behind | yes |
//!
//! A record's end is found without any I/O, which makes the cutting of any input testable:
//!
//! ```
//! use px_runtime::records::end_of_nth;
//! assert_eq!(end_of_nth(b"one\ntwo\nthree", b'\n', 2), Ok(8));
//! ```

pub mod agent;
pub mod buffers;
pub mod cut;
pub mod deal;
pub mod engine;
pub mod failure;
pub mod guardian;
pub mod input;
pub mod job;
pub mod libpx;
pub mod link;
pub mod message;
pub mod output;
pub mod pace;
pub mod poller;
pub mod records;
pub mod root;
pub mod sys;
