//! What a copy on another host finds: its command, words, variables and directory.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use px_tests::Lab;

use crate::{directory, file, is_left_alone, job, names, program};

/// Hides a directory on a host.
const HIDE: &str = "mkdir -p \"$LAB/data\"; mount -t tmpfs empty \"$LAB/data\"";

/// Prints its words, each between angle brackets.
const SHOW: &str = r#"cat >/dev/null; printf '<%s>' "$@""#;

#[test]
fn words_of_the_command_arrive_byte_for_byte() {
    let words: &[&[u8]] = &[
        b"two words",
        b"",
        b"it's \"quoted\" `id` $(id) $HOME ${HOME} \\ \\\\ !! !$",
        b"line\nbreak\r\ttab",
        b"* ? [a-z] ~ ~root {a,b} # ; & | > < ( ) %",
        b"-n",
        b"--",
        b"--np=3",
        b"\xff\xfe\x80 \xc3\x28",
        "\u{fc}ml\u{e4}ut \u{1f642}".as_bytes(),
        b"\x01\x07\x1b[31m\x7f",
    ];
    let shells = ["/bin/sh", "/bin/bash", "/bin/csh", "/usr/bin/fish"];
    let plan = (1..)
        .zip(shells)
        .fold(Lab::of(4), |plan, (number, shell)| plan.host(number, |host| host.shell(shell)));
    let lab = px_tests::lab!(plan);
    for number in 1..=4 {
        let given = lab.pxrun("-k -H").arg(format!("node{number}:1")).sh(SHOW).arg("name");
        let given = words.iter().fold(given, |job, word| job.arg(OsStr::from_bytes(word)));
        let wanted: Vec<u8> = words.iter().flat_map(|word| [b"<", *word, b">"].concat()).collect();
        given.input("x\n").run().ok().quiet().prints(wanted);
    }
    let long = "x".repeat(100_000);
    let outcome = job(&lab, "-k")
        .sh("cat >/dev/null; printf %s ${#1}")
        .arg("name")
        .arg(&long)
        .input("x\n")
        .run();
    outcome.ok().quiet().prints("100000");
    is_left_alone(&lab);
}

#[test]
fn variables_are_passed_where_that_is_asked_for() {
    let lab = px_tests::lab!(Lab::of(2));
    let script = r#"printf '<%s><%s><%s>\n' "${A-unset}" "${B-unset}" "${C-unset}""#;
    let given = || job(&lab, "").env("A", "of the root").env("B", "also");
    given().sh(script).run().ok().quiet().prints("<unset><unset><unset>\n".repeat(4));
    let outcome = given().words("-x A -x C= -x").arg("B=its own 'value'\n$(id)").sh(script).run();
    outcome.ok().quiet().prints("<of the root><its own 'value'\n$(id)><>\n".repeat(4));
    let odd = OsStr::from_bytes(b"A=\xff\xfe");
    let outcome = job(&lab, "-x").arg(odd).sh("printf %s \"$A\"").run();
    outcome.ok().quiet().prints(b"\xff\xfe".repeat(4));
    let outcome = job(&lab, "-x NEVER_SET true").run();
    let text = "pxrun: error: `-x`: `NEVER_SET` is not set here\n  \
                help: give it a value: `-x NEVER_SET=VALUE`\n";
    assert_eq!(outcome.own_error().stderr, text);
    for wrong in ["=x", "PX_RANK=3", "PX_HOST"] {
        job(&lab, "-x").arg(wrong).arg("true").run().own_error().says("`-x`");
    }
    is_left_alone(&lab);
}

#[test]
fn a_path_that_is_passed_is_searched_on_the_host() {
    let lab = px_tests::lab!(Lab::of(2));
    program(&lab, "tools/px-tool", "#!/bin/sh\necho tool on $(/bin/hostname)\n");
    job(&lab, "px-tool").run().exits(127);
    let path = format!("PATH={}:/usr/bin:/bin", lab.path().join("tools").display());
    let outcome = job(&lab, "-x").arg(path).arg("px-tool").run();
    let lines = outcome.ok().quiet().sorted_lines();
    assert_eq!(lines, ["tool on node1", "tool on node1", "tool on node2", "tool on node2"]);
}

