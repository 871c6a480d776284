//! `side-by-side`: times pxrun beside its peers, an oracle and the bare limits of this machine.
//!
//! The same binary plays several parts. Called plainly it is the harness: it prepares an input, runs
//! every contestant of every work in turn, round by round, checks each result and prints medians.
//! Called as `bare-feeder`, `bare-pump` or `spawn-loop` it is one of the bare limits, so that a
//! limit is timed as a process of its own, exactly as pxrun is. For several hosts it plays further
//! parts (see [`hosts`]).

mod chart;
mod contestant;
mod ground;
mod hosts;
mod input;
mod limits;
mod machine;
mod measure;
mod options;
mod problem;
mod record;
mod report;
mod roster;
mod rounds;
mod running;
mod scratch;
mod stats;
mod sweep;
mod sys;
mod targets;
mod tools;
mod verify;
mod works;

use std::ffi::OsString;
use std::process::ExitCode;

use problem::Problem;

fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    let done = |()| ExitCode::SUCCESS;
    let outcome = match (limits::asked_for(&words), hosts::asked_for(&words)) {
        (Some(limit), _) => limits::run(limit, &words[1..]).map(done),
        (_, Some(part)) => hosts::play(part, &words[1..]),
        _ => side_by_side(&words).map(done),
    };
    match outcome {
        Ok(code) => code,
        Err(problem) => {
            eprintln!("side-by-side: error: {problem}");
            problem.exit_code()
        }
    }
}

/// The harness itself, from its words to the printed tables.
fn side_by_side(words: &[OsString]) -> Result<(), Problem> {
    let options::Asked::Run(options) = options::parse(words)? else {
        print!("{}", options::HELP);
        return Ok(());
    };
    sys::note_interrupts().map_err(Problem::step("install the signal handler"))?;
    let ground = ground::Ground::prepare(*options)?;
    let machine = machine::describe(&ground)?;
    let record = ground.options.record;
    if ground.options.wants_any(&works::ALL) {
        let results = works::run(&works::ALL, &ground)?;
        let text = report::whole(&ground, &machine, &results);
        println!("{text}\n");
        let drawn = chart::draw(&results);
        if record {
            record::write(&text, &drawn)?;
        } else {
            record::write_chart(&ground.options.chart, &drawn)?;
        }
    }
    if ground.options.wants_any(&works::WITH_LIBPX) {
        let results = works::run(&works::WITH_LIBPX, &ground)?;
        let text = report::with_libpx(&ground, &machine, &results);
        println!("{text}\n");
        if record {
            record::write_libpx(&text)?;
        }
    }
    for race in hosts::Race::ALL {
        if ground.options.wants_any(race.works()) {
            let measured = hosts::report(race, &ground, words)?;
            let text = report::on_hosts(race, &ground, &machine, &measured);
            println!("{text}\n");
            if record {
                record::write_race(race, &text)?;
            }
        }
    }
    Ok(())
}
