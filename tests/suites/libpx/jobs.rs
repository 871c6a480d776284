//! Jobs that a program runs itself: what is set is what is run, what came of it is told, and the program
//! is as it was.

use std::fs;
use std::time::Duration;

use px_tests::installed::installed;
use px_tests::job::Job;
use px_tests::lab::Host;
use px_tests::outcome::Outcome;
use px_tests::scratch::Scratch;
use px_tests::{Lab, processes, sys};

use crate::{alone, compiled};

/// For what is left of a program that is gone to go too.
const GONE: Duration = Duration::from_secs(60);

/// A program that runs the job which these words and this command describe.
fn job(words: &str, command: &[&str]) -> Job {
    let job = alone("job", words);
    if command.is_empty() {
        return job;
    }
    command.iter().fold(job.arg("--"), |job, word| job.arg(word))
}

/// A thousand lines, and a file of them.
fn lines(scratch: &Scratch) -> (String, String) {
    let text: String = (0..1000).map(|n| format!("line {n} {}\n", "x".repeat(n % 50))).collect();
    let path = scratch.at("input");
    fs::write(&path, &text).unwrap();
    (text, path.to_str().unwrap().to_owned())
}

/// What the job says of a run that went well over all of `input`.
fn well(chunks: usize, input: &str, output: usize) -> String {
    format!("run 0\nresult 0, {chunks} chunks, {} in, {output} out\n", input.len())
}

#[track_caller]
fn says_exactly<'a>(outcome: &'a Outcome, text: &str) -> &'a Outcome {
    outcome.ok().check(outcome.stderr == text, || format!("wanted `{text}` on stderr"))
}

#[test]
fn the_output_of_a_job_goes_where_it_is_wanted() {
    let scratch = Scratch::new();
    let (text, input) = lines(&scratch);
    let told = well(100, &text, text.len());
    let words = format!("ranks=3 order=1 chunk-records=10 input={input}");
    for way in ["output-fd=1", "output-callback"] {
        let outcome = job(&format!("{words} {way}"), &["cat"]).run();
        says_exactly(&outcome, &told).prints(&text);
    }
    let output = scratch.at("output");
    let outcome = job(&format!("{words} output={}", output.display()), &["cat"]).run();
    says_exactly(&outcome, &told).prints("");
    assert_eq!(fs::read_to_string(output).unwrap(), text);
}

#[test]
fn a_job_reads_and_writes_nothing_unless_it_is_told_to() {
    for words in ["ranks=2", "ranks=2 order=1"] {
        let outcome = job(words, &["cat"]).input("what nobody reads\n").run();
        says_exactly(&outcome, &well(0, "", 0)).prints("");
    }
    let printing = job("ranks=2", &["echo", "what nobody sees"]).run();
    says_exactly(&printing, &well(0, "", 34)).prints("");
}

#[test]
fn what_is_set_is_what_pxrun_does() {
    let scratch = Scratch::new();
    let (text, input) = lines(&scratch);
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    for words in ["deal=0", "deal=1", "deal=2", "order=0", "order=2 deal=1", "chunk-size=512"] {
        let words = format!("ranks=3 output-fd=1 input={input} {words}");
        let outcome = job(&words, &["cat"]).run();
        outcome
            .ok()
            .check(outcome.sorted_lines() == sorted(&text), || "wanted all lines".to_owned());
        outcome.says("run 0\nresult 0, ");
    }
    let words = format!("ranks=2 order=1 chunk-records=1000 input={input} input={input}");
    let twice = job(&format!("{words} output-fd=1"), &["cat"]);
    says_exactly(&twice.run(), &well(2, &text.repeat(2), 2 * text.len())).prints(text.repeat(2));
    let zeros = scratch.at("zeros");
    fs::write(&zeros, "one\0two\0three\0").unwrap();
    let words =
        format!("ranks=1 records=nul chunk-records=1 run=per-chunk input={}", zeros.display());
    let counted = job(&format!("{words} order=1 output-fd=1"), &["wc", "-c"]).run();
    says_exactly(&counted, &well(3, "one\0two\0three\0", 6)).prints("4\n4\n6\n");
}

