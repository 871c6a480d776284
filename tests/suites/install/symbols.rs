//! What the libraries are to the linker and the loader.

use std::fs;
use std::path::Path;
use std::process::Command;

use px_tests::installed::installed;

use crate::{mapped, mpis, stdout};

/// The names that a file defines for others, sorted; a version follows its name.
fn defined(words: &[&str], file: &Path) -> Vec<String> {
    let text = stdout(Command::new("nm").args(words).arg("--defined-only").arg(file));
    // An archive has its members' names between, and a version is a symbol too.
    let symbols = text.lines().filter_map(|line| line.split_once(' ')?.1.split_once(' '));
    let symbols = symbols.filter(|(kind, _)| *kind != "A");
    let mut names: Vec<String> = symbols.map(|(_, name)| name.to_owned()).collect();
    names.sort();
    names
}

/// What the dynamic section says under a name, in its order.
fn dynamic(file: &Path, name: &str) -> Vec<String> {
    let text = stdout(Command::new("readelf").args(["--dynamic", "--wide"]).arg(file));
    let lines = text.lines().filter(|line| line.contains(&format!("({name})")));
    let value = |line: &str| Some(line.split_once('[')?.1.split_once(']')?.0.to_owned());
    lines.filter_map(value).collect()
}

#[test]
fn the_shared_library_shows_the_names_of_its_map_and_no_other() {
    let wanted: Vec<String> = mapped().iter().map(|name| format!("{name}@@PX_0.1")).collect();
    assert_eq!(defined(&["-D"], &installed().at("lib/libpx.so")), wanted);
}

#[test]
fn the_archive_shows_the_same_names_and_no_other() {
    assert_eq!(defined(&["-g"], &installed().at("lib/libpx.a")), mapped());
}

#[test]
fn the_header_declares_the_functions_of_the_map_and_no_other() {
    let header = fs::read_to_string(installed().at("include/px.h")).unwrap();
    let mut declared: Vec<&str> = header
        .lines()
        .filter(|line| line.starts_with(|c: char| c.is_ascii_alphabetic()))
        .filter(|line| !line.starts_with("typedef"))
        .filter_map(|line| line.split_once('(')?.0.rsplit([' ', '*']).next())
        .filter(|name| name.starts_with("px_"))
        .collect();
    declared.sort_unstable();
    assert_eq!(declared, mapped());
}

#[test]
fn each_library_has_its_major_version_in_its_name_and_no_path_in_it() {
    let prefix = installed();
    let mut libraries = vec!["libpx".to_owned()];
    libraries.extend(mpis(prefix).iter().map(|mpi| format!("libpx_mpi_{mpi}")));
    for library in libraries {
        let file = prefix.at(&format!("lib/{library}.so"));
        assert_eq!(dynamic(&file, "SONAME"), [format!("{library}.so.0")]);
        for path in ["RPATH", "RUNPATH", "TEXTREL"] {
            assert_eq!(dynamic(&file, path), [""; 0], "{library}: {path}");
        }
        let real = fs::canonicalize(&file).unwrap();
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(real.file_name().unwrap().to_str(), Some(&*format!("{library}.so.{version}")));
    }
}

#[test]
fn the_shared_library_needs_nothing_but_the_c_library() {
    let needed = dynamic(&installed().at("lib/libpx.so"), "NEEDED");
    let known = ["libc.so", "libm.so", "libgcc_s.so", "ld-linux"];
    for name in &needed {
        assert!(known.iter().any(|known| name.starts_with(known)), "{needed:?}");
    }
    assert!(needed.iter().any(|name| name.starts_with("libc.so")), "{needed:?}");
}

#[test]
fn the_library_of_an_mpi_shows_its_two_functions_and_needs_the_one_libpx() {
    let prefix = installed();
    for mpi in mpis(prefix) {
        let file = prefix.at(&format!("lib/libpx_mpi_{mpi}.so"));
        let names: Vec<String> = defined(&["-D"], &file)
            .iter()
            .map(|name| name.split('@').next().unwrap_or_default().to_owned())
            .collect();
        assert_eq!(names, ["px_mpi_job_run", "px_mpi_job_run_f"], "{mpi}");
        assert!(dynamic(&file, "NEEDED").contains(&"libpx.so.0".to_owned()), "{mpi}");
    }
}
