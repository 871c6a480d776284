//! Slurm: what a job was given, and the words that start one agent on each of its nodes.
//!
//! | module | from | to |
//! |---|---|---|
//! | [`nodelist`] | `n[001-003]-ib,login` | names |
//! | [`counts`] | `2(x3),1` | a number for each node |
//! | [`allocation`] | the environment of a job | its nodes, CPUs and slots |
//! | [`restriction`] | the allocation and a hostfile | the hosts that both name |
//! | [`srun`] | hosts and an agent | `srun`'s words and its environment |
//! | [`entrance`] | an agent's part of these words | an agent that runs |
//! | [`step`] | a plan | agents that come |
//!
//! But for the last two all of it is without I/O.

pub mod allocation;
pub mod counts;
pub mod entrance;
mod list;
pub mod nodelist;
pub mod restriction;
mod running;
pub mod srun;
pub mod step;
