//! Slurm: what a job was given, and the words that start one agent on each of its nodes. Without I/O.
//!
//! | module | from | to |
//! |---|---|---|
//! | [`nodelist`] | `n[001-003]-ib,login` | names |
//! | [`counts`] | `2(x3),1` | a number for each node |
//! | [`allocation`] | the environment of a job | its nodes, CPUs and slots |
//! | [`restriction`] | the allocation and a hostfile | the hosts that both name |
//! | [`srun`] | hosts and an agent | `srun`'s words and its environment |

pub mod allocation;
pub mod counts;
mod list;
pub mod nodelist;
pub mod restriction;
pub mod srun;
