//! Which rank runs where, and which hosts are used without a login.

use px_tests::{Job, Lab, Outcome};

use crate::{file, is_left_alone, job, logins};

/// Each copy tells its place: rank, local rank, ranks on its host, all ranks, host, its own name.
const PLACE: &str = "echo $PX_RANK $PX_LOCAL_RANK $PX_LOCAL_SIZE $PX_SIZE $PX_HOST $(hostname)";

/// `0@node1 1@node1 2@node2` where local ranks and sizes agree with it.
#[track_caller]
fn table(outcome: &Outcome) -> String {
    outcome.ok().quiet();
    let lines = outcome.text();
    let mut ranks: Vec<Vec<&str>> = lines.lines().map(|line| line.split(' ').collect()).collect();
    ranks.sort_by_key(|words| words[0].parse::<usize>().unwrap());
    for (rank, words) in ranks.iter().enumerate() {
        let [own, local, size, world, host, hostname] = words[..] else { panic!("{words:?}") };
        let on_host = |words: &&Vec<&str>| words[4] == host;
        assert_eq!(own, rank.to_string());
        assert_eq!(local, ranks[..rank].iter().filter(on_host).count().to_string(), "{lines}");
        assert_eq!(size, ranks.iter().filter(on_host).count().to_string(), "{lines}");
        assert_eq!((world, hostname), (&*ranks.len().to_string(), host), "{lines}");
    }
    let shown = ranks.iter().map(|words| format!("{}@{}", words[0], words[4]));
    shown.collect::<Vec<_>>().join(" ")
}

fn placed(job: Job) -> String {
    table(&job.sh(PLACE).run())
}

#[test]
fn ranks_fill_slots_or_go_round_the_hosts() {
    let lab = px_tests::lab!(Lab::of(3));
    let hosts = file(&lab, "hosts", "node1 slots=2\nnode2:1\nnode3 slots=3\n");
    let cases = [
        ("", "0@node1 1@node1 2@node2 3@node3 4@node3 5@node3"),
        ("--map-by slot", "0@node1 1@node1 2@node2 3@node3 4@node3 5@node3"),
        ("--map-by host", "0@node1 1@node2 2@node3 3@node1 4@node3 5@node3"),
        ("-map-by node", "0@node1 1@node2 2@node3 3@node1 4@node3 5@node3"),
        ("-np 3", "0@node1 1@node1 2@node2"),
        ("-np 2 --map-by host", "0@node1 1@node2"),
        ("--ranks-per-host 1", "0@node1 1@node2 2@node3"),
        ("-ppn 1", "0@node1 1@node2 2@node3"),
        ("-perhost 1", "0@node1 1@node2 2@node3"),
        ("-npernode 1", "0@node1 1@node2 2@node3"),
        ("-N 1", "0@node1 1@node2 2@node3"),
        ("-np 4 -N 2", "0@node1 1@node1 2@node2 3@node3"),
        ("-np 7 --oversubscribe", "0@node1 1@node1 2@node2 3@node3 4@node3 5@node3 6@node1"),
    ];
    for (options, wanted) in cases {
        let given = lab.pxrun("--hostfile").arg(&hosts).words(options);
        assert_eq!(placed(given), wanted, "{options}");
    }
    is_left_alone(&lab);
}

#[test]
fn hosts_come_from_files_from_a_list_and_from_the_environment() {
    let lab = px_tests::lab!(Lab::of(3));
    let one = file(&lab, "one", "# first\r\nnode1 slots = 1 # one\r\n\r\n");
    let two = file(&lab, "two", "node[2-3]:1\n");
    for spelling in ["-f", "-hostfile", "--hostfile", "-machinefile", "--machinefile"] {
        let given = lab.pxrun(spelling).arg(&one).arg(spelling).arg(&two);
        assert_eq!(placed(given), "0@node1 1@node2 2@node3", "{spelling}");
    }
    assert_eq!(placed(lab.pxrun("").env("PX_HOSTFILE", &two)), "0@node2 1@node3");
    assert_eq!(placed(lab.pxrun("-H node1:1").env("PX_HOSTFILE", &two)), "0@node1");
    assert_eq!(placed(lab.pxrun("-f").arg(&one).words("-H node3:2")), "0@node1 1@node3 2@node3");
    assert_eq!(placed(lab.pxrun("--host node2:1,node1:1")), "0@node2 1@node1");
    // Slots add up; bare lines that repeat are a slot each.
    let pbs = file(&lab, "pbs", "node2\nnode2\nnode3\nnode2\nnode3\n");
    assert_eq!(placed(lab.pxrun("-f").arg(&pbs)), "0@node2 1@node2 2@node2 3@node3 4@node3");
    let adds = file(&lab, "adds", "node2:1\nnode1:1\nnode2 slots=1\n");
    assert_eq!(placed(lab.pxrun("-f").arg(&adds)), "0@node2 1@node2 2@node1");
    is_left_alone(&lab);
}

