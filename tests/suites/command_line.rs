//! The command line: every option of the table, what belongs to the command, and what it is told.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on panics")]

use std::fs;

use px_tests::{Job, Scratch, records};
use rustix::thread::{CpuSet, sched_getaffinity};

/// How many copies a job starts.
fn copies(job: Job) -> usize {
    let outcome = job.zoo("print-env PX_RANK PX_SIZE").run();
    let lines = outcome.ok().sorted_lines();
    for (line, rank) in lines.iter().zip(0..) {
        outcome.check(lines.len() > 9 || *line == format!("{rank} {}", lines.len()), || {
            format!("wanted rank {rank} of {}, found `{line}`", lines.len())
        });
    }
    lines.len()
}

#[test]
fn the_number_of_ranks_is_spelled_as_mpirun_spells_it() {
    for words in ["-n 3", "-n3", "-np 3", "-np3", "-np=3", "-n=3", "--np 3", "--np=3"] {
        assert_eq!(copies(Job::new(words)), 3, "{words}");
    }
}

/// The cores that this test may use, and a set with the first `count` of them.
fn cores(count: usize) -> CpuSet {
    let allowed = sched_getaffinity(None).unwrap();
    let mut set = CpuSet::new();
    for core in (0..CpuSet::MAX_CPU).filter(|&core| allowed.is_set(core)).take(count) {
        set.set(core);
    }
    set
}

#[test]
fn the_default_is_a_rank_for_every_core_this_process_may_use() {
    let one = cores(1);
    assert_eq!(copies(Job::new("").setup(|setup| setup.cores = Some(one))), 1);
    let allowed = sched_getaffinity(None).unwrap().count() as usize;
    assert!((1..=allowed).contains(&copies(Job::new(""))));
}

#[test]
fn oversubscribe_is_ranks_a_core() {
    let one = cores(1);
    let on_one = |words: &str| copies(Job::new(words).setup(|setup| setup.cores = Some(one)));
    assert_eq!(on_one("--oversubscribe=3"), 3);
    assert_eq!(on_one("-np 5"), 5, "an explicit number is permission enough");
    assert_eq!(on_one("-np 5 --oversubscribe"), 5);
}

#[test]
fn a_working_directory_is_meant_from_where_pxrun_is_started() {
    let scratch = Scratch::new();
    let directory = fs::canonicalize(scratch.directory("below")).unwrap();
    scratch.program("below/here", "#!/bin/sh\necho it is here\n");
    for options in ["-np 1", "-H localhost:1"] {
        let job = Job::new(options).words("--wdir below").directory(scratch.path());
        job.sh("pwd -P").input("").run().ok().prints(format!("{}\n", directory.display()));
        // So is a command that is named by a path.
        let job = Job::new(options).words("--wdir below ./here").directory(scratch.path());
        job.input("").run().ok().prints("it is here\n");
    }
    let job = Job::new("-np 1 --wdir nowhere true").directory(scratch.path()).input("");
    job.run().own_error().says("nowhere");
}

#[test]
fn what_follows_the_command_belongs_to_it() {
    let job = Job::new("-n 1").zoo("args -np foo -k --help --np=9 -- -n").arg("a b*").arg("");
    let wanted = r#"["-np", "foo", "-k", "--help", "--np=9", "--", "-n", "a b*", ""]"#;
    job.run().ok().prints(format!("{wanted}\n"));
    let outcome = Job::new("-n 2 grep -np foo").input("foo\n").run();
    // It is grep that dislikes its `-p`.
    outcome.exits(2).says("grep");
    Job::new("-n 1 -- echo -n2").input("").run().ok().prints("-n2\n");
}

#[test]
fn words_that_are_not_text_travel_as_they_are() {
    use std::os::unix::ffi::OsStrExt;
    let odd = std::ffi::OsStr::from_bytes(b"\xff\xfe\n$(x)`y`");
    let job = Job::new("-n 1").arg("printf").arg("%s").arg(odd).input("");
    job.run().ok().prints(odd.as_bytes());
}

#[test]
fn an_unknown_option_is_an_error_that_names_the_nearest() {
    let scratch = Scratch::new();
    let started = format!("touch {}", scratch.at("started").display());
    for (wrong, near) in
        [("--ordr", "--order"), ("--chunk-sice", "--chunk-size"), ("--keepgoing", "--keep-going")]
    {
        let outcome = Job::new(wrong).words("rank").sh(&started).run();
        outcome.own_error().says(wrong).says(near);
    }
    Job::new("-Z").sh(&started).run().own_error().says("-Z");
    assert!(!scratch.has("started"));
}

