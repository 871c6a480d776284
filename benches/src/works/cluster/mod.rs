//! The works with MPI and Slurm.

pub mod copies;
pub mod link;
pub mod pool;
pub mod start;
