//! Messages between two ranks of this machine, large and small.

use super::{build, contract_px, without_input};
use crate::contestant::{
    Contestant, PINGPONG, PIPES, PXRUN_APART, PXRUN_PX, PXRUN_SLEEPING, STREAM,
};
use crate::ground::{Ground, mebibytes};
use crate::problem::Problem;
use crate::targets::{Aim, Target};
use crate::words;
use crate::works::{Table, Work};
use px_tests::lab::Mpi;

const STREAM_C: &str = include_str!("../../../libpx/stream.c");
const PINGPONG_C: &str = include_str!("../../../libpx/pingpong.c");
const MPI_STREAM_C: &str = include_str!("../../../mpi/stream.c");
const MPI_PINGPONG_C: &str = include_str!("../../../mpi/pingpong.c");
const MESSAGE: u64 = 1 << 20;
const BETTER_MPI: &str = "the better MPI";

/// One way, a MiB a message.
pub fn rate(ground: &Ground) -> Result<Work, Problem> {
    let bytes = ground.options.size_bytes;
    let told = bytes.to_string();
    let program = build(ground, "stream", STREAM_C)?;
    let mut contestants = Vec::new();
    if let Some(pxrun) = &ground.tools.pxrun {
        let mut words = contract_px(pxrun, 2, &program);
        words.push(told.clone().into());
        let mut apart = words.clone();
        apart.push("apart".into());
        contestants.push(without_input(ground, PXRUN_PX, words, bytes));
        contestants.push(without_input(ground, PXRUN_APART, apart, bytes));
    }
    contestants.extend(by_mpi(ground, STREAM, "mpi-stream", MPI_STREAM_C, bytes));
    let rate = |subject, times| Target {
        subject,
        aim: Aim::RateOfBest { times, best_of: &STREAM, called: BETTER_MPI },
    };
    Ok(Work {
        id: "px-messages",
        title: format!("{} from one rank to another, a MiB a message", mebibytes(bytes)),
        contestants,
        limit: None,
        table: Table::Messages(bytes.div_ceil(MESSAGE)),
        targets: vec![rate(PXRUN_PX, 0.8), rate(PXRUN_APART, 0.5)],
        remarks: vec![
            "Times are from the first message that was received to the last. `memory kept apart`: the \
             processes have forbidden themselves to look into each other's memory, by a filter of \
             system calls as containers have; the MPIs have not."
                .to_owned(),
        ],
        rounds: ground.options.rounds,
    })
}

/// 8 bytes, there and back.
pub fn latency(ground: &Ground) -> Result<Work, Problem> {
    let bounces = ground.options.bounces;
    let told = bounces.to_string();
    let program = build(ground, "pingpong", PINGPONG_C)?;
    let mut contestants = Vec::new();
    if let Some(pxrun) = &ground.tools.pxrun {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        for (name, ranks) in [(PXRUN_PX, 2), (PXRUN_SLEEPING, cores.max(2) + 1)] {
            let mut words = contract_px(pxrun, ranks, &program);
            words.push(told.clone().into());
            contestants.push(without_input(ground, name, words, bounces));
        }
    }
    contestants.extend(by_mpi(ground, PINGPONG, "mpi-pingpong", MPI_PINGPONG_C, bounces));
    let pipes = words![&program, &told, "pipes"];
    contestants.push(without_input(ground, PIPES, pipes, bounces));
    let latency = |subject, times, best_of, called| Target {
        subject,
        aim: Aim::LatencyOfBest { times, best_of, called },
    };
    Ok(Work {
        id: "px-latency",
        title: format!("8 bytes between two ranks, {bounces} times there and back"),
        contestants,
        limit: None,
        table: Table::Messages(2 * bounces),
        targets: vec![
            latency(PXRUN_PX, 2.0, &PINGPONG, BETTER_MPI),
            latency(PXRUN_SLEEPING, 1.2, &[PIPES], PIPES),
        ],
        remarks: vec![
            "`ranks that sleep`: one rank more than there are cores, so none looks for messages before \
             it sleeps; the further ones end at once."
                .to_owned(),
        ],
        rounds: ground.options.rounds,
    })
}

/// The same by each MPI that is installed, two processes as its launcher starts them.
fn by_mpi(
    ground: &Ground,
    names: [&'static str; 2],
    program: &str,
    text: &str,
    amount: u64,
) -> Vec<Contestant> {
    let installed = Mpi::BOTH.into_iter().filter(|mpi| mpi.installed().is_ok());
    let contestant = |mpi: Mpi| {
        let mut words = match mpi {
            Mpi::Open => words![mpi.launcher(), "--allow-run-as-root"],
            Mpi::Mpich => words![mpi.launcher()],
        };
        let program = mpi.build(ground.scratch.path(), program, text);
        words.extend(words!["-n", "2", program, amount.to_string()]);
        without_input(ground, names[mpi as usize], words, amount)
    };
    installed.map(contestant).collect()
}
