//! What several hosts are for: starting on them, feeding them, and reading what they see too.

use std::ffi::OsString;

use crate::contestant::{
    Contestant, FEEDER, GNU_HOSTS, GNU_HOSTS_ROUND_ROBIN, GNU_HOSTS_START, Launch, Output, PXRUN,
    PXRUN_HERE, PXRUN_REFERENCE, PXRUN_VALUE, SEALED_COPY, SSH, SSH_CAT, SSH_CAT_GCM, SSH_COUNT,
    SSH_COUNT_GCM,
};
use crate::ground::{Ground, mebibytes};
use crate::hosts::far::Far;
use crate::hosts::{HOSTS, RANKS, alone, far};
use crate::limits::Limit;
use crate::options::beside_this_program;
use crate::problem::Problem;
use crate::targets::{Aim, Target};
use crate::verify::{Digest, Expect};
use crate::words;
use crate::works::filters::digest;
use crate::works::{Table, Work};

/// The cipher of ssh that costs least here.
const GCM: &str = "-c aes128-gcm@openssh.com";

/// `true` everywhere.
pub fn start(ground: &Ground) -> Result<Work, Problem> {
    let true_ = &ground.tools.true_;
    let ranks = HOSTS * RANKS;
    let starts = Expect::Starts(ranks as u64);
    let mut contestants = Vec::new();
    if let Some(pxrun) = &ground.tools.pxrun {
        let words = words![&pxrun.path, "-v", "-H", Far::list(), true_];
        contestants.push(alone(ground, PXRUN, words, None, starts.clone()));
    }
    let stdout = ground.scratch.join("result");
    let login = |host: OsString| Launch {
        words: words!["ssh", "-o", "BatchMode=yes", host, true_],
        stdin: None,
        stdout: stdout.clone(),
    };
    contestants.push(Contestant {
        name: SSH,
        launches: Far::names().map(login).collect(),
        output: Output::File(stdout.clone()),
        expect: Expect::Starts(HOSTS as u64),
        scale: 1,
    });
    if let Some(gnu) = &ground.tools.gnu_parallel {
        let mut words = words![&gnu.path, "--will-cite", "-S", Far::parallel_list(), "-N0", true_];
        words.push(":::".into());
        words.extend((0..ranks).map(|number| OsString::from(number.to_string())));
        contestants.push(alone(ground, GNU_HOSTS_START, words, None, starts));
    }
    let aim = Aim::WallAtMostAndMore { times: 1.15, of: SSH, more_seconds: 0.050 };
    Ok(Work {
        id: "hosts-start",
        title: format!("`pxrun -H ... true < /dev/null`, {HOSTS} hosts x {RANKS} ranks"),
        contestants,
        limit: Some(SSH),
        table: Table::Hosts,
        targets: vec![Target { subject: PXRUN, aim }],
        remarks: vec![format!(
            "`{SSH}` starts `true` once a host, all at once; the others start it on each slot."
        )],
        rounds: 3 * ground.options.rounds,
    })
}

/// One way over one link.
pub fn link(ground: &Ground) -> Result<Work, Problem> {
    let input = far(ground)?.hidden();
    let seen = digest(&input)?;
    let expect = Expect::Total(seen.lines);
    let wc = &ground.tools.wc;
    let mut contestants = by_value(ground, words![wc, "-l"], &expect)?;
    contestants.extend(sealed_copy(ground)?);
    for (name, options) in [(SSH_COUNT, ""), (SSH_COUNT_GCM, GCM)] {
        contestants.push(through_ssh(ground, name, options, "wc -l", &expect)?);
    }
    Ok(Work {
        id: "hosts-link",
        title: format!("`wc -l` on one host that does not see the input, {}", size(&seen)),
        contestants,
        limit: Some(SEALED_COPY),
        table: Table::Hosts,
        targets: vec![
            Target { subject: PXRUN, aim: Aim::RateAtLeast { times: 0.7, of: SEALED_COPY } },
            faster(PXRUN, 2.0, SSH_COUNT),
        ],
        remarks: vec![format!(
            "`{SEALED_COPY}` is two processes and one connection over the loopback that seal with \
             the same crate and do nothing else; its start is a fork, pxrun's a login."
        )],
        rounds: ground.options.rounds,
    })
}

/// There and back over one link.
pub fn cat(ground: &Ground) -> Result<Work, Problem> {
    let input = far(ground)?.hidden();
    let seen = digest(&input)?;
    let expect = Expect::Same(input);
    let mut contestants = by_value(ground, words![&ground.tools.cat], &expect)?;
    contestants.extend(sealed_copy(ground)?);
    for (name, options) in [(SSH_CAT, ""), (SSH_CAT_GCM, GCM)] {
        contestants.push(through_ssh(ground, name, options, "cat", &expect)?);
    }
    Ok(Work {
        id: "hosts-cat",
        title: format!("`cat` on one host that does not see the input, {}", size(&seen)),
        contestants,
        limit: Some(SEALED_COPY),
        table: Table::Hosts,
        targets: vec![faster(PXRUN, 2.0, SSH_CAT)],
        remarks: vec![format!("`{SEALED_COPY}` goes one way only, the others there and back.")],
        rounds: ground.options.rounds,
    })
}

