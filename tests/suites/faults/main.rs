//! Hosts that vanish, links that break, roots that die: nothing is lost, doubled or left behind.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on panics")]

mod chunks;
mod ends;
mod ground;
mod mpi;
mod network;
mod ranks;
mod silence;
mod sweep;
