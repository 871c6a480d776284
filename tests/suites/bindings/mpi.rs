//! The program of an MPI that has a job run by its ranks, with each MPI that is here.

use std::path::Path;

use px_tests::installed::installed;
use px_tests::lab::{Mpi, not_run};
use px_tests::{Job, Lab, Scratch, lab};

use crate::examples::{Language, RANKS, mpi_program};
use crate::oracles;

#[test]
fn the_mpi_program_writes_its_output_in_the_order_of_its_input() {
    for mpi in installed_mpis() {
        each(mpi, |ranks, words, program| {
            // Ranks are more than cores here, and root is who runs the tests.
            let job = match mpi {
                Mpi::Open => Job::new(&format!("--bind-to none --oversubscribe -n {ranks}")),
                Mpi::Mpich => Job::new(&format!("-n {ranks}")),
            };
            let job = job.program(mpi.launcher()).arg(program).words(words);
            let job = job.env("LD_LIBRARY_PATH", installed().at("lib"));
            job.env("OMPI_ALLOW_RUN_AS_ROOT", "1").env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1")
        });
    }
}

#[test]
fn the_mpi_program_on_hosts_writes_its_output_in_the_order_of_its_input() {
    for mpi in installed_mpis() {
        let lab = lab!(Lab::of(2).mpi(mpi));
        each(mpi, |ranks, words, program| {
            let path = format!("LD_LIBRARY_PATH={}", installed().at("lib").display());
            let line = format!("env {path} {} {words}", program.display());
            lab.mpirun(mpi, ranks, &line)
        });
    }
}

/// The MPIs of this machine; that another one is not here is said.
fn installed_mpis() -> Vec<Mpi> {
    let here = |mpi: &Mpi| match mpi.installed() {
        Ok(()) => true,
        Err(reason) => {
            not_run("bindings::mpi", &reason);
            false
        }
    };
    Mpi::BOTH.into_iter().filter(here).collect()
}

/// Runs the example in both languages by any number of ranks, over no number and over many.
fn each(mpi: Mpi, described: impl Fn(usize, &str, &Path) -> Job) {
    let scratch = Scratch::new();
    for count in [0, 2000] {
        let numbers = oracles::numbers(count);
        let wanted = oracles::steps(&numbers);
        let input = scratch.file("numbers", &numbers);
        for language in Language::BOTH {
            for ranks in RANKS {
                let output = scratch.at(&format!("{language:?}-{ranks}-{count}"));
                let words = format!("{} {}", input.display(), output.display());
                let outcome = described(ranks, &words, &mpi_program(language, mpi)).run();
                outcome.ok().prints(format!("{count} numbers by {ranks} ranks\n"));
                outcome.check(oracles::read(&output) == wanted, || "other steps".to_owned());
            }
        }
    }
}
