//! One way to one other host.

use crate::contestant::{PXRUN_MPI, STREAM};
use crate::ground::{Ground, mebibytes};
use crate::hosts::mpis::ways;
use crate::hosts::{Part, alone, far};
use crate::problem::Problem;
use crate::targets::{Aim, Target};
use crate::verify::Expect;
use crate::words;
use crate::works::filters::digest;
use crate::works::{Table, Work};

const STREAM_C: &str = include_str!("../../../mpi/stream.c");

/// All of the input, which the other host does not see.
pub fn link(ground: &Ground) -> Result<Work, Problem> {
    let input = far(ground)?.hidden();
    let bytes = digest(&input)?.bytes;
    let expect = Expect::Spans { copies: 1, total: bytes };
    let mut contestants = Vec::new();
    let mut targets = Vec::new();
    for way in ways() {
        let which = way.mpi as usize;
        if let Some(pxrun) = &ground.tools.pxrun {
            let mut words = way.pxrun(&pxrun.path, "node1:1");
            words.extend(words![&ground.this_program, Part::Swallow.name()]);
            let stdin = Some(input.clone());
            contestants.push(alone(ground, PXRUN_MPI[which], words, stdin, expect.clone()));
        }
        let mut words = way.launched("head:1,node1:1", 2);
        words.extend(words![way.build(ground, "stream", STREAM_C), bytes.to_string()]);
        contestants.push(alone(ground, STREAM[which], words, None, expect.clone()));
        let aim = Aim::FedAtLeast { times: 0.8, of: STREAM[which] };
        targets.push(Target { subject: PXRUN_MPI[which], aim });
    }
    Ok(Work {
        id: "mpi-link",
        title: format!("{} to a copy on one host that does not see the input", mebibytes(bytes)),
        contestants,
        limit: None,
        table: Table::Spans,
        targets,
        remarks: vec![
            "Rates are from the first byte that was received to the last. The bare loop sends one \
             buffer again and again, a MiB a message, and its receiver drops it: two processes. \
             pxrun reads the file, and hands over what comes through a pipe to a copy, which drops \
             it: three processes, with checksums."
                .to_owned(),
        ],
        rounds: ground.options.rounds,
    })
}
