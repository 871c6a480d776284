//! The program of an MPI that has a job run by its ranks, with each MPI that is here.

use std::path::{Path, PathBuf};
use std::process::Command;

use px_tests::installed::{installed, quiet};
use px_tests::lab::{Mpi, not_run};
use px_tests::{Job, Lab, Scratch, binary, lab};

use crate::examples::{Language, RANKS, mpi_program, run_script, suffix, top};
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
        let scratch = Scratch::new();
        let mut env = format!("env LD_LIBRARY_PATH={}", installed().at("lib").display());
        if mpi == Mpi::Mpich {
            env += &format!(" LD_PRELOAD={}", end_of_mpich(&scratch).display());
        }
        each(mpi, |ranks, words, program| {
            lab.mpirun(mpi, ranks, &format!("{env} {} {words}", program.display()))
        });
    }
}

#[test]
fn the_run_scripts_run_the_mpi_program_too() {
    let mut wanted = oracles::read(&top().join("examples/c/expected.txt"));
    let numbers = oracles::read(&top().join("examples/c/numbers.txt"));
    wanted.extend_from_slice(b"7 numbers by 2 ranks\n");
    wanted.extend(oracles::steps(&numbers));
    for mpi in installed_mpis() {
        for language in Language::BOTH {
            let outcome = run_script(language, |command| {
                command
                    .arg(suffix(mpi))
                    .env("PXRUN", binary::pxrun())
                    .env("MPIRUN", mpi.launcher());
                command
                    .env("MPICC", mpi.compiler())
                    .env("MPIFORT", format!("mpifort.{}", suffix(mpi)));
                command
                    .env("OMPI_ALLOW_RUN_AS_ROOT", "1")
                    .env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
                command.env("OMPI_MCA_rmaps_base_oversubscribe", "1")
            });
            outcome.ok().prints(&wanted);
        }
    }
}

/// A library with an end for MPICH that can be relied on between hosts.
fn end_of_mpich(scratch: &Scratch) -> PathBuf {
    let library = scratch.at("finalize.so");
    let mut mpicc = Command::new(Mpi::Mpich.compiler());
    mpicc.args(["-shared", "-fPIC", "-o"]).arg(&library);
    quiet(mpicc.arg(top().join("tests/lab/finalize.c")));
    library
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
