//! The Fortran modules: they have all that the headers have, and what is Fortran's own in them.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use px_tests::installed::{installed, quiet};
use px_tests::{Scratch, records};

use crate::examples::{by_itself, top};
use crate::oracles;

/// Strict enough for anyone.
const STRICT: [&str; 5] = ["-std=f2008", "-Wall", "-Wextra", "-pedantic", "-Werror"];

/// What only C programs have: transports are made by libraries in C.
const OF_C_ALONE: [&str; 2] = ["px_job_run_over", "px_error_set"];

fn installed_text(name: &str) -> String {
    fs::read_to_string(installed().at(name)).expect(name)
}

/// Compiles a program of this suite with the module, and returns its path.
fn fixture(scratch: &Scratch, name: &str) -> PathBuf {
    let source = top().join("tests/suites/bindings/fortran").join(format!("{name}.f90"));
    let mut gfortran = installed().command("gfortran");
    gfortran
        .args(STRICT)
        .args(["-O1", "-fcheck=all", "-fcheck=no-array-temps", "-J"])
        .arg(scratch.path());
    gfortran.arg("-o").arg(scratch.at(name));
    gfortran.arg(installed().at("share/px/px.f90")).arg(source);
    quiet(gfortran.args(installed().pkg_config(&["--libs", "px"])));
    scratch.at(name)
}

#[test]
fn the_modules_compile_as_fortran_2008_without_a_warning() {
    for level in ["-O0", "-O2", "-O3"] {
        for module in ["px", "px_mpi"] {
            let scratch = Scratch::new();
            let mut gfortran = installed().command("gfortran");
            gfortran.args(STRICT).arg(level).arg("-c").current_dir(scratch.path());
            gfortran.arg(installed().at("share/px/px.f90"));
            if module == "px_mpi" {
                gfortran.arg(installed().at("share/px/px_mpi.f90"));
            }
            quiet(&mut gfortran);
        }
    }
}

#[test]
fn every_constant_of_the_header_is_in_the_module_with_its_value() {
    let header = installed_text("include/px.h");
    let module = installed_text("share/px/px.f90");
    let in_header = header.lines().filter_map(|line| {
        let (name, value) = line.strip_prefix("#define PX_")?.trim().split_once(' ')?;
        Some((name.to_owned(), value.trim().trim_matches(['(', ')']).parse::<i64>().ok()?))
    });
    let in_header: BTreeMap<String, i64> =
        in_header.filter(|(name, _)| !name.starts_with("VERSION_")).collect();
    let in_module: BTreeMap<String, i64> = module
        .lines()
        .filter(|line| line.contains("parameter"))
        .filter_map(|line| line.split_once(":: PX_")?.1.split_once(" = "))
        .map(|(name, value)| (name.to_owned(), value.parse().expect(name)))
        .collect();
    assert_eq!(in_header, in_module);
    assert!(in_module.len() > 30, "{in_module:?}");
}

#[test]
fn every_function_of_the_headers_is_bound() {
    let header = installed_text("include/px.h") + &installed_text("include/px_mpi.h");
    let modules = installed_text("share/px/px.f90") + &installed_text("share/px/px_mpi.f90");
    let declared = header.match_indices("px_").filter_map(|(at, _)| {
        let whole = header[..at].chars().next_back().is_none_or(|before| " *\n".contains(before));
        let (name, rest) = header[at..].split_once('(')?;
        let word = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        // In a comment it is px_init(3) or px_init().
        (whole && word && !rest.starts_with([')', '3'])).then_some(name)
    });
    let mut count = 0;
    for name in declared.filter(|name| !OF_C_ALONE.contains(name) && *name != "px_mpi_job_run") {
        assert!(modules.contains(&format!("name='{name}'")), "no Fortran binding of {name}");
        count += 1;
    }
    assert!(count > 40, "{count} functions are declared");
}

#[test]
fn an_error_goes_to_ierr_and_without_it_ends_the_program() {
    let scratch = Scratch::new();
    let outcome = by_itself(fixture(&scratch, "errors")).input("line\n").run();
    let version = installed().pkg_config(&["--modversion", "px"]);
    outcome.exits(1).prints(format!("px {}\n", version[0])).says("libpx: ").says("px_finalize");
}

#[test]
fn records_and_chunks_come_whole_as_every_type() {
    let scratch = Scratch::new();
    let program = fixture(&scratch, "records");
    let mut input = b"  blanks   \n\n \n".to_vec();
    input.extend(records::numbered(20_000, 5));
    let chunks = ["chunk characters", "chunk bytes", "every second"];
    for way in ["text", "characters", "bytes"].into_iter().chain(chunks) {
        by_itself(program.clone()).arg(way).input(&input).run().ok().quiet().prints(&input);
        let job = crate::examples::finds_libpx(px_tests::Job::new("-np 2 -k --contract px"));
        job.arg(&program).arg(way).input(&input).run().ok().quiet().prints(&input);
    }
}

#[test]
fn messages_of_every_type_come_as_they_were_sent() {
    let scratch = Scratch::new();
    let program = fixture(&scratch, "talk");
    let job = crate::examples::finds_libpx(px_tests::Job::new("-np 2 --contract px"));
    job.arg(program).input("").run().ok().quiet().prints("all came back\n");
}

#[test]
fn jobs_from_inside_run_commands_and_callbacks() {
    let scratch = Scratch::new();
    let text = records::numbered(5000, 9);
    let input = scratch.file("a text", &text);
    let output = scratch.at("a copy");
    let outcome = by_itself(fixture(&scratch, "job")).arg(&input).arg(&output).run();
    let lines = outcome.ok().quiet().text();
    let size = text.len();
    let wanted = format!("0 {size} {size}\n5000\nT ");
    outcome.check(lines.starts_with(&wanted), || format!("wanted first:\n{wanted}"));
    outcome.check(lines.contains("/nowhere/at all"), || "wanted the name of the input".to_owned());
    assert!(oracles::read(&output) == text.to_ascii_uppercase(), "other bytes came out");
}