#[test]
fn a_job_can_be_run_again() {
    let scratch = Scratch::new();
    let (text, input) = lines(&scratch);
    let told = well(10, &text, text.len());
    for what in [&["cat"][..], &[]] {
        let map = if what.is_empty() { "map=lines" } else { "" };
        let words =
            format!("twice ranks=2 order=1 chunk-records=100 output-fd=1 input={input} {map}");
        says_exactly(&job(&words, what).run(), &told.repeat(2)).prints(text.repeat(2));
    }
}

#[test]
fn a_job_that_fails_says_why_and_with_which_status() {
    let failures: [(&str, &[&str], &str, &str); 7] = [
        ("ranks=2", &["false"], "exited with status 1", "result 1, "),
        ("ranks=1", &["sh", "-c", "kill -9 $$"], "SIGKILL", "result 137, "),
        ("ranks=1", &["sh", "-c", "echo why >&2; exit 9"], "why\npxrun: error: ", "result 9, "),
        (
            "",
            &["px-no-such-command"],
            "cannot find the command `px-no-such-command`",
            "result 127, ",
        ),
        ("frob=1", &["cat"], "unknown option `--frob`", "result 125, "),
        ("input=/no/such/file", &["cat"], "cannot open input `/no/such/file`", "result 125, "),
        ("records=many", &["cat"], "`--records` must be", "result 125, "),
    ];
    for (words, command, why, result) in failures {
        job(words, command).run().ok().says("run -19\n").says(why).says(result);
    }
}

#[test]
fn what_cannot_be_is_told_when_it_is_set() {
    let wrong = [
        ("ranks=0", "`ranks` must be from 1 to 1048576, found 0"),
        ("deal=3", "`deal` must be from 0 to 2, found 3"),
        ("order=9", "`order` must be from 0 to 2, found 9"),
        ("chunk-size=0", "`bytes` must be from 1 on, found 0"),
        ("chunk-records=0", "`records` must be from 1 on, found 0"),
        ("input=", "`path` is empty"),
        ("input=/dev/stdin", "px_job_output_fd"),
        ("output=/dev/fd/1", "found `/dev/fd/1`"),
        ("output-fd=900", "`fd` cannot be used, found 900: Bad file descriptor"),
        ("No-option=1", "`name` must be a long option of pxrun without dashes"),
        ("hosts", "`hosts` is NULL"),
    ];
    for (words, why) in wrong {
        job(words, &["cat"]).run().ok().says("set -1\n").says(why).says_not("run -");
    }
    job("", &[]).run().ok().says("run -1\n").says("px_job_command").says_not("result");
}

#[test]
fn who_has_no_helper_is_told_where_one_was_looked_for() {
    let with = |helper: &str| job("ranks=1", &["cat"]).env("PX_HELPER", helper).run();
    with("/no/such/pxrun").ok().says("run -18\nPX_HELPER names no program: `/no/such/pxrun`");
    with("/etc/passwd").ok().says("run -18\nPX_HELPER names no program");
    with("/bin/true").ok().says("run -18\nthe helper `/bin/true` ended without a word\n");
    // What it says goes for the reason.
    with("/bin/cat")
        .ok()
        .says("run -18\nthe helper `/bin/cat` ended without a word\n")
        .says("--as-helper");
    let scratch = Scratch::new();
    let broken = scratch.program("pxrun", "no program\n");
    with(broken.to_str().unwrap()).ok().says("run -18\ncannot start `").says("Exec format error");
}

#[test]
fn a_callback_that_wants_no_more_output_ends_the_job() {
    let outcome = job("ranks=2 output-callback=1000", &["yes"]).run();
    outcome.ok().says("run -19\nthe output callback returned 7, which ended the job\n");
    outcome.says("result 141, ");
}

#[test]
fn words_go_to_the_descriptor_that_wants_them() {
    let outcome = job("ranks=1 errors-fd=1", &["sh", "-c", "echo one >&2; exit 3"]).run();
    outcome.ok().says("run -19\nthe job ended with status 3\nresult 3, ");
    let text = outcome.text();
    outcome.check(text.starts_with("one\npxrun: error: rank 0"), || "wanted words".to_owned());
}

