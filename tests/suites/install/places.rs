//! Which files are installed, and where they still work.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use px_tests::Scratch;
use px_tests::installed::{self, Prefix, installed, quiet};

use crate::linking::{COUNT, counts};
use crate::{mapped, mpis, stdout};

/// All files and links below a directory, by their paths in it.
fn files(directory: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut to_see = vec![directory.to_path_buf()];
    while let Some(path) = to_see.pop() {
        for entry in fs::read_dir(&path).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                to_see.push(entry.path());
            } else {
                let path = entry.path();
                found.insert(path.strip_prefix(directory).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    found
}

/// What has to be there with these MPIs.
fn wanted(mpis: &[&str]) -> BTreeSet<String> {
    let version = env!("CARGO_PKG_VERSION");
    let mut wanted: Vec<String> = [
        "bin/pxrun",
        "include/px.h",
        "include/px_mpi.h",
        "lib/cmake/px/px-config-version.cmake",
        "lib/cmake/px/px-config.cmake",
        "lib/libpx.a",
        "lib/pkgconfig/px.pc",
        "share/man/man1/pxrun.1",
        "share/man/man3/px_mpi_job_run.3",
        "share/man/man3/px_mpi_job_run_f.3",
        "share/man/man7/px.7",
        "share/px/px.f90",
        "share/px/px_mpi.f90",
    ]
    .map(str::to_owned)
    .into();
    wanted.extend(mapped().iter().map(|name| format!("share/man/man3/{name}.3")));
    let libraries = mpis.iter().map(|mpi| format!("libpx_mpi_{mpi}"));
    for library in libraries.chain(["libpx".to_owned()]) {
        wanted
            .extend(["", ".0", &format!(".{version}")].map(|end| format!("lib/{library}.so{end}")));
    }
    wanted.extend(mpis.iter().map(|mpi| format!("lib/pkgconfig/px_mpi_{mpi}.pc")));
    wanted.into_iter().collect()
}

/// Compiles and runs a program with the library of a prefix.
fn works(prefix: &Prefix) {
    let scratch = Scratch::new();
    let source = scratch.file("count.c", COUNT);
    let program = scratch.at("count");
    let mut cc = prefix.command("cc");
    cc.arg(source).arg("-o").arg(&program);
    quiet(cc.args(prefix.pkg_config(&["--cflags", "--libs", "px"])));
    counts(&mut prefix.command(&program));
}

#[test]
fn every_file_that_is_promised_is_installed_and_no_other() {
    let prefix = installed();
    assert_eq!(files(prefix.path()), wanted(&mpis(prefix)));
}

#[test]
fn the_packages_of_the_mpis_are_those_whose_compilers_are_here() {
    let is_here = |mpi: &&str| Command::new(format!("mpicc.{mpi}")).arg("-show").output().is_ok();
    let here: Vec<&str> = ["openmpi", "mpich"].into_iter().filter(is_here).collect();
    assert_eq!(mpis(installed()), here);
}

#[test]
fn a_prefix_that_was_moved_still_works_and_nothing_in_it_knew_where_it_was() {
    let scratch = Scratch::new();
    let moved = scratch.at("elsewhere");
    stdout(Command::new("cp").arg("-a").arg(installed().path()).arg(&moved));
    let old = installed().path().to_str().unwrap().as_bytes();
    for name in files(&moved) {
        let bytes = fs::read(moved.join(&name)).unwrap();
        assert!(memchr::memmem::find(&bytes, old).is_none(), "{name}");
    }
    works(&Prefix::of(moved));
}

/// Has `cat` run on the file that it is given, and its output put into `out`.
const JOB: &str = r#"#include <px.h>
#include <stdio.h>

int main(int argc, char **argv) {
    const char *const cat[] = {"cat", NULL};
    px_job *job;
    int status = argc == 2 ? px_job_new(&job) : PX_ERR_ARGUMENT;
    if (status == PX_OK) status = px_job_input(job, argv[1]);
    if (status == PX_OK) status = px_job_command(job, cat);
    if (status == PX_OK) status = px_job_order(job, PX_ORDER_INPUT);
    if (status == PX_OK) status = px_job_output_path(job, "out");
    if (status == PX_OK) status = px_job_run(job);
    if (status != PX_OK) fprintf(stderr, "%s\n", px_last_error());
    return status == PX_OK ? 0 : status == PX_ERR_HELPER ? 2 : 1;
}
"#;

#[test]
fn a_job_is_run_by_the_pxrun_of_its_prefix_unless_a_variable_names_another() {
    let scratch = Scratch::new();
    let moved = scratch.at("elsewhere");
    stdout(Command::new("cp").arg("-a").arg(installed().path()).arg(&moved));
    let prefix = Prefix::of(&moved);
    let source = scratch.file("job.c", JOB);
    let mut cc = prefix.command("cc");
    cc.arg(&source).arg("-o").arg(scratch.at("job"));
    quiet(cc.args(prefix.pkg_config(&["--cflags", "--libs", "px"])));
    let run = |helper: Option<PathBuf>| {
        let mut job = Command::new(scratch.at("job"));
        job.arg(&source).current_dir(scratch.path()).env("LD_LIBRARY_PATH", prefix.at("lib"));
        job.env_remove("PX_HELPER").envs(helper.map(|path| ("PX_HELPER", path)));
        let output = job.output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };

    assert_eq!(run(None), (Some(0), String::new()));
    assert_eq!(String::from_utf8(scratch.read("out")).unwrap(), JOB);
    fs::remove_file(prefix.at("bin/pxrun")).unwrap();
    let (code, said) = run(None);
    assert!(code == Some(2) && said.contains(moved.to_str().unwrap()), "{code:?}: {said}");
    assert_eq!(run(Some(installed().at("bin/pxrun"))), (Some(0), String::new()));
}

#[test]
fn destdir_goes_before_the_prefix_and_an_mpi_is_left_out_where_none_is_wanted() {
    let scratch = Scratch::new();
    let to = scratch.at("stage");
    let words = ["--destdir", to.to_str().unwrap(), "--prefix=/opt/px", "--mpi", "none"];
    installed::install(&words.map(AsRef::as_ref));
    assert_eq!(scratch.names("stage/opt"), ["px"]);
    let staged = Prefix::of(to.join("opt/px"));
    assert_eq!(files(staged.path()), wanted(&[]));
    works(&staged);
}

#[test]
fn installing_again_leaves_what_has_not_changed_as_it_is() {
    let prefix = installed();
    let seen = || {
        let seen = |name: &String| {
            let file = fs::metadata(prefix.at(name)).unwrap();
            (name.clone(), file.ino(), file.mtime(), file.mtime_nsec())
        };
        files(prefix.path()).iter().map(seen).collect::<Vec<_>>()
    };
    let before = seen();
    installed::install(&["--prefix".as_ref(), prefix.path().as_os_str()]);
    assert_eq!(seen(), before);
}

#[test]
fn words_that_make_no_sense_are_refused_with_the_way_out() {
    let refused = [
        (&[] as &[&str], "no `--prefix`"),
        (&["--prefix"], "`--prefix` needs a value"),
        (&["--prefix", "here"], "must be absolute, found `here`"),
        (&["--prefix", "/opt", "--destdir", "there"], "must be absolute, found `there`"),
        (&["--prefix", "/opt", "--mpi", "lam"], "openmpi, mpich or none, found `lam`"),
        (&["--prefix", "/opt", "/usr"], "unknown word `/usr`"),
    ];
    for (words, wanted) in refused {
        let mut command =
            installed::installer(&words.iter().map(AsRef::as_ref).collect::<Vec<_>>());
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{words:?}: {said}");
        assert!(said.starts_with("install: error: ") && said.contains(wanted), "{words:?}: {said}");
    }
}
