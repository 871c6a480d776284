//! The command line, as far as cargo's own test runner shares its words.

/// Which cells are asked for.
pub struct Words {
    /// Only their names.
    pub list: bool,
    exact: bool,
    parts: Vec<String>,
    skipped: Vec<String>,
}

/// Options of that test runner that have a value of their own, which is no part of a name.
const WITH_VALUE: [&str; 6] =
    ["--test-threads", "--format", "--color", "--logfile", "--shuffle-seed", "-Z"];

impl Words {
    pub fn of(words: impl Iterator<Item = String>) -> Self {
        let (mut parts, mut skipped) = (Vec::new(), Vec::new());
        let (mut list, mut exact) = (false, false);
        let mut words = words;
        while let Some(word) = words.next() {
            match word.as_str() {
                "--list" => list = true,
                "--exact" => exact = true,
                "--skip" => skipped.extend(words.next()),
                option if WITH_VALUE.contains(&option) => drop(words.next()),
                option if option.starts_with('-') => {}
                _ => parts.push(word),
            }
        }
        Words { list, exact, parts, skipped }
    }

    /// Tells whether a cell of this name is asked for.
    pub fn choose(&self, name: &str) -> bool {
        let fits = |part: &String| if self.exact { name == part } else { name.contains(part) };
        (self.parts.is_empty() || self.parts.iter().any(fits)) && !self.skipped.iter().any(fits)
    }
}
