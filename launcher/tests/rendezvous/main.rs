//! Processes that find each other by the real means: a launcher's key-value space, a directory,
//! munge.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on panics")]

mod munge;
mod steps;