#[test]
fn copies_run_in_the_same_directory_or_in_the_one_that_is_named() {
    let lab = px_tests::lab!(Lab::of(2).host(2, |host| host.setup(HIDE)));
    let (work, other) = (directory(&lab, "a work $x"), directory(&lab, "other"));
    let shown = |path: &std::path::Path| format!("{}\n", path.display()).repeat(4);
    let outcome = job(&lab, "/bin/pwd").directory(&work).run();
    outcome.ok().quiet().prints(shown(&work));
    let outcome = job(&lab, "--wdir").arg(&other).arg("/bin/pwd").directory(&work).run();
    outcome.ok().quiet().prints(shown(&other));
    let hidden = directory(&lab, "data/deep");
    let missing = |outcome: px_tests::Outcome| {
        let text = format!(
            "pxrun: error: host `node2`: cannot enter the working directory `{}`: No such file or \
             directory (os error 2)\n  help: `--min-hosts 1` goes on without\n",
            hidden.display()
        );
        assert_eq!(outcome.own_error().prints("").stderr, text);
    };
    missing(job(&lab, "--wdir").arg(&hidden).arg("/bin/pwd").run());
    missing(job(&lab, "/bin/pwd").directory(&hidden).run());
    is_left_alone(&lab);
}

#[test]
fn a_command_that_one_host_lacks_starts_nowhere() {
    let lab = px_tests::lab!(Lab::of(3).host(2, |host| host.setup(HIDE)));
    let marks = directory(&lab, "marks");
    let script = format!("#!/bin/sh\ntouch '{}/'$PX_RANK\n", marks.display());
    let tool = program(&lab, "data/tool", &script);
    let outcome = job(&lab, "").arg(&tool).input("a\n").run();
    let text = format!("pxrun: error: host `node2`: cannot find `{}`", tool.display());
    outcome.exits(127).prints("").says(&text);
    let outcome = job(&lab, "px-no-such-command").run();
    outcome.exits(127).says("3 of 3 hosts cannot take part");
    outcome.says("`node3`: cannot find the command `px-no-such-command` in PATH");
    // On a host that cannot execute it, it is another status.
    let plain = file(&lab, "plain", "#!/bin/sh\n");
    job(&lab, "").arg(&plain).run().exits(126).says("`node1`: cannot execute");
    assert_eq!(names(&marks), [""; 0], "no copy ran");
    is_left_alone(&lab);
}

#[test]
fn what_the_root_has_or_lacks_is_of_no_account() {
    let script = "printf '#!/bin/sh\\necho only here\\n' >/run/px-tool; chmod 755 /run/px-tool";
    let lab = px_tests::lab!(Lab::of(1).host(1, |host| host.setup(script)));
    lab.pxrun("-H node1:1 /run/px-tool").run().ok().quiet().prints("only here\n");
    lab.pxrun("-H node1:1,localhost:1 /run/px-tool").run().exits(127);
    is_left_alone(&lab);
}

#[test]
fn copies_on_other_hosts_start_as_they_do_here() {
    let lab = px_tests::lab!(Lab::of(1));
    let one = || lab.pxrun("-H node1:1");
    one().zoo("print-fds").run().ok().quiet().prints("0 1 2\n");
    one().zoo("open-tty").run().ok().quiet().prints("refused with 6\n");
    let set_anew = "sed -En 's/^Sig(Ign|Blk):.//p' /proc/self/status";
    for mask in one().sh(set_anew).run().ok().quiet().sorted_lines() {
        // Above them are those that the C library keeps for itself.
        assert_eq!(u64::from_str_radix(&mask, 16).unwrap() & 0x7fff_ffff, 0, "{mask}");
    }
    let own = "echo $PX_RANK $PX_SIZE $PX_LOCAL_RANK $PX_LOCAL_SIZE $PX_HOST";
    one().sh(own).run().ok().quiet().prints("0 1 0 1 node1\n");
    // The place of a job in whose copy this one may run is not passed on.
    let chunk =
        one().env("PX_CHUNK", "7").env("PX_RANK", "7").sh("echo ${PX_CHUNK-unset} $PX_RANK");
    chunk.run().ok().quiet().prints("unset 0\n");
    is_left_alone(&lab);
}
