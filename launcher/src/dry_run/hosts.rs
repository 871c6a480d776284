//! Which ranks would run where: hosts are asked only where a count needs it.

use std::fmt::Write as _;
use std::num::NonZeroU32;

use px_runtime::agent::assignment::Binding;
use px_runtime::agent::binding;
use px_runtime::buffers::Buffers;
use px_runtime::failure::{Message, escape};
use px_runtime::job::Job;
use px_runtime::link::control::Hello;
use px_runtime::poller::Poller;

use crate::backend::Way;
use crate::hostfile::allocation::{Host, Slots};
use crate::hosts::Listing;
use crate::muster::{Call, Coming, Muster, Stopped};
use crate::placement::{Room, place};
use crate::plan::{DryRun, Plan};
use crate::{Refusal, agent};

/// A host and what it has said of itself, if it was asked.
struct Known<'a> {
    host: &'a Host,
    hello: Option<Hello>,
}

/// What is known of all hosts, and where each rank would run.
pub(super) struct Placed<'a> {
    listing: &'a Listing,
    hosts: Vec<Known<'a>>,
    /// The host of each rank; `None` where a count is not known.
    ranks: Option<Vec<u32>>,
}

impl<'a> Placed<'a> {
    /// Asks hosts as far as it may, and places the ranks of `job`.
    ///
    /// # Errors
    /// Hosts that do not answer; ranks that do not fit.
    pub(super) fn new(
        plan: &Plan,
        listing: &'a Listing,
        how: DryRun,
        job: &mut Job,
    ) -> Result<Self, Refusal> {
        let hosts = match (plan.way, how) {
            (Way::Ssh, DryRun::Contacting) => ask(plan, listing)?,
            // Others can be asked only by what would be started.
            _ => here_only(listing),
        };
        let rooms = hosts.iter().map(|known| known.host.room(known.hello.as_ref()));
        let rooms: Option<Vec<Room>> = rooms.collect();
        let ranks = rooms.map(|rooms| place(&rooms, &listing.wish, &listing.from)).transpose()?;
        if let Some(ranks) = &ranks {
            let world = u32::try_from(ranks.len()).ok().and_then(NonZeroU32::new);
            job.ranks = world.unwrap_or(NonZeroU32::MIN);
        }
        Ok(Placed { listing, hosts, ranks })
    }

    /// Whether it is known how many ranks there are.
    pub(super) fn is_known(&self) -> bool {
        self.ranks.is_some()
    }

    /// How many ranks there are, in words.
    pub(super) fn summary(&self) -> String {
        let (hosts, from) = (self.hosts.len(), &self.listing.from.name);
        let hosts = if hosts == 1 { "1 host".to_owned() } else { format!("{hosts} hosts") };
        match &self.ranks {
            Some(ranks) => format!("{} on {hosts} from {from}", ranks.len()),
            None => format!("? on {hosts} from {from}: not every count is known"),
        }
    }

    /// The tables of hosts and of ranks.
    pub(super) fn tables(&self, binding: Binding) -> String {
        let mut text = String::new();
        let wide = self.hosts.iter().map(|known| known.host.host.chars().count()).max();
        let wide = wide.unwrap_or(0).max(4);
        let _ =
            writeln!(text, "\n{:<wide$} {:>6}  {:<10} slots come from", "host", "slots", "cpus");
        for Known { host, hello } in &self.hosts {
            let slots = host.room(hello.as_ref()).map(|room| room.slots.to_string());
            let slots = slots.unwrap_or_else(|| "?".to_owned());
            let cpus = hello.as_ref().map(|hello| binding::list(&hello.cores.concat()));
            let cpus = cpus.unwrap_or_else(|| "?".to_owned());
            let (name, reason) = (escape(&host.host), escape(&host.reason));
            let _ = writeln!(text, "{name:<wide$} {slots:>6}  {cpus:<10} {reason}");
        }
        let Some(ranks) = &self.ranks else { return text };
        let _ = writeln!(text, "\n{:>6} {:<wide$} {:>5}  cpus", "rank", "host", "local");
        let mut placed = vec![0; self.hosts.len()];
        for (rank, &at) in ranks.iter().enumerate() {
            let Known { host, hello } = &self.hosts[at as usize];
            let local: usize = placed[at as usize];
            placed[at as usize] += 1;
            let cpus = hello.as_ref().map(|hello| match binding {
                Binding::None => binding::list(&hello.cores.concat()),
                Binding::Core => hello.cores.get(local).map_or("-".into(), |c| binding::list(c)),
            });
            let cpus = cpus.unwrap_or_else(|| "?".to_owned());
            let _ = writeln!(text, "{rank:>6} {:<wide$} {local:>5}  {cpus}", escape(&host.host));
        }
        text
    }
}

fn here_only(listing: &Listing) -> Vec<Known<'_>> {
    let hello = |host: &Host| host.is_here().then(agent::hello);
    listing.hosts.iter().map(|host| Known { host, hello: hello(host) }).collect()
}

fn ask<'a>(plan: &Plan, listing: &'a Listing) -> Result<Vec<Known<'a>>, Refusal> {
    let failed = |errno| Message::new(format!("cannot wait for hosts: {errno}"));
    let poller = Poller::new().map_err(failed)?;
    let call = Call {
        listing,
        errand: plan.errand(),
        verbosity: plan.verbosity,
        input: None,
        buffers: Buffers::default(),
        only_ask: true,
        coming: Coming::Logins,
    };
    let mut muster = Muster::new(call, &plan.job, &poller, None)?;
    let bound = plan.job.binding == Binding::Core;
    match muster.ask(|host| bound || host.slots == Slots::Cores) {
        Ok(()) => {}
        Err(Stopped::Refused(refusal)) => return Err(*refusal),
        // Nobody gives orders to a description.
        Err(Stopped::By(_) | Stopped::Orphaned(_)) => {}
    }
    let answers = muster.answers().into_iter();
    let known = answers.map(|(at, hello)| Known { host: &listing.hosts[at], hello }).collect();
    muster.dismiss();
    Ok(known)
}
