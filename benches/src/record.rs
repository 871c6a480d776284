//! Keeps a run's result: in the README between its two marker lines, and as a picture.

use std::fs;
use std::path::Path;

use crate::hosts::Race;
use crate::problem::Problem;

/// The lines between which a table stands.
struct Markers {
    begin: &'static str,
    end: &'static str,
}

const MACHINE: Markers = Markers {
    begin: "<!-- results: begin, written by `side-by-side --record` -->",
    end: "<!-- results: end -->",
};
const ON_HOSTS: Markers = Markers {
    begin: "<!-- hosts: begin, written by `side-by-side --record` -->",
    end: "<!-- hosts: end -->",
};
const ON_CLUSTER: Markers = Markers {
    begin: "<!-- cluster: begin, written by `side-by-side --record` -->",
    end: "<!-- cluster: end -->",
};
const WITH_LIBPX: Markers = Markers {
    begin: "<!-- libpx: begin, written by `side-by-side --record` -->",
    end: "<!-- libpx: end -->",
};

/// Rewrites the results on one machine in `benches/README.md`, and `benches/results.svg`.
pub fn write(text: &str, chart: &str) -> Result<(), Problem> {
    let picture = "![wall times, side by side](results.svg)";
    rewrite(&MACHINE, &format!("{picture}\n\n{text}"))?;
    write_chart(&Path::new(env!("CARGO_MANIFEST_DIR")).join("results.svg"), chart)
}

/// Rewrites those with libpx.
pub fn write_libpx(text: &str) -> Result<(), Problem> {
    rewrite(&WITH_LIBPX, text)
}

/// Rewrites those on several hosts.
pub fn write_race(race: Race, text: &str) -> Result<(), Problem> {
    match race {
        Race::Hosts => rewrite(&ON_HOSTS, text),
        Race::Cluster => rewrite(&ON_CLUSTER, text),
    }
}

fn rewrite(markers: &Markers, text: &str) -> Result<(), Problem> {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let problem = |what: &str| Problem::step(format!("{what} `{}`", readme.display()));
    let old = fs::read_to_string(&readme).map_err(problem("read"))?;
    let new = markers
        .around(&old, text)
        .ok_or_else(|| Problem::Usage(format!("`{}` lacks its marker lines", readme.display())))?;
    fs::write(&readme, new).map_err(problem("write"))
}

/// Writes the chart and says where.
pub fn write_chart(path: &Path, chart: &str) -> Result<(), Problem> {
    let problem = Problem::step(format!("write `{}`", path.display()));
    fs::write(path, chart).map_err(problem)?;
    eprintln!("side-by-side: the chart is in `{}`", path.display());
    Ok(())
}

impl Markers {
    /// Puts a text between them.
    fn around(&self, old: &str, text: &str) -> Option<String> {
        let Markers { begin, end } = self;
        let (before, rest) = old.split_once(begin)?;
        let (_, after) = rest.split_once(end)?;
        Some(format!("{before}{begin}\n\n{text}\n\n{end}{after}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_markers_changes() {
        let Markers { begin, end } = MACHINE;
        let old = format!("# Title\n{begin}\nold\n{end}\ntail\n");
        let new = MACHINE.around(&old, "new").unwrap();
        assert!(new.starts_with("# Title\n") && new.ends_with("\ntail\n"));
        assert!(new.contains("\nnew\n") && !new.contains("old"));
        assert_eq!(MACHINE.around(&new, "new").unwrap(), new);
    }

    #[test]
    fn the_readme_has_the_markers() {
        for markers in [MACHINE, WITH_LIBPX, ON_HOSTS, ON_CLUSTER] {
            assert!(markers.around(include_str!("../README.md"), "").is_some());
        }
    }
}
