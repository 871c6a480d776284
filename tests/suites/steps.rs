//! Slurm has the last word on its steps: what it tells them ends a job in order, and steps that run
//! at the same time or once more are in nobody's way.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on panics")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use px_tests::processes::holds_within;
use px_tests::{Job, Lab, Outcome, Running, Scratch, checker, lab, records};

/// Far beyond what anything takes that must come.
const BOUND: Duration = Duration::from_secs(120);

/// How many records an input has.
const COUNT: u64 = 20_000;

/// The ways in which tasks of a step meet.
const WAYS: [&str; 2] = ["--mpi=none", "--mpi=pmi2"];

/// Copies that would go on for long.
const SLOW: &str = "read-slowly 4096 500";

/// Input for a step.
fn input(scratch: &Scratch) -> PathBuf {
    scratch.file("input", records::numbered(COUNT, 1))
}

/// Eight tasks on four nodes that are one job.
fn step(lab: &Lab, way: &str, input: &Path) -> Job {
    let job = lab.pxrun("--grace 1 -i").arg(input).under(&["srun", "-Q", "-N4", "-n8", way]);
    job.bound(BOUND)
}

/// Runs a command on the head that must go well, and returns what it prints.
#[track_caller]
fn printed(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

/// The number of the only job that there is.
fn number(lab: &Lab) -> String {
    printed(lab.command("squeue").args(["-h", "-t", "R", "-o", "%i"]))
}

/// Hands in a batch script, and returns its number.
fn submitted(lab: &Lab, options: &str, lines: &str) -> String {
    let script = lab.path().join("batch");
    fs::write(&script, format!("#!/bin/sh\n{lines}\n")).unwrap();
    let mut sbatch = lab.command("sbatch");
    printed(sbatch.arg("--parsable").args(options.split_whitespace()).arg(script))
}

/// Has a running step told something, and waits until it has ended.
fn told(lab: &Lab, mut job: Running, tell: impl Fn(&str) -> Command) -> Outcome {
    job.until("output", |job| job.printed() > 0);
    printed(&mut tell(&number(lab)));
    let outcome = job.finish();
    assert_eq!(lab.leftovers(BOUND), [], "{}", outcome.seen());
    let whole = records::numbered(COUNT, 1);
    outcome.check(whole.starts_with(&outcome.stdout), || "wanted the first lines".to_owned());
    outcome.check(outcome.stdout.len() < whole.len(), || "it had ended before".to_owned());
    outcome
}

/// Checks that a job has told what ended it, and how far it came. Slurm signals copies too: then
/// one of them may be the first that is heard of.
#[track_caller]
fn in_order(outcome: &Outcome, name: &str, signal: i32) {
    outcome.says_any(&[
        &format!("stopped by {name}, {} bytes of output were written", outcome.stdout.len()),
        &format!("was killed by signal {signal} ({name})"),
    ]);
    outcome.says_any(&["output were written", "was written"]);
}

fn scancel(lab: &Lab, words: &[&str], number: &str) -> Command {
    let mut scancel = lab.command("scancel");
    scancel.args(words).arg(number);
    scancel
}

#[test]
fn a_signal_to_a_step_ends_its_job_in_order() {
    let (lab, scratch) = (lab!(Lab::of(4).slurm(|slurm| slurm)), Scratch::new());
    let input = input(&scratch);
    for way in WAYS {
        for (name, signal) in [("SIGTERM", libc::SIGTERM), ("SIGUSR1", libc::SIGUSR1)] {
            let job = step(&lab, way, &input).words("-k --contract lines").zoo(SLOW).start();
            let word = format!("--signal={}", &name[3..]);
            let outcome = told(&lab, job, |number| scancel(&lab, &[&word], number));
            in_order(outcome.exits(128 + signal), name, signal);
        }
    }
}

#[test]
fn a_job_that_is_cancelled_says_how_far_it_came() {
    let (lab, scratch) = (lab!(Lab::of(4).slurm(|slurm| slurm)), Scratch::new());
    let input = input(&scratch);
    for way in WAYS {
        let job = step(&lab, way, &input).words("-k --contract lines").zoo(SLOW).start();
        let outcome = told(&lab, job, |number| scancel(&lab, &[], number));
        in_order(&outcome, "SIGTERM", libc::SIGTERM);
    }
}

#[test]
fn a_job_whose_time_is_over_says_how_far_it_came() {
    let (lab, scratch) = (lab!(Lab::of(4).slurm(|slurm| slurm)), Scratch::new());
    let slow = "read-slowly 4096 20000";
    let job = step(&lab, WAYS[0], &input(&scratch)).words("-k --contract lines").zoo(slow).start();
    let outcome = told(&lab, job, |number| {
        let mut over = lab.command("scontrol");
        over.args(["update", &format!("JobId={number}"), "EndTime=now"]);
        over
    });
    in_order(outcome.says("due to time limit"), "SIGTERM", libc::SIGTERM);
}

#[test]
fn copies_that_ignore_all_signals_do_not_outlive_their_step() {
    let (lab, scratch) = (lab!(Lab::of(4).slurm(|slurm| slurm)), Scratch::new());
    let marks = scratch.directory("marks");
    let input = input(&scratch);
    for whom in ["", ".0"] {
        let mut job = step(&lab, WAYS[0], &input).zoo("ignore-signals").arg(&marks).start();
        job.until("copies", |_| scratch.names("marks").len() == 8);
        printed(&mut scancel(&lab, &[], &format!("{}{whom}", number(&lab))));
        let outcome = job.finish();
        outcome.check(outcome.status != px_tests::Status::Exited(0), || "wanted a failure".into());
        assert_eq!(lab.leftovers(BOUND), [], "{}", outcome.seen());
        fs::remove_dir_all(&marks).unwrap();
        scratch.directory("marks");
    }
}

#[test]
fn tasks_that_want_a_job_each_have_one() {
    let (lab, scratch) = (lab!(Lab::of(4).slurm(|slurm| slurm)), Scratch::new());
    let input = input(&scratch);
    for way in WAYS {
        let job = step(&lab, way, &input).words("--backend local -np 1");
        let outcome = job.sh("wc -l; echo $PX_RANK of $PX_SIZE, $SLURM_JOB_NUM_NODES nodes").run();
        let wanted = ["0 of 1, 4 nodes", "20000"].map(|line| vec![line.to_owned(); 8]).concat();
        assert_eq!(outcome.ok().sorted_lines(), wanted);
    }
}

#[test]
fn steps_of_an_array_meet_each_in_a_place_of_its_own() {
    let (lab, scratch) = (lab!(Lab::of(4).slurm(|slurm| slurm)), Scratch::new());
    let (input, at) = (input(&scratch), scratch.path().display().to_string());
    // Neither ends before both run.
    let copy = "touch $0-$SLURM_ARRAY_TASK_ID; \
                until [ -e $0-1 ] && [ -e $0-2 ]; do sleep 0.02; done; cat";
    let lines = format!(
        "srun --mpi=none {} -i {} -o {at}/out-$SLURM_ARRAY_TASK_ID sh -c '{copy}' {at}/runs",
        px_tests::binary::pxrun().display(),
        input.display()
    );
    submitted(&lab, &format!("--array=1-2 -N2 -n4 -o {at}/said-%a"), &lines);
    let ended = holds_within(BOUND, || scratch.has("out-1") && scratch.has("out-2"));
    let said = || ["said-1", "said-2"].map(|name| String::from_utf8(scratch.read(name)).unwrap());
    assert!(ended, "{:?}", said());
    assert_eq!(lab.leftovers(BOUND), []);
    for name in ["out-1", "out-2"] {
        checker::each_once(&scratch.read(name), COUNT);
    }
    assert_eq!(said(), ["", ""]);
}

#[test]
fn what_a_killed_step_has_left_is_in_nobodys_way_when_its_job_starts_again() {
    let (lab, scratch) = (lab!(Lab::of(2).slurm(|slurm| slurm)), Scratch::new());
    let (input, at) = (input(&scratch), scratch.path().display().to_string());
    // The first time one task does not come, so that the others wait for it.
    let lines = format!(
        "srun --mpi=none sh -c 'case $SLURM_PROCID$SLURM_RESTART_COUNT in 3) exec sleep 1000;; esac; \
         exec \"$0\" \"$@\"' {} -i {} -o {at}/out cat",
        px_tests::binary::pxrun().display(),
        input.display()
    );
    let cache = format!("export XDG_CACHE_HOME={at}/cache");
    let number =
        submitted(&lab, &format!("--requeue -N2 -n4 -o {at}/said"), &format!("{cache}\n{lines}"));
    let left = format!("cache/pxrun/rendezvous/pxlab-{number}.0-0");
    let waiting = || scratch.has(&left) && scratch.names(&left) == ["root", "task-1", "task-2"];
    let said = || String::from_utf8_lossy(&fs::read(scratch.at("said")).unwrap()).into_owned();
    assert!(holds_within(BOUND, waiting), "{}", said());
    printed(lab.command("scontrol").args(["requeue", &number]));
    let pending = || printed(lab.command("squeue").args(["-h", "-t", "PD", "-o", "%i"])) == number;
    assert!(holds_within(BOUND, pending), "{}", said());
    // Slurm would wait for two minutes.
    let now = [&format!("JobId={number}"), "StartTime=now"];
    printed(lab.command("scontrol").arg("update").args(now));
    assert!(holds_within(BOUND, || scratch.has("out")), "{}", said());
    checker::each_once(&scratch.read("out"), COUNT);
    assert_eq!(lab.leftovers(BOUND), []);
    // What nobody could remove is all that there is.
    let name = left.rsplit('/').next().unwrap();
    assert_eq!(scratch.names("cache/pxrun/rendezvous"), [name]);
}
