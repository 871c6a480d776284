//! The targets that pxrun sets itself, and whether a run met them.

use crate::ground::mebibytes;
use crate::rounds::Outcome;
use crate::stats::{duration, percent};

/// What a contestant of ours must reach.
pub struct Target {
    pub subject: &'static str,
    pub aim: Aim,
}

/// How it is judged; all values are medians.
pub enum Aim {
    WallAtMost {
        times: f64,
        of: &'static str,
    },
    OwnCpuAtMost {
        times: f64,
        of: &'static str,
    },
    /// At least so many times faster than the fastest of these.
    FasterThan {
        times: f64,
        fastest_of: &'static [&'static str],
        called: &'static str,
    },
    /// At most so many times another's wall time, and so much more.
    WallAtMostAndMore {
        times: f64,
        of: &'static str,
        more_seconds: f64,
    },
    /// At least this share of another's rate with the same bytes, from when all hosts had answered.
    RateAtLeast {
        times: f64,
        of: &'static str,
    },
    /// Wall time from when all hosts had answered, against another's.
    AfterAnswersAtMost {
        times: f64,
        of: &'static str,
    },
    /// The copies had work for at most so many times as long as another's.
    SpanAtMost {
        times: f64,
        of: &'static str,
    },
    /// Copies were fed at least at this share of another's rate.
    FedAtLeast {
        times: f64,
        of: &'static str,
    },
    /// Messages went at least at this share of the rate of the best of these.
    RateOfBest {
        times: f64,
        best_of: &'static [&'static str],
        called: &'static str,
    },
    /// Messages took at most so many times as long as those of the quickest of these.
    LatencyOfBest {
        times: f64,
        best_of: &'static [&'static str],
        called: &'static str,
    },
    /// The slowest copy took at most so long.
    FigureBelow {
        seconds: f64,
        called: &'static str,
    },
    /// No idle agent took more of a core.
    IdleBelow {
        share: f64,
    },
    /// At least so many times less wall time a unit than a peer; of each, that of the same work in
    /// few large units is taken off.
    LessPerUnit {
        times: f64,
        above: &'static str,
        peer: &'static str,
        peer_above: &'static str,
        units: u64,
        unit: &'static str,
    },
    AnsweredBelow {
        seconds: f64,
    },
    RootBelow {
        bytes: u64,
    },
    WallBelow {
        seconds: f64,
    },
    /// Own CPU above that of another contestant, for each unit of work.
    OwnCpuPerUnit {
        above: &'static str,
        units: u64,
        unit: &'static str,
        below_seconds: f64,
    },
}

/// A target as it is printed.
pub struct Verdict {
    pub wanted: String,
    pub found: String,
    /// `None` where something needed was not measured.
    pub met: Option<bool>,
}

/// Judges one target over the outcomes of its work.
pub fn judge(target: &Target, outcomes: &[Outcome]) -> Verdict {
    let wanted = format!("{}: {}", target.subject, wanted(&target.aim));
    match found(target, outcomes) {
        Ok((found, met)) => Verdict { wanted, found, met: Some(met) },
        Err(why) => Verdict { wanted, found: why, met: None },
    }
}

fn wanted(aim: &Aim) -> String {
    match aim {
        Aim::WallAtMost { times, of } => format!("wall at most {times:.2} x {of}"),
        Aim::OwnCpuAtMost { times, of } => format!("own CPU at most {times:.2} x {of}"),
        Aim::FasterThan { times, called, .. } if *times == 1.0 => format!("faster than {called}"),
        Aim::FasterThan { times, called, .. } => format!("at least {times} x faster than {called}"),
        Aim::WallAtMostAndMore { times, of, more_seconds } => {
            format!("wall at most {times:.2} x {of} + {}", duration(*more_seconds))
        }
        Aim::RateAtLeast { times, of } => {
            format!("rate from the host's answer on at least {times:.2} x {of}")
        }
        Aim::AfterAnswersAtMost { times, of } => {
            format!("from the last host's answer on at most {times:.2} x {of}")
        }
        Aim::SpanAtMost { times, of } => format!("the copies' work at most {times:.2} x {of}"),
        Aim::FedAtLeast { times, of } => format!("rate at least {times:.2} x {of}"),
        Aim::RateOfBest { times, called, .. } => format!("rate at least {times:.2} x {called}"),
        Aim::LatencyOfBest { times, called, .. } => {
            format!("a message at most {times:.2} x {called}")
        }
        Aim::FigureBelow { seconds, called } => {
            format!("{called} in at most {}", duration(*seconds))
        }
        Aim::IdleBelow { share } => {
            format!("no idle agent over {} of a core", percent(*share))
        }
        Aim::LessPerUnit { times, peer, unit, .. } => {
            format!("at least {times} x less wall time a {unit} than {peer}")
        }
        Aim::AnsweredBelow { seconds } => format!("all connected in under {}", duration(*seconds)),
        Aim::RootBelow { bytes } => format!("under {} at the root", mebibytes(*bytes)),
        Aim::WallBelow { seconds } => format!("wall at most {}", duration(*seconds)),
        Aim::OwnCpuPerUnit { unit, below_seconds, .. } => {
            format!("own CPU under {} a {unit}", duration(*below_seconds))
        }
    }
}

