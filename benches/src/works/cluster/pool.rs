//! Beside mpi4py: what a chunk costs more than its bytes.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;

use px_tests::lab::Mpi;

use crate::contestant::{POOL, POOL_FEW, PXRUN_FEW, PXRUN_MPI};
use crate::ground::Ground;
use crate::hosts::mpis::ways;
use crate::hosts::race::PYTHON;
use crate::hosts::{alone, far};
use crate::problem::Problem;
use crate::targets::{Aim, Target};
use crate::verify::{Digest, Expect};
use crate::words;
use crate::works::{Table, Work};

const POOL_PY: &str = include_str!("../../../mpi/pool.py");
const LENGTHS_PY: &str = include_str!("../../../mpi/lengths.py");
/// Large chunks of the same lines, against which the many are held.
const FEW: u64 = 16;

/// A line a chunk, and the same lines in a few.
pub fn pool(ground: &Ground) -> Result<Work, Problem> {
    let chunks = ground.options.pool;
    let far = far(ground)?;
    let (input, wanted) = (far.hidden_folder().join("lines"), ground.scratch.join("lengths"));
    let (pool, lengths) = (ground.scratch.join("pool.py"), ground.scratch.join("lengths.py"));
    let mut expected = Digest::default();
    lay_out(&far.hidden(), &input, &wanted, chunks)
        .and_then(|()| fs::write(&pool, POOL_PY))
        .and_then(|()| fs::write(&lengths, LENGTHS_PY))
        .and_then(|()| expected.add_file(&wanted))
        .map_err(Problem::step("lay out lines"))?;
    let expect = Expect::Lines(expected);
    let large = chunks.div_ceil(FEW);
    let mut contestants = Vec::new();
    let mut targets = Vec::new();
    for way in ways() {
        let which = way.mpi as usize;
        for (name, lines) in [(PXRUN_MPI[which], 1), (PXRUN_FEW[which], large)] {
            let Some(pxrun) = &ground.tools.pxrun else { continue };
            let mut words = way.pxrun(&pxrun.path, "node1:1,node2:1");
            words.extend(words!["--chunk-records", lines.to_string(), PYTHON, &lengths]);
            let stdin = Some(input.clone());
            contestants.push(alone(ground, name, words, stdin, expect.clone()));
        }
        let aim = Aim::LessPerUnit {
            times: 3.0,
            above: PXRUN_FEW[which],
            peer: POOL,
            peer_above: POOL_FEW,
            units: chunks,
            unit: "chunk",
        };
        targets.push(Target { subject: PXRUN_MPI[which], aim });
        // The distribution's is built for this one.
        if way.mpi == Mpi::Open {
            for (name, lines) in [(POOL, 1), (POOL_FEW, large)] {
                let mut words = way.launched("head:1,node1:1,node2:1", 3);
                words.extend(words![PYTHON, "-m", "mpi4py.futures", &pool]);
                words.extend(words![&input, lines.to_string()]);
                contestants.push(alone(ground, name, words, None, expect.clone()));
            }
        }
    }
    Ok(Work {
        id: "mpi4py",
        title: format!("the length of each line, {chunks} chunks of one, on two other hosts"),
        contestants,
        limit: None,
        table: Table::Cluster,
        targets,
        remarks: vec![format!(
            "`{POOL}` is `MPIPoolExecutor.map` over the chunks in a process of the head, with a \
             process on each host; pxrun has a rank on each, a long-lived copy that calls the same \
             function with each line of its stdin. By both, chunks and results travel; the time of \
             the same lines in {FEW} chunks, start and end with it, is taken off."
        )],
        rounds: ground.options.rounds,
    })
}

/// The first lines of the input, and the length of each.
fn lay_out(from: &Path, to: &Path, lengths: &Path, count: u64) -> io::Result<()> {
    let mut source = BufReader::new(File::open(from)?);
    let (mut lines, mut wanted) = (Vec::new(), Vec::new());
    for _ in 0..count {
        let read = source.read_until(b'\n', &mut lines)?;
        if read == 0 {
            return Err(io::Error::other(format!("the input has fewer than {count} lines")));
        }
        writeln!(wanted, "{read}")?;
    }
    fs::write(to, lines)?;
    fs::write(lengths, wanted)
}
