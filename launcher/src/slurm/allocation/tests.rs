//! Environments as Slurm 22.05 was seen to make them, and wrong ones.

use super::{Allocation, Member};
use crate::hostfile::allocation::Slots;

fn read(text: &str) -> Result<Option<Allocation>, String> {
    let find = |name: &str| {
        let of_name = |pair: &str| Some(pair.strip_prefix(name)?.strip_prefix('=')?.to_owned());
        text.split_whitespace().find_map(of_name)
    };
    Allocation::read(find).map_err(|message| message.render("error"))
}

fn job(text: &str) -> Allocation {
    read(text).unwrap().unwrap()
}

fn wrong(text: &str) -> String {
    read(text).unwrap_err()
}

/// `name:cpus/slots` of each node.
fn nodes(text: &str) -> String {
    let nodes = job(text).nodes;
    let node = |node: &super::Node| format!("{}:{}/{}", node.name, node.cpus, node.slots);
    nodes.iter().map(node).collect::<Vec<_>>().join(" ")
}

/// `salloc -N 3 -n 5` on nodes of 4 CPUs.
const FIVE_ON_THREE: &str = "SLURM_CLUSTER_NAME=lab SLURM_JOB_ID=1 SLURM_JOBID=1 \
    SLURM_JOB_CPUS_PER_NODE=3,1(x2) SLURM_JOB_NODELIST=n[1-3] SLURM_JOB_NUM_NODES=3 \
    SLURM_NNODES=3 SLURM_NODELIST=n[1-3] SLURM_NPROCS=5 SLURM_NTASKS=5 \
    SLURM_TASKS_PER_NODE=3,1(x2)";

#[test]
fn outside_a_job_there_is_no_allocation() {
    for text in ["", "SLURM_CONF=/etc/slurm.conf SLURM_NTASKS=7", "SLURM_JOB_ID= SLURM_JOBID="] {
        assert_eq!(read(text), Ok(None));
    }
}

#[test]
fn a_slot_is_a_task_of_the_job() {
    assert_eq!(nodes(FIVE_ON_THREE), "n1:3/3 n2:1/1 n3:1/1");
    let threads = "SLURM_CPUS_PER_TASK=2 SLURM_JOB_ID=3 SLURM_JOB_CPUS_PER_NODE=4,2 \
        SLURM_JOB_NODELIST=n[1-2] SLURM_TASKS_PER_NODE=2,1";
    assert_eq!(nodes(threads), "n1:4/2 n2:2/1");
    assert_eq!(job(threads).cpus_per_task, 2);
    assert_eq!(job(threads).hosts()[0].reason, "tasks of Slurm job 3");
    let exclusive = "SLURM_JOB_ID=4 SLURM_JOB_CPUS_PER_NODE=4(x2) SLURM_JOB_NODELIST=n[1-2] \
        SLURM_TASKS_PER_NODE=4(x2)";
    assert_eq!(nodes(exclusive), "n1:4/4 n2:4/4");
    let more_than_asked = "SLURM_JOB_ID=5 SLURM_JOB_CPUS_PER_NODE=2(x2) SLURM_NTASKS=3 \
        SLURM_JOB_NODELIST=n[1-2] SLURM_TASKS_PER_NODE=2,1";
    assert_eq!(nodes(more_than_asked), "n1:2/2 n2:2/1");
}

#[test]
fn in_a_step_the_whole_job_counts_and_not_the_step() {
    let step = "SLURMD_NODENAME=n1 SLURM_CPUS_ON_NODE=3 SLURM_JOB_CPUS_PER_NODE=3,1(x2) \
        SLURM_JOB_ID=5 SLURM_JOB_NODELIST=n[1-3] SLURM_NNODES=1 SLURM_NTASKS=1 SLURM_STEP_ID=0 \
        SLURM_STEP_NODELIST=n1 SLURM_STEP_NUM_TASKS=1 SLURM_STEP_TASKS_PER_NODE=1 \
        SLURM_TASKS_PER_NODE=1";
    assert_eq!(nodes(step), "n1:3/3 n2:1/1 n3:1/1");
    assert_eq!(job(step).step, Some(0));
    assert_eq!(job(step).here.as_deref(), Some("n1"));
    assert_eq!(job(step).hosts()[0].reason, "CPUs of Slurm job 5");
    let threads = "SLURMD_NODENAME=n1 SLURM_CPUS_PER_TASK=3 SLURM_JOB_CPUS_PER_NODE=8,2 \
        SLURM_JOB_ID=7 SLURM_JOB_NODELIST=n[1-2] SLURM_STEP_ID=0 SLURM_STEP_NODELIST=n1 \
        SLURM_STEP_TASKS_PER_NODE=1 SLURM_TASKS_PER_NODE=1";
    assert_eq!(nodes(threads), "n1:8/2 n2:2/1");
    assert_eq!(job(threads).hosts()[0].reason, "8 CPUs of Slurm job 7, 3 a rank");
}

