//! Which hosts read the input themselves, and which are sent it.

use std::fs::OpenOptions;
use std::path::Path;
use std::process::Command;

use px_tests::lab::Host;
use px_tests::{Lab, Scratch, checker, records};

use crate::{directory, file, is_left_alone, job, names};

/// Hides the directory of the input on a host.
const HIDE: &str = "mkdir -p \"$LAB/data\"; mount -t tmpfs empty \"$LAB/data\"";

fn succeeds(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
}

/// Gives a host a file of its own in the place of one of the head's: with other contents, but of
/// the same size and with the same times.
fn imitate(lab: &Lab, host: &Host, path: &Path, contents: &[u8]) {
    let (other, stamp) = (file(lab, "other", contents), file(lab, "stamp", ""));
    succeeds(Command::new("touch").arg("-r").arg(path).arg(&stamp));
    succeeds(host.command("cp").arg(&other).arg(path));
    succeeds(host.command("touch").arg("-r").arg(&stamp).arg(path));
}

#[test]
fn a_host_that_does_not_see_the_very_file_is_sent_it() {
    let plan = Lab::of(4).host(2, |host| host.setup(HIDE)).host(3, |host| host.setup(HIDE));
    let lab = px_tests::lab!(plan.host(4, |host| host.setup(HIDE)));
    let input = records::numbered(20_000, 1);
    let path = file(&lab, "data/input", &input);
    // Every window differs, whichever is looked at.
    let other: Vec<u8> = input.iter().map(|byte| byte ^ 1).collect();
    imitate(&lab, lab.host(3), &path, &other);
    succeeds(
        lab.host(4).command("cp").arg(file(&lab, "longer", [&*input, b"x"].concat())).arg(&path),
    );
    let outcome = job(&lab, "-v -k -i").arg(&path).arg("cat").run();
    outcome.ok().prints(&input);
    let line = |name: &str| {
        let start =
            format!("pxrun: note: `{name}` runs 2 ranks, data goes over a connection to it, it ");
        let found = outcome.stderr.lines().find_map(|line| line.strip_prefix(&start));
        found.unwrap_or_else(|| panic!("no line of {name}\n{}", outcome.seen())).to_owned()
    };
    let shown = path.display();
    assert_eq!(line("node1"), "reads the input itself");
    let second = line("node2");
    assert!(second.starts_with("is sent the input: "), "{second}");
    assert!(second.contains("No such file or directory"), "{second}");
    let third = line("node3");
    let differs = format!("is sent the input: its `{shown}` has other contents at byte ");
    assert!(third.starts_with(&differs), "{third}");
    let (own, wanted) = (input.len() + 1, input.len());
    let longer = format!("is sent the input: its `{shown}` has {own} bytes and not {wanted}");
    assert_eq!(line("node4"), longer);
    for mode in ["", "--deal block", "--run per-chunk", "--compress", "--link ssh"] {
        let outcome = job(&lab, mode).arg("cat").input_file(&path).run();
        checker::each_once(&outcome.ok().quiet().stdout, 20_000);
    }
    for mode in ["-k --deal block", "-k --contract lines", "--order rank --deal block"] {
        job(&lab, mode).arg("cat").input_file(&path).run().ok().quiet().prints(&input);
    }
    is_left_alone(&lab);
}

#[test]
fn a_file_of_other_times_is_not_the_same_file() {
    let lab = px_tests::lab!(Lab::of(1).host(1, |host| host.setup(HIDE)));
    let input = records::numbered(100, 2);
    let path = file(&lab, "data/input", &input);
    succeeds(lab.host(1).command("cp").arg(file(&lab, "same", &input)).arg(&path));
    let outcome = job(&lab, "-v -k cat").input_file(&path).run();
    outcome.ok().prints(&input).says("was changed at another time");
}

#[test]
fn input_without_a_name_is_sent_to_every_host() {
    let lab = px_tests::lab!(Lab::of(2));
    let input = records::numbered(1000, 3);
    let outcome = job(&lab, "-v -k cat").input(&input).run();
    outcome.ok().prints(&input);
    let way = "runs 2 ranks, data goes over a connection to it, it is sent the input: ";
    let sent = |name: &str| format!("pxrun: note: `{name}` {way}");
    outcome.says(&sent("node1")).says(&sent("node2")).says("has no name by now");
    let outcome = job(&lab, "-v -k cat").piped(&*input).run();
    outcome.ok().prints(&input);
    outcome.says(&(sent("node1") + "it is a stream\n")).says(&(sent("node2") + "it is a stream\n"));
}

#[test]
fn a_copy_that_does_not_read_what_it_is_sent_holds_up_no_other() {
    let lab = px_tests::lab!(Lab::of(2).host(2, |host| host.setup(HIDE)));
    let input = records::numbered(100_000, 4);
    let path = file(&lab, "data/input", &input);
    let script = "[ $PX_RANK = 3 ] && exec head -n 1; exec cat >/dev/null";
    job(&lab, "--allow-early-exit").sh(script).input_file(&path).run().ok().prints_lines(1);
    let marks = directory(&lab, "marks");
    let script = format!(
        "[ $PX_RANK = 3 ] && exec \"$0\" never-read {0}; cat >/dev/null; touch {0}/done.$PX_RANK",
        marks.display()
    );
    let job = job(&lab, "--deal block").words("sh -c").arg(script).zoo("").input_file(&path);
    let mut running = job.start();
    let wanted = ["done.0", "done.1", "done.2", "ready.3"];
    running.until("the others are done", |_| names(&marks) == wanted);
    running.signal(libc::SIGTERM);
    running.finish().dies_by(libc::SIGTERM);
    is_left_alone(&lab);
}

#[test]
fn an_input_that_changes_in_mid_job_is_an_error_whoever_reads_it() {
    let lab = px_tests::lab!(Lab::of(2).host(2, |host| host.setup(HIDE)));
    let scratch = Scratch::new();
    for (number, name) in [(1, "by reference"), (2, "by value")] {
        let marks = scratch.directory(name);
        let path = file(&lab, "data/input", records::numbered(400_000, 5));
        let hosts = format!("-v -H node{number}:1");
        let job = lab.pxrun(&hosts).zoo("pause-after 1").arg(&marks).input_file(&path);
        let mut running = job.start();
        running.until("the copy waits", |_| marks.join("ready.0").exists());
        OpenOptions::new().write(true).open(&path).unwrap().set_len(1000).unwrap();
        scratch.file(&format!("{name}/open"), "");
        let outcome = running.finish();
        outcome.own_error().says("input").says(if number == 1 { "itself" } else { "is sent" });
    }
    is_left_alone(&lab);
}

#[test]
fn an_input_that_is_rewritten_in_mid_job_is_an_error_whoever_reads_it() {
    let lab = px_tests::lab!(Lab::of(2).host(2, |host| host.setup(HIDE)));
    let scratch = Scratch::new();
    for (number, name) in [(1, "by reference"), (2, "by value")] {
        let marks = scratch.directory(name);
        let path = file(&lab, "data/input", records::numbered(400_000, 6));
        let hosts = format!("-H node{number}:1");
        let job = lab.pxrun(&hosts).zoo("pause-after 1").arg(&marks).input_file(&path);
        let mut running = job.start();
        running.until("the copy waits", |_| marks.join("ready.0").exists());
        // As long as before.
        std::fs::write(&path, records::numbered(400_000, 6)).unwrap();
        scratch.file(&format!("{name}/open"), "");
        running.finish().own_error().says("input").says("changed");
    }
    is_left_alone(&lab);
}
