//! Filters that run once a rank: `wc -l`, `sed`, a Python line filter, and `sed` in order.

use std::fs;

use crate::contestant::{
    FEEDER, GNU_PIPE, GNU_PIPE_ORDERED, GNU_PIPEPART, GNU_PIPEPART_ORDERED, GNU_ROUND_ROBIN,
    ORACLE, PUMP, PXRUN, PXRUN_ORDERED, RUST_PARALLEL_PIPE, RUST_PARALLEL_PIPE_ORDERED, SPLIT,
};
use crate::ground::{Ground, Portion, mebibytes};
use crate::problem::Problem;
use crate::roster::Roster;
use crate::targets::{Aim, Target};
use crate::verify::{Digest, Expect};
use crate::words;
use crate::works::{Table, Work};

/// GNU parallel's ways to feed a filter.
pub const GNU_MODES: [&str; 4] = [GNU_PIPEPART, GNU_PIPE, GNU_ROUND_ROBIN, GNU_PIPE_ORDERED];

/// Splits each line, keeps about half of them, prints less than it read.
const PYTHON_FILTER: &str = "\
import sys
for line in sys.stdin:
    words = line.split()
    if words and words[-1][-1] in \"02468\":
        print(*words[:4], len(line))
";

const SPLIT_REMARK: &str =
    "`split` lets each copy write a file of its own, as the oracle does: nothing is gathered.";

/// The fastest child there is.
pub fn wc(ground: &Ground) -> Result<Work, Problem> {
    let input = ground.input(Portion::Whole)?;
    let command = words![&ground.tools.wc, "-l"];
    let expect = Expect::Total(digest(&input.whole)?.lines);
    let mut roster = Roster::new(ground, command, input);
    unordered(&mut roster, &expect);
    Ok(Work {
        id: "wc",
        title: format!("`wc -l`, {}, a copy a rank", mebibytes(input.bytes)),
        contestants: roster.contestants,
        limit: Some(FEEDER),
        table: Table::OneMachine,
        targets: vec![
            Target { subject: PXRUN, aim: Aim::WallAtMost { times: 1.1, of: FEEDER } },
            Target { subject: PXRUN, aim: Aim::OwnCpuAtMost { times: 1.2, of: FEEDER } },
            faster(2.0, &GNU_MODES, "the best mode of GNU parallel"),
            faster(6.0, &[SPLIT], SPLIT),
        ],
        remarks: vec![SPLIT_REMARK.to_owned()],
        rounds: ground.options.rounds,
    })
}

/// A child that is slower than its feeding and prints as much as it reads.
pub fn sed(ground: &Ground) -> Result<Work, Problem> {
    let input = ground.input(Portion::Quarter)?;
    let command = words![&ground.tools.sed, "s/a/b/"];
    let reference = ground.reference("sed", &command, input)?;
    let expect = Expect::Lines(digest(&reference)?);
    let mut roster = Roster::new(ground, command, input);
    unordered(&mut roster, &expect);
    let title = format!("`sed s/a/b/`, {}, a copy a rank", mebibytes(input.bytes));
    Ok(near_the_oracle("sed", title, roster, ground))
}

/// A child as users write them.
pub fn python(ground: &Ground) -> Result<Work, Problem> {
    let input = ground.input(Portion::Sixteenth)?;
    let title = format!("a Python line filter, {}, a copy a rank", mebibytes(input.bytes));
    let Some(python) = &ground.tools.python else {
        let roster = Roster::new(ground, Vec::new(), input);
        return Ok(near_the_oracle("python", title, roster, ground));
    };
    let script = ground.scratch.join("filter.py");
    fs::write(&script, PYTHON_FILTER).map_err(Problem::step("write the Python filter"))?;
    let command = words![&python.path, &script];
    let reference = ground.reference("python", &command, input)?;
    let expect = Expect::Lines(digest(&reference)?);
    let mut roster = Roster::new(ground, command, input);
    unordered(&mut roster, &expect);
    Ok(near_the_oracle("python", title, roster, ground))
}

/// Long-lived copies whose output lines come in the order of the input.
pub fn sed_in_order(ground: &Ground) -> Result<Work, Problem> {
    let input = ground.input(Portion::Quarter)?;
    let command = words![&ground.tools.sed, "s/a/b/"];
    let reference = ground.reference("sed-k", &command, input)?;
    let digest = digest(&reference)?;
    let in_order = Expect::Same(reference);
    let mut roster = Roster::new(ground, command, input);
    roster.pxrun(PXRUN_ORDERED, &["-k", "--contract", "lines"], &in_order);
    roster.oracle(&Expect::Lines(digest));
    roster.pump(&Expect::Bytes(digest));
    roster.gnu(GNU_PIPEPART_ORDERED, &in_order);
    roster.gnu(GNU_PIPE_ORDERED, &in_order);
    roster.rust_parallel(RUST_PARALLEL_PIPE_ORDERED, &in_order);
    let size = mebibytes(input.bytes);
    Ok(Work {
        id: "sed-k",
        title: format!("`-k --contract lines sed s/a/b/`, {size}, a copy a rank, output in order"),
        contestants: roster.contestants,
        limit: Some(PUMP),
        table: Table::OneMachine,
        targets: vec![Target {
            subject: PXRUN_ORDERED,
            aim: Aim::WallAtMost { times: 1.15, of: ORACLE },
        }],
        remarks: Vec::new(),
        rounds: ground.options.rounds,
    })
}

/// Everyone who can feed a long-lived filter or one a block.
fn unordered(roster: &mut Roster<'_>, expect: &Expect) {
    roster.pxrun(PXRUN, &[], expect);
    roster.oracle(expect);
    roster.feeders(expect);
    for mode in GNU_MODES {
        roster.gnu(mode, expect);
    }
    roster.split(expect);
    roster.rust_parallel(RUST_PARALLEL_PIPE, expect);
}

fn near_the_oracle(id: &'static str, title: String, roster: Roster<'_>, ground: &Ground) -> Work {
    Work {
        id,
        title,
        contestants: roster.contestants,
        limit: Some(FEEDER),
        table: Table::OneMachine,
        targets: vec![Target { subject: PXRUN, aim: Aim::WallAtMost { times: 1.10, of: ORACLE } }],
        remarks: vec![SPLIT_REMARK.to_owned()],
        rounds: ground.options.rounds,
    }
}

fn faster(times: f64, fastest_of: &'static [&'static str], called: &'static str) -> Target {
    Target { subject: PXRUN, aim: Aim::FasterThan { times, fastest_of, called } }
}

/// What the lines of a file are, whatever their order.
pub fn digest(path: &std::path::Path) -> Result<Digest, Problem> {
    let mut digest = Digest::default();
    digest.add_file(path).map_err(Problem::step(format!("read `{}`", path.display())))?;
    Ok(digest)
}
