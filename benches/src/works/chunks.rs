//! The cost of a start: one-record chunks with a fresh copy each, and the smallest job there is.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::contestant::{
    Contestant, GNU_ARGUMENTS, Launch, MOREUTILS, Output, PXRUN, RUST_PARALLEL, SPAWN_LOOP, XARGS,
};
use crate::ground::Ground;
use crate::input;
use crate::limits::Limit;
use crate::problem::Problem;
use crate::targets::{Aim, Target};
use crate::verify::Expect;
use crate::words;
use crate::works::{Table, Work};

/// GNU parallel takes some ten times as long a start, so it gets a tenth of them.
const GNU_SHARE: u64 = 10;

/// A fresh `true` a record.
pub fn chunks(ground: &Ground) -> Result<Work, Problem> {
    let count = ground.options.starts;
    let (all, few) = (ground.scratch.join("records"), ground.scratch.join("few-records"));
    let few_count = count.div_ceil(GNU_SHARE);
    input::numbered(count, &all)?;
    input::numbered(few_count, &few)?;
    let mut contestants = everyone(ground, count, &all);
    if let Some(gnu) = &ground.tools.gnu_parallel {
        let words =
            words![&gnu.path, "--will-cite", "-j", np(ground), "-a", &few, &ground.tools.true_];
        let mut contestant = quiet(ground, GNU_ARGUMENTS, words, None, few_count);
        contestant.scale = u32::try_from(count / few_count).unwrap_or(1);
        contestants.push(contestant);
    }
    let faster = |peer: &'static [&'static str]| Target {
        subject: PXRUN,
        aim: Aim::FasterThan { times: 1.0, fastest_of: peer, called: peer[0] },
    };
    Ok(Work {
        id: "chunks",
        title: format!("{count} one-record chunks, `--run per-chunk --allow-early-exit true`"),
        contestants,
        limit: Some(SPAWN_LOOP),
        table: Table::OneMachine,
        targets: vec![
            Target { subject: PXRUN, aim: Aim::WallAtMost { times: 1.4, of: SPAWN_LOOP } },
            faster(&[XARGS]),
            faster(&[RUST_PARALLEL]),
        ],
        remarks: vec![format!(
            "GNU parallel ran {few_count} starts; its times are scaled to {count}. The peers give \
             a record as an argument, pxrun as a copy's input."
        )],
        rounds: ground.options.rounds,
    })
}

fn everyone(ground: &Ground, count: u64, records: &Path) -> Vec<Contestant> {
    let (tools, np) = (&ground.tools, np(ground));
    let mut contestants = Vec::new();
    if let Some(pxrun) = &tools.pxrun {
        let mut words = words![&pxrun.path, "-v", "-np", &np, "--run", "per-chunk"];
        words.extend(words!["--chunk-records", "1", "--allow-early-exit", &tools.true_]);
        contestants.push(quiet(ground, PXRUN, words, Some(records), count));
    }
    contestants.push(spawn_loop(ground, count, ground.options.np));
    if let Some(xargs) = &tools.xargs {
        let words = words![&xargs.path, "-a", records, "-P", &np, "-n", "1", &tools.true_];
        contestants.push(quiet(ground, XARGS, words, None, count));
    }
    if let Some(peer) = &tools.rust_parallel {
        let words = words![&peer.path, "-j", &np, "-i", records, &tools.true_];
        contestants.push(quiet(ground, RUST_PARALLEL, words, None, count));
    }
    if let Some(peer) = &tools.moreutils {
        let mut words = words![&peer.path, "-j", &np, &tools.true_, "--"];
        words.extend((0..count).map(|number| OsString::from(number.to_string())));
        contestants.push(quiet(ground, MOREUTILS, words, None, count));
    }
    contestants
}

/// `pxrun -np 2 true < /dev/null`.
pub fn start(ground: &Ground) -> Result<Work, Problem> {
    let mut contestants = Vec::new();
    if let Some(pxrun) = &ground.tools.pxrun {
        let words = words![&pxrun.path, "-v", "-np", "2", &ground.tools.true_];
        contestants.push(quiet(ground, PXRUN, words, None, 2));
    }
    contestants.push(spawn_loop(ground, 2, 2));
    if let Some(xargs) = &ground.tools.xargs {
        let records = ground.scratch.join("two-records");
        input::numbered(2, &records)?;
        let words = words![&xargs.path, "-a", records, "-P", "2", "-n", "1", &ground.tools.true_];
        contestants.push(quiet(ground, XARGS, words, None, 2));
    }
    if let Some(gnu) = &ground.tools.gnu_parallel {
        let words =
            words![&gnu.path, "--will-cite", "-j", "2", &ground.tools.true_, ":::", "1", "2"];
        contestants.push(quiet(ground, GNU_ARGUMENTS, words, None, 2));
    }
    Ok(Work {
        id: "start",
        title: "`pxrun -np 2 true < /dev/null`".to_owned(),
        contestants,
        limit: Some(SPAWN_LOOP),
        table: Table::OneMachine,
        targets: vec![Target { subject: PXRUN, aim: Aim::WallBelow { seconds: 0.010 } }],
        remarks: vec!["The others start `true` twice, two at once.".to_owned()],
        // Runs of milliseconds need more of them, and can afford it.
        rounds: 3 * ground.options.rounds,
    })
}

fn spawn_loop(ground: &Ground, count: u64, in_flight: usize) -> Contestant {
    let mut words = words![&ground.this_program, Limit::SpawnLoop.name()];
    words.extend(words!["--np", in_flight.to_string(), "--count", count.to_string()]);
    words.extend(words!["--", &ground.tools.true_]);
    quiet(ground, SPAWN_LOOP, words, None, count)
}

/// A contestant that prints nothing and starts so many processes.
fn quiet(
    ground: &Ground,
    name: &'static str,
    words: Vec<OsString>,
    stdin: Option<&Path>,
    starts: u64,
) -> Contestant {
    let stdout: PathBuf = ground.scratch.join("result");
    let launch = Launch { words, stdin: stdin.map(Path::to_owned), stdout: stdout.clone() };
    let expect = Expect::Starts(starts);
    Contestant { name, launches: vec![launch], output: Output::File(stdout), expect, scale: 1 }
}

fn np(ground: &Ground) -> String {
    ground.options.np.to_string()
}
