//! Reaching other hosts by ssh: how it is called, what is said before the agent runs there, and
//! what a failed login means.

pub mod command;
pub mod explain;
pub mod identity;
pub mod jump;
pub mod login;
pub mod mark;
pub mod own;
pub mod process;
pub mod script;
