//! Programs that are compiled against the installed library, and run alone.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use px_tests::Scratch;
use px_tests::installed::{Prefix, installed, quiet};

use crate::{mpis, stdout};

/// Counts the records of its input, and prints the library's version and the number.
pub const COUNT: &str = r#"#include <px.h>
#include <stdio.h>

int main(void) {
    px_chunk *chunk;
    const void *record;
    size_t length;
    unsigned long records = 0;
    int status = px_init(0);
    while (status == PX_OK && (status = px_chunk_next(&chunk)) == PX_OK) {
        while (px_record_next(chunk, &record, &length) == PX_OK) records++;
        status = px_chunk_release(chunk, PX_COMMIT);
    }
    if (status == PX_END) status = px_finalize();
    if (status != PX_OK) fprintf(stderr, "%s\n", px_last_error());
    else printf("%s %lu\n", px_version(), records);
    return status != PX_OK;
}
"#;
/// What [`counts`] gives it.
const RECORDS: &str = "one\ntwo\nthree";
/// What it prints then.
const COUNTED: &str = concat!(env!("CARGO_PKG_VERSION"), " 3\n");

/// Runs [`COUNT`], alone.
pub fn counts(command: &mut Command) {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    child.stdin.take().unwrap().write_all(RECORDS.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{said}", output.status);
    assert_eq!(String::from_utf8_lossy(&output.stdout), COUNTED, "{command:?}: {said}");
}

/// Compiles a source with what pkg-config says; a warning is an error.
fn compiled(prefix: &Prefix, compiler: &[&str], source: &Path, pkg_config: &[&str], to: &Path) {
    let mut command = prefix.command(compiler[0]);
    command.args(&compiler[1..]).args(["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-o"]);
    command.arg(to).arg(source).args(prefix.pkg_config(pkg_config));
    quiet(&mut command);
}

#[test]
fn c_and_cpp_programs_find_the_shared_library_by_pkg_config() {
    let (prefix, scratch) = (installed(), Scratch::new());
    for (name, compiler) in [("count.c", ["cc", "-std=c11"]), ("count.cpp", ["c++", "-std=c++17"])]
    {
        let source = scratch.file(name, COUNT);
        let program = scratch.at("count");
        compiled(prefix, &compiler, &source, &["--cflags", "--libs", "px"], &program);
        counts(&mut prefix.command(&program));
        let needs = stdout(Command::new("readelf").args(["-d", "-W"]).arg(&program));
        assert!(needs.contains("[libpx.so.0]"), "{needs}");
    }
}

#[test]
fn a_program_with_the_archive_needs_no_library_of_ours_and_one_that_is_static_none_at_all() {
    let (prefix, scratch) = (installed(), Scratch::new());
    let source = scratch.file("count.c", COUNT);
    let program = scratch.at("count");
    let mut cc = prefix.command("cc");
    cc.arg("-o").arg(&program).arg(&source).args(prefix.pkg_config(&["--cflags", "px"]));
    let natives = prefix.pkg_config(&["--static", "--libs-only-l", "px"]);
    cc.arg(prefix.at("lib/libpx.a")).args(natives.iter().filter(|word| *word != "-lpx"));
    quiet(&mut cc);
    counts(&mut Command::new(&program));

    let fully = scratch.at("static");
    let mut cc = prefix.command("cc");
    cc.args(["-static", "-o"]).arg(&fully).arg(&source);
    cc.args(prefix.pkg_config(&["--static", "--cflags", "--libs", "px"]));
    // The linker warns of what the C library loads at run time all the same.
    stdout(&mut cc);
    counts(&mut Command::new(&fully));
    let needs = stdout(Command::new("readelf").args(["-d", "-W"]).arg(&fully));
    assert!(!needs.contains("NEEDED"), "{needs}");
}

/// A build of CMake with programs of either library; the version is what it asks for.
fn cmake_lists(version: &str) -> String {
    format!(
        "cmake_minimum_required(VERSION 3.13)\nproject(count C CXX)\n\
         find_package(px {version} REQUIRED CONFIG)\nfind_package(px)\n\
         add_executable(shared count.c)\ntarget_link_libraries(shared px::px)\n\
         add_executable(whole count.cpp)\ntarget_link_libraries(whole px::static)\n\
         if(NOT EXISTS ${{PX_FORTRAN}})\nmessage(FATAL_ERROR \"no ${{PX_FORTRAN}}\")\nendif()\n"
    )
}

fn cmake(prefix: &Prefix, scratch: &Scratch, version: &str) -> Command {
    scratch.file("CMakeLists.txt", cmake_lists(version));
    let mut cmake = prefix.command("cmake");
    cmake.arg("-S").arg(scratch.path()).arg("-B").arg(scratch.at("build"));
    cmake
}

#[test]
fn cmake_finds_the_package_and_its_two_targets() {
    let (prefix, scratch) = (installed(), Scratch::new());
    scratch.file("count.c", COUNT);
    scratch.file("count.cpp", COUNT);
    for version in ["", "0.1", env!("CARGO_PKG_VERSION")] {
        stdout(&mut cmake(prefix, &scratch, version));
    }
    stdout(prefix.command("cmake").arg("--build").arg(scratch.at("build")));
    for program in ["build/shared", "build/whole"] {
        // Where the library is, CMake has told the program.
        counts(&mut Command::new(scratch.at(program)));
    }
}

#[test]
fn cmake_is_refused_another_version() {
    let scratch = Scratch::new();
    for version in ["0.0", "0.1.99", "0.2", "1.0"] {
        let output = cmake(installed(), &scratch, version).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        let told = format!("version: {}", env!("CARGO_PKG_VERSION"));
        assert!(!output.status.success() && said.contains(&told), "{version}: {said}");
    }
}

#[test]
fn python_loads_it_and_is_a_world_of_one() {
    let scratch = Scratch::new();
    let script = scratch.file(
        "count.py",
        r#"
import ctypes, sys
px = ctypes.CDLL(sys.argv[1])
px.px_version.restype = px.px_last_error.restype = ctypes.c_char_p
px.px_chunk_release.argtypes = [ctypes.c_void_p, ctypes.c_int]
px.px_record_next.argtypes = [ctypes.c_void_p] * 3
chunk, record, length = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_size_t()
def ok(status):
    if status != 0: sys.exit(px.px_last_error())
ok(px.px_init(0))
records = 0
while (status := px.px_chunk_next(ctypes.byref(chunk))) == 0:
    while px.px_record_next(chunk, ctypes.byref(record), ctypes.byref(length)) == 0: records += 1
    ok(px.px_chunk_release(chunk, 0))
if status != 1: ok(status)
ok(px.px_finalize())
print(px.px_version().decode(), records)
"#,
    );
    counts(Command::new("python3").arg(script).arg(installed().at("lib/libpx.so.0")));
}

#[test]
fn the_fortran_module_compiles_strictly_from_where_it_was_installed() {
    let (prefix, scratch) = (installed(), Scratch::new());
    let modules = prefix.pkg_config(&["--variable=fortrandir", "px"]);
    let mut gfortran = prefix.command("gfortran");
    gfortran.args(["-std=f2008", "-Wall", "-Wextra", "-pedantic", "-Werror", "-c"]);
    gfortran.arg(Path::new(&modules[0]).join("px.f90"));
    quiet(gfortran.arg(Path::new(&modules[0]).join("px_mpi.f90")).current_dir(scratch.path()));
    assert_eq!(scratch.names("."), ["px.mod", "px.o", "px_c.mod", "px_mpi.mod", "px_mpi.o"]);
}

/// The words that tell a compiler of an MPI, whose headers are found without them, that warnings about
/// these headers are not ours.
fn foreign_headers(compiler: &str) -> Vec<String> {
    let shown = stdout(Command::new(compiler).arg("-show"));
    let directories = shown.split_whitespace().filter_map(|word| word.strip_prefix("-I"));
    directories.flat_map(|directory| ["-isystem".to_owned(), directory.to_owned()]).collect()
}

#[test]
fn programs_of_an_mpi_in_c_and_cpp_find_the_library_of_that_mpi_by_pkg_config() {
    let (prefix, scratch) = (installed(), Scratch::new());
    let text = "#include <px_mpi.h>\n#include <px_mpi.h>\n\
                int main(void) { return px_mpi_job_run(MPI_COMM_WORLD, NULL) != PX_ERR_MPI_STATE; }\n";
    for mpi in mpis(prefix) {
        for (name, language, standard) in [("cc", "c", "-std=c11"), ("cxx", "cpp", "-std=c++17")] {
            let source = scratch.file(&format!("early.{language}"), text);
            let (compiler, program) = (format!("mpi{name}.{mpi}"), scratch.at(mpi));
            let headers = foreign_headers(&compiler);
            let words = [&compiler, standard].into_iter().chain(headers.iter().map(String::as_str));
            let package = ["--cflags", "--libs", &format!("px_mpi_{mpi}")];
            compiled(prefix, &words.collect::<Vec<_>>(), &source, &package, &program);
            stdout(&mut prefix.command(&program));
            let needs = stdout(Command::new("readelf").args(["-d", "-W"]).arg(&program));
            assert!(needs.contains(&format!("[libpx_mpi_{mpi}.so.0]")), "{needs}");
        }
    }
}