fn found(target: &Target, outcomes: &[Outcome]) -> Result<(String, bool), String> {
    let ours = named(outcomes, target.subject)?;
    let wall = ours.wall().median;
    match &target.aim {
        Aim::WallAtMost { times, of } => {
            let ratio = wall / named(outcomes, of)?.wall().median;
            Ok((format!("{ratio:.2} x"), ratio <= *times))
        }
        Aim::OwnCpuAtMost { times, of } => {
            let ratio = own(ours)? / own(named(outcomes, of)?)?;
            Ok((format!("{ratio:.2} x"), ratio <= *times))
        }
        Aim::FasterThan { times, fastest_of, .. } => {
            let walls = fastest_of.iter().filter_map(|name| named(outcomes, name).ok());
            let fastest = walls
                .map(|peer| (peer.wall().median, peer.name))
                .min_by(|a, b| a.0.total_cmp(&b.0));
            let (fastest, name) = fastest.ok_or("the peer was not measured")?;
            let ratio = fastest / wall;
            let met = ratio > *times || (ratio == *times && *times != 1.0);
            let which = if fastest_of.len() > 1 { format!(" (`{name}`)") } else { String::new() };
            Ok((format!("{ratio:.2} x{which}"), met))
        }
        Aim::WallAtMostAndMore { times, of, more_seconds } => {
            let reference = named(outcomes, of)?.wall().median;
            let most = times * reference + more_seconds;
            let found = format!("{} of {}", duration(wall), duration(most));
            Ok((found, wall <= most))
        }
        Aim::RateAtLeast { times, of } => {
            ours.answered().ok_or("when the host answered was not told")?;
            let bare = named(outcomes, of)?.wall().median;
            let (ratio, whole) = (bare / ours.after_answers().median, bare / wall);
            Ok((format!("{ratio:.2} x, with the login {whole:.2} x"), ratio >= *times))
        }
        Aim::AfterAnswersAtMost { times, of } => {
            ours.answered().ok_or("when hosts answered was not told")?;
            let ratio = ours.after_answers().median / named(outcomes, of)?.wall().median;
            Ok((format!("{ratio:.2} x"), ratio <= *times))
        }
        Aim::SpanAtMost { times, of } => {
            let ratio = figure(ours)? / figure(named(outcomes, of)?)?;
            Ok((format!("{ratio:.2} x"), ratio <= *times))
        }
        Aim::FedAtLeast { times, of } => {
            let ratio = figure(named(outcomes, of)?)? / figure(ours)?;
            Ok((format!("{ratio:.2} x"), ratio >= *times))
        }
        Aim::RateOfBest { times, best_of, .. } => {
            let (best, name) = quickest(outcomes, best_of)?;
            let ratio = best / figure(ours)?;
            Ok((format!("{ratio:.2} x ({name})"), ratio >= *times))
        }
        Aim::LatencyOfBest { times, best_of, .. } => {
            let (best, name) = quickest(outcomes, best_of)?;
            let ratio = figure(ours)? / best;
            Ok((format!("{ratio:.2} x ({name})"), ratio <= *times))
        }
        Aim::FigureBelow { seconds, .. } => {
            let found = figure(ours)?;
            Ok((duration(found), found <= *seconds))
        }
        Aim::IdleBelow { share } => {
            let found = figure(ours)?;
            Ok((percent(found), found <= *share))
        }
        Aim::LessPerUnit { times, above, peer, peer_above, units, .. } => {
            let wall = |name| Ok::<f64, String>(named(outcomes, name)?.wall().median);
            let each = |many: f64, few: f64| (many - few).max(0.0) / *units as f64;
            let mine = each(wall(target.subject)?, wall(above)?);
            let theirs = each(wall(peer)?, wall(peer_above)?);
            let shown = match mine {
                0.0 => "less than starts differ by".to_owned(),
                mine => duration(mine),
            };
            let found = format!("{shown} against {}", duration(theirs));
            Ok((found, theirs > 0.0 && theirs >= times * mine))
        }
        Aim::AnsweredBelow { seconds } => {
            let answered = ours.answered().ok_or("when hosts answered was not told")?.median;
            Ok((duration(answered), answered < *seconds))
        }
        Aim::RootBelow { bytes } => {
            let found = ours.footprint().ok_or("the root was not watched")?.bytes;
            Ok((mebibytes(found), found < *bytes))
        }
        Aim::WallBelow { seconds } => Ok((duration(wall), wall <= *seconds)),
        Aim::OwnCpuPerUnit { above, units, below_seconds, .. } => {
            let apart = own(ours)? - own(named(outcomes, above)?)?;
            let each = apart / *units as f64;
            Ok((duration(each), each < *below_seconds))
        }
    }
}

fn named<'a>(outcomes: &'a [Outcome], name: &str) -> Result<&'a Outcome, String> {
    let outcome = outcomes.iter().find(|outcome| outcome.name == name);
    let outcome = outcome.ok_or_else(|| format!("{name} was not measured"))?;
    match &outcome.failure {
        Some(_) => Err(format!("{name} failed")),
        None => Ok(outcome),
    }
}

fn figure(outcome: &Outcome) -> Result<f64, String> {
    let figure = outcome.figure().map(|figure| figure.median);
    figure.ok_or_else(|| format!("{} did not tell", outcome.name))
}

/// The least figure of these, and whose it is.
fn quickest(outcomes: &[Outcome], names: &[&str]) -> Result<(f64, &'static str), String> {
    let figures = names.iter().filter_map(|name| {
        let outcome = named(outcomes, name).ok()?;
        Some((figure(outcome).ok()?, outcome.name))
    });
    let best = figures.min_by(|a, b| a.0.total_cmp(&b.0));
    best.ok_or_else(|| "no peer was measured".to_owned())
}

fn own(outcome: &Outcome) -> Result<f64, String> {
    let own = outcome.own().map(|own| own.median);
    own.ok_or_else(|| format!("{} did not tell its own CPU time", outcome.name))
}