#[test]
fn a_command_that_begins_with_a_dash_needs_two() {
    let scratch = Scratch::new();
    scratch.program("-odd", "#!/bin/sh\necho odd\n");
    let job = |words: &str| Job::new(words).env("PATH", scratch.path()).input("");
    job("-n 1 -odd").run().own_error();
    job("-n 1 -- -odd").run().ok().prints("odd\n");
}

#[test]
fn an_option_without_its_value_is_an_error() {
    for words in ["-np", "-o", "--order", "--chunk-size"] {
        Job::new(words).run().own_error();
    }
    for words in [
        "--order sideways",
        "--deal all",
        "--chunk-size many",
        "--records bytes=0",
        "--delimiter ab",
        "--run never",
        "--grace soon",
        "--ok 300",
        "--header x",
        "--chunk-records 0",
    ] {
        Job::new(words).arg("cat").run().own_error();
    }
}

#[test]
fn help_fits_on_a_screen_or_two_and_has_examples() {
    for words in ["--help", "-h"] {
        let outcome = Job::new(words).run();
        let text = outcome.ok().quiet().text();
        assert!(text.contains("pxrun -np") || text.contains("pxrun -n"), "no example: {text}");
        assert!(text.lines().count() <= 110, "{} lines", text.lines().count());
        assert!(text.lines().all(|line| line.chars().count() <= 100), "a line is too long");
    }
}

#[test]
fn help_knows_every_option() {
    let text = Job::new("--help").run().ok().text();
    for option in [
        "--np",
        "--oversubscribe",
        "--input",
        "--output",
        "--records",
        "--delimiter",
        "--header",
        "--chunk-size",
        "--chunk-records",
        "--deal",
        "--run",
        "--order",
        "--contract",
        "--tag",
        "--ok",
        "--allow-early-exit",
        "--keep-going",
        "--grace",
        "--timeout",
        "--leak-timeout",
        "--spill-dir",
        "--progress",
        "--joblog",
        "--dry-run",
        "--hostfile",
        "--host",
        "--map-by",
        "--ranks-per-host",
        "--bind-to",
        "--env",
        "--wdir",
        "--min-hosts",
        "--lease",
        "--rsh",
        "--ssh-parallel",
        "--agent-path",
        "--link",
        "--listen",
        "--compress",
        "--verbose",
        "--quiet",
        "--version",
        "--help",
    ] {
        assert!(text.contains(option), "--help lacks {option}");
    }
}

#[test]
fn version_is_one_line() {
    let outcome = Job::new("--version").run();
    let text = outcome.ok().quiet().text();
    assert!(text.starts_with("pxrun ") && text.lines().count() == 1, "{text}");
}

#[test]
fn a_dry_run_starts_nothing_and_shows_the_plan() {
    let scratch = Scratch::new();
    let started = format!("touch {}", scratch.at("started").display());
    let out = scratch.at("out");
    for mode in ["", "-k", "--deal block", "--run per-chunk"] {
        let job = Job::new("-np 3 --dry-run").words(mode).arg("-o").arg(&out).sh(&started);
        let outcome = job.input(records::numbered(1000, 1)).run();
        let text = outcome.ok().text() + &outcome.stderr;
        assert!(text.contains('3') && text.contains("rank") && text.contains("chunk"), "{text}");
    }
    assert!(!scratch.has("started") && !scratch.has("out"));
    Job::new("-np 2 --dry-run -k --run per-rank cat").input("a\n").run().own_error();
}

/// What a dry run says of the ranks, and of each host after its name.
fn hosts(job: impl FnOnce(Job) -> Job) -> Vec<String> {
    let job = job(Job::new("--dry-run=offline"));
    let text = job.words("true").input("").run().ok().text();
    let said = |line: &&str| line.starts_with("ranks ") || line.contains(" ? ");
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    text.lines().filter(said).map(words).collect()
}