#[test]
fn the_interactive_step_of_salloc_keeps_the_tasks_of_the_job() {
    let step = "SLURMD_NODENAME=n1 SLURM_JOB_CPUS_PER_NODE=4(x3) SLURM_JOB_ID=16 \
        SLURM_JOB_NODELIST=n[1-3] SLURM_NNODES=3 SLURM_NTASKS=5 SLURM_STEP_ID=4294967290 \
        SLURM_STEP_NODELIST=n1 SLURM_STEP_TASKS_PER_NODE=1 SLURM_TASKS_PER_NODE=3,1(x2)";
    assert_eq!(nodes(step), "n1:4/3 n2:4/1 n3:4/1");
    assert_eq!(job(step).step, Some(4_294_967_290));
}

#[test]
fn what_is_left_over_from_the_step_of_another_job_is_not_this_jobs() {
    let salloc_in_a_step = "SLURMD_NODENAME=n3 SLURM_JOB_CPUS_PER_NODE=4 SLURM_JOB_ID=20 \
        SLURM_JOB_NODELIST=n1 SLURM_PROCID=0 SLURM_STEP_ID=0 SLURM_STEP_NODELIST=n[3-4] \
        SLURM_STEP_NUM_TASKS=4 SLURM_STEP_TASKS_PER_NODE=3,1 SLURM_TASKS_PER_NODE=3";
    assert_eq!(nodes(salloc_in_a_step), "n1:4/3");
    assert_eq!(job(salloc_in_a_step).step, None);
    assert_eq!(job(salloc_in_a_step).here, None);
}

#[test]
fn a_job_says_which_one_it_is() {
    let array = format!(
        "{FIVE_ON_THREE} SLURM_ARRAY_JOB_ID=11 SLURM_ARRAY_TASK_ID=7 SLURM_RESTART_COUNT=2 \
         SLURMD_NODENAME=n2"
    );
    let found = job(&array);
    assert_eq!((found.job, found.cluster.as_deref()), (1, Some("lab")));
    assert_eq!((found.restarts, found.array), (2, Some(Member { array: 11, index: 7 })));
    assert_eq!((found.step, found.here.as_deref()), (None, Some("n2")));
    let plain = job(FIVE_ON_THREE);
    assert_eq!((plain.restarts, plain.array, plain.here), (0, None, None));
}

#[test]
fn its_nodes_are_hosts_with_counted_slots() {
    let hosts = job(FIVE_ON_THREE).hosts();
    let slots: Vec<_> = hosts.iter().map(|host| (host.host.as_str(), host.slots)).collect();
    let counted = Slots::Counted;
    assert_eq!(slots, [("n1", counted(3)), ("n2", counted(1)), ("n3", counted(1))]);
    assert!(hosts.iter().all(|host| host.user.is_none() && host.port.is_none()));
}

#[test]
fn older_names_count_where_the_newer_are_not_set() {
    let old = "SLURM_JOBID=9 SLURM_NODELIST=a,b SLURM_JOB_CPUS_PER_NODE=2(x2)";
    assert_eq!(nodes(old), "a:2/2 b:2/2");
}

#[test]
fn a_job_that_is_not_understood_is_refused() {
    let het = "SLURM_JOB_ID=21 SLURM_HET_SIZE=2 SLURM_JOB_NODELIST_HET_GROUP_0=n1";
    assert_eq!(
        wrong(het),
        "pxrun: error: Slurm job 21 has 2 heterogeneous components, of which a step is in one \
         alone\n  help: use `--backend local` for this host alone, or `--backend ssh`\n"
    );
    assert_eq!(
        wrong("SLURM_JOB_ID=3"),
        "pxrun: error: `SLURM_JOB_NODELIST` must be set in Slurm job 3, found nothing\n  \
         help: use `--backend local` for this host alone, or `--backend ssh`\n"
    );
    for (text, found) in [
        ("SLURM_JOB_ID=x", "`SLURM_JOB_ID` must be a whole number from 0 to 4294967295, found `x`"),
        ("SLURM_JOB_ID=+1", "found `+1`"),
        ("SLURM_JOB_ID=1 SLURM_JOB_NODELIST=n[1-", "SLURM_JOB_NODELIST:1:5: a range must"),
        ("SLURM_JOB_ID=1 SLURM_JOB_NODELIST=n", "`SLURM_JOB_CPUS_PER_NODE` must be set"),
        (
            "SLURM_JOB_ID=1 SLURM_JOB_NODELIST=n[1-3] SLURM_JOB_CPUS_PER_NODE=2(x2)",
            "`SLURM_JOB_CPUS_PER_NODE` must have a count for each node of `SLURM_JOB_NODELIST`, \
             which are 3, found 2",
        ),
        (
            "SLURM_JOB_ID=1 SLURM_JOB_NODELIST=n SLURM_JOB_CPUS_PER_NODE=2 SLURM_CPUS_PER_TASK=0",
            "`SLURM_CPUS_PER_TASK` must be a whole number from 1 to",
        ),
        (
            "SLURM_JOB_ID=1 SLURM_JOB_NODELIST=n SLURM_JOB_CPUS_PER_NODE=2 SLURM_TASKS_PER_NODE=a",
            "SLURM_TASKS_PER_NODE:1:1: a count must be",
        ),
    ] {
        let message = wrong(text);
        assert!(message.contains(found), "{text}: {message}");
    }
}
