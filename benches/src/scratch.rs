//! The folder in which everything of a run lives, removed with all that is in it at the end.

use std::fs;
use std::path::{Path, PathBuf};

use crate::problem::Problem;

/// A fresh folder; dropping it removes it.
pub struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// Makes a folder of this process's own inside `parent`.
    pub fn inside(parent: &Path) -> Result<Scratch, Problem> {
        let problem = || Problem::step(format!("make a folder inside `{}`", parent.display()));
        // Contestants are given paths; a relative one would depend on who resolves it.
        let parent = fs::canonicalize(parent).map_err(problem())?;
        let path = parent.join(format!("side-by-side.{}", std::process::id()));
        fs::create_dir(&path).map_err(problem())?;
        Ok(Scratch { path })
    }

    /// The path of `name` inside.
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            eprintln!("side-by-side: warning: cannot remove `{}`: {error}", self.path.display());
        }
    }
}
