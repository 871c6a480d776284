//! What the end-to-end tests of `pxrun` stand on.
//!
//! A test starts the real binary as a user would, feeds it numbered records with a checksum each,
//! and shows what came back to a [`checker`] that shares no code with `pxrun`. Children that
//! misbehave are subcommands of one program, `px-zoo`. Every process of a job carries a mark in
//! its environment, so that what a job leaves behind is found wherever it has fled to.
//!
//! ```no_run
//! use px_tests::{Job, records};
//!
//! let input = records::numbered(1000, 1);
//! Job::new("-np 4 -k cat").input(&input).run().ok().prints(&input);
//! ```
//!
//! Nothing here waits by sleeping a while and hoping: a wait names an event and has a generous
//! bound ([`job::BOUND`]), behind which the test fails with everything that was seen.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on panics")]

pub mod binary;
pub mod checker;
pub mod installed;
pub mod job;
pub mod lab;
pub mod login;
pub mod memory;
pub mod outcome;
pub mod processes;
pub mod records;
pub mod rounds;
pub mod running;
pub mod scratch;
pub mod sys;
pub mod terminal;
pub mod wire;

pub use job::{Feed, Job};
pub use lab::Lab;
pub use outcome::{Outcome, Status};
pub use running::Running;
pub use scratch::Scratch;
pub use terminal::Terminal;
