//! The lab's Slurm and its MPIs are what they say: nodes, steps, batch scripts, credentials, worlds
//! that count right, and an end that leaves nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on panics")]

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use px_tests::lab::{Mpi, PINS};
use px_tests::processes::{self, holds_within};
use px_tests::{Job, Lab, lab};

/// Far beyond what anything takes that must come.
const BOUND: Duration = Duration::from_secs(60);

/// Each process of it prints its number, how many there are, and its host.
const WORLD: &str = include_str!("../lab/world.c");

/// Writes a batch script.
fn script(lab: &Lab, lines: &str) -> PathBuf {
    let path = lab.path().join("batch");
    fs::write(&path, format!("#!/bin/sh\n{lines}\n")).unwrap();
    path
}

/// Hands in a batch script, and returns its number.
fn submitted(lab: &Lab, options: &str, lines: &str) -> String {
    // Not a job of the harness, which would wait for what it starts.
    let mut sbatch = lab.command("sbatch");
    sbatch.arg("--parsable").args(options.split_whitespace()).arg(script(lab, lines));
    let output = sbatch.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

/// What a command on the head prints.
fn printed(lab: &Lab, words: &str) -> String {
    lab.job(words).run().ok().text()
}

#[test]
fn all_nodes_are_idle_and_have_their_cpus() {
    let lab = lab!(Lab::of(4).slurm(|slurm| slurm.cpus(8)));
    let nodes = printed(&lab, "sinfo -h -N -o %N/%T/%c");
    assert_eq!(nodes, "node1/idle/8\nnode2/idle/8\nnode3/idle/8\nnode4/idle/8\n");
    lab.job("srun -N 1 -n 8 true").run().ok().quiet();
}

#[test]
fn a_step_runs_on_each_node_by_its_name() {
    let lab = lab!(Lab::of(3).slurm(|slurm| slurm));
    let step = lab.job("srun -N 3 hostname").run();
    assert_eq!(step.ok().quiet().sorted_lines(), ["node1", "node2", "node3"]);
    // Without a word about waiting until all nodes are done with the step before.
    let step = lab.job("srun -Q -N 2 -n 4 --label true").run();
    step.ok().quiet();
    assert_eq!(lab.leftovers(BOUND), []);
}

#[test]
fn the_head_submits_and_is_a_node_where_that_was_asked_for() {
    let lab = lab!(Lab::of(1).slurm(|slurm| slurm.head_is_node()));
    let step = lab.job("srun -N 2 hostname").run();
    assert_eq!(step.ok().quiet().sorted_lines(), ["head", "node1"]);
    drop(lab);
    let lab = lab!(Lab::of(1).slurm(|slurm| slurm));
    lab.job("salloc -Q -N 1").sh("hostname; srun hostname").run().ok().prints("head\nnode1\n");
    assert_eq!(lab.leftovers(BOUND), []);
}

#[test]
fn a_batch_script_runs_on_the_first_node_and_starts_steps() {
    let lab = lab!(Lab::of(2).slurm(|slurm| slurm));
    let out = lab.path().join("out");
    let lines = "hostname; srun -N 2 hostname | sort; squeue -h -o %T; scontrol show hostnames";
    submitted(&lab, &format!("-N 2 -o {}", out.display()), lines);
    let wanted = "node1\nnode1\nnode2\nRUNNING\nnode1\nnode2\n";
    let printed = || fs::read_to_string(&out).unwrap_or_default();
    assert!(holds_within(BOUND, || printed() == wanted), "{}", printed());
    assert_eq!(lab.leftovers(BOUND), []);
}

#[test]
fn a_job_that_is_cancelled_ends_on_all_nodes() {
    let lab = lab!(Lab::of(2).slurm(|slurm| slurm));
    // Copies that have to be killed, which is what comes after `KillWait`.
    let lines = "srun -N 2 sh -c 'trap : TERM; while :; do sleep 1; done'";
    let job = submitted(&lab, "-N 2 -o /dev/null", lines);
    let loops = |number: usize| {
        let found = lab.host(number).processes();
        found.iter().any(|process| processes::command_line(process.pid).contains("-c trap"))
    };
    assert!(holds_within(BOUND, || loops(1) && loops(2)), "{:?}", lab.leftovers(Duration::ZERO));
    let left = lab.leftovers(Duration::ZERO);
    assert!(left.iter().any(|one| one.command.starts_with("slurmstepd")), "{left:?}");
    lab.job("scancel").arg(job).run().ok().quiet();
    assert_eq!(lab.leftovers(BOUND), []);
}

#[test]
fn lines_of_a_plan_configure_slurm() {
    let lab = lab!(Lab::of(1).slurm(|slurm| slurm.lines("MpiDefault=pmi2\nKillWait=31")));
    let shown = printed(&lab, "scontrol show config");
    let has = |name: &str, value: &str| {
        shown.lines().any(|line| line.starts_with(name) && line.ends_with(&format!("= {value}")))
    };
    assert!(has("MpiDefault", "pmi2") && has("KillWait", "31 sec"), "{shown}");
}

#[test]
fn each_host_decodes_a_credential_once() {
    let lab = lab!(Lab::of(2).slurm(|slurm| slurm));
    let made = printed(&lab, "munge -s secret");
    for number in [1, 2] {
        let decode = |wanted: bool| {
            let line = format!("printf %s '{}' | unmunge", made.trim_end());
            let said = lab.ssh(number, &line);
            said.check((said.status == px_tests::Status::Exited(0)) == wanted, || {
                format!("wanted a decoded credential: {wanted}")
            });
            said.text()
        };
        assert!(decode(true).ends_with("\n\nsecret"));
        assert!(decode(false).contains("Replayed credential"));
    }
}

/// Holds when a world of two counts two on two hosts.
#[track_caller]
fn counts_two(job: Job) {
    let wanted = ["0 of 2 on node1", "1 of 2 on node2"];
    assert_eq!(job.run().ok().quiet().sorted_lines(), wanted);
}

#[test]
fn a_world_over_two_hosts_counts_two() {
    for mpi in Mpi::BOTH {
        let lab = lab!(Lab::of(2).mpi(mpi));
        let world = mpi.build(lab.path(), "world", WORLD);
        counts_two(lab.mpirun(mpi, 2, world.to_str().unwrap()));
        assert_eq!(lab.leftovers(BOUND), []);
    }
}

#[test]
fn a_step_is_a_world_of_the_mpi_it_was_started_for() {
    let ways = [(Mpi::Open, "pmix"), (Mpi::Mpich, "pmi2")];
    for (mpi, way) in ways {
        let lab = lab!(Lab::of(2).mpi(mpi).slurm(|slurm| slurm));
        let world = mpi.build(lab.path(), "world", WORLD);
        counts_two(lab.job(&format!("srun -N 2 --mpi={way}")).arg(world));
        assert_eq!(lab.leftovers(BOUND), []);
    }
}

#[test]
fn no_variable_of_a_launcher_is_set_on_the_head_but_what_the_hosts_need() {
    let lab = lab!(Lab::of(1).mpi(Mpi::Open).mpi(Mpi::Mpich).slurm(|slurm| slurm));
    let names: BTreeSet<String> = printed(&lab, "env")
        .lines()
        .filter_map(|line| Some(line.split_once('=')?.0.to_owned()))
        .filter(|name| ["OMPI", "PMI", "UCX", "HYD", "SLURM"].iter().any(|of| name.starts_with(of)))
        .collect();
    let wanted = [
        "OMPI_MCA_btl",
        "OMPI_MCA_btl_tcp_if_include",
        "OMPI_MCA_oob_tcp_if_include",
        "OMPI_MCA_orte_tmpdir_base",
        "SLURM_CONF",
        "UCX_TLS",
    ];
    assert_eq!(names, wanted.map(str::to_owned).into());
}

#[test]
fn the_end_of_a_slurm_leaves_nothing() {
    let lab = lab!(Lab::of(2).slurm(|slurm| slurm.head_is_node()));
    submitted(&lab, "-N 3 -o /dev/null", "srun -N 3 sleep 1000");
    let sleeps =
        |number: usize| lab.host(number).processes().iter().any(|process| process.name == "sleep");
    assert!(holds_within(BOUND, || sleeps(1) && sleeps(2)));
    let residents: Vec<i32> = processes::all()
        .into_iter()
        .map(|process| process.pid)
        .filter(|&pid| lab_of(pid))
        .collect();
    // An sshd, a munged, a slurmd, a slurmstepd, and a sleep on each node; the head's own.
    assert!(residents.len() >= 14, "{residents:?}");
    let path = lab.path().to_owned();
    drop(lab);
    let lives = |pid: i32| processes::one(pid).is_some_and(|process| process.state != 'Z');
    // What ends leaves its namespace a moment before it is a zombie.
    assert!(holds_within(BOUND, || !residents.iter().any(|&pid| lives(pid))));
    assert!(!path.exists());
}

/// Whether a process is in a network namespace of the lab that is up.
fn lab_of(pid: i32) -> bool {
    use std::os::unix::fs::MetadataExt;
    let number = |path: &str| fs::metadata(path).ok().map(|file| (file.dev(), file.ino()));
    let own = number(&format!("/proc/{pid}/ns/net"));
    let pins = fs::read_dir(PINS).unwrap().flatten();
    own.is_some() && pins.into_iter().any(|pin| number(pin.path().to_str().unwrap()) == own)
}
