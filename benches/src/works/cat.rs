//! `cat` and `-k cat` to a file: as much output as input, so gathering is all there is to it.

use crate::contestant::{
    GNU_PIPE_ORDERED, ORACLE, PUMP, PXRUN, PXRUN_ORDERED, RUST_PARALLEL_PIPE,
    RUST_PARALLEL_PIPE_ORDERED,
};
use crate::ground::{Ground, Portion, mebibytes};
use crate::problem::Problem;
use crate::roster::Roster;
use crate::targets::{Aim, Target};
use crate::verify::Expect;
use crate::words;
use crate::works::filters::{GNU_MODES, digest};
use crate::works::{Table, Work};

/// Both orders in one race, since they share their limits.
pub fn cat(ground: &Ground) -> Result<Work, Problem> {
    let input = ground.input(Portion::Whole)?;
    let digest = digest(&input.whole)?;
    let lines = Expect::Lines(digest);
    let in_order = Expect::Same(input.whole.clone());
    let mut roster = Roster::new(ground, words![&ground.tools.cat], input);
    roster.pxrun(PXRUN, &[], &lines);
    roster.pxrun(PXRUN_ORDERED, &["-k"], &in_order);
    roster.oracle(&lines);
    roster.pump(&Expect::Bytes(digest));
    for mode in GNU_MODES {
        let expect = if mode == GNU_PIPE_ORDERED { &in_order } else { &lines };
        roster.gnu(mode, expect);
    }
    roster.split(&lines);
    roster.rust_parallel(RUST_PARALLEL_PIPE, &lines);
    roster.rust_parallel(RUST_PARALLEL_PIPE_ORDERED, &in_order);
    let mut targets = Vec::new();
    for (subject, times) in [(PXRUN, 1.15), (PXRUN_ORDERED, 1.4)] {
        targets.push(Target { subject, aim: Aim::WallAtMost { times, of: PUMP } });
        let fastest_of = &[GNU_PIPE_ORDERED];
        let aim = Aim::FasterThan { times: 3.0, fastest_of, called: GNU_PIPE_ORDERED };
        targets.push(Target { subject, aim });
    }
    Ok(Work {
        id: "cat",
        title: format!("`cat` and `-k cat` to a file, {}", mebibytes(input.bytes)),
        contestants: roster.contestants,
        limit: Some(PUMP),
        table: Table::OneMachine,
        targets,
        remarks: vec![format!(
            "`{ORACLE}` and `split` write one file a copy; the bare pump lets copies tear each \
             other's lines, so only its bytes are checked."
        )],
        rounds: ground.options.rounds,
    })
}
