//! `pxrun-mpi`: pxrun over the links of the MPI that is installed.
//!
//! An MPI library has sent or received something only when it is asked, and a call that waits
//! takes a whole core. So one thread owns MPI, asks it now and then, and never waits inside.
//!
//! | part | does | MPI |
//! |---|---|---|
//! | [`launched`] | what a launcher says about its world | no |
//! | [`looking`] | how soon MPI is asked again | no |
//! | [`ffi`] | calls that the `mpi` crate lacks | yes |
//! | [`pmi`] | a last word to the launcher | no |
//! | [`watchdog`] | an end for what hangs | no |
//! | [`world`] | joining MPI and leaving it | yes |
//! | [`hub`] | messages to and from all other processes | yes |
//! | [`joined`] | all of that as pxrun knows it | yes |

pub mod ffi;
pub mod hub;
pub mod joined;
pub mod launched;
pub mod looking;
pub mod pmi;
pub mod watchdog;
pub mod world;

/// What `--version` prints: also which MPI this binary can join.
pub fn version_line() -> String {
    format!("pxrun-mpi {} ({})\n", env!("CARGO_PKG_VERSION"), world::library())
}
