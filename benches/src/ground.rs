//! The ground on which all contestants of a run stand: options, tools, folder and inputs.

use std::cell::OnceCell;
use std::ffi::OsString;
use std::path::PathBuf;

use crate::contestant::Launch;
use crate::hosts::far::Far;
use crate::input::{self, Input};
use crate::options::Options;
use crate::problem::Problem;
use crate::running;
use crate::scratch::Scratch;
use crate::sweep;
use crate::sys;
use crate::tools::Tools;

/// What every work needs; dropping it removes its folder.
pub struct Ground {
    pub options: Options,
    pub tools: Tools,
    pub scratch: Scratch,
    /// This program, which is also the bare limits.
    pub this_program: PathBuf,
    /// The lab's hosts, where this process is on their head.
    pub far: Option<Far>,
    inputs: [OnceCell<Input>; 3],
}

/// How much of the input a work takes.
#[derive(Clone, Copy)]
pub enum Portion {
    Whole,
    Quarter,
    Sixteenth,
}

impl Portion {
    fn divisor(self) -> u64 {
        match self {
            Portion::Whole => 1,
            Portion::Quarter => 4,
            Portion::Sixteenth => 16,
        }
    }
}

impl Ground {
    /// Makes the folder and finds the tools.
    pub fn prepare(options: Options) -> Result<Ground, Problem> {
        sweep::adopt_orphans().map_err(Problem::step("become a subreaper"))?;
        let scratch = Scratch::inside(&options.dir)?;
        let tools = Tools::find(scratch.path())?;
        let this_program = std::env::current_exe().map_err(Problem::step("find this program"))?;
        Ok(Ground { options, tools, scratch, this_program, far: None, inputs: Default::default() })
    }

    /// The input of this size, made when it is first wanted.
    pub fn input(&self, portion: Portion) -> Result<&Input, Problem> {
        let cell = &self.inputs[portion as usize];
        if let Some(input) = cell.get() {
            return Ok(input);
        }
        let bytes = self.options.size_bytes / portion.divisor();
        eprintln!("side-by-side: preparing an input of {}", mebibytes(bytes));
        let path = self.scratch.join(&format!("input{}", portion.divisor()));
        let made = input::make(self.options.input.as_deref(), bytes, &path, self.options.np)?;
        self.check_interrupt()?;
        Ok(cell.get_or_init(|| made))
    }

    /// What the command prints when it is run once, by itself, over the whole input.
    pub fn reference(
        &self,
        name: &str,
        command: &[OsString],
        input: &Input,
    ) -> Result<PathBuf, Problem> {
        let stdout = self.scratch.join(&format!("{name}.reference"));
        let words = command.to_vec();
        let launch = Launch { words, stdin: Some(input.whole.clone()), stdout: stdout.clone() };
        let finished = running::run(&[launch], self.scratch.path(), self.options.limit)?;
        if !finished.status.success() {
            let said = format!("{command:?} failed on the input");
            return Err(Problem::Status { status: finished.status, said });
        }
        Ok(stdout)
    }

    /// Ends the preparation when a signal asked for it.
    pub fn check_interrupt(&self) -> Result<(), Problem> {
        match sys::interrupt() {
            Some(signal) => Err(Problem::Interrupted { signal }),
            None => Ok(()),
        }
    }
}

/// A size as a reader wants it: an input that ends at a line end is a little below the round one.
pub fn mebibytes(bytes: u64) -> String {
    let mebi = (bytes + (1 << 19)) >> 20;
    match mebi {
        0 => format!("{bytes} B"),
        mebi if mebi.is_multiple_of(1024) => format!("{} GiB", mebi / 1024),
        mebi => format!("{mebi} MiB"),
    }
}
