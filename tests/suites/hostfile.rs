//! Lists of nodes mean what they mean to Slurm: compared with `scontrol show hostnames`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on panics")]

use std::path::Path;
use std::process::{Command, Output};

use px_tests::Scratch;
use px_tests::rounds::{Random, rounds};
use pxrun::hostfile::Wrong;
use pxrun::slurm::nodelist;

/// `scontrol` wants to know of a cluster before it expands a name; nobody is asked for it.
const CONFIGURATION: &str = "ClusterName=none\nSlurmctldHost=localhost\nNodeName=localhost\n";

fn expand(list: &str) -> Result<Vec<String>, Wrong> {
    nodelist::expand("list", list)
}

fn scontrol(configuration: &Path, list: &str) -> Output {
    Command::new("scontrol")
        .args(["show", "hostnames", list])
        .env("SLURM_CONF", configuration)
        .output()
        .expect("scontrol, of Debian's slurm-client")
}

fn slurm(configuration: &Path, list: &str) -> Vec<String> {
    let output = scontrol(configuration, list);
    assert!(output.status.success(), "{list}: {output:?}");
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// A range, padded or not, sometimes one number.
fn range(random: &mut Random) -> String {
    let below = *random.of(&[10, 120, 1005]);
    let first = random.below(below);
    let last = first + random.below(8);
    let width = *random.of(&[0, 0, 2, 3, 5]);
    match random.below(3) {
        0 => format!("{first:0width$}"),
        _ => format!("{first:0width$}-{last:0width$}"),
    }
}

/// A name with so many brackets, each behind some text, as Slurm demands of the first.
fn name(random: &mut Random, brackets: u64) -> String {
    let mut name = (*random.of(&["n", "node", "rack-1.", "a_b", "x0"])).to_owned();
    for number in 0..brackets {
        if number > 0 {
            let between: &&str = random.of(&["", "n", "-", ".b", "7"]);
            name.push_str(between);
        }
        let ranges: Vec<String> = (0..1 + random.below(3)).map(|_| range(random)).collect();
        name += &format!("[{}]", ranges.join(","));
    }
    name
}

#[test]
fn lists_expand_to_the_hosts_that_slurm_makes_of_them() {
    let scratch = Scratch::new();
    let configuration = scratch.file("slurm.conf", CONFIGURATION);
    for seed in 0..rounds(300) {
        let mut random = Random::seeded(seed);
        let most = *random.of(&[1, 2, 2, 3, 4]);
        let names: Vec<String> = (0..1 + random.below(4))
            .map(|_| {
                let brackets = random.below(most + 1);
                name(&mut random, brackets)
            })
            .collect();
        let list = names.join(",");
        let ours = expand(&list).unwrap_or_else(|wrong| panic!("seed {seed}: {list}: {wrong}"));
        assert_eq!(ours, slurm(&configuration, &list), "seed {seed}: {list}");
    }
}

#[test]
fn slurm_refuses_these_too() {
    let scratch = Scratch::new();
    let configuration = scratch.file("slurm.conf", CONFIGURATION);
    for list in ["n[9-1]", "n[]", "n[1,]", "n[a-c]", "n[1[2]]", "n[1-99999999]"] {
        assert!(expand(list).is_err(), "{list}");
        let output = scontrol(&configuration, list);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("Invalid hostlist"), "{list}: {output:?}");
    }
}

#[test]
fn where_slurm_differs_is_what_the_docs_say() {
    let scratch = Scratch::new();
    let configuration = scratch.file("slurm.conf", CONFIGURATION);
    for (list, theirs) in [
        ("n[1-010]", "n1 n2 n3 n4 n5 n6 n7 n8 n9 n10"),
        ("n[1-]", "n1"),
        ("n[ 1-2]", "n01 n02"),
        ("n[1-2", "n]"),
        ("n[1234567890123456]", "n1234567890123456"),
    ] {
        assert!(expand(list).is_err(), "{list}");
        assert_eq!(slurm(&configuration, list).join(" "), theirs, "{list}");
    }
    assert_eq!(expand("n[0-65536]").unwrap().len(), 65_537);
    assert_eq!(expand("n[1-2]-ib").unwrap(), ["n1-ib", "n2-ib"]);
    for list in ["n[1-2]-ib", "n[0-65536]"] {
        let output = scontrol(&configuration, list);
        assert!(String::from_utf8_lossy(&output.stderr).contains("Invalid hostlist"), "{list}");
    }
}
