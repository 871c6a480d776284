//! What the cells of a row stand on: its hosts, an input that all of them see, and one that only
//! the root sees.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use px_tests::lab::{Plan, Resident};
use px_tests::{Job, Lab, Outcome, Scratch, records};

use crate::backends::Backend;

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

    /// A job of eight ranks that reads the input of all hosts.
    pub fn job(&self, options: &str) -> Job {
        self.reading("shared", options)
    }

    /// A job that reads the input whose directory has this name.
    pub fn reading(&self, directory: &str, options: &str) -> Job {
        let job = (self.backend.job)(self).bound(BOUND).words("--lease 2 --grace 1");
        job.arg("-i").arg(self.input(directory)).words(options)
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

    /// Checks that a job ended as pxrun ends with this status.
    #[track_caller]
    pub fn ended<'a>(&self, outcome: &'a Outcome, status: i32) -> &'a Outcome {
        outcome.exits((self.backend.status)(status))
    }

    /// Checks that the error of a job is one of rank 5.
    #[track_caller]
    pub fn blames_the_fifth(&self, outcome: &Outcome) {
        match self.backend.fifth {
            Some(host) => outcome.says(&format!("pxrun: error: rank 5 on `{host}`: ")),
            None => outcome.says("pxrun: error: rank 5 on `"),
        };
    }

    /// Holds when nothing of any job is left.
    #[track_caller]
    pub fn is_left_clean(&self) {
        // On one machine the harness itself has looked for what carries the job's mark.
        let left: Vec<Resident> = self.lab.iter().flat_map(|lab| lab.leftovers(GONE)).collect();
        assert!(left.is_empty(), "left after {GONE:?}: {left:?}");
    }

    fn input(&self, directory: &str) -> PathBuf {
        self.scratch.at(directory).join("input")
    }
}
