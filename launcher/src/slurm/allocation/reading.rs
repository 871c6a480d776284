//! From the variables of a process to its allocation.

use std::collections::HashSet;

use px_runtime::failure::Message;

use super::{Allocation, Counted, Member, Node};
use crate::hostfile::fault::Found;
use crate::slurm::{counts, nodelist};

/// The nodes of a job.
pub(super) const NODELIST: &str = "SLURM_JOB_NODELIST";
const CPUS: &str = "SLURM_JOB_CPUS_PER_NODE";
const TASKS: &str = "SLURM_TASKS_PER_NODE";
const STEP_NODELIST: &str = "SLURM_STEP_NODELIST";

/// The variables of a process; what is empty is not there.
pub(super) struct Variables<'a>(&'a dyn Fn(&str) -> Option<String>);

impl<'a> Variables<'a> {
    pub fn new(variable: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Variables(variable)
    }

    pub fn allocation(&self) -> Result<Option<Allocation>, Message> {
        let Some(job) = self.number(&["SLURM_JOB_ID", "SLURM_JOBID"], 0)? else { return Ok(None) };
        if let Some(parts @ 2..) = self.number(&["SLURM_HET_SIZE"], 0)? {
            let text = format!(
                "Slurm job {job} has {parts} heterogeneous components, of which a \
                                step is in one alone"
            );
            return Err(Message::new(text).help(ELSEWHERE));
        }
        let nodelist = self.needed(job, &[NODELIST, "SLURM_NODELIST"])?;
        let names = nodelist::expand(NODELIST, &nodelist)?;
        let cpus = self.needed(job, &[CPUS])?;
        let cpus = one_each(CPUS, counts::expand(CPUS, &cpus)?, &names)?;
        let cpus_per_task = self.number(&["SLURM_CPUS_PER_TASK"], 1)?.unwrap_or(1);
        let (slots, counted) = match self.tasks() {
            Some(tasks) => {
                (one_each(TASKS, counts::expand(TASKS, &tasks)?, &names)?, Counted::Tasks)
            }
            None => {
                (cpus.iter().map(|cpus| (cpus / cpus_per_task).max(1)).collect(), Counted::Cpus)
            }
        };
        let known: HashSet<&str> = names.iter().map(String::as_str).collect();
        let step = self.step(&known)?;
        let here = self.get(&["SLURMD_NODENAME"]).filter(|name| known.contains(name.as_str()));
        let nodes = names.into_iter().zip(cpus).zip(slots);
        Ok(Some(Allocation {
            job,
            cluster: self.get(&["SLURM_CLUSTER_NAME"]),
            step,
            restarts: self.number(&["SLURM_RESTART_COUNT"], 0)?.unwrap_or(0),
            array: self.member()?,
            nodes: nodes.map(|((name, cpus), slots)| Node { name, cpus, slots }).collect(),
            here,
            cpus_per_task,
            nodelist,
            counted,
        }))
    }

    /// The tasks of the job, where they are told: what is the same as the step's is the step's.
    ///
    /// The tempting way is to ask whether there is a step at all. But a job that was started in a
    /// step of another one inherits the variables of that step, and `srun --preserve-env`, which
    /// `salloc` uses where it starts its shell in a step, leaves the job's tasks as they are.
    fn tasks(&self) -> Option<String> {
        let of_step = self.get(&["SLURM_STEP_TASKS_PER_NODE"]);
        self.get(&[TASKS]).filter(|tasks| Some(tasks) != of_step.as_ref())
    }

    /// The step, if it is one of this job: then its nodes are the job's.
    fn step(&self, known: &HashSet<&str>) -> Result<Option<u32>, Message> {
        let Some(nodes) = self.get(&[STEP_NODELIST]) else { return Ok(None) };
        let nodes = nodelist::expand(STEP_NODELIST, &nodes)?;
        if !nodes.iter().all(|name| known.contains(name.as_str())) {
            return Ok(None);
        }
        self.number(&["SLURM_STEP_ID", "SLURM_STEPID"], 0)
    }

    fn member(&self) -> Result<Option<Member>, Message> {
        let array = self.number(&["SLURM_ARRAY_JOB_ID"], 0)?;
        let index = self.number(&["SLURM_ARRAY_TASK_ID"], 0)?;
        Ok(array.zip(index).map(|(array, index)| Member { array, index }))
    }

    /// The first of some variables that is there, the older names of one behind the newer.
    fn get(&self, names: &[&str]) -> Option<String> {
        names.iter().find_map(|name| (self.0)(name).filter(|value| !value.is_empty()))
    }

    fn needed(&self, job: u32, names: &[&str]) -> Result<String, Message> {
        self.get(names).ok_or_else(|| {
            let name = names.first().copied().unwrap_or_default();
            Message::new(format!("`{name}` must be set in Slurm job {job}, found nothing"))
                .help(ELSEWHERE)
        })
    }

    fn number(&self, names: &[&str], least: u32) -> Result<Option<u32>, Message> {
        let Some(text) = self.get(names) else { return Ok(None) };
        // `parse` alone would take a sign.
        let digits_only = text.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse() {
            Ok(number) if digits_only && number >= least => Ok(Some(number)),
            _ => {
                let (name, found) = (names.first().copied().unwrap_or_default(), Found::new(&text));
                Err(Message::new(format!(
                    "`{name}` must be a whole number from {least} to {}, found {found}",
                    u32::MAX
                )))
            }
        }
    }
}

/// The way out where a job cannot be understood.
const ELSEWHERE: &str = "use `--backend local` for this host alone, or `--backend ssh`";

fn one_each(name: &str, counts: Vec<u32>, nodes: &[String]) -> Result<Vec<u32>, Message> {
    if counts.len() == nodes.len() {
        return Ok(counts);
    }
    Err(Message::new(format!(
        "`{name}` must have a count for each node of `{NODELIST}`, which are {}, found {}",
        nodes.len(),
        counts.len()
    )))
}
