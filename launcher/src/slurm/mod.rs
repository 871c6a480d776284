//! Slurm: what a job was given. Without I/O.
//!
//! | module | from | to |
//! |---|---|---|
//! | [`nodelist`] | `n[001-003]-ib,login` | names |
//! | [`counts`] | `2(x3),1` | a number for each node |

pub mod counts;
mod list;
pub mod nodelist;
