//! `--dry-run`: the plan in words, nothing started.

mod hosts;

use std::fmt::Write as _;

use px_runtime::deal::Next;
use px_runtime::failure::{Message, escape};
use px_runtime::input::window::{Looking, Window};
use px_runtime::job::{ChunkSize, Contract, Deal, Order, OutputName, Run};
use px_runtime::records::Records;
use px_runtime::root::setup::{Opened, dealer, open};

use crate::Refusal;
use crate::plan::{DryRun, Plan};
use crate::slurm::step;
use hosts::Placed;

/// What one rank will get.
#[derive(Clone, Copy, Default)]
struct Share {
    chunks: u64,
    bytes: u64,
    first: Option<u64>,
}

/// Describes the plan: ranks, chunks, who gets what, and why.
///
/// # Errors
/// What is wrong with the input.
pub fn describe(plan: &Plan, how: DryRun) -> Result<String, Refusal> {
    let mut job = plan.job.clone();
    let placed = plan.listing.as_ref().map(|listing| Placed::new(plan, listing, how, &mut job));
    let placed = placed.transpose()?;
    let job = &job;
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "{name:<9} {}", escape(&value));
    };
    line(
        "command",
        match &placed {
            None => format!("{} ({})", job.command.shown, job.command.path.to_string_lossy()),
            Some(_) => job.command.shown.clone(),
        },
    );
    line(
        "ranks",
        match &placed {
            None => format!("{} on `{}`: {}", job.ranks, plan.host, plan.ranks_reason),
            Some(placed) => placed.summary(),
        },
    );
    if let Some(words) = step::describe(plan)? {
        line("agents", words);
    }
    line(
        "records",
        match job.records {
            Records::Delimited(b'\n') => "lines".to_owned(),
            Records::Delimited(byte) => format!("ended by byte {byte:#04x}"),
            Records::Fixed(width) => format!("{width} bytes each"),
        },
    );
    line(
        "run",
        match job.run {
            Run::PerRank => "per-rank: one long-lived copy a rank".to_owned(),
            Run::PerChunk => "per-chunk: a fresh copy for each chunk".to_owned(),
        },
    );
    line(
        "order",
        match (job.order, job.contract) {
            (Order::None, Contract::Px) => {
                "none: what copies emit for a chunk as it is released, what they print as it comes"
                    .to_owned()
            }
            (Order::None, _) => "none: output as it comes, whole lines or chunks".to_owned(),
            (Order::Input, Contract::Lines) => {
                "input: by counting one output line a record".to_owned()
            }
            (Order::Input, Contract::None | Contract::Px) => "input".to_owned(),
            (Order::Rank, _) => "rank: rank 0's output first".to_owned(),
        },
    );
    line(
        "output",
        match &job.output {
            OutputName::Stdout => "standard output".to_owned(),
            OutputName::Path(path) => format!("`{}`", path.display()),
        },
    );
    line(
        "chunks",
        match job.chunk {
            ChunkSize::Automatic => "of a size that fits the input".to_owned(),
            ChunkSize::Bytes(bytes) => format!("of at least {bytes} bytes"),
            ChunkSize::Records(count) => format!("of {count} records"),
        },
    );
    let way = match job.deal {
        Deal::RoundRobin => "round-robin: chunk i to rank i mod N",
        Deal::Block => "block: one contiguous run a rank",
        Deal::Dynamic => "dynamic: to whichever rank is free",
    };
    line("deal", way.to_owned());
    let is_known = placed.as_ref().is_none_or(Placed::is_known);
    match open(job).map_err(|error| error.message())? {
        Opened::Stream(..) => {
            line("input", "a stream: how it is cut shows only as it comes".to_owned());
        }
        Opened::Files(input, _) if !is_known => {
            line("input", format!("{} bytes", input.layout().length()));
        }
        Opened::Files(input, _) => {
            let dealer = dealer(job, &input);
            let mut dealer = dealer.map_err(|error| Message::new(error.to_string()))?;
            let length = input.layout().length();
            line("input", {
                let files = job.input.len();
                format!("{length} bytes in {files} {}", if files == 1 { "file" } else { "files" })
            });
            let mut window = Window::new(job.records);
            let looking = &mut Looking { window: &mut window, input: &input };
            let ranks = job.ranks.get() as usize;
            let mut shares = vec![Share::default(); ranks];
            let mut over = vec![false; ranks];
            while over.iter().any(|over| !over) {
                for rank in 0..ranks {
                    let number = u32::try_from(rank).unwrap_or(0);
                    let mut budget = u64::MAX;
                    let next = dealer.next(number, looking, &mut budget);
                    match next.map_err(|error| Message::new(error.to_string()))? {
                        Next::Chunk(chunk) => {
                            let share = &mut shares[rank];
                            share.chunks += 1;
                            share.bytes += chunk.len();
                            share.first.get_or_insert(chunk.index);
                        }
                        _ => over[rank] = true,
                    }
                }
            }
            let chunks: u64 = shares.iter().map(|share| share.chunks).sum();
            if let Some(average) = length.checked_div(chunks) {
                let _ = writeln!(text, "{:<9} {chunks} chunks of {average} bytes on average", "");
            }
            table(&mut text, job.deal, &shares);
        }
    }
    if let Some(placed) = &placed {
        text.push_str(&placed.tables(job.binding));
    }
    Ok(text)
}

fn table(text: &mut String, deal: Deal, shares: &[Share]) {
    if deal == Deal::Dynamic {
        return;
    }
    let _ = writeln!(text, "\n{:>6} {:>10} {:>10} {:>16}", "rank", "chunks", "first", "bytes");
    for (rank, share) in shares.iter().enumerate() {
        let first = share.first.map_or("-".to_owned(), |first| first.to_string());
        let _ = writeln!(text, "{rank:>6} {:>10} {first:>10} {:>16}", share.chunks, share.bytes);
    }
}