#[test]
fn the_hosts_of_pbs_and_lsf_are_used_where_none_are_named() {
    let scratch = Scratch::new();
    let nodes = scratch.file("nodes", "b\na.cluster\nb\nc\n");
    let name = nodes.display().to_string();
    let pbs = |job: Job| job.env("PBS_NODEFILE", &nodes);
    assert_eq!(
        hosts(pbs)[..3],
        [
            "ranks 4 on 3 hosts from `PBS_NODEFILE`".to_owned(),
            format!("b 2 ? 2 lines, {name}:1 and {name}:3"),
            format!("a.cluster 1 ? 1 line, {name}:2"),
        ]
    );
    let lsf = |job: Job| job.env("LSB_HOSTS", "far1 far2 far1");
    assert_eq!(
        hosts(lsf)[..3],
        [
            "ranks 3 on 2 hosts from `LSB_HOSTS`",
            "far1 2 ? 2 lines, LSB_HOSTS:1:1 and LSB_HOSTS:1:11",
            "far2 1 ? 1 line, LSB_HOSTS:1:6",
        ]
    );
    let first = |job: fn(Job) -> Job| hosts(|given| job(pbs(lsf(given)))).swap_remove(0);
    assert!(first(|job| job).ends_with("from `PBS_NODEFILE`"));
    assert_eq!(first(|job| job.words("-H n1:2")), "ranks 2 on 1 host from `-H`");
    let listed = scratch.file("listed", "n1:3\n");
    let given = hosts(|job| pbs(lsf(job)).env("PX_HOSTFILE", &listed)).swap_remove(0);
    assert_eq!(given, format!("ranks 3 on 1 host from {}", listed.display()));
    let empty = hosts(|job| job.env("PBS_NODEFILE", "").env("LSB_HOSTS", " ")).swap_remove(0);
    assert!(!empty.contains("host"), "{empty}");
    let slurm =
        [("SLURM_JOB_ID", "1"), ("SLURM_JOB_NODELIST", "n1"), ("SLURM_JOB_CPUS_PER_NODE", "2")];
    let inside = |job: Job| slurm.iter().fold(job, |job, (name, value)| job.env(name, value));
    let found = hosts(|job| inside(pbs(lsf(job)))).join("\n");
    assert!(!found.contains("PBS_NODEFILE") && !found.contains("LSB_HOSTS"), "{found}");
}

#[test]
fn a_schedulers_list_that_is_wrong_is_refused_at_its_place() {
    Job::new("true")
        .env("LSB_HOSTS", "a b,c")
        .run()
        .own_error()
        .says("LSB_HOSTS:1:4: a host must have a name of letters, digits");
    Job::new("true")
        .env("PBS_NODEFILE", "/no/such")
        .run()
        .own_error()
        .says("cannot open hostfile `/no/such`: No such file");
}

#[test]
fn a_dry_run_leaves_a_stream_alone() {
    let (reader, mut writer) = std::io::pipe().unwrap();
    std::io::Write::write_all(&mut writer, b"one\ntwo\n").unwrap();
    let job = Job::new("-np 2 --dry-run cat")
        .stdin(std::os::fd::OwnedFd::from(reader.try_clone().unwrap()));
    job.run().ok();
    assert_eq!(rustix::io::ioctl_fionread(&reader).unwrap(), 8, "it read the stream");
}

#[test]
fn copies_know_their_place() {
    let names = "PX_RANK PX_SIZE PX_LOCAL_RANK PX_LOCAL_SIZE PX_CHUNK";
    let outcome = Job::new("-np 2").zoo("print-env").words(names).input("a\nb\n").run();
    assert_eq!(outcome.ok().sorted_lines(), ["0 2 0 2 unset", "1 2 1 2 unset"]);
    let job = Job::new("-np 2 -k --chunk-records 1").zoo("print-env").words(names);
    let outcome = job.input("a\nb\nc\n").run();
    outcome.ok().prints("0 2 0 2 0\n1 2 1 2 1\n0 2 0 2 2\n");
}

#[test]
fn copies_know_their_host_and_one_job() {
    let outcome = Job::new("-np 4").zoo("print-env PX_HOST PX_JOB_ID").input("").run();
    let mut lines = outcome.ok().sorted_lines();
    assert_eq!(lines.len(), 4);
    lines.dedup();
    assert_eq!(lines.len(), 1, "one host and one job: {lines:?}");
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    assert!(lines[0].starts_with(&format!("{host} ")), "{}", lines[0]);
    let other = Job::new("-np 1").zoo("print-env PX_HOST PX_JOB_ID").input("").run();
    assert_ne!(other.ok().sorted_lines()[0], lines[0], "every job has an id of its own");
}

