//! Keeps a run's result: in the README between its two marker lines, and as a picture.

use std::fs;
use std::path::Path;

use crate::problem::Problem;

const BEGIN: &str = "<!-- results: begin, written by `side-by-side --record` -->";
const END: &str = "<!-- results: end -->";

/// Rewrites the results in `benches/README.md` and `benches/results.svg`.
pub fn write(text: &str, chart: &str) -> Result<(), Problem> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = folder.join("README.md");
    let problem = |what: &str| Problem::step(format!("{what} `{}`", readme.display()));
    let old = fs::read_to_string(&readme).map_err(problem("read"))?;
    let new = between_markers(&old, text)
        .ok_or_else(|| Problem::Usage(format!("`{}` lacks its marker lines", readme.display())))?;
    fs::write(&readme, new).map_err(problem("write"))?;
    write_chart(&folder.join("results.svg"), chart)
}

/// Writes the chart and says where.
pub fn write_chart(path: &Path, chart: &str) -> Result<(), Problem> {
    let problem = Problem::step(format!("write `{}`", path.display()));
    fs::write(path, chart).map_err(problem)?;
    eprintln!("side-by-side: the chart is in `{}`", path.display());
    Ok(())
}

fn between_markers(old: &str, text: &str) -> Option<String> {
    let (before, rest) = old.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    let picture = "![wall times, side by side](results.svg)";
    Some(format!("{before}{BEGIN}\n\n{picture}\n\n{text}\n\n{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_markers_changes() {
        let old = format!("# Title\n{BEGIN}\nold\n{END}\ntail\n");
        let new = between_markers(&old, "new").unwrap();
        assert!(new.starts_with("# Title\n") && new.ends_with("\ntail\n"));
        assert!(new.contains("\nnew\n") && !new.contains("old"));
        assert_eq!(between_markers(&new, "new").unwrap(), new);
    }

    #[test]
    fn the_readme_has_the_markers() {
        assert!(between_markers(include_str!("../README.md"), "").is_some());
    }
}
