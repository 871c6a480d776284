//! What the setters of a job amount to: words of a command line of pxrun, without I/O.

use std::ffi::CStr;

use crate::status::Fault;

/// Most bytes of all words together.
const MOST: usize = 1 << 20;
/// Options of pxrun that may be given more than once.
const REPEATABLE: [&str; 3] = ["input", "hostfile", "env"];
/// Options that have a setter, for what they would name in the helper is not what it is here.
const SET_OTHERWISE: [(&str, &str); 2] =
    [("input", "px_job_input"), ("output", "px_job_output_path")];
/// Options of which the last one that was set counts.
const RIVALS: [(&str, &str); 2] = [("chunk-size", "chunk-records"), ("records", "delimiter")];
/// What other processes take for descriptors of their own.
const OF_A_PROCESS: [&[u8]; 6] = [
    b"/dev/stdin",
    b"/dev/stdout",
    b"/dev/stderr",
    b"/dev/fd/",
    b"/proc/self/",
    b"/proc/thread-self/",
];

/// The options and the command of a job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words {
    options: Vec<(String, Option<Vec<u8>>)>,
    command: Vec<Vec<u8>>,
}

impl Words {
    /// Sets an option, in the place of what it was before unless it may be given more than once.
    pub fn set(&mut self, name: &str, value: Option<Vec<u8>>) {
        if !REPEATABLE.contains(&name) {
            self.forget(name);
        }
        for (one, other) in RIVALS {
            match name {
                _ if name == one => self.forget(other),
                _ if name == other => self.forget(one),
                _ => {}
            }
        }
        self.options.push((name.to_owned(), value));
    }

    /// Sets an option to text that needs no check.
    pub fn set_text(&mut self, name: &str, value: impl ToString) {
        self.set(name, Some(value.to_string().into_bytes()));
    }

    /// Has an option never have been set.
    pub fn forget(&mut self, name: &str) {
        self.options.retain(|(known, _)| known != name);
    }

    /// Sets any option of pxrun's, known to it or not.
    ///
    /// # Errors
    /// What cannot be a long option; one that has a setter of its own for good reason.
    pub fn set_any(&mut self, name: &CStr, value: Option<&CStr>) -> Result<(), Fault> {
        let fits = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-';
        let shown = name.to_string_lossy();
        let bytes = name.to_bytes();
        if !bytes.first().is_some_and(u8::is_ascii_lowercase) || !bytes.iter().all(fits) {
            return Err(Fault::argument(format!(
                "`name` must be a long option of pxrun without dashes, such as `keep-going`, found \
                 `{shown}`"
            )));
        }
        if let Some((_, setter)) = SET_OTHERWISE.iter().find(|(known, _)| *known == shown) {
            return Err(Fault::argument(format!("the option `{shown}` is set by {setter}()")));
        }
        self.set(&shown, value.map(|value| value.to_bytes().to_vec()));
        Ok(())
    }

    /// Sets an option to the name of a file.
    ///
    /// # Errors
    /// A name that means something else to another process; no name.
    pub fn set_path(&mut self, name: &str, path: &CStr) -> Result<(), Fault> {
        let bytes = path.to_bytes();
        if bytes.is_empty() {
            return Err(Fault::argument("`path` is empty"));
        }
        if OF_A_PROCESS.iter().any(|begin| bytes.starts_with(begin)) {
            let path = path.to_string_lossy();
            return Err(Fault::argument(format!(
                "`path` must be a file of the job's too, found `{path}`, which is this process's own; \
                 px_job_output_fd() takes a descriptor"
            )));
        }
        // pxrun takes a dash alone for a standard stream.
        let here: &[u8] = if bytes == b"-" { b"./" } else { b"" };
        self.set(name, Some([here, bytes].concat()));
        Ok(())
    }