#[test]
fn copies_keep_the_environment_and_the_directory() {
    let scratch = Scratch::new();
    let job = Job::new("-np 1").env("OWN", "a b").directory(scratch.path());
    let job = job.sh("echo \"$OWN\"; pwd -P").input("");
    let directory = fs::canonicalize(scratch.path()).unwrap();
    job.run().ok().prints(format!("a b\n{}\n", directory.display()));
}

const COLUMNS: &str = "Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand";

#[test]
fn a_joblog_has_the_columns_of_gnu_parallel() {
    let scratch = Scratch::new();
    let path = scratch.at("log");
    let job = Job::new("-np 2 -k --keep-going --chunk-records 1 --joblog").arg(&path);
    let script = "cat; case $PX_CHUNK in 1) exit 3;; 2) kill -9 $$;; esac";
    job.sh(script).input("one\ntwo\nthree\nfour\n").run().exits(3);
    let log = String::from_utf8(scratch.read("log")).unwrap();
    let mut lines = log.lines();
    assert_eq!(lines.next(), Some(COLUMNS));
    let mut rows: Vec<Vec<&str>> = lines.map(|line| line.split('\t').collect()).collect();
    rows.sort_by_key(|row| row[0].trim().parse::<u64>().unwrap());
    assert_eq!(rows.len(), 4, "a line a chunk: {log}");
    for (row, bytes) in rows.iter().zip(["4", "4", "6", "5"]) {
        assert_eq!(row.len(), 9, "{row:?}");
        assert_eq!((row[4].trim(), row[5].trim()), (bytes, bytes), "bytes sent and received");
        assert!(row[2].trim().parse::<f64>().unwrap() > 1e9, "a start time: {row:?}");
        assert!(row[3].trim().parse::<f64>().unwrap() >= 0.0, "a run time: {row:?}");
        assert!(row[8].starts_with("sh -c"), "the command: {row:?}");
    }
    let ends: Vec<(&str, &str)> = rows.iter().map(|row| (row[6], row[7])).collect();
    assert_eq!(ends, [("0", "0"), ("3", "0"), ("0", "9"), ("0", "0")]);
}

#[test]
fn a_joblog_of_long_lived_copies_has_a_line_a_copy() {
    let scratch = Scratch::new();
    let path = scratch.at("log");
    Job::new("-np 3 --joblog").arg(&path).arg("cat").input("a\nb\n").run().ok();
    let log = String::from_utf8(scratch.read("log")).unwrap();
    assert_eq!(log.lines().count(), 4, "{log}");
    assert_eq!(log.lines().next(), Some(COLUMNS));
}

#[test]
fn progress_is_never_mixed_into_the_output() {
    let input = records::numbered(2000, 1);
    let outcome = Job::new("-np 2 -k --progress always cat").input(&input).run();
    outcome.ok().prints(&input);
    assert!(!outcome.stderr.is_empty(), "--progress always shows nothing");
    Job::new("-np 2 -k --progress never cat").input(&input).run().ok().quiet().prints(&input);
    Job::new("-np 2 -k --progress auto cat").input(&input).run().ok().quiet();
}

#[test]
fn quiet_leaves_errors_and_verbose_tells_more() {
    let job = |options: &str| {
        Job::new(options).words("head -n 1").input(records::numbered(300_000, 1)).run()
    };
    job("-np 2 -q --allow-early-exit").ok().quiet();
    job("-np 2 -q").own_error();
    let outcome = Job::new("-np 2 -v cat").input("a\n").run();
    assert!(!outcome.ok().stderr.is_empty(), "-v tells nothing");
}

#[test]
fn sizes_have_units() {
    let input = records::numbered(20_000, 2);
    for size in ["4096", "4k", "4K", "1M", "1G"] {
        let job = Job::new("-np 2 -k --chunk-size").arg(size).arg("cat").input(&input);
        job.run().ok().prints(&input);
    }
}

#[test]
fn options_may_come_in_any_order() {
    let input = "a\nb\n";
    Job::new("-k -np 2 -t --chunk-records=1 cat").input(input).run().ok().prints("[0] a\n[1] b\n");
    Job::new("--order=input --np=2 --chunk-records=1 cat").input(input).run().ok().prints(input);
}
