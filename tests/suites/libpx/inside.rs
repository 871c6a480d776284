//! Jobs inside of ranks of a job: each is one of its own, on the host where it is started, whatever the
//! job around it runs on.

use std::time::Duration;

use px_tests::job::Job;
use px_tests::processes::{self, holds_within};
use px_tests::{Lab, Scratch, binary, lab};

use crate::{checked, compiled, with_library};

/// Says who a copy of the inner job is.
const TELLS: &str = "echo $PX_RANK of $PX_SIZE on $PX_HOST";

/// What a rank of the outer job starts: a pxrun of three copies that tell who they are. A list of hosts
/// in its environment is the outer job's.
const PXRUN_INSIDE: &str =
    "PX_HOSTFILE=/no/such/hosts \"$PXRUN\" $NAMED -np 3 --order rank sh -c \"$TELLS\" < /dev/null";

/// The name of the host that this machine or host of a lab is for pxrun.
fn here() -> String {
    Job::new("-np 1").sh("echo $PX_HOST").run().text().trim().to_owned()
}

/// What three copies on a host say.
fn three_on(host: &str) -> String {
    (0..3).map(|rank| format!("{rank} of 3 on {host}\n")).collect()
}

fn inside(job: Job) -> Job {
    job.env("PXRUN", binary::pxrun()).env("TELLS", TELLS)
}

#[test]
fn a_pxrun_inside_a_rank_runs_its_job_here() {
    let wanted = three_on(&here()).repeat(2);
    checked(inside(Job::new("-np 2 --order rank").sh(PXRUN_INSIDE))).prints(wanted);
    // And takes as its input what the rank has as input.
    let scratch = Scratch::new();
    let input: String = (0..500).map(|n| format!("line {n}\n")).collect();
    let path = scratch.file("input", &input);
    for words in ["-np 1", "-np 2 -k --run per-chunk --chunk-records 100"] {
        let job = Job::new(words).sh("\"$PXRUN\" -np 3 -k cat").input_file(&path);
        checked(inside(job)).prints(&input);
    }
}

#[test]
fn a_pxrun_inside_a_rank_on_another_host_runs_its_job_there() {
    let lab = lab!(Lab::of(2));
    let outer = || {
        let job = lab.pxrun("--order rank -x PXRUN -x TELLS -x NAMED --hostfile");
        inside(job.arg(lab.hostfile(2)))
    };
    let job = outer().env("NAMED", "").sh(PXRUN_INSIDE);
    let wanted = ["node1", "node2"].map(|host| three_on(host).repeat(2)).concat();
    checked(job).prints(wanted);
    assert_eq!(lab.leftovers(Duration::from_secs(60)), []);
}

#[test]
fn a_pxrun_inside_a_rank_goes_where_it_is_told_to() {
    let lab = lab!(Lab::of(2));
    for named in ["-H node2:3", "--backend ssh -H node2:3"] {
        let job = lab.pxrun("-np 2 --order rank --backend local").env("NAMED", named);
        checked(inside(job.sh(PXRUN_INSIDE))).prints(three_on("node2").repeat(2));
    }
    let job = lab.pxrun("-np 1 --backend local").env("NAMED", "--backend ssh");
    inside(job.sh(PXRUN_INSIDE)).run().says("/no/such/hosts");
    assert_eq!(lab.leftovers(Duration::from_secs(60)), []);
}

/// A program that uses libpx has jobs of its own run for each of its chunks, which are four.
fn runs_jobs(job: Job, scratch: &Scratch) -> Job {
    let job = job.words("--contract px -k --chunk-records 1").arg(compiled("inside"));
    let job = job.arg(scratch.file("file", FILE)).words("sh -c").arg(TELLS);
    with_library(job).input("one\ntwo\nthree\nfour\n")
}

/// What a job of a callback gives back.
const FILE: &str = "some\nlines\n";

#[test]
fn a_program_that_is_a_rank_has_jobs_of_its_own_run_here() {
    let scratch = Scratch::new();
    let job = Job::new("-np 2 --backend local").env("PX_HOSTFILE", "/no/such/hosts");
    let wanted = [&*three_on(&here()), FILE].concat().repeat(4);
    checked(runs_jobs(job, &scratch)).prints(wanted);
}

#[test]
fn a_program_that_is_a_rank_on_another_host_has_jobs_of_its_own_run_there() {
    let (lab, scratch) = (lab!(Lab::of(2)), Scratch::new());
    let job = lab.pxrun("-x LD_LIBRARY_PATH --hostfile").arg(lab.hostfile(1));
    // Chunks are dealt in turn.
    let wanted = ["node1", "node2"].map(|host| three_on(host) + FILE).concat().repeat(2);
    checked(runs_jobs(job, &scratch)).prints(wanted);
    assert_eq!(lab.leftovers(Duration::from_secs(60)), []);
}

#[test]
fn what_a_rank_has_run_ends_with_the_job_around_it() {
    let sleeping = "\"$PXRUN\" -np 2 sleep 1000 < /dev/null";
    let pxrun = inside(Job::new("-np 2").sh(sleeping));
    let library = Job::new("-np 2 --contract px --chunk-records 1").arg(compiled("inside"));
    let library = library.words("/dev/null sleep 1000");
    for job in [pxrun, with_library(library).input("one\ntwo\n")] {
        let job = job.start();
        let mark = job.mark().to_owned();
        let all = || processes::named(&mark, "sleep").len() >= 4;
        assert!(holds_within(px_tests::job::BOUND, all), "{:?}", processes::survivors(&mark));
        job.signal(libc::SIGKILL);
        job.finish().dies_by(libc::SIGKILL);
    }
}
