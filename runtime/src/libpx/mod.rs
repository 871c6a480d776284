//! What an agent and a program that uses libpx share.
//!
//! | file | what |
//! |---|---|
//! | [`wire`] | what they say to each other over one socket, as pure functions on bytes |

pub mod wire;
