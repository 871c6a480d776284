//! What an agent and a program that uses libpx share.
//!
//! | file | what |
//! |---|---|
//! | [`wire`] | what they say to each other over one socket, as pure functions on bytes |
//! | [`commons`] | the memory that the ranks of a host share to talk to each other |
//! | [`talk`] | a rank's side of that: messages, with tags, in order, of any length |
//! | [`helper`] | the same for libpx and the pxrun that runs jobs for it |

pub mod commons;
pub mod helper;
pub mod talk;
pub mod wire;
