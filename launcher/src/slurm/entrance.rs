//! What an agent is told on its command line that `srun` starts: nothing secret, and nothing of the
//! user's.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};

use px_runtime::failure::Message;
use px_runtime::link::control::Packing;
use px_runtime::link::hello::Admitted;
use px_runtime::link::lease;

use crate::joined::{self, Connected, Duty};
use crate::rendezvous::directory::Directory;
use crate::rendezvous::{self, MeetError, Rendezvous};
use crate::ssh::mark::Mark;
use crate::{Refusal, supervise};

/// The first word.
pub const ENTRANCE: &str = "--as-agent-of-srun";
/// How long the root may take to come.
const PATIENCE: Duration = Duration::from_secs(60);

/// How agents and root meet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// By munge's credentials, on stdin and stdout.
    Munge,
    /// In a directory, so many of them.
    Directory(PathBuf, u32),
}

/// What an agent is told.
#[derive(Debug)]
pub struct Orders {
    /// What tells its words from noise.
    pub mark: Mark,
    /// What cards call the job.
    pub job: String,
    /// What it must know before its root tells it more.
    pub duty: Duty,
    /// How it meets the root.
    pub way: Way,
}

impl Orders {
    /// The words that stand for it.
    pub fn words(&self) -> Vec<OsString> {
        let packing = match self.duty.packing {
            Packing::Plain => "plain",
            Packing::Compressed => "compressed",
        };
        let [lease, grace] = [self.duty.lease, self.duty.grace].map(|time| time.as_millis());
        let mut words: Vec<OsString> = [
            ENTRANCE.to_owned(),
            self.mark.to_string(),
            self.job.clone(),
            lease.to_string(),
            grace.to_string(),
            packing.to_owned(),
        ]
        .map(OsString::from)
        .into();
        if let Way::Directory(base, size) = &self.way {
            words.extend([base.clone().into_os_string(), size.to_string().into()]);
        }
        words
    }

    /// Takes the words that follow [`ENTRANCE`]; `None` where they are others.
    pub fn read(words: &[OsString]) -> Option<Self> {
        let (fixed, way) = words.split_at_checked(5)?;
        let fixed: Vec<&str> = fixed.iter().map(|word| word.to_str()).collect::<Option<_>>()?;
        let [mark, job, lease, grace, packing] = fixed.as_slice() else { return None };
        let time = |text: &str| text.parse().ok().map(Duration::from_millis);
        let packing = match *packing {
            "plain" => Packing::Plain,
            "compressed" => Packing::Compressed,
            _ => return None,
        };
        let way = match way {
            [] => Way::Munge,
            [base, size] => Way::Directory(PathBuf::from(base), size.to_str()?.parse().ok()?),
            _ => return None,
        };
        let lease = time(lease)?.clamp(lease::SHORTEST, lease::PAUSED);
        let duty = Duty { lease, packing, grace: time(grace)? };
        Some(Orders { mark: mark.parse().ok()?, job: (*job).to_owned(), duty, way })
    }
}

/// Runs the agent that `words`, after [`ENTRANCE`], describe.
///
/// # Errors
/// It finds no root.
pub fn run(words: &[OsString]) -> Result<ExitCode, Refusal> {
    let orders = Orders::read(words)
        .ok_or_else(|| Message::new(format!("`{ENTRANCE}` is for `srun`, started by pxrun")))?;
    let duty = orders.duty;
    let mut connected = Connected::from(meet(orders)?);
    // To its end: it tells the root that this process has ended.
    let _held = connected.held.take();
    supervise::run(joined::of_agent(connected, duty))
}

fn meet(orders: Orders) -> Result<Admitted, Message> {
    let environment = |name: &str| std::env::var_os(name);
    let task = environment("SLURM_PROCID");
    let task = task.and_then(|text| text.to_str()?.parse::<u32>().ok()?.checked_add(1));
    let task = task.ok_or_else(|| Message::new("`SLURM_PROCID` must be a number"))?;
    let own = joined::keys()?;
    let mut card = joined::own_card(&orders.job, task, &own);
    // As the root knows it.
    if let Some(node) = environment("SLURMD_NODENAME") {
        card.host = node.to_string_lossy().into_owned();
    }
    let deadline = Instant::now() + PATIENCE;
    let root = match orders.way {
        Way::Munge => {
            let munge = rendezvous::munge::find(environment).map_err(MeetError::from)?;
            let munge = munge.ok_or_else(|| {
                Message::new("this host has no munge, and the root's has")
                    .help("`--rendezvous DIR` with a directory that all hosts see")
            })?;
            let streams = (rustix::stdio::stdin(), rustix::stdio::stdout());
            rendezvous::srun::meet(&munge, orders.mark, &card, streams, deadline)?
        }
        Way::Directory(base, size) => {
            Directory::open(&base, &orders.job, task, size)?.meet(&card, deadline)?
        }
    };
    joined::connect(&root, Rc::clone(&own), task, orders.duty.lease)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_read_as_they_were_written() {
        for way in [Way::Munge, Way::Directory("/shared/a b".into(), 5)] {
            let duty = Duty {
                lease: Duration::from_secs(10),
                grace: Duration::from_millis(1500),
                packing: Packing::Compressed,
            };
            let orders = Orders { mark: Mark::from([7; 16]), job: "12-ab".into(), duty, way };
            let words = orders.words();
            assert_eq!(words[0], ENTRANCE);
            let read = Orders::read(&words[1..]).unwrap();
            assert_eq!((read.mark, &read.job, &read.way), (orders.mark, &orders.job, &orders.way));
            assert_eq!((read.duty.lease, read.duty.grace), (duty.lease, duty.grace));
            for count in [0, 4, words.len() - 2] {
                let cut = Orders::read(&words[1..=count]);
                assert!(cut.is_none() || count == 5);
            }
        }
    }
}