#[test]
fn a_job_sees_the_programs_surroundings_and_nothing_of_its_socket() {
    let scratch = Scratch::new();
    let script = "pwd; echo \"$SAID\"; echo \"${PX_FD-none}\"; ls /proc/self/fd | wc -l";
    let outcome = job("ranks=1 output-fd=1", &["sh", "-c", script])
        .directory(scratch.path())
        .env("SAID", "what the user says")
        .env("PX_FD", "77")
        .run();
    // Of descriptors, `ls` has its three and what it reads the directory by.
    outcome.ok().prints(format!("{}\nwhat the user says\nnone\n4\n", scratch.path().display()));
}

#[test]
fn the_program_is_as_it_was_and_its_wait_sees_no_child() {
    let scratch = Scratch::new();
    let (_, input) = lines(&scratch);
    for words in [format!("{input} cat"), input] {
        let outcome = alone("guest", &words).run();
        outcome.ok().prints("").quiet();
    }
}

/// The same as [`job`], on the head of a lab.
fn on_the_head(lab: &Lab, words: &str, command: &[&str]) -> Job {
    let job = lab.job(&format!("{} {words} --", compiled("job").display()));
    let job = job.env("LD_LIBRARY_PATH", installed().at("lib"));
    command.iter().fold(job, |job, word| job.arg(word))
}

#[test]
fn a_job_has_hosts_as_one_of_pxrun_has_and_leaves_nothing_on_them() {
    let lab = Lab::up(2);
    let scratch = Scratch::new();
    let (text, input) = lines(&scratch);
    let hosts = lab.hostfile(2);
    let hosts = hosts.display();
    let words = format!("order=1 chunk-records=50 run=per-chunk output-fd=1 input={input}");
    let upper =
        on_the_head(&lab, &format!("hostfile={hosts} {words}"), &["tr", "a-z", "A-Z"]).run();
    says_exactly(&upper, &well(20, &text, text.len())).prints(text.to_uppercase());
    let names: Vec<String> = lab.hosts().iter().map(Host::name).collect();
    let listed = format!("hosts={}:1 output-fd=1", names.join(":1,"));
    let said = on_the_head(&lab, &listed, &["hostname"]).run();
    assert_eq!(said.ok().says("run 0\n").sorted_lines(), names);
    let unknown = on_the_head(&lab, "hosts=nowhere", &["cat"]).run();
    unknown.ok().says("run -19\n").says("nowhere").says("result 125, ");
    let began = lab.path().join("began");
    fs::create_dir(&began).unwrap();
    let script = format!("touch {}/$PX_RANK; sleep 1000", began.display());
    let running = on_the_head(&lab, &format!("hostfile={hosts}"), &["sh", "-c", &script]).start();
    let all_began = || fs::read_dir(&began).unwrap().count() == 4;
    assert!(processes::holds_within(GONE, all_began), "not all copies run");
    // Between the lab and the program stand those that enter it.
    let program = processes::named(running.mark(), "job");
    sys::kill(program[0].pid, libc::SIGKILL).unwrap();
    running.finish();
    assert_eq!(lab.leftovers(GONE), []);
}

#[test]
fn a_program_that_dies_takes_its_job_with_it() {
    for (words, command) in [("ranks=3", &["sleep", "1000"][..]), ("ranks=3 map=hang", &[])] {
        let scratch = Scratch::new();
        let (_, input) = lines(&scratch);
        let running = job(&format!("{words} chunk-records=10 input={input}"), command).start();
        let mark = running.mark().to_owned();
        let helped = processes::holds_within(GONE, || {
            let copies = processes::named(&mark, "sleep").len();
            let agents = processes::named(&mark, "px-agent").len();
            agents == 1 && copies == if command.is_empty() { 0 } else { 3 }
        });
        assert!(helped, "no job runs: {:?}", processes::survivors(&mark));
        running.signal(libc::SIGKILL);
        running.finish().dies_by(libc::SIGKILL);
        processes::wait_until_gone(&mark, GONE);
    }
}

