//! Counting lines and words: a chunk by pointer against the same program on stdin, and against its
//! own mapping of a file of its own.

use std::ffi::OsString;

use super::{build, contract_px};
use crate::contestant::{
    Contestant, Launch, ORACLE, Output, PXRUN_PX, PXRUN_PX_AHEAD, PXRUN_STDIN, PXRUN_STDIN_AHEAD,
};
use crate::ground::{Ground, Portion, mebibytes};
use crate::hosts::alone;
use crate::input::Input;
use crate::problem::Problem;
use crate::targets::{Aim, Target};
use crate::verify::{Expect, total};
use crate::words;
use crate::works::filters::digest;
use crate::works::{Table, Work};

const COUNT_C: &str = include_str!("../../../libpx/count.c");

/// As fast a program as there is.
pub fn lines(ground: &Ground) -> Result<Work, Problem> {
    let input = ground.input(Portion::Whole)?;
    let count = Count::new(ground, input, Expect::Total(digest(&input.whole)?.lines))?;
    let mut contestants = Vec::new();
    contestants.extend(count.by_chunks(PXRUN_PX, "lines"));
    contestants.extend(count.by_stdin(PXRUN_STDIN, "lines"));
    contestants.extend(count.by_chunks(PXRUN_PX_AHEAD, "ahead"));
    contestants.extend(count.by_stdin(PXRUN_STDIN_AHEAD, "ahead"));
    contestants.push(count.by_mapping("lines"));
    let faster = |subject, peer: &'static [&'static str]| {
        let aim = Aim::FasterThan { times: 1.8, fastest_of: peer, called: peer[0] };
        Target { subject, aim }
    };
    Ok(Work {
        id: "px-lines",
        title: format!("counting lines by `memchr`, {}, by reference", mebibytes(input.bytes)),
        contestants,
        limit: None,
        table: Table::OneMachine,
        targets: vec![
            faster(PXRUN_PX, &[PXRUN_STDIN]),
            faster(PXRUN_PX_AHEAD, &[PXRUN_STDIN_AHEAD]),
        ],
        remarks: vec![
            "One program, which is told where its bytes come from. Looking ahead it asks memory for \
             4 KiB more than it has got to."
                .to_owned(),
            ORACLE_REMARK.to_owned(),
        ],
        rounds: ground.options.rounds,
    })
}

/// A program that has some more to do for each byte.
pub fn words(ground: &Ground) -> Result<Work, Problem> {
    let input = ground.input(Portion::Whole)?;
    // Another program is asked how many there are.
    let other = words![&ground.tools.wc, "-w"];
    let reference = ground.reference("px-words", &other, input)?;
    let count = Count::new(ground, input, Expect::Total(total(&reference)?))?;
    let mut contestants = Vec::new();
    contestants.extend(count.by_chunks(PXRUN_PX, "words"));
    contestants.push(count.by_mapping("words"));
    Ok(Work {
        id: "px-words",
        title: format!("counting words, {}, by reference", mebibytes(input.bytes)),
        contestants,
        limit: None,
        table: Table::OneMachine,
        targets: vec![Target {
            subject: PXRUN_PX,
            aim: Aim::WallAtMost { times: 1.05, of: ORACLE },
        }],
        remarks: vec![ORACLE_REMARK.to_owned()],
        rounds: ground.options.rounds,
    })
}

const ORACLE_REMARK: &str =
    "The oracle's copies each map a file of their own, cut beforehand, as a whole.";

/// The program and what it must find.
struct Count<'a> {
    ground: &'a Ground,
    input: &'a Input,
    expect: Expect,
    program: OsString,
}

impl Count<'_> {
    fn new<'a>(ground: &'a Ground, input: &'a Input, expect: Expect) -> Result<Count<'a>, Problem> {
        let program = build(ground, "count", COUNT_C)?.into_os_string();
        Ok(Count { ground, input, expect, program })
    }

    fn by_chunks(&self, name: &'static str, what: &str) -> Option<Contestant> {
        let pxrun = self.ground.tools.pxrun.as_ref()?;
        let mut words = contract_px(pxrun, self.ground.options.np, self.program.as_ref());
        words.extend(words![what, "chunks"]);
        Some(self.by_pxrun(name, words))
    }

    fn by_stdin(&self, name: &'static str, what: &str) -> Option<Contestant> {
        let pxrun = &self.ground.tools.pxrun.as_ref()?.path;
        let np = self.ground.options.np.to_string();
        let words = words![pxrun, "-v", "-np", np, &self.program, what, "stdin"];
        Some(self.by_pxrun(name, words))
    }

    fn by_pxrun(&self, name: &'static str, words: Vec<OsString>) -> Contestant {
        alone(self.ground, name, words, Some(self.input.whole.clone()), self.expect.clone())
    }

    fn by_mapping(&self, what: &str) -> Contestant {
        let folder = self.ground.scratch.join("results");
        let launches = self.input.parts.iter().enumerate().map(|(rank, part)| Launch {
            words: words![&self.program, what, part],
            stdin: None,
            stdout: folder.join(rank.to_string()),
        });
        let launches = launches.collect();
        let output = Output::Folder(folder);
        let expect = self.expect.clone();
        Contestant { name: ORACLE, launches, output, expect, scale: 1 }
    }
}
