//! Puts together the contestants of a work that feeds a filter: the words of each, spelled once.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use crate::contestant::{
    Contestant, FEEDER, FEEDER_PACED, GNU_PIPE, GNU_PIPE_ORDERED, GNU_PIPEPART,
    GNU_PIPEPART_ORDERED, GNU_ROUND_ROBIN, Launch, ORACLE, Output, PUMP, RUST_PARALLEL_PIPE,
    RUST_PARALLEL_PIPE_ORDERED, SPLIT,
};
use crate::ground::Ground;
use crate::input::Input;
use crate::limits::Limit;
use crate::verify::Expect;

/// Words of any kinds as one list.
#[macro_export]
macro_rules! words {
    ($($word:expr),* $(,)?) => { vec![$(std::ffi::OsString::from($word)),*] };
}

/// The contestants so far. A peer that is not installed is left out; the report names it.
pub struct Roster<'a> {
    ground: &'a Ground,
    command: Vec<OsString>,
    input: &'a Input,
    pub contestants: Vec<Contestant>,
}

impl<'a> Roster<'a> {
    /// Nobody yet, for this command over this input.
    pub fn new(ground: &'a Ground, command: Vec<OsString>, input: &'a Input) -> Roster<'a> {
        Roster { ground, command, input, contestants: Vec::new() }
    }

    /// pxrun with these flags.
    pub fn pxrun(&mut self, name: &'static str, flags: &[&str], expect: &Expect) {
        if let Some(pxrun) = &self.ground.tools.pxrun {
            let mut words = words![&pxrun.path, "-v", "-np", self.np()];
            words.extend(flags.iter().map(OsString::from));
            words.extend(self.command.iter().cloned());
            self.gathered(name, words, expect);
        }
    }

    /// N copies at once, each from its own part into its own file.
    pub fn oracle(&mut self, expect: &Expect) {
        let folder = self.folder();
        let parts = self.input.parts.iter().enumerate();
        let launches = parts.map(|(rank, part)| Launch {
            words: self.command.clone(),
            stdin: Some(part.clone()),
            stdout: folder.join(rank.to_string()),
        });
        let launches = launches.collect();
        self.add(ORACLE, launches, Output::Folder(folder), expect);
    }

    /// The bare feeder, and the paced one where it was asked for.
    pub fn feeders(&mut self, expect: &Expect) {
        let folder = self.folder();
        let mut paces = vec![(FEEDER, None)];
        paces.extend(self.ground.options.pace.map(|pace| (FEEDER_PACED, Some(pace))));
        for (name, pace) in paces {
            let mut words = self.limit(Limit::BareFeeder, folder.as_os_str());
            if let Some(pace) = pace {
                words.extend(words!["--pace-micros", pace.as_micros().max(1).to_string()]);
            }
            words.push("--".into());
            words.extend(self.command.iter().cloned());
            let launch = self.without_stdin(words);
            self.add(name, vec![launch], Output::Folder(folder.clone()), expect);
        }
    }

    /// The bare pump.
    pub fn pump(&mut self, expect: &Expect) {
        let file = self.file();
        let mut words = self.limit(Limit::BarePump, file.as_os_str());
        words.push("--".into());
        words.extend(self.command.iter().cloned());
        let launch = self.without_stdin(words);
        self.add(PUMP, vec![launch], Output::File(file), expect);
    }

    /// GNU parallel in one of its modes for filters.
    pub fn gnu(&mut self, name: &'static str, expect: &Expect) {
        let Some(gnu) = &self.ground.tools.gnu_parallel else { return };
        let mut words = words![&gnu.path, "--will-cite", "-j", self.np()];
        let flags: &[&str] = match name {
            GNU_PIPEPART => &["--pipepart", "--block", "-1"],
            GNU_PIPEPART_ORDERED => &["--pipepart", "--block", "-1", "-k"],
            GNU_PIPE => &["--pipe"],
            GNU_ROUND_ROBIN => &["--pipe", "--round-robin"],
            GNU_PIPE_ORDERED => &["--pipe", "-k"],
            _ => return,
        };
        words.extend(flags.iter().map(OsString::from));
        if flags.contains(&"--pipepart") {
            words.extend(words!["-a", &self.input.whole]);
        }
        words.push(shell_words(&self.command));
        self.gathered(name, words, expect);
    }

    /// coreutils' split. Its copies write files of their own: on one output they would tear lines.
    pub fn split(&mut self, expect: &Expect) {
        let Some(split) = &self.ground.tools.split else { return };
        let mut filter = OsString::from("--filter=");
        filter.push(shell_words(&self.command));
        filter.push(" > \"$FILE\"");
        let folder = self.folder();
        let deal = format!("r/{}", self.np());
        let words = words![&split.path, "-n", deal, filter, &self.input.whole, folder.join("x")];
        let launch = self.without_stdin(words);
        self.add(SPLIT, vec![launch], Output::Folder(folder), expect);
    }

    /// rust-parallel in its mode for filters.
    pub fn rust_parallel(&mut self, name: &'static str, expect: &Expect) {
        let Some(peer) = &self.ground.tools.rust_parallel else { return };
        let mut words = words![&peer.path, "-j", self.np()];
        match name {
            RUST_PARALLEL_PIPE => words.push("--pipe".into()),
            RUST_PARALLEL_PIPE_ORDERED => words.extend(words!["--pipe", "-k"]),
            _ => return,
        }
        words.extend(self.command.iter().cloned());
        self.gathered(name, words, expect);
    }

    /// A contestant that reads the whole input on stdin and prints the whole result on stdout.
    fn gathered(&mut self, name: &'static str, words: Vec<OsString>, expect: &Expect) {
        let stdin = Some(self.input.whole.clone());
        let launch = Launch { words, stdin, stdout: self.file() };
        self.add(name, vec![launch], Output::File(self.file()), expect);
    }

    fn add(&mut self, name: &'static str, launches: Vec<Launch>, output: Output, expect: &Expect) {
        let expect = expect.clone();
        self.contestants.push(Contestant { name, launches, output, expect, scale: 1 });
    }

    fn limit(&self, limit: Limit, output: &OsStr) -> Vec<OsString> {
        let pipe_bytes = self.ground.options.pipe_bytes.to_string();
        let mut words = words![&self.ground.this_program, limit.name(), "--np", self.np()];
        words.extend(words!["--pipe-size", pipe_bytes, "--input", &self.input.whole]);
        words.extend(words!["--output", output]);
        words
    }

    fn without_stdin(&self, words: Vec<OsString>) -> Launch {
        Launch { words, stdin: None, stdout: self.ground.scratch.join("stdout") }
    }

    fn np(&self) -> String {
        self.ground.options.np.to_string()
    }

    fn file(&self) -> PathBuf {
        self.ground.scratch.join("result")
    }

    fn folder(&self) -> PathBuf {
        self.ground.scratch.join("results")
    }
}

/// The command as a shell reads it back.
fn shell_words(command: &[OsString]) -> OsString {
    let mut line = OsString::new();
    for (place, word) in command.iter().enumerate() {
        if place > 0 {
            line.push(" ");
        }
        let quoted = word.to_string_lossy().replace('\'', "'\\''");
        line.push(format!("'{quoted}'"));
    }
    line
}
