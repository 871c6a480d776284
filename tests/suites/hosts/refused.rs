//! Hosts that cannot take part: all of them are told of in one message, and nothing starts.

use std::fs;

use px_tests::{Lab, Outcome};

use crate::{directory, file, is_left_alone, job, names};

/// Leaves the mark of a copy that ran.
const MARK: &str = "echo $PX_RANK@$PX_HOST; touch \"$MARKS/$PX_RANK\"";

/// Each way in which a host can be out of reach, with two good ones.
fn broken() -> px_tests::lab::Plan {
    Lab::of(8)
        .host(2, |host| host.sshd("AuthorizedKeysFile none"))
        .host(7, |host| host.sshd("ForceCommand echo nobody runs anything here >&2; exit 3"))
}

/// Breaks the rest of [`broken`].
fn break_more(lab: &Lab) {
    let path = lab.known_hosts();
    let known = fs::read_to_string(&path).unwrap();
    let line =
        |name: &str| known.lines().find(|line| line.starts_with(&format!("{name},"))).unwrap();
    let (third, fourth, other) = (line("node3"), line("node4"), line("node1"));
    let other = other.replace("node1,10.77.0.11 ", "node4,10.77.0.14 ");
    let changed = known.replace(&format!("{third}\n"), "").replace(fourth, &other);
    fs::write(path, changed).unwrap();
    lab.host(5).crash();
    lab.host(6).kill();
}

#[test]
fn all_hosts_that_fail_are_told_in_one_message_or_left_out() {
    let lab = px_tests::lab!(broken());
    break_more(&lab);
    let list: String = (1..=8).map(|number| format!("node{number}:1\n")).collect();
    let hosts = file(&lab, "hosts", list + "nowhere:1\nno-such-host.invalid:1\n");
    let start = |options: &str, name: &str| {
        let marks = directory(&lab, name);
        let variable = format!("MARKS={}", marks.display());
        let job = lab.pxrun("-f").arg(&hosts).words(options).arg("-x").arg(variable);
        (marks, job.sh(MARK).start())
    };
    // Some answer only when time is up, so all wait together.
    let jobs = [
        start("", "plain"),
        start("--min-hosts 3", "three"),
        start("--min-hosts 2", "two"),
        start("--min-hosts 2 -q", "quiet"),
    ];
    let outcomes = jobs.map(|(marks, running)| (marks, running.finish()));
    let [(plain_marks, plain), (three_marks, three), (two_marks, two), (_, quiet)] = outcomes;
    let says_all = |outcome: &Outcome, level: &str| {
        outcome.says(&format!("pxrun: {level}: 8 of 10 hosts cannot take part\n"));
        for words in [
            "note: `node2`: login denied (",
            "permission denied (publickey).",
            "note: `node3`: its host key cannot be verified (",
            "note: `node4`: its host key is not the one that is known (",
            "remote host identification has changed",
            "note: `node5`: connection refused (ssh: connect to host 10.77.0.15 port 22: ",
            "note: `node6`: no answer in time (ssh: connect to host 10.77.0.16 port 22: ",
            "note: `node7`: the login ended before the agent ran, with status 3 (nobody runs \
             anything here)",
            "note: `nowhere`: no answer in time (",
            "note: `no-such-host.invalid`: its name has no address (ssh: could not resolve ",
        ] {
            outcome.says(words);
        }
        outcome.says_not("`node1`").says_not("`node8`").says_not("StrictHostKeyChecking=");
        assert_eq!(outcome.stderr.matches("pxrun: ").count(), 1, "{}", outcome.seen());
    };
    says_all(plain.own_error().prints(""), "error");
    says_all(three.own_error().prints(""), "error");
    says_all(two.ok(), "warning");
    plain.says("help: `ssh -o BatchMode=yes node2 true` must work without a password");
    assert_eq!(two.sorted_lines(), ["0@node1", "1@node8"]);
    assert_eq!(quiet.ok().quiet().sorted_lines(), ["0@node1", "1@node8"]);
    assert_eq!((names(&plain_marks), names(&three_marks)), (vec![], vec![]), "nothing ran");
    assert_eq!(names(&two_marks), ["0", "1"]);
    is_left_alone(&lab);
}