#[test]
fn a_bare_host_has_a_slot_for_each_core_that_its_agent_may_use() {
    let one_core = "taskset -p -c 0 $$ >/dev/null";
    let lab = px_tests::lab!(Lab::of(2).host(1, |host| host.setup(one_core)));
    let cores = std::thread::available_parallelism().unwrap().get();
    let wanted = (0..=cores).map(|rank| format!("{rank}@node{}", if rank == 0 { 1 } else { 2 }));
    let wanted: Vec<_> = wanted.collect();
    assert_eq!(placed(lab.pxrun("-H node1,node2")), wanted.join(" "));
    let too_many = lab.pxrun("-H node1,node2 -np").arg((cores + 2).to_string()).arg("true").run();
    let text = format!(
        "pxrun: error: {} ranks do not fit in {} slots\n  note: node1 has 1 slot, node2 has {cores} \
         (from `-H`)\n  help: use `-np {}`, add slots to the hostfile, or pass `--oversubscribe`\n",
        cores + 2,
        cores + 1,
        cores + 1
    );
    assert_eq!(too_many.own_error().stderr, text);
    is_left_alone(&lab);
}

#[test]
fn more_ranks_than_fit_are_refused_with_the_arithmetic_and_nothing_starts() {
    let lab = px_tests::lab!(Lab::of(2));
    let marks = crate::directory(&lab, "marks");
    let hosts = file(&lab, "hosts", "node1 slots=2 max_slots=3\nnode2 slots=1\n");
    let run = |options: &str| {
        let job = lab.pxrun("--hostfile").arg(&hosts).words(options).directory(&marks);
        let outcome = job.sh("touch $PX_RANK").run();
        assert_eq!(crate::names(&marks), [""; 0]);
        outcome.own_error().stderr.replace(&*hosts.to_string_lossy(), "hosts")
    };
    assert_eq!(
        run("-np 4"),
        "pxrun: error: 4 ranks do not fit in 3 slots\n  \
         note: node1 has 2 slots with `max_slots=3`, node2 has 1 (from hosts)\n  \
         help: use `-np 3`, add slots to the hostfile, or pass `--oversubscribe`\n"
    );
    let said = run("-np 6 --oversubscribe=2");
    assert!(said.contains("6 ranks do not fit in 5 places"), "{said}");
    assert!(said.contains("`--oversubscribe=2` allows 2 ranks a slot"), "{said}");
    let said = run("-np 3 -N 1");
    assert!(said.contains("3 ranks do not fit in 2 places"), "{said}");
    assert!(
        said.contains("`--ranks-per-host 1` allows at most 1 rank on each of 2 hosts"),
        "{said}"
    );
    // What max_slots leaves goes to the other host.
    let given = lab.pxrun("--hostfile").arg(&hosts).words("-np 6 --oversubscribe");
    assert_eq!(placed(given), "0@node1 1@node1 2@node2 3@node1 4@node2 5@node2");
    is_left_alone(&lab);
}

#[test]
fn a_bound_rank_runs_on_its_core_and_is_told_which() {
    let lab = px_tests::lab!(Lab::of(2));
    let script = "echo $PX_RANK $PX_CPUS $(sed -n 's/Cpus_allowed_list:\t//p' /proc/self/status)";
    let outcome = lab.pxrun("--bind-to core -H node1,node2").sh(script).run();
    let mut seen = Vec::new();
    for line in outcome.ok().quiet().sorted_lines() {
        let [_, told, real] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        assert_eq!(told, real, "{line}");
        seen.push(told.to_owned());
    }
    let cores = seen.len() / 2;
    assert_eq!(seen[..cores], seen[cores..], "both hosts have the same cores");
    let mut own = seen[..cores].to_vec();
    own.dedup();
    assert_eq!(own.len(), cores, "each rank has a core of its own: {seen:?}");
    let free = lab.pxrun("-H node1:1").sh("echo ${PX_CPUS-unset}").run();
    free.ok().prints("unset\n");
    let tight = lab.pxrun("--bind-to core -H node1:999").arg("true").run();
    tight
        .own_error()
        .says("`--bind-to core` needs a core for each rank: `node1` has ")
        .says("for 999");
    is_left_alone(&lab);
}

#[test]
fn this_very_machine_needs_no_login_by_any_of_its_names() {
    let lab = px_tests::lab!(Lab::of(1));
    // The head has no sshd, so that a login to it would fail.
    let script = "echo $PX_RANK $PX_LOCAL_RANK $(hostname)";
    for name in ["localhost", "127.0.0.1", "head", "HEAD", "10.77.0.1", "[::1]"] {
        let hosts = format!("{name}:2");
        let outcome = lab.pxrun("-H").arg(hosts).sh(script).run();
        assert_eq!(outcome.ok().quiet().sorted_lines(), ["0 0 head", "1 1 head"], "{name}");
    }
    let outcome = lab.pxrun("-H localhost:1,node1:1").sh(script).run();
    assert_eq!(outcome.ok().quiet().sorted_lines(), ["0 0 head", "1 0 node1"]);
    assert_eq!(logins(&lab, 1), 1);
    for how in ["localhost port=22", "localhost user=root", "root@head", "10.77.0.1 port=22"] {
        let hosts = file(&lab, "hosts", format!("{how} slots=1\n"));
        let outcome = lab.pxrun("-f").arg(&hosts).sh(script).run();
        outcome.own_error().says("connection refused").says("port 22");
    }
    is_left_alone(&lab);
}