/// All hosts together.
pub fn count(ground: &Ground) -> Result<Work, Problem> {
    let far = far(ground)?;
    let seen = digest(&far.shared())?;
    let expect = Expect::Total(seen.lines);
    let wc = &ground.tools.wc;
    let ranks = (HOSTS * RANKS).to_string();
    let mut contestants = Vec::new();
    if let Some(pxrun) = &ground.tools.pxrun {
        let list = Far::list();
        let hosts = words!["-H", list];
        let here = words!["-np", &ranks];
        for (name, input, place) in [
            (PXRUN_REFERENCE, far.shared(), hosts.clone()),
            (PXRUN_VALUE, far.hidden(), hosts),
            (PXRUN_HERE, far.shared(), here),
        ] {
            let mut words = words![&pxrun.path, "-v"];
            words.extend(place);
            words.extend(words![wc, "-l"]);
            contestants.push(alone(ground, name, words, Some(input), expect.clone()));
        }
    }
    contestants.push(bare_feeder(ground, far, &ranks, &expect));
    if let Some(gnu) = &ground.tools.gnu_parallel {
        for (name, way) in [(GNU_HOSTS, None), (GNU_HOSTS_ROUND_ROBIN, Some("--round-robin"))] {
            let mut words = words![&gnu.path, "--will-cite", "-S", Far::parallel_list()];
            words.extend(words!["--pipe", "--block", "10M"]);
            words.extend(way.map(OsString::from));
            words.push("wc -l".into());
            contestants.push(alone(ground, name, words, Some(far.shared()), expect.clone()));
        }
    }
    let one = Aim::AfterAnswersAtMost { times: 1.1, of: PXRUN_HERE };
    Ok(Work {
        id: "hosts-wc",
        title: format!("`wc -l`, {}, {HOSTS} hosts x {RANKS} ranks", size(&seen)),
        contestants,
        limit: Some(FEEDER),
        table: Table::Hosts,
        targets: vec![
            Target { subject: PXRUN_REFERENCE, aim: one },
            faster(PXRUN_REFERENCE, 10.0, GNU_HOSTS),
            faster(PXRUN_VALUE, 3.0, GNU_HOSTS),
        ],
        remarks: vec![format!(
            "`{PXRUN_HERE}` and the bare feeder run {ranks} copies on the head, without any host."
        )],
        rounds: ground.options.rounds,
    })
}

/// pxrun with one rank on one host, by value.
fn by_value(
    ground: &Ground,
    command: Vec<OsString>,
    expect: &Expect,
) -> Result<Vec<Contestant>, Problem> {
    let Some(pxrun) = &ground.tools.pxrun else { return Ok(Vec::new()) };
    let mut words = words![&pxrun.path, "-v", "-H", "node1:1"];
    words.extend(command);
    let input = far(ground)?.hidden();
    Ok(vec![alone(ground, PXRUN, words, Some(input), expect.clone())])
}

fn sealed_copy(ground: &Ground) -> Result<Option<Contestant>, Problem> {
    let program = beside_this_program("sealed-copy");
    if !program.exists() {
        return Ok(None);
    }
    let words = words![program, far(ground)?.hidden()];
    Ok(Some(alone(ground, SEALED_COPY, words, None, Expect::Ends("MB/s\n"))))
}

fn through_ssh(
    ground: &Ground,
    name: &'static str,
    options: &str,
    command: &str,
    expect: &Expect,
) -> Result<Contestant, Problem> {
    let script = format!("cat \"$1\" | ssh -o BatchMode=yes {options} node1 {command}");
    let words = words!["/bin/sh", "-c", script, "sh", far(ground)?.hidden()];
    Ok(alone(ground, name, words, None, expect.clone()))
}

fn bare_feeder(ground: &Ground, far: &Far, ranks: &str, expect: &Expect) -> Contestant {
    let folder = ground.scratch.join("results");
    let pipe_bytes = ground.options.pipe_bytes.to_string();
    let mut words = words![&ground.this_program, Limit::BareFeeder.name(), "--np", ranks];
    words.extend(words!["--pipe-size", pipe_bytes, "--input", far.shared()]);
    words.extend(words!["--output", &folder, "--", &ground.tools.wc, "-l"]);
    let launch = Launch { words, stdin: None, stdout: ground.scratch.join("stdout") };
    Contestant {
        name: FEEDER,
        launches: vec![launch],
        output: Output::Folder(folder),
        expect: expect.clone(),
        scale: 1,
    }
}

fn faster(subject: &'static str, times: f64, than: &'static str) -> Target {
    let of: &'static [&'static str] = match than {
        SSH_COUNT => &[SSH_COUNT],
        SSH_CAT => &[SSH_CAT],
        _ => &[GNU_HOSTS],
    };
    Target { subject, aim: Aim::FasterThan { times, fastest_of: of, called: than } }
}

fn size(seen: &Digest) -> String {
    mebibytes(seen.bytes)
}
