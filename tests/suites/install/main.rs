//! What `bindings-c/install` installs, used as its users use it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on panics")]

mod linking;
mod manual;
mod places;
mod symbols;

use std::path::{Path, PathBuf};
use std::process::Command;

use px_tests::installed::Prefix;

/// The top of the repository.
fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// What a program prints that ends well.
fn stdout(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{said}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

/// The MPIs that libpx was installed for.
fn mpis(prefix: &Prefix) -> Vec<&'static str> {
    let known = ["openmpi", "mpich"].into_iter();
    let is = |name: &&str| prefix.at(&format!("lib/pkgconfig/px_mpi_{name}.pc")).exists();
    known.filter(is).collect()
}

/// The names that `px.map` has, in its order.
fn mapped() -> Vec<String> {
    let map = std::fs::read_to_string(top().join("bindings-c/px.map")).unwrap();
    let names = map.lines().filter_map(|line| line.trim().strip_suffix(';'));
    names.filter(|name| name.starts_with("px_")).map(str::to_owned).collect()
}