#[test]
fn a_forked_child_that_lives_on_does_not_keep_the_job_of_its_parent() {
    let running = job("ranks=2 fork-and-die output-callback", &["sh", "-c", "echo; sleep 1000"]);
    let running = running.held_stderr().start();
    let mark = running.mark().to_owned();
    let others = || {
        let all = processes::survivors(&mark);
        all.into_iter().filter(|process| process.name != "job").collect::<Vec<_>>()
    };
    let died = processes::holds_within(GONE, || {
        processes::one(running.pid()).is_none_or(|process| process.state == 'Z')
    });
    assert!(died, "the program lives");
    assert!(processes::holds_within(GONE, || others().is_empty()), "{:?}", others());
    assert_eq!(processes::survivors(&mark).len(), 1, "the child lives on");
    processes::kill_all(&mark);
}

#[test]
fn callbacks_process_every_chunk_once_and_in_order() {
    let scratch = Scratch::new();
    let (text, input) = lines(&scratch);
    for ranks in [1, 2, 8] {
        let words = format!("map=lines ranks={ranks} order=1 chunk-records=7 input={input}");
        for way in ["output-fd=1", "output-callback"] {
            let outcome = job(&format!("{words} {way}"), &[]).run();
            says_exactly(&outcome, &well(143, &text, text.len())).prints(&text);
        }
    }
    let empty = job("map=lines ranks=2 output-fd=1", &[]).run();
    says_exactly(&empty, &well(0, "", 0)).prints("");
}

#[test]
fn a_job_ends_though_a_forked_child_has_its_sockets() {
    let scratch = Scratch::new();
    let (text, input) = lines(&scratch);
    let words = format!("map=fork ranks=3 order=1 chunk-records=7 output-fd=1 input={input}");
    let outcome = job(&words, &[]).run();
    says_exactly(&outcome, &well(143, &text, text.len())).prints(&text);
}

#[test]
fn callbacks_run_at_once_in_threads_of_their_own() {
    let scratch = Scratch::new();
    let (text, input) = lines(&scratch);
    let words = format!("map=check ranks=4 order=2 chunk-records=50 output-fd=1 input={input}");
    let outcome = job(&words, &[]).run();
    let mut sorted: Vec<String> = text.lines().map(str::to_owned).collect();
    sorted.sort();
    outcome.ok().says("run 0\n");
    outcome.check(outcome.sorted_lines() == sorted, || "wanted all lines".to_owned());
}

#[test]
fn a_chunk_that_a_callback_fails_ends_the_job_or_is_left_out() {
    let scratch = Scratch::new();
    let (text, input) = lines(&scratch);
    let words = format!("ranks=2 order=1 chunk-records=10 output-fd=1 input={input}");
    let stopped = job(&format!("map=fail {words}"), &[]).run();
    stopped.ok().says("run -19\n").says("released chunk 5 (").says("result 125, ");
    stopped.check(text.as_bytes().starts_with(&stopped.stdout), || "wanted a beginning".to_owned());
    let others: String = text
        .split_inclusive('\n')
        .enumerate()
        .filter(|(n, _)| n / 10 != 5)
        .map(|(_, line)| line)
        .collect();
    let going = job(&format!("map=fail keep-going {words}"), &[]).run();
    going.ok().says("run -19\n").says("1 chunk failed").prints(others);
    let other = job(&format!("map=other {words}"), &[]).run();
    other.ok().says("run -19\na callback must return PX_COMMIT (0) or PX_FAIL (1), found 99\n");
}

#[test]
fn a_callback_has_no_hosts_and_is_told_what_has() {
    for words in ["hosts=a,b", "hostfile=hosts", "backend=ssh"] {
        let outcome = job(&format!("map=lines {words}"), &[]).run();
        outcome.ok().says("run -14\n").says("px_mpi_job_run").says_not("result");
    }
    let many = job("map=lines ranks=1025", &[]).run();
    many.ok().says("run -1\na callback can have 1 to 1024 ranks, found 1025\n");
    let chunks = job("map=lines run=per-chunk", &[]).run();
    chunks
        .ok()
        .says("run -19\n")
        .says("a callback runs in the program itself")
        .says("result 125, ");
}
