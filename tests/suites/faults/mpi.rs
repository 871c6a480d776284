//! Jobs over an MPI end with the first of its processes that is lost, and say which.

use px_tests::lab::{Host, Mpi};
use px_tests::{Job, Lab, binary, lab, records};

use crate::ground::{Act, BOUND, GONE, Ground, cut, heal, on, send, the_error};

const RECORDS: u64 = 4000;

/// Copies on the second host stop at once, the others go on: some chunks are committed before the
/// loss and none after it.
const STUCK: &str = r#": >"$DIR/try.$PX_CHUNK"
    if [ "$PX_HOST" = node2 ]; then exec "$ZOO" never-read "$DIR"; fi
    exec cat"#;

fn over(ground: &Ground, mpi: Mpi, words: &str) -> Job {
    let job = ground.job(2, "--backend mpi").words("--mpiexec").arg(mpi.launcher());
    job.arg("--agent-path").arg(binary::pxrun_mpi(mpi).unwrap()).words(words)
}

fn kill_agent(host: &Host) {
    send(libc::SIGKILL, &on(host, "px-agent"));
}

/// The process that the launcher has started.
fn kill_first(host: &Host) {
    send(libc::SIGKILL, &on(host, "pxrun-mpi"));
}

fn nothing(_: &Host) {}

fn a_lost_process_ends_the_job(mpi: Mpi, fall_silent: Act, undo: Act) {
    let ground = Ground::new(lab!(Lab::of(3).mpi(mpi)));
    let input = records::numbered(RECORDS, 1);
    let path = ground.lab.path().join("input");
    std::fs::write(&path, &input).unwrap();
    let words = "-k --run per-chunk --chunk-records 100";
    let job = over(&ground, mpi, words).arg("-i").arg(&path).sh(STUCK).bound(BOUND);
    let mut job = job.start();
    let host = ground.lab.host(2);
    job.until("copies wait on node2", |_| ground.marks("ready.").len() == 2);
    fall_silent(host);
    let outcome = job.finish();
    outcome.own_error();
    let error = the_error(&outcome);
    assert!(error.contains("lost") || error.contains("ended before the job did"), "{error}");
    let printed = &outcome.stdout;
    assert!(input.starts_with(printed), "{} bytes are no beginning of the input", printed.len());
    undo(host);
    ground.is_left_clean(GONE * 3);
}

#[test]
fn a_killed_agent_ends_a_job_over_open_mpi() {
    a_lost_process_ends_the_job(Mpi::Open, kill_agent, nothing);
}

#[test]
fn a_killed_agent_ends_a_job_over_mpich() {
    a_lost_process_ends_the_job(Mpi::Mpich, kill_agent, nothing);
}

#[test]
fn a_process_that_its_launcher_sees_die_ends_a_job_over_open_mpi() {
    a_lost_process_ends_the_job(Mpi::Open, kill_first, nothing);
}

#[test]
fn a_process_that_its_launcher_sees_die_ends_a_job_over_mpich() {
    a_lost_process_ends_the_job(Mpi::Mpich, kill_first, nothing);
}

#[test]
fn a_host_that_is_cut_off_ends_a_job_over_open_mpi() {
    a_lost_process_ends_the_job(Mpi::Open, cut, heal);
}

#[test]
fn a_host_that_is_cut_off_ends_a_job_over_mpich() {
    a_lost_process_ends_the_job(Mpi::Mpich, cut, heal);
}
