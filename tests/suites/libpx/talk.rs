//! Ranks that talk to each other, of one host and of several.

use px_tests::job::Job;
use px_tests::{Lab, Scratch, Status};

use crate::{checked, compiled, with_library};

/// Ranks that hold a promise of `c/talk.c` each.
fn talking(words: &str, promise: &str) -> Job {
    let job = Job::new("--contract px").words(words).arg(compiled("talk")).words(promise);
    with_library(job).input("")
}

#[track_caller]
fn holds(promise: &str, worlds: &[u32]) {
    for ranks in worlds {
        checked(talking(&format!("-np {ranks}"), promise)).quiet();
    }
}

#[test]
fn a_message_of_any_length_goes_around() {
    holds("ring", &[1, 2, 5]);
}

#[test]
fn messages_with_one_tag_keep_their_order_and_other_tags_overtake_them() {
    holds("order", &[1, 2, 5]);
}

#[test]
fn whoever_sends_to_one_that_hears_all_has_a_turn() {
    holds("any", &[2, 5]);
}

#[test]
fn a_buffer_that_is_too_small_says_what_it_lacks_and_loses_nothing() {
    holds("truncated", &[2, 3]);
}

#[test]
fn time_runs_out_and_loses_nothing() {
    holds("timeouts", &[2, 5]);
}

#[test]
fn a_rank_that_has_finished_is_gone_once_its_messages_were_received() {
    holds("gone", &[2, 5]);
}

#[test]
fn everybody_may_send_a_mebibyte_to_everybody_before_anybody_receives() {
    holds("flood", &[1, 2, 8]);
}

#[test]
fn a_thread_that_receives_is_in_nobodys_way() {
    holds("threads", &[1, 2, 5]);
}

#[test]
fn what_cannot_be_right_is_an_error() {
    holds("arguments", &[1, 2]);
}

#[test]
fn a_hundred_thousand_messages_arrive_as_they_were_sent() {
    holds("chaos 25000", &[4]);
    holds("chaos 10000", &[2]);
}

#[test]
fn nothing_is_missing_where_no_process_may_write_to_another_one() {
    for promise in ["ring 0", "chaos 3000", "truncated 0"] {
        checked(talking("-np 2", &format!("{promise} closed")).as_user(SOMEBODY)).quiet();
    }
}

/// A user who is nobody in particular.
const SOMEBODY: u32 = 65_534;

#[test]
fn a_job_without_messages_says_so() {
    checked(talking("-np 2 --run per-chunk", "mode").input("one\ntwo\n"));
    let job = Job::new("-np 2").arg(compiled("talk")).words("mode stdin");
    checked(with_library(job).input(""));
}

#[test]
fn a_rank_that_dies_ends_the_job_and_nobody_waits_for_it() {
    let scratch = Scratch::new();
    let script = "if [ $PX_RANK = 1 ]; then exit 3; fi; exec \"$TALK\" ring";
    let job = Job::new("--contract px -np 3").sh(script).env("TALK", compiled("talk"));
    let outcome = with_library(job).directory(scratch.path()).input("").run();
    outcome.exits(3).says("rank 1 on ");
}

#[test]
fn ranks_talk_across_hosts() {
    let lab = Lab::up(2);
    let hosts = lab.hostfile(2);
    let promises = "ring,order,any,truncated,timeouts,gone,flood,threads,arguments,chaos 2000";
    for promise in promises.split(',') {
        let words =
            format!("--hostfile {} -np 4 -x LD_LIBRARY_PATH --contract px", hosts.display());
        let job = lab.pxrun(&words).arg(compiled("talk")).words(promise);
        checked(with_library(job).input("")).quiet();
    }
}

/// What pxrun says of ranks that are stuck like this, which are then ended.
fn said_of_the_stuck(job: Job, how: &str) -> String {
    let job = job.words("--contract px").arg(compiled("stuck")).arg(how);
    let mut job = with_library(job).input("").start();
    job.until("says that all wait", |job| job.stderr().contains("waiting for each other"));
    job.signal(libc::SIGTERM);
    let outcome = job.finish();
    assert_eq!(outcome.status, Status::Signaled(libc::SIGTERM), "{}", outcome.stderr);
    outcome.stderr
}

/// Two ranks that wait for each other, each way, and all that is said of it.
fn says_who_waits_for_whom(job: impl Fn() -> Job) {
    let receiving = [
        "note: rank 0 waits for a message from rank 1 with tag 3",
        "note: rank 1 waits for a message from rank 0 with tag 3",
    ];
    let sending = [
        "note: rank 0 waits for room to send to rank 1",
        "note: rank 1 waits for room to send to rank 0",
    ];
    for (how, lines) in [("receive", receiving), ("send", sending)] {
        let said = said_of_the_stuck(job(), how);
        for line in lines {
            assert_eq!(said.matches(line).count(), 1, "`{line}`: {said}");
        }
        assert_eq!(said.matches("waiting for each other").count(), 1, "{said}");
    }
}

#[test]
fn when_all_ranks_wait_for_each_other_pxrun_says_who_waits_for_whom() {
    says_who_waits_for_whom(|| Job::new("-np 2"));
}

#[test]
fn ranks_of_two_hosts_that_wait_for_each_other_are_told_of_too() {
    let lab = px_tests::lab!(Lab::of(2));
    let hosts = lab.hostfile(1);
    says_who_waits_for_whom(|| lab.pxrun("-x LD_LIBRARY_PATH --hostfile").arg(&hosts));
    assert_eq!(lab.leftovers(std::time::Duration::from_secs(60)), []);
}
