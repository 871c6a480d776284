//! Slurm: what a job was given. Without I/O.
//!
//! | module | from | to |
//! |---|---|---|
//! | [`nodelist`] | `n[001-003]-ib,login` | names |
//! | [`counts`] | `2(x3),1` | a number for each node |
//! | [`allocation`] | the environment of a job | its nodes, CPUs and slots |
//! | [`restriction`] | the allocation and a hostfile | the hosts that both name |

pub mod allocation;
pub mod counts;
mod list;
pub mod nodelist;
pub mod restriction;
