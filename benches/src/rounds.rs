//! Runs the contestants of a work in turn, round by round, in an order that turns with the rounds,
//! so that a slow minute of the machine falls on all of them.

use crate::contestant::{Contestant, Side, side};
use crate::ground::Ground;
use crate::hosts::watched::Footprint;
use crate::measure::{Sample, measure};
use crate::problem::Problem;
use crate::stats::{Spread, spread};
use crate::works::Work;

/// What became of one contestant.
pub struct Outcome {
    pub name: &'static str,
    pub side: Side,
    pub scale: u32,
    pub samples: Vec<Sample>,
    /// Why it was taken out of the race.
    pub failure: Option<String>,
}

impl Outcome {
    /// Wall time; zeros where nothing was measured.
    pub fn wall(&self) -> Spread {
        self.over(|sample| sample.wall)
    }

    /// CPU time of the whole tree.
    pub fn cpu(&self) -> Spread {
        self.over(|sample| sample.cpu)
    }

    /// CPU time without the copies, where every run told it.
    pub fn own(&self) -> Option<Spread> {
        let own: Option<Vec<f64>> = self.samples.iter().map(|sample| sample.own).collect();
        own.and_then(spread)
    }

    /// Time until all hosts had answered, where every run told it.
    pub fn answered(&self) -> Option<Spread> {
        let answered: Option<Vec<f64>> =
            self.samples.iter().map(|sample| sample.answered).collect();
        answered.and_then(spread)
    }

    /// Wall time after all hosts had answered; all of it where there were none.
    pub fn after_answers(&self) -> Spread {
        self.over(|sample| sample.wall - sample.answered.unwrap_or(0.0))
    }

    /// The most that any run took, where every run was watched.
    pub fn footprint(&self) -> Option<Footprint> {
        let all: Option<Vec<_>> = self.samples.iter().map(|sample| sample.footprint).collect();
        all?.into_iter().reduce(Footprint::most)
    }

    /// What the work is judged by, where every run told it.
    pub fn figure(&self) -> Option<Spread> {
        let figures: Option<Vec<f64>> = self.samples.iter().map(|sample| sample.figure).collect();
        figures.and_then(spread)
    }

    fn over(&self, value: fn(&Sample) -> f64) -> Spread {
        let zeros = Spread { first_quartile: 0.0, median: 0.0, third_quartile: 0.0 };
        spread(self.samples.iter().map(value)).unwrap_or(zeros)
    }
}

/// One warm-up round, then the timed ones.
pub fn race(work: &Work, ground: &Ground) -> Result<Vec<Outcome>, Problem> {
    let mut outcomes: Vec<Outcome> = work.contestants.iter().map(entered).collect();
    let count = outcomes.len();
    for round in 0..=work.rounds {
        eprintln!("side-by-side: {}: round {round} of {} (0 is the warm-up)", work.id, work.rounds);
        for turn in 0..count {
            let place = (round + turn) % count;
            let outcome = &mut outcomes[place];
            if outcome.failure.is_some() {
                continue;
            }
            match measure(&work.contestants[place], ground) {
                Ok(sample) if round > 0 => outcome.samples.push(sample),
                Ok(_) => {}
                Err(problem) if problem.is_the_contestants() => {
                    eprintln!("side-by-side: {}: {} failed: {problem}", work.id, outcome.name);
                    outcome.failure = Some(problem.to_string());
                }
                Err(problem) => return Err(problem),
            }
        }
    }
    Ok(outcomes)
}

fn entered(contestant: &Contestant) -> Outcome {
    Outcome {
        name: contestant.name,
        side: side(contestant.name),
        scale: contestant.scale,
        samples: Vec::new(),
        failure: None,
    }
}
