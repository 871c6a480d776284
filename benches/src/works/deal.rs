//! The cost of dealing one chunk: many one-record chunks against few large ones, same bytes.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use crate::contestant::{Contestant, Launch, Output, PXRUN};
use crate::ground::Ground;
use crate::input;
use crate::measure::measure;
use crate::problem::Problem;
use crate::targets::{Aim, Target};
use crate::tools::Tool;
use crate::verify::Expect;
use crate::words;
use crate::works::{Table, Work};

const LARGE: &str = "pxrun, 16 large chunks";

/// The difference of both runs' own CPU, divided by the chunks, is the cost of a chunk.
pub fn deal(ground: &Ground) -> Result<Work, Problem> {
    let chunks = ground.options.chunks;
    let records = ground.scratch.join("short-records");
    input::numbered(chunks, &records)?;
    let mut contestants = Vec::new();
    let mut remarks = Vec::new();
    if let Some(pxrun) = &ground.tools.pxrun {
        match prove(ground, pxrun, &records) {
            Ok(()) => {
                for (name, chunk_records) in [(PXRUN, 1), (LARGE, chunks / 16)] {
                    let command = words![&ground.tools.wc, "-l"];
                    let mut words = dealt(ground, pxrun, chunk_records);
                    words.extend(command);
                    contestants.push(contestant(
                        ground,
                        name,
                        words,
                        &records,
                        Expect::Total(chunks),
                    ));
                }
                remarks.push("Before, a run proved that record i reaches rank i mod N.".to_owned());
            }
            Err(problem) if problem.is_the_contestants() => {
                remarks.push(format!("pxrun was not timed, since it dealt wrongly: {problem}"));
            }
            Err(problem) => return Err(problem),
        }
    }
    let aim =
        Aim::OwnCpuPerUnit { above: LARGE, units: chunks, unit: "chunk", below_seconds: 2.5e-6 };
    Ok(Work {
        id: "deal",
        title: format!("dealing {chunks} chunks of one short line (`wc -l`, a copy a rank)"),
        contestants,
        limit: None,
        table: Table::OneMachine,
        targets: vec![Target { subject: PXRUN, aim }],
        remarks,
        rounds: ground.options.rounds,
    })
}

/// A sum of counts would be right for any deal, so one run shows, rank by rank, who got what.
fn prove(ground: &Ground, pxrun: &Tool, records: &Path) -> Result<(), Problem> {
    let problem = || Problem::step("lay out the proof of the deal");
    let text = fs::read_to_string(records).map_err(problem())?;
    let np = ground.options.np;
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let by_rank: String =
        (0..np).flat_map(|rank| lines.iter().skip(rank).step_by(np)).copied().collect();
    let wanted = ground.scratch.join("by-rank");
    fs::write(&wanted, by_rank).map_err(problem())?;
    let mut words = dealt(ground, pxrun, 1);
    words.extend(words!["--order", "rank", &ground.tools.cat]);
    measure(&contestant(ground, PXRUN, words, records, Expect::Same(wanted)), ground).map(drop)
}

/// pxrun with its chunk, so far without a command.
fn dealt(ground: &Ground, pxrun: &Tool, chunk_records: u64) -> Vec<OsString> {
    let np = ground.options.np.to_string();
    words![&pxrun.path, "-v", "-np", np, "--chunk-records", chunk_records.to_string()]
}

fn contestant(
    ground: &Ground,
    name: &'static str,
    words: Vec<OsString>,
    records: &Path,
    expect: Expect,
) -> Contestant {
    let stdout = ground.scratch.join("result");
    let launch = Launch { words, stdin: Some(records.to_owned()), stdout: stdout.clone() };
    Contestant { name, launches: vec![launch], output: Output::File(stdout), expect, scale: 1 }
}
