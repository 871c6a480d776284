//! Where the helper is: the `pxrun` that was installed with libpx.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use px_runtime::sys::place::file_of_this_code;
use rustix::fs::Access;

use crate::status::{Fault, PX_ERR_HELPER};

/// Names the helper where it lies elsewhere.
const VARIABLE: &str = "PX_HELPER";
/// Where it lies, seen from the directory of libpx: beside it, as builds have it; or as an
/// installation has it, whose libraries may be in a directory for their architecture.
const PLACES: [&str; 5] =
    ["pxrun", "../bin/pxrun", "../libexec/pxrun", "../../bin/pxrun", "../../libexec/pxrun"];

/// Finds it.
///
/// # Errors
/// `PX_ERR_HELPER`, with where was looked.
pub fn helper() -> Result<PathBuf, Fault> {
    let named = std::env::var_os(VARIABLE).filter(|path| !path.is_empty());
    choose(named, file_of_this_code().as_deref(), &|path| {
        path.is_file() && rustix::fs::access(path, Access::EXEC_OK).is_ok()
    })
}

fn choose(
    named: Option<OsString>,
    library: Option<&Path>,
    is_program: &dyn Fn(&Path) -> bool,
) -> Result<PathBuf, Fault> {
    let help = "set PX_HELPER to the `pxrun` of this version";
    if let Some(path) = named.map(PathBuf::from) {
        if is_program(&path) {
            return Ok(path);
        }
        let text = format!("PX_HELPER names no program: `{}`; {help}", path.display());
        return Err(Fault::new(PX_ERR_HELPER, text));
    }
    let directory = library.and_then(Path::parent);
    let places = || directory.into_iter().flat_map(|at| PLACES.iter().map(move |to| at.join(to)));
    if let Some(found) = places().find(|path| is_program(path)) {
        return Ok(found);
    }
    let looked: Vec<_> = places().map(|path| format!("`{}`", path.display())).collect();
    let text = match looked.is_empty() {
        true => {
            format!("cannot find `pxrun`, since libpx cannot tell where it lies itself; {help}")
        }
        false => format!("cannot find `pxrun`, not at {}; {help}", looked.join(", ")),
    };
    Err(Fault::new(PX_ERR_HELPER, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIBRARY: &str = "/opt/px/lib/libpx.so.0";

    fn found(named: Option<&str>, there: &[&str]) -> Result<PathBuf, String> {
        let is_program = |path: &Path| there.iter().any(|one| path == Path::new(one));
        let chosen = choose(named.map(Into::into), Some(Path::new(LIBRARY)), &is_program);
        chosen.map_err(|fault| fault.text)
    }

    #[test]
    fn the_helper_is_the_one_that_was_installed_with_the_library() {
        let installed = "/opt/px/lib/../bin/pxrun";
        assert_eq!(found(None, &[installed]), Ok(installed.into()));
        assert_eq!(found(None, &[installed, "/opt/px/lib/pxrun"]), Ok("/opt/px/lib/pxrun".into()));
    }

    #[test]
    fn a_helper_that_is_named_is_taken_and_no_other() {
        assert_eq!(found(Some("/x/pxrun"), &["/x/pxrun"]), Ok("/x/pxrun".into()));
        let refused = found(Some("/x/pxrun"), &["/opt/px/lib/pxrun"]).unwrap_err();
        assert!(refused.starts_with("PX_HELPER names no program: `/x/pxrun`"), "{refused}");
    }

    #[test]
    fn who_finds_none_is_told_where_was_looked_and_what_to_do() {
        let refused = found(None, &[]).unwrap_err();
        for part in ["`/opt/px/lib/pxrun`", "`/opt/px/lib/../libexec/pxrun`", "PX_HELPER"] {
            assert!(refused.contains(part), "{refused}");
        }
    }
}
