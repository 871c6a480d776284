//! `--backend mpi`: pxrun starts the launcher of an MPI, which starts one agent a host.
//!
//! ```text
//! pxrun            what the user sees
//!   px-guardian    ends what is left
//!     px-agent     starts mpiexec, hands the job over, waits for the verdict
//!       mpiexec    in a session of its own
//!         pxrun-mpi --as-agent SOCKET      MPI rank 0: root, and agent of this host
//!         ssh ... pxrun-mpi --as-agent     on the other hosts: agents
//! ```
//!
//! MPI rank 0 connects to the socket and is given what pxrun was given: its words, directory and
//! environment, standard input, output and error, and the two pipes between the engine and the
//! process that the user sees. It says when all of MPI is up (a launcher may start it without the
//! others), and at last how the job ended. So no byte of the job, and no order, passes through the launcher.
//!
//! | dies | who notices, and by what |
//! |---|---|
//! | `pxrun` | rank 0: orders end; the guardian: its pipe ends |
//! | `px-guardian` | `px-agent`: its lifeline ends; `pxrun`, which then does its work |
//! | `px-agent` | rank 0: the socket ends; the guardian, which ends the launcher and rank 0 |
//! | the launcher | `px-agent`: it is its child; what the launcher started here is ended |
//! | rank 0 | `px-agent`: the socket ends without a verdict |
//!
//! | file | what | I/O |
//! |---|---|---|
//! | `family.rs` | which MPI a program belongs to | no |
//! | `find.rs` | the agent and a launcher that fits it | yes |
//! | `environment.rs`, `translate.rs` | hosts and options in the launcher's own terms | no |
//! | `parcel.rs` | what rank 0 is told, as bytes | no |
//! | `desk.rs`, `handover.rs` | the socket, and what goes over it from both ends | yes |
//! | `child.rs` | a running program and its last words | yes |
//! | `run.rs` | all of it together | yes |
//! | `agent.rs` | what the launcher starts on each host | yes |

pub mod agent;
pub mod child;
pub mod desk;
pub mod environment;
pub mod family;
pub mod find;
pub mod handover;
pub mod parcel;
pub mod run;
pub mod translate;
