//! What copies lose to agents: while these wait, and while copies need all cores.

use std::ffi::OsString;

use crate::contestant::{PXRUN_DIRECT, PXRUN_HERE, PXRUN_MPI};
use crate::ground::Ground;
use crate::hosts::far::Far;
use crate::hosts::mpis::ways;
use crate::hosts::{HOSTS, Part, RANKS, alone};
use crate::problem::Problem;
use crate::targets::{Aim, Target};
use crate::verify::Expect;
use crate::words;
use crate::works::{Table, Work};

/// Ranks, and processes of MPI where each is one.
const ALL: usize = HOSTS * RANKS;

/// Agents with nothing to do.
pub fn idle(ground: &Ground) -> Result<Work, Problem> {
    let seconds = ground.options.idle_seconds;
    let mut contestants = Vec::new();
    let mut targets = Vec::new();
    for way in ways() {
        let name = PXRUN_DIRECT[way.mpi as usize];
        let mut words = words![&ground.this_program, Part::Idle.name()];
        words.extend(words![seconds.to_string(), ALL.to_string()]);
        words.extend(way.direct(&Far::list(), ALL));
        contestants.push(alone(ground, name, words, None, Expect::Total(0)));
        targets.push(Target { subject: name, aim: Aim::IdleBelow { share: 0.02 } });
    }
    Ok(Work {
        id: "mpi-idle",
        title: format!("{ALL} idle agents, the root one of them, for {seconds} s"),
        contestants,
        limit: None,
        table: Table::Idle,
        targets,
        remarks: vec![
            "Their copies wait. The kernel counts in steps of 10 ms; wall and CPU time have the \
             start, the end and what has watched in them."
                .to_owned(),
        ],
        rounds: ground.options.rounds,
    })
}

/// Copies that compute, more of them than there are cores.
pub fn work(ground: &Ground) -> Result<Work, Problem> {
    let millions = ground.options.burn;
    let burn = words![&ground.this_program, Part::Burn.name(), millions.to_string()];
    let expect = Expect::Spans { copies: ALL, total: millions * ALL as u64 };
    let list = format!("head:{ALL}");
    let mut contestants = Vec::new();
    let mut targets = Vec::new();
    let mut enter = |name: &'static str, mut words: Vec<OsString>| {
        words.extend(burn.clone());
        contestants.push(alone(ground, name, words, None, expect.clone()));
        if name != PXRUN_HERE {
            let aim = Aim::SpanAtMost { times: 1.05, of: PXRUN_HERE };
            targets.push(Target { subject: name, aim });
        }
    };
    if let Some(pxrun) = &ground.tools.pxrun {
        let local = words![&pxrun.path, "-v", "--backend", "local", "-np", ALL.to_string()];
        enter(PXRUN_HERE, local);
        for way in ways() {
            enter(PXRUN_MPI[way.mpi as usize], way.pxrun(&pxrun.path, &list));
            enter(PXRUN_DIRECT[way.mpi as usize], way.direct(&list, ALL));
        }
    }
    Ok(Work {
        id: "mpi-work",
        title: format!("{millions} million steps in each of {ALL} copies on this machine"),
        contestants,
        limit: None,
        table: Table::Spans,
        targets,
        remarks: vec![format!(
            "Their work is from the first copy's first step to the last one's last. Under a launcher \
             itself there are {ALL} agents, by `--backend mpi` one."
        )],
        rounds: ground.options.rounds,
    })
}
