//! How many hosts a root can have: agents of this machine that pass for hosts.

use std::fmt::Write;
use std::fs;

use super::{Part, alone};
use crate::contestant::PXRUN;
use crate::ground::Ground;
use crate::problem::Problem;
use crate::targets::{Aim, Target};
use crate::verify::Expect;
use crate::words;
use crate::works::{Table, Work};

/// Ranks of each agent.
const RANKS: u64 = 8;

/// A thousand agents with eight ranks each.
pub fn agents(ground: &Ground) -> Result<Work, Problem> {
    let agents = ground.options.agents;
    let mut contestants = Vec::new();
    if let Some(pxrun) = &ground.tools.pxrun {
        let file = ground.scratch.join("agents");
        let mut text = String::new();
        for number in 1..=agents {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "agent{number:04} slots={RANKS}");
        }
        fs::write(&file, text).map_err(Problem::step("write a hostfile"))?;
        let this = ground.this_program.to_string_lossy().replace('\'', "'\\''");
        let login = format!("'{this}' {}", Part::StandInLogin.name());
        let mut words = words![&ground.this_program, Part::Watched.name(), &pxrun.path, "-v"];
        words.extend(words!["--rsh", login, "--hostfile", file, &ground.tools.true_]);
        contestants.push(alone(ground, PXRUN, words, None, Expect::Starts(RANKS * agents)));
    }
    Ok(Work {
        id: "hosts-agents",
        title: format!(
            "{agents} agents of this machine that pass for hosts, {RANKS} x `true` each"
        ),
        contestants,
        limit: None,
        table: Table::Crowd,
        targets: vec![
            Target { subject: PXRUN, aim: Aim::AnsweredBelow { seconds: 5.0 } },
            Target { subject: PXRUN, aim: Aim::RootBelow { bytes: 200 << 20 } },
        ],
        remarks: vec![format!(
            "Each agent is a real one: a login shell, `pxrun`, its guardian and its agent, with a \
             host name of its own and a sealed link over the loopback; only ssh is left out. All \
             of them share this machine's cores with the root, so the times are those of some \
             {} processes. Memory is that of the root's three processes at their peaks.",
            (3 + RANKS) * agents
        )],
        rounds: ground.options.rounds,
    })
}