#[test]
fn one_host_that_fails_is_told_with_the_words_of_ssh_and_the_way_out() {
    let lab = px_tests::lab!(broken());
    break_more(&lab);
    let marks = directory(&lab, "marks");
    let said = |hosts: &str| {
        let job = lab.pxrun("-H").arg(hosts).directory(&marks).sh("touch $PX_RANK");
        let outcome = job.run();
        assert_eq!(names(&marks), [""; 0], "{hosts}");
        outcome.own_error().prints("").stderr.clone()
    };
    let refused = "ssh: connect to host 10.77.0.15 port 22: Connection refused";
    assert_eq!(
        said("node1:1,node5:1"),
        format!(
            "pxrun: error: host `node5`: connection refused\n  note: {refused}\n  \
             help: `--min-hosts 1` goes on without\n"
        )
    );
    assert_eq!(
        said("node5:1"),
        format!("pxrun: error: host `node5`: connection refused\n  note: {refused}\n")
    );
    let denied = said("node1:1,node2:1");
    assert!(denied.starts_with("pxrun: error: host `node2`: login denied\n  note: "), "{denied}");
    let help = "  help: `ssh -o BatchMode=yes node2 true` must work without a password: `ssh-copy-id \
                node2` installs a key, `ssh-add` unlocks one\n";
    assert!(denied.ends_with(help), "{denied}");
    let unknown = said("node3:1");
    assert!(unknown.contains("host `node3`: its host key cannot be verified\n"), "{unknown}");
    assert!(
        unknown.contains("help: compare the key of `ssh-keyscan node3` with the one"),
        "{unknown}"
    );
    let changed = said("node4:1");
    assert!(
        changed.contains("host `node4`: its host key is not the one that is known\n"),
        "{changed}"
    );
    assert!(changed.contains("`ssh-keygen -R node4` forgets the old one"), "{changed}");
    let forced = said("node7:1");
    assert_eq!(
        forced,
        "pxrun: error: host `node7`: the login ended before the agent ran, with status 3\n  \
         note: nobody runs anything here\n"
    );
    is_left_alone(&lab);
}

#[test]
fn a_host_of_another_user_or_port_is_asked_for_there() {
    let lab = px_tests::lab!(
        Lab::of(2).host(2, |host| host.sshd("Port 2222\nListenAddress 0.0.0.0:2222"))
    );
    let hosts = file(&lab, "hosts", "node1 slots=1\nnode2 slots=1 port=2222 user=root\n");
    let outcome = lab.pxrun("-f").arg(&hosts).sh("hostname").run();
    assert_eq!(outcome.ok().quiet().sorted_lines(), ["node1", "node2"]);
    let hosts = file(&lab, "closed", "node1 slots=1 port=2223\n");
    lab.pxrun("-f").arg(&hosts).arg("true").run().own_error().says("port 2223").says("refused");
    let hosts = file(&lab, "nobody", "px-no-such-user@node1 slots=1\n");
    let outcome = lab.pxrun("-f").arg(&hosts).arg("true").run();
    outcome.own_error().says("login denied");
    outcome.says("`ssh -l px-no-such-user -o BatchMode=yes node1 true` must work");
    is_left_alone(&lab);
}

#[test]
fn a_login_that_ends_before_the_agent_speaks_is_told() {
    let lab = px_tests::lab!(Lab::of(2));
    let agent = crate::program(&lab, "agent", "#!/bin/sh\n[ $1 = --version ] || exec >&- 2>&-\n");
    let outcome = job(&lab, "--agent-path").arg(agent).arg("true").run();
    outcome.own_error().says("2 of 2 hosts cannot take part").says("`node1`: ");
    is_left_alone(&lab);
}

#[test]
fn a_job_that_is_ended_while_hosts_are_asked_leaves_nothing() {
    let lab = px_tests::lab!(Lab::of(2));
    let hosts = "-H node1:1,node2:1,nowhere:1";
    for signal in [libc::SIGINT, libc::SIGTERM] {
        let before = crate::logins(&lab, 1);
        let running = lab.pxrun(hosts).arg("true").start();
        let asked = || crate::logins(&lab, 1) > before;
        assert!(px_tests::processes::holds_within(crate::BOUND, asked), "{}", running.stderr());
        running.signal(signal);
        running.finish().dies_by(signal).prints("");
        is_left_alone(&lab);
    }
}
