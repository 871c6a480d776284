//! Holds a lab up while a command runs on its head: `px-lab [OPTIONS] HOSTS [COMMAND...]`, by
//! default a shell. The lab is wired, so `px-lab 3 ssh node2 ip addr` shows what a test sees.
//!
//! `--plain` gives it cables without faults, and faster. With `--slurm` the hosts are nodes, so
//! `px-lab --slurm 3 srun -N 3 hostname` names them; `--cpus N` says what each has. With `--mpi`
//! they take programs of both MPIs.

use std::env;
use std::process::ExitCode;

use px_tests::lab::{Lab, Mpi, Plan};

const USAGE: &str = "usage: px-lab [--plain] [--mpi] [--slurm] [--cpus N] HOSTS [COMMAND...]";

/// What the words before a command ask for.
fn plan(words: &mut impl Iterator<Item = String>) -> Option<Plan> {
    let (mut wired, mut mpis, mut slurm) = (true, Vec::new(), None);
    let hosts = loop {
        match words.next()?.as_str() {
            "--plain" => wired = false,
            "--mpi" => mpis = Mpi::BOTH.to_vec(),
            "--slurm" => slurm = slurm.or(Some(2)),
            "--cpus" => slurm = Some(words.next()?.parse().ok()?),
            hosts => break hosts.parse().ok()?,
        }
    };
    let plan = mpis.into_iter().fold(Lab::of(hosts), Plan::mpi);
    let plan = if wired { plan.wired() } else { plan };
    Some(match slurm {
        Some(cpus) => plan.slurm(|slurm| slurm.cpus(cpus)),
        None => plan,
    })
}

fn main() -> ExitCode {
    let mut words = env::args().skip(1);
    let Some(plan) = plan(&mut words) else {
        eprintln!("{USAGE}");
        return ExitCode::FAILURE;
    };
    if let Err(reason) = plan.possible() {
        eprintln!("px-lab: {reason}");
        return ExitCode::FAILURE;
    }
    let lab = plan.up();
    let mut command = lab.command(&words.next().unwrap_or_else(|| "sh".to_owned()));
    match command.args(words).status() {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("px-lab: nsenter: {error}");
            ExitCode::FAILURE
        }
    }
}
