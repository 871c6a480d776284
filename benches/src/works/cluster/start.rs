//! What it costs to start and to end.

use std::process::Command;

use crate::contestant::{EMPTY, PXRUN_MPI, PXRUN_STEP, STEP};
use crate::ground::Ground;
use crate::hosts::mpis::ways;
use crate::hosts::{HOSTS, RANKS, alone};
use crate::problem::Problem;
use crate::targets::{Aim, Target};
use crate::verify::Expect;
use crate::words;
use crate::works::{Table, Work};

const EMPTY_C: &str = include_str!("../../../mpi/empty.c");

/// `true` on four hosts, of which the head is one.
pub fn start(ground: &Ground) -> Result<Work, Problem> {
    let list = |slots: usize| {
        let others = (1..HOSTS).map(|number| format!(",node{number}:{slots}"));
        format!("head:{slots}{}", others.collect::<String>())
    };
    let mut contestants = Vec::new();
    let mut targets = Vec::new();
    for way in ways() {
        let which = way.mpi as usize;
        if let Some(pxrun) = &ground.tools.pxrun {
            let mut words = way.pxrun(&pxrun.path, &list(RANKS));
            words.extend(words![&ground.tools.true_]);
            let starts = Expect::Starts((HOSTS * RANKS) as u64);
            contestants.push(alone(ground, PXRUN_MPI[which], words, None, starts));
        }
        let mut words = way.launched(&list(1), HOSTS);
        words.extend(words![way.build(ground, "empty", EMPTY_C)]);
        let starts = Expect::Starts(HOSTS as u64);
        contestants.push(alone(ground, EMPTY[which], words, None, starts));
        let aim = Aim::WallAtMostAndMore { times: 1.1, of: EMPTY[which], more_seconds: 0.050 };
        targets.push(Target { subject: PXRUN_MPI[which], aim });
    }
    Ok(Work {
        id: "mpi-start",
        title: format!(
            "`pxrun --backend mpi -H ... true < /dev/null`, {HOSTS} hosts x {RANKS} ranks"
        ),
        contestants,
        limit: None,
        table: Table::Cluster,
        targets,
        remarks: vec![
            "The bare program calls MPI_Init and MPI_Finalize, one process a host, under the same \
             launcher; the head is one of the hosts."
                .to_owned(),
        ],
        rounds: ground.options.rounds,
    })
}

/// `true` as a step of an allocation that is there already.
pub fn step(ground: &Ground) -> Result<Work, Problem> {
    let tasks = HOSTS * RANKS;
    let job = allocate(tasks)?;
    let mut contestants = Vec::new();
    let mut targets = Vec::new();
    for (which, wire) in ["pmi2", "none"].into_iter().enumerate() {
        let step = words![
            "srun",
            format!("--jobid={job}"),
            format!("-N{HOSTS}"),
            format!("-n{tasks}"),
            format!("--mpi={wire}"),
        ];
        let starts = Expect::Starts(tasks as u64);
        if let Some(pxrun) = &ground.tools.pxrun {
            let mut words = step.clone();
            words.extend(words![&pxrun.path, "-v", &ground.tools.true_]);
            contestants.push(alone(ground, PXRUN_STEP[which], words, None, starts.clone()));
        }
        let mut words = step;
        words.push(ground.tools.true_.clone().into());
        contestants.push(alone(ground, STEP[which], words, None, starts));
        let aim = Aim::WallAtMostAndMore { times: 1.3, of: STEP[which], more_seconds: 0.050 };
        targets.push(Target { subject: PXRUN_STEP[which], aim });
    }
    Ok(Work {
        id: "slurm-step",
        title: format!("`srun -n {tasks} pxrun true`, {HOSTS} nodes x {RANKS} tasks"),
        contestants,
        limit: None,
        table: Table::Cluster,
        targets,
        remarks: vec!["All are steps of one allocation, which was there before.".to_owned()],
        rounds: ground.options.rounds,
    })
}

/// An allocation that stays as long as its Slurm does, by its number.
fn allocate(tasks: usize) -> Result<u64, Problem> {
    let mut salloc = Command::new("salloc");
    salloc.args(["--no-shell", &format!("-N{HOSTS}"), &format!("-n{tasks}")]);
    let output = salloc.output().map_err(Problem::step("start `salloc`"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let job = said.lines().find_map(|line| line.split_once("Granted job allocation "));
    job.and_then(|(_, job)| job.trim().parse().ok())
        .ok_or_else(|| Problem::Status { status: output.status, said: said.trim().to_owned() })
}
