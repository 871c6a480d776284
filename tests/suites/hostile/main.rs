//! Peers that mean harm: agents that break the protocol, strangers at the doors, and somebody on
//! the way who changes what passes. The job ends right, or with one error that names the host.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on panics")]

mod agents;
mod changers;
mod doors;