    /// Sets the command.
    ///
    /// # Errors
    /// There is none, or it is too long.
    pub fn set_command(&mut self, words: impl Iterator<Item = Vec<u8>>) -> Result<(), Fault> {
        let mut length = 0;
        let mut command = Vec::new();
        for word in words {
            length += word.len() + size_of::<u64>();
            if length > MOST {
                return Err(Fault::argument(format!("`argv` must be below {MOST} bytes together")));
            }
            command.push(word);
        }
        if command.is_empty() {
            return Err(Fault::argument("`argv` has no command: its first word is NULL"));
        }
        self.command = command;
        Ok(())
    }

    /// What an option was set to; `None` where it was not, or has no value.
    pub fn value(&self, name: &str) -> Option<&[u8]> {
        let found = self.options.iter().rev().find(|(known, _)| known == name);
        found.and_then(|(_, value)| value.as_deref())
    }

    /// The same job for so many guests, who need no command but a name.
    ///
    /// # Errors
    /// None in practice.
    pub fn of_guests(&self, ranks: usize) -> Result<Words, Fault> {
        let mut words = self.clone();
        words.set_text("np", ranks);
        if words.value("contract").is_none() {
            words.set_text("contract", "px");
        }
        words.set_command(std::iter::once(b"callback".to_vec()))?;
        Ok(words)
    }

    /// The words as pxrun takes them.
    pub fn told(&self) -> Vec<Vec<u8>> {
        let option = |(name, value): &(String, Option<Vec<u8>>)| match value {
            Some(value) => [b"--", name.as_bytes(), b"=", value].concat(),
            None => [b"--", name.as_bytes()].concat(),
        };
        let options = self.options.iter().map(option);
        options.chain([b"--".to_vec()]).chain(self.command.iter().cloned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::PX_ERR_ARGUMENT;

    fn told(words: &Words) -> Vec<String> {
        words.told().into_iter().map(|word| String::from_utf8(word).unwrap()).collect()
    }

    #[test]
    fn the_last_setting_of_an_option_counts_and_those_that_repeat_add_up() {
        let mut words = Words::default();
        words.set_text("np", 2);
        words.set_text("np", 3);
        words.set_path("input", c"a").unwrap();
        words.set_path("input", c"b").unwrap();
        words.set_text("chunk-size", 4096);
        words.set_text("chunk-records", 7);
        words.set_any(c"keep-going", None).unwrap();
        words.set_command(["wc", "-l"].map(|word| word.as_bytes().to_vec()).into_iter()).unwrap();
        let wanted = ["--np=3", "--input=a", "--input=b", "--chunk-records=7", "--keep-going"];
        assert_eq!(told(&words)[..5], wanted);
        assert_eq!(told(&words)[5..], ["--", "wc", "-l"]);
    }

    #[test]
    fn a_file_is_never_taken_for_a_standard_stream() {
        let mut words = Words::default();
        words.set_path("output", c"-").unwrap();
        assert_eq!(told(&words)[0], "--output=./-");
        for path in [c"/dev/stdin", c"/dev/fd/3", c"/proc/self/fd/1", c""] {
            assert_eq!(words.set_path("input", path).unwrap_err().status, PX_ERR_ARGUMENT);
        }
    }

    #[test]
    fn what_is_no_long_option_is_refused_by_its_name() {
        let mut words = Words::default();
        for name in [c"", c"--np", c"-k", c"np=3", c"N P", c"input", c"output", c"\xff"] {
            let refused = words.set_any(name, Some(c"x")).unwrap_err();
            assert_eq!(refused.status, PX_ERR_ARGUMENT);
        }
        let refused = words.set_any(c"input", None).unwrap_err();
        assert_eq!(refused.text, "the option `input` is set by px_job_input()");
        assert_eq!(words, Words::default());
    }

    #[test]
    fn a_command_is_bounded_and_not_empty() {
        let mut words = Words::default();
        assert!(words.set_command(std::iter::empty()).is_err());
        assert!(words.set_command(std::iter::repeat(b"x".to_vec())).is_err());
        assert_eq!(words, Words::default());
    }
}
