//! `srun`'s own words: one agent on each node, with all of the job's CPUs there.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use super::allocation::{Allocation, Node};

/// What `srun` is to start.
#[derive(Clone, Copy, Debug)]
pub struct Launch<'a> {
    /// The job.
    pub allocation: &'a Allocation,
    /// The names of the nodes that get an agent.
    pub nodes: &'a [&'a str],
    /// The agent's binary.
    pub agent: &'a OsStr,
    /// Its arguments.
    pub arguments: &'a [OsString],
}

/// Returns the command line that starts an agent on each node as one step of the job.
///
/// The step shares its nodes with whatever else runs in the job, is bound to no CPU and to no part of the
/// memory, and goes on when one of its agents ends.
///
/// # Source
/// srun(1) of Slurm 22.05 to 24.11.
pub fn words(launch: &Launch<'_>) -> Vec<OsString> {
    let used: HashSet<&str> = launch.nodes.iter().copied().collect();
    let all = &launch.allocation.nodes;
    let nodes: Vec<&Node> = all.iter().filter(|node| used.contains(node.name.as_str())).collect();
    let count = nodes.len();
    let nodelist = match count == all.len() {
        true => launch.allocation.nodelist.clone(),
        false => nodes.iter().map(|node| node.name.as_str()).collect::<Vec<_>>().join(","),
    };
    let mut words: Vec<OsString> =
        ["srun", "--overlap", "--mpi=none", "--cpu-bind=none", "--mem=0", "-K0", "--unbuffered"]
            .map(OsString::from)
            .into();
    // A site may have srun end all agents some time after the first one (WaitTime).
    words.push("--wait=0".into());
    let count = count.to_string();
    words.extend(["-N", &count, "-n", &count, "--ntasks-per-node=1"].map(OsString::from));
    words.push(format!("--nodelist={nodelist}").into());
    words.extend(share(&nodes).map(|cpus| format!("--cpus-per-task={cpus}").into()));
    words.push(launch.agent.to_owned());
    words.extend_from_slice(launch.arguments);
    words
}

/// The CPUs of an agent, where they are the same on all nodes.
///
/// Seen with 22.05: on nodes with shares of 3, 1 and 1 CPUs a step of 3 CPUs a task is refused, and one
/// of 1 CPU a task leaves 2 of the first node out, since saying a number means exactly that number. A
/// step that says none has 3, 1 and 1.
fn share(nodes: &[&Node]) -> Option<u32> {
    let first = nodes.first()?.cpus;
    nodes.iter().all(|node| node.cpus == first).then_some(first)
}

/// Names of Slurm's that `srun` gets as they are: which job and cluster, how to reach and to convince the
/// controller, and what copies may ask for and `srun` does not.
const KEPT: [&str; 10] = [
    "SLURM_CONF",
    "SLURM_CONF_SERVER",
    "SLURM_JWT",
    "SLURM_JOBID",
    "SLURM_CLUSTER_NAME",
    "SLURM_WORKING_CLUSTER",
    "SLURM_NODE_ALIASES",
    "SLURM_RESTART_COUNT",
    "SLURM_SUBMIT_DIR",
    "SLURM_SUBMIT_HOST",
];
/// What the names of others that it gets begin with.
const KEPT_BEGINNINGS: [&str; 3] = ["SLURM_JOB_", "SLURM_ARRAY_", "SLURM_SACK_"];
/// Options all the same: `--job-name` and `--nodes`.
const OPTIONS: [&str; 2] = ["SLURM_JOB_NAME", "SLURM_JOB_NUM_NODES"];

/// Returns `srun`'s environment: the variables of this process without those that are options to it.
///
/// Every release of Slurm reads more of them, so names of Slurm's are left out unless they are known to be
/// none; the tempting list of options would be behind the next release.
pub fn environment(
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Vec<(OsString, OsString)> {
    variables.into_iter().filter(|(name, _)| passes(name.as_bytes())).collect()
}

fn passes(name: &[u8]) -> bool {
    let begins = |with: &[&str]| with.iter().any(|with| name.starts_with(with.as_bytes()));
    if !begins(&["SLURM_", "SLURMD_", "SRUN_"]) {
        return true;
    }
    KEPT.iter().any(|kept| kept.as_bytes() == name) || begins(&KEPT_BEGINNINGS) && !begins(&OPTIONS)
}

#[cfg(test)]
mod tests;