#[test]
fn ranks_here_and_there_share_one_input() {
    let lab = px_tests::lab!(Lab::of(2));
    let input = px_tests::records::numbered(20_000, 1);
    let path = file(&lab, "data/input", &input);
    let hosts = file(&lab, "hosts", "node1:2\nlocalhost:2\nnode2:2\n");
    for options in ["-k", "-k --deal block", "-k --contract lines", "--order rank --deal block"] {
        let job = || lab.pxrun("-f").arg(&hosts).words(options).arg("cat");
        job().input_file(&path).run().ok().quiet().prints(&input);
        job().input(&input).run().ok().quiet().prints(&input);
        if !options.contains("block") {
            job().piped(&*input).run().ok().quiet().prints(&input);
        }
    }
    is_left_alone(&lab);
}

#[test]
fn two_names_of_one_host_are_refused_naming_both_lines() {
    let lab = px_tests::lab!(Lab::of(2));
    let marks = crate::directory(&lab, "marks");
    let key = lab.path().join("head/key");
    let text = format!(
        "Host alias\n  HostName 10.77.0.12\n  HostKeyAlias node2\nHost *\n  User root\n  IdentityFile {}\n  UserKnownHostsFile {}\n",
        key.display(),
        lab.known_hosts().display()
    );
    let configuration = file(&lab, "config", text);
    let hosts = file(&lab, "hosts", "node1:1\nnode2:1\n\nalias:1\n");
    let rsh = format!("ssh -F {}", configuration.display());
    let job = lab.pxrun("--rsh").arg(rsh).arg("-f").arg(&hosts).directory(&marks);
    let outcome = job.sh("touch $PX_RANK").run();
    let shown = hosts.display();
    let text = format!(
        "pxrun: error: `node2` at {shown}:2 and `alias` at {shown}:4 are one host, which calls itself \
         `node2`\n  help: name it once, with all its slots\n"
    );
    assert_eq!(outcome.own_error().stderr, text);
    let outcome = lab.pxrun("-H localhost:1,head:1").directory(&marks).sh("touch $PX_RANK").run();
    outcome.own_error().says("`localhost` at -H:1:1 and `head` at -H:1:13 are one host");
    assert_eq!(crate::names(&marks), [""; 0]);
    is_left_alone(&lab);
}

#[test]
fn a_default_count_is_all_slots() {
    let lab = px_tests::lab!(Lab::of(4));
    let outcome = job(&lab, "").sh("echo $PX_SIZE").run();
    assert_eq!(outcome.ok().quiet().sorted_lines(), ["8"; 8]);
}

#[test]
fn a_dry_run_asks_only_where_a_count_needs_it_and_starts_nothing() {
    let one_core = "taskset -p -c 0 $$ >/dev/null";
    let lab = px_tests::lab!(Lab::of(2).host(1, |host| host.setup(one_core)));
    let marks = crate::directory(&lab, "marks");
    let run = |options: &str| {
        let job = lab.pxrun("-H node1,node2:2").words(options).directory(&marks);
        let outcome = job.sh("touch $PX_RANK").run();
        assert_eq!(crate::names(&marks), [""; 0]);
        let text = outcome.ok().quiet().text();
        text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
    };
    let has = |lines: &Vec<String>, wanted: &[&str]| {
        for line in wanted {
            assert!(lines.iter().any(|found| found.starts_with(line)), "no `{line}` in {lines:?}");
        }
    };
    let lines: Vec<String> = run("--dry-run=offline");
    has(&lines, &["ranks ? ", "node1 ? ? its cores", "node2 2 ? `slots=2`"]);
    assert_eq!((logins(&lab, 1), logins(&lab, 2)), (0, 0), "nobody was asked");
    let lines = run("--dry-run");
    has(&lines, &["ranks 3 on 2 hosts", "node1 1 0 its cores", "node2 2 ? `slots=2`"]);
    has(&lines, &["0 node1 0 0", "1 node2 0 ?", "2 node2 1 ?"]);
    assert_eq!((logins(&lab, 1), logins(&lab, 2)), (1, 0), "only the host without a count");
    let lines = run("--dry-run --map-by host");
    has(&lines, &["0 node1 0 ", "1 node2 0 ", "2 node2 1 "]);
    let lines = run("--dry-run --bind-to core -np 1");
    has(&lines, &["ranks 1 on ", "0 node1 0 0"]);
    is_left_alone(&lab);
}
