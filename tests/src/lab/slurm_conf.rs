//! What the Slurm of a lab is to be like, and the text that tells it, without I/O.

use std::fmt::Write;
use std::path::Path;

use super::texts::{self, HEAD};

/// What a lab's Slurm and those who use it consist of.
pub(super) const PROGRAMS: [&str; 10] = [
    "munged",
    "slurmctld",
    "slurmd",
    "srun",
    "sbatch",
    "salloc",
    "scancel",
    "squeue",
    "scontrol",
    "sinfo",
];

/// Lines that the head runs before each command: munge answers in `/run`, which is this machine's.
pub(super) const HEAD_SETUP: &str =
    "mount --bind \"$lab/head/run\" /run\nexport SLURM_CONF=\"$lab/slurm.conf\"\n";

/// The port of the controller; those who have network namespaces need not choose one.
pub(super) const PORT: u16 = 6817;

/// What a Slurm is to be like.
#[derive(Clone, Debug)]
pub struct SlurmPlan {
    cpus: usize,
    head_is_node: bool,
    lines: String,
}

impl Default for SlurmPlan {
    fn default() -> Self {
        SlurmPlan { cpus: 2, head_is_node: false, lines: String::new() }
    }
}

impl SlurmPlan {
    /// Says how many CPUs each node has, be there so many or not.
    pub fn cpus(&mut self, cpus: usize) -> &mut Self {
        self.cpus = cpus;
        self
    }

    /// Makes the head a node too.
    pub fn head_is_node(&mut self) -> &mut Self {
        self.head_is_node = true;
        self
    }

    /// Adds lines to `slurm.conf`; of two that set the same the later counts.
    pub fn lines(&mut self, lines: &str) -> &mut Self {
        self.lines += lines;
        self.lines += "\n";
        self
    }

    /// The names of all nodes.
    pub(super) fn nodes(&self, hosts: usize) -> Vec<String> {
        let head = self.head_is_node.then(|| "head".to_owned());
        (1..=hosts).map(texts::name).chain(head).collect()
    }

    /// The text of `slurm.conf`.
    pub(super) fn conf(&self, lab: &Path, hosts: usize) -> String {
        let (at, nodes) = (lab.display(), self.nodes(hosts).join(","));
        // Memory is dealt out too, as on most clusters: a step that asks for none gets all of it,
        // and the next one waits.
        let mut text = format!(
            "ClusterName=pxlab\n\
             SlurmctldHost=head({HEAD})\n\
             SlurmctldPort={PORT}\n\
             SlurmUser=root\n\
             SlurmdUser=root\n\
             AuthType=auth/munge\n\
             CredType=cred/munge\n\
             StateSaveLocation={at}/head/state\n\
             SlurmctldPidFile={at}/head/slurmctld.pid\n\
             SlurmdPidFile={at}/%n/slurmd.pid\n\
             SlurmdSpoolDir={at}/%n/spool\n\
             TmpFS={at}/%n/tmp\n\
             SlurmdParameters=config_overrides\n\
             SelectType=select/cons_tres\n\
             SelectTypeParameters=CR_CPU_Memory\n\
             DefMemPerCPU=100\n\
             ProctrackType=proctrack/linuxproc\n\
             TaskPlugin=task/none\n\
             SwitchType=switch/none\n\
             MpiDefault=none\n\
             MailProg=/bin/true\n\
             ReturnToService=2\n\
             SchedulerType=sched/backfill\n\
             SchedulerParameters=sched_interval=1,sched_min_interval=0,batch_sched_delay=0\n\
             PriorityType=priority/basic\n\
             AccountingStorageType=accounting_storage/none\n\
             JobAcctGatherType=jobacct_gather/none\n\
             JobCompType=jobcomp/none\n\
             SlurmdTimeout=60\n\
             KillWait=2\n\
             UnkillableStepTimeout=30\n\
             PropagateResourceLimits=NONE\n"
        );
        let (cpus, memory) = (self.cpus, 1000 + self.cpus * 100);
        let _ = writeln!(text, "NodeName={nodes} CPUs={cpus} RealMemory={memory} State=UNKNOWN");
        let _ = writeln!(text, "PartitionName=main Nodes={nodes} Default=YES MaxTime=INFINITE");
        text + &self.lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_is_a_node_only_where_that_was_asked_for() {
        let mut plan = SlurmPlan::default();
        assert!(plan.conf(Path::new("/lab"), 2).contains("NodeName=node1,node2 CPUs=2 "));
        plan.cpus(8).head_is_node();
        assert!(plan.conf(Path::new("/lab"), 2).contains("NodeName=node1,node2,head CPUs=8 "));
    }

    #[test]
    fn lines_of_a_plan_come_last() {
        let mut plan = SlurmPlan::default();
        plan.lines("KillWait=30").lines("MpiDefault=pmi2");
        assert!(plan.conf(Path::new("/lab"), 1).ends_with("\nKillWait=30\nMpiDefault=pmi2\n"));
    }
}
