//! What the cells of a row stand on: its hosts, an input that all of them see, and one that only
//! the root sees.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use px_tests::lab::{Plan, Resident};
use px_tests::{Job, Lab, Outcome, Scratch, records};

use crate::backends::{Backend, Streams};

/// How many records the input has.
pub const COUNT: u64 = 20_000;

/// So long after its end nothing of a job is left, by this table; how sharp the promise really is
/// shows in a suite of its own.
const GONE: Duration = Duration::from_secs(20);

/// Longer than any of these jobs takes, also on a busy machine.
const BOUND: Duration = Duration::from_secs(120);

pub struct Ground {
    pub backend: &'static Backend,
    lab: Option<Lab>,
    scratch: Scratch,
}

impl Ground {
    pub fn new(backend: &'static Backend) -> Self {
        let scratch = Scratch::new();
        let input = records::numbered(COUNT, 1);
        for directory in ["shared", "private"] {
            fs::write(scratch.directory(directory).join("input"), &input).unwrap();
        }
        let hide = format!("mount -t tmpfs hidden {}", scratch.at("private").display());
        let plan = backend.plan.map(|plan| {
            let hidden = |plan: Plan, &number: &usize| plan.host(number, |host| host.setup(&hide));
            backend.others.iter().fold(plan(), hidden)
        });
        Ground { backend, lab: plan.map(Plan::up), scratch }
    }

    pub fn lab(&self) -> &Lab {
        self.lab.as_ref().expect("a backend with hosts")
    }

    /// A job of eight ranks that reads the input of all hosts, and whose output is to be looked at
    /// to the byte: where a launcher carries stdout it goes to a file instead.
    pub fn job(&self, options: &str) -> Job {
        self.reading("shared", options)
    }

    /// Such a job that reads the input whose directory has this name.
    pub fn reading(&self, directory: &str, options: &str) -> Job {
        let job = self.bare().arg("-i").arg(self.input(directory));
        let job = match self.backend.streams {
            Streams::Own => job,
            Streams::Carried => job.arg("-o").arg(self.output()),
        };
        job.words(options)
    }

    /// A job that reads the input of all hosts, and that prints wherever its stdout leads.
    pub fn printing(&self, options: &str) -> Job {
        self.bare().arg("-i").arg(self.input("shared")).words(options)
    }

    /// A job whose input and output are standard ones.
    pub fn bare(&self) -> Job {
        (self.backend.job)(self).bound(BOUND).words("--grace 1")
    }

    /// Runs a [`job`](Ground::job) to its end. What it has written is shown as its stdout, also
    /// where it was a file.
    pub fn run(&self, job: Job) -> Outcome {
        let mut outcome = job.run();
        if self.backend.streams == Streams::Carried {
            outcome.prints("");
            outcome.stdout = fs::read(self.output()).unwrap_or_default();
            let _ = fs::remove_file(self.output());
        }
        outcome
    }

    /// What a [`printing`](Ground::printing) job has printed that did not end well. On stdout Hydra
    /// also says what it thinks of that.
    pub fn printed<'a>(&self, outcome: &'a Outcome) -> &'a [u8] {
        let banner = memchr::memmem::find(&outcome.stdout, b"\n======");
        &outcome.stdout[..banner.unwrap_or(outcome.stdout.len())]
    }

    /// What a command prints that runs once, with the whole input.
    pub fn sequential(&self, command: &str) -> Vec<u8> {
        let mut words = command.split_whitespace();
        let mut alone = Command::new(words.next().unwrap());
        alone.args(words).stdin(File::open(self.input("shared")).unwrap()).stderr(Stdio::inherit());
        let output = alone.output().unwrap();
        assert!(output.status.success(), "{command}: {}", output.status);
        output.stdout
    }

    /// Checks that the error of a job is one of rank 5.
    #[track_caller]
    pub fn blames_the_fifth(&self, outcome: &Outcome) {
        let [_, host] = self.hosts();
        outcome.says(&format!("pxrun: error: rank 5 on `{host}`: "));
    }

    /// The hosts of ranks 0 and 5, as they call themselves.
    pub fn hosts(&self) -> [String; 2] {
        let here = || rustix::system::uname().nodename().to_string_lossy().into_owned();
        self.backend.hosts.map_or_else(|| [here(), here()], |hosts| hosts.map(str::to_owned))
    }

    /// Holds when nothing of any job is left.
    #[track_caller]
    pub fn is_left_clean(&self) {
        // On one machine the harness itself has looked for what carries the job's mark.
        let left: Vec<Resident> = self.lab.iter().flat_map(|lab| lab.leftovers(GONE)).collect();
        assert!(left.is_empty(), "left after {GONE:?}: {left:?}");
    }

    /// A directory that all hosts see.
    pub fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    /// The file that is the input.
    pub fn input(&self, directory: &str) -> PathBuf {
        self.scratch.at(directory).join("input")
    }

    fn output(&self) -> PathBuf {
        self.scratch.at("output")
    }
}
