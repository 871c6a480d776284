//! libpx, the C library of pxrun.
//!
//! A program that `pxrun --contract px` starts takes its chunks by pointer and gives its output to
//! them, which is committed once and in order; its ranks send messages to each other; and any
//! program runs a scatter and gather of its own. `include/px.h` is the manual, made from the
//! comments here.
//!
//! | file | what |
//! |---|---|
//! | [`boundary`] | panics, forked children, pointers: what C may do wrong ends here |
//! | [`status`] | what a call answers, and the text of the last failure |
//! | [`tokens`] | handles that can be checked |
//! | [`world`] | `px_init` to `px_finalize`: who this program is |
//! | [`surroundings`] | which world the environment puts it in |
//! | [`link`] | the connection to the agent |
//! | [`socket`] | a connection that ends when this process is done with it |
//! | [`alone`] | a world of one on stdin and stdout |
//! | [`chunk`] | `px_chunk_next` and all that is done with a chunk |
//! | [`held`] | the bytes of a chunk |
//! | [`talk`] | messages between ranks |
//! | [`job`] | a scatter and gather that a program runs itself |
//! | [`transport`] | functions of the program that carry messages |
//! | [`relay`] | the guests of a job on the ranks of a transport |

// What stands above a function is the manual of C programs, which says in the text what must be.
#![allow(clippy::missing_safety_doc)]

pub mod alone;
pub mod boundary;
pub mod held;
pub mod link;
pub mod relay;
pub mod socket;
pub mod surroundings;
pub mod tokens;

// What C sees, in the order of the header.
pub mod status;

pub mod world;

pub mod chunk;

pub mod talk;

pub mod job;

pub mod transport;
