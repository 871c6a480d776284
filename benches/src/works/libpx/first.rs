//! How soon a program has its first chunk.

use super::{FIRST, build, contract_px};
use crate::contestant::PXRUN_PX;
use crate::ground::{Ground, Portion};
use crate::hosts::alone;
use crate::problem::Problem;
use crate::targets::{Aim, Target};
use crate::verify::Expect;
use crate::works::{Table, Work};

const FIRST_C: &str = include_str!("../../../libpx/first.c");

/// From exec to the first chunk, in the copy that has it last.
pub fn first(ground: &Ground) -> Result<Work, Problem> {
    let input = ground.input(Portion::Whole)?;
    let np = ground.options.np;
    let program = build(ground, "first", FIRST_C)?;
    let expect = Expect::Spans { copies: np, total: np as u64 };
    let pxrun = ground.tools.pxrun.as_ref();
    let contestants = pxrun.map(|pxrun| {
        let words = contract_px(pxrun, np, &program);
        alone(ground, PXRUN_PX, words, Some(input.whole.clone()), expect)
    });
    Ok(Work {
        id: FIRST,
        title: "from exec to the first chunk".to_owned(),
        contestants: contestants.into_iter().collect(),
        limit: None,
        table: Table::Spans,
        targets: vec![Target {
            subject: PXRUN_PX,
            aim: Aim::FigureBelow { seconds: 0.002, called: "the first chunk" },
        }],
        remarks: vec![
            "The copies' work is from the moment before exec to the return of `px_chunk_next`, in the \
             copy that took longest. All chunks are taken afterwards, and none is looked at."
                .to_owned(),
        ],
        // Short runs need more of them, and can afford it.
        rounds: 3 * ground.options.rounds,
    })
}
