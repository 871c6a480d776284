//! libpx as its users have it: built and installed, with compilers that find it there.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::binary;

/// A prefix that libpx is installed in.
#[derive(Clone, Debug)]
pub struct Prefix(PathBuf);

/// Returns the prefix that all suites share, after it was brought up to date.
///
/// It lies in the target directory and is filled by `bindings-c/install` with a build of this
/// test's own profile, once a test program; what has not changed is neither built nor written anew.
///
/// # Panics
///
/// When that fails, with what was said.
pub fn installed() -> &'static Prefix {
    static PREFIX: OnceLock<Prefix> = OnceLock::new();
    PREFIX.get_or_init(|| {
        let profile = binary::profile_directory();
        let prefix = profile.join("px-prefix");
        let lock = File::create(profile.join("px-prefix.lock")).expect("a lock");
        lock.lock().expect("the lock");
        install(&["--prefix".as_ref(), prefix.as_os_str()]);
        Prefix(prefix)
    })
}

/// Runs `bindings-c/install` with these words and the profile of this test.
///
/// # Panics
///
/// When it fails, with what it said.
pub fn install(words: &[&OsStr]) {
    let output = installer(words).output().expect("bindings-c/install");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "bindings-c/install {words:?}: {}\n{said}", output.status);
}

/// `bindings-c/install` with these words and the profile of this test, not started yet.
pub fn installer(words: &[&OsStr]) -> Command {
    let profile = binary::profile_directory();
    let mut command = Command::new(top().join("bindings-c/install"));
    command.arg("--profile").arg(if profile.ends_with("release") { "release" } else { "dev" });
    command.args(words);
    // What cargo says to a test of the test's own crate would have other crates built anew.
    for (name, _) in env::vars_os().filter(|(name, _)| is_of_the_crate(name)) {
        command.env_remove(name);
    }
    command.env_remove("LD_LIBRARY_PATH");
    command.env("CARGO_TARGET_DIR", binary::target_directory());
    command
}

fn is_of_the_crate(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    name == "CARGO" || ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|start| name.starts_with(start))
}

/// The top of the repository.
fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a parent")
}

impl Prefix {
    /// The prefix that lies here.
    pub fn of(path: impl Into<PathBuf>) -> Self {
        Prefix(path.into())
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The path of one of its files.
    pub fn at(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// A program that finds libpx here: pkg-config, the loader, CMake and `PATH` are told.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env("PKG_CONFIG_PATH", self.at("lib/pkgconfig"));
        command.env("LD_LIBRARY_PATH", self.at("lib"));
        command.env("CMAKE_PREFIX_PATH", self.path());
        command.env("PATH", before_path(&self.at("bin")));
        command
    }

    /// What pkg-config says, in words: `&["--cflags", "--libs", "px"]`.
    ///
    /// # Panics
    ///
    /// When it fails.
    pub fn pkg_config(&self, words: &[&str]) -> Vec<String> {
        let output = self.command("pkg-config").args(words).output().expect("pkg-config");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "pkg-config {words:?}: {said}");
        let text = String::from_utf8(output.stdout).expect("text");
        text.split_whitespace().map(str::to_owned).collect()
    }
}

/// Runs a compiler or the like.
///
/// # Panics
///
/// When it fails or says anything on standard error.
pub fn quiet(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{command:?}: {}\n{said}", output.status);
}

/// `PATH` with a directory in front.
fn before_path(directory: &Path) -> OsString {
    let mut path = directory.as_os_str().to_owned();
    if let Some(rest) = env::var_os("PATH") {
        path.push(":");
        path.push(rest);
    }
    path
}
