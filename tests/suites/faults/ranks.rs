//! One copy a rank: a lost host stops the job, which says so, and what was written is right.

use px_tests::{Lab, checker, lab, records};

use crate::ground::{GONE, Ground, kill_agent, the_error};

const RECORDS: u64 = 8000;

#[test]
fn with_one_copy_a_rank_a_lost_host_stops_the_job_and_says_what_was_written() {
    let ground = Ground::new(lab!(Lab::of(2)));
    let input = records::numbered(RECORDS, 1);
    // A gate behind the first lines keeps the job from ending before its host is lost.
    for words in ["", "-k --contract lines", "--order rank"] {
        let job = ground.job(2, words).zoo("pause-after 50").arg(ground.scratch.path());
        let mut job = job.input(&input).start();
        job.until("all copies wait", |_| ground.marks("ready.").len() == 4);
        kill_agent(&mut job, ground.lab.host(2));
        let outcome = job.finish();
        outcome.own_error().says("host `node2` is lost").says("ranks 2 to 3 ran there");
        the_error(&outcome);
        let written = format!("{} bytes of output were written", outcome.stdout.len());
        outcome.says_any(&[&written, "output of chunk"]).says("--run per-chunk");
        checker::at_most_once(&outcome.stdout, RECORDS);
        if words.starts_with("-k") {
            outcome.check(input.starts_with(&outcome.stdout), || "no beginning".to_owned());
        }
        ground.is_left_clean(GONE);
        for mark in ground.marks("ready.") {
            std::fs::remove_file(ground.scratch.at(&format!("ready.{mark}"))).unwrap();
        }
    }
}
