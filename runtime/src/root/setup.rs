//! Making a root: opening the input, choosing the chunks, opening the output.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::rc::Rc;
use std::time::Instant;

use rustix::io::Errno;

use super::files::FileSource;
use super::hosts::{Host, Hosts};
use super::stream::StreamSource;
use super::{DIAGNOSTIC_WINDOW, OUTPUT_WINDOW, Observer, RankState, Root, Source, Tally};
use crate::agent::assignment::{Assignment, Feeding, Local, Pipes, Reading};
use crate::agent::{Agent, Guest};
use crate::buffers::Buffers;
use crate::cut::Cutter;
use crate::deal::{Dealer, Next};
use crate::failure::Message;
use crate::input::files::FileInput;
use crate::input::open::{Identities, Input, open_all};
use crate::input::reader::StreamReader;
use crate::input::window::{Looking, Window};
use crate::input::{InputError, chunking};
use crate::job::{ChunkSize, Contract, Deal, Job, Order, Run, Tag};
use crate::link::Link;
use crate::output::chunks::{ChunkOrder, Chunks};
use crate::output::diagnostics::Diagnostics;
use crate::output::emits::Emits;
use crate::output::gather::{Gather, Terms, Way};
use crate::output::hold::Hold;
use crate::output::line_order::LineOrder;
use crate::output::sink::Sink;
use crate::output::stage::Stage;
use crate::output::{OutputError, publish};
use crate::poller::{Poller, Token};
use crate::sys::process::raise_open_files;

/// Output held in memory before it is spilled, in bytes; each rank adds as much again of a MiB.
const HELD: usize = 12 << 20;

/// Input of streams held in memory, for hosts that may be lost, before it is spilled, in bytes.
const RETAINED: usize = 16 << 20;

/// Why a job cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The input.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The output.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// The output would be written into the input.
    #[error("the output is one of the inputs")]
    OutputIsInput,
    /// Blocks need the input's length.
    #[error("`--deal block` needs input of known length, found a stream")]
    BlockOfStream,
    /// A system call failed.
    #[error("cannot {step}: {source}")]
    System {
        /// What for.
        step: &'static str,
        /// Why.
        source: Errno,
    },
}

impl SetupError {
    /// Says it, with a way out where there is one.
    pub fn message(&self) -> Message {
        let message = Message::new(self.to_string());
        match self {
            SetupError::BlockOfStream => message.help(
                "give the input as a file with `-i FILE`, or use `--deal round-robin` or `dynamic`",
            ),
            SetupError::OutputIsInput => message.help("write to another file and rename it"),
            SetupError::Output(OutputError::Spill { .. }) => {
                message.help("`--spill-dir DIR` names another place")
            }
            _ => message,
        }
    }
}

/// The opened input of a job.
pub enum Opened {
    /// Files.
    Files(Rc<FileInput>, Identities),
    /// A stream, and which files are parts of it.
    Stream(StreamReader, Identities),
}

/// Opens a job's input; how it is cut depends on the ranks and comes later.
///
/// # Errors
/// Those of opening, of reading headers, and blocks of a stream.
pub fn open(job: &Job) -> Result<Opened, SetupError> {
    // Each file of the input stays open.
    raise_open_files();
    let (input, identities) = open_all(&job.input, job.records, job.header)?;
    let opened = match input {
        Input::Stream(_) if job.deal == Deal::Block => return Err(SetupError::BlockOfStream),
        Input::Stream(reader) => Opened::Stream(reader, identities),
        Input::Files(files) => Opened::Files(Rc::new(files), identities),
    };
    if publish::replaces_one_of(&job.output, opened.identities()) {
        return Err(SetupError::OutputIsInput);
    }
    Ok(opened)
}

impl Opened {
    fn identities(&self) -> &Identities {
        match self {
            Opened::Files(_, identities) | Opened::Stream(_, identities) => identities,
        }
    }

    /// The files, where the input is of known length.
    pub fn files(&self) -> Option<Rc<FileInput>> {
        match self {
            Opened::Files(files, _) => Some(Rc::clone(files)),
            Opened::Stream(..) => None,
        }
    }
}

/// Some ranks and where they run.
pub struct Place {
    /// What the host is called.
    pub name: String,
    /// Its ranks, in ascending order.
    pub ranks: Vec<u32>,
    /// Where they stand among the ranks of their host.
    pub local: Local,
    /// How its agent is reached.
    pub reach: Reach,
}

/// How an agent is reached.
pub enum Reach {
    /// It is in this process.
    Here,
    /// So it is, and these do the work of its copies.
    Guests(Vec<Guest>),
    /// Over a link, whose number its events bear.
    There(u32, Box<dyn Link>),
}

/// What a root is made of.
pub struct Parts {
    /// What to do.
    pub job: Job,
    /// Its input.
    pub opened: Opened,
    /// Where its ranks run: together every one from 0 up.
    pub places: Vec<Place>,
    /// Who wants to know how it goes.
    pub observer: Box<dyn Observer>,
    /// Where its links wait already.
    pub poller: Poller,
    /// What its links share.
    pub buffers: Buffers,
}

/// Chooses the chunks of an input of known length, and who gets them.
///
/// # Errors
/// Those of looking at the input.
pub fn dealer(job: &Job, input: &Rc<FileInput>) -> Result<Dealer, InputError> {
    let ranks = job.ranks;
    let layout = input.layout().clone();
    let length = layout.length();
    let counting = |cutter: Cutter| match job.contract {
        Contract::Lines => cutter.counting_records(),
        Contract::Px => cutter.within_files(),
        Contract::None => cutter,
    };
    let rule = match (job.deal, job.run) {
        (Deal::Block, _) => chunking::block_rule(input, job.records, ranks)?,
        _ => chunking::rule(input, job, ranks)?,
    };
    let cutter = Cutter::new(rule, job.records, 0..length, 0);
    Ok(match (job.deal, job.run) {
        (Deal::Dynamic, _) => Dealer::dynamic(layout, counting(cutter)),
        (Deal::Block, _) if job.commits_chunks() => {
            let inner = chunking::rule_in_block(&layout, job.chunk, rule, ranks);
            let mut outer = Dealer::dynamic(layout.clone(), cutter);
            let window = &mut Window::new(job.records);
            let looking = &mut Looking { window, input };
            let mut cutters = Vec::new();
            let (mut first, mut everything) = (0, u64::MAX);
            while let Next::Chunk(block) = outer.next(0, looking, &mut everything)? {
                let cutter = Cutter::new(inner, job.records, block.range(), first);
                let all = chunking::count_all(cutter.clone(), input, job.records)?;
                first += all;
                cutters.push(counting(cutter));
            }
            Dealer::block(layout, cutters)
        }
        (Deal::RoundRobin | Deal::Block, _) => {
            Dealer::round_robin(layout, counting(cutter), ranks.get())
        }
    })
}

impl Root {
    /// Opens the output, chooses the chunks and, per rank, starts the copies.
    ///
    /// Returns also the poller, where the links of `parts` wait.
    ///
    /// # Errors
    /// See [`SetupError`].
    pub fn new(parts: Parts, now: Instant) -> Result<(Self, Poller), SetupError> {
        let Parts { job, opened, places, observer, poller, buffers } = parts;
        let job = Rc::new(job);
        let system = |step| move |source| SetupError::System { step, source };
        let output = publish::open(&job.output)?;
        let sink = Sink::new(output.fd, &output.name, buffers.clone());
        let mut sink = sink.map_err(system("look at the output"))?;
        sink.enlarge(pipe_size(&job));
        let stderr = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stderr(), 3)
            .and_then(|fd| Sink::new(fd, "standard error", buffers.clone()))
            .map_err(system("look at standard error"))?;
        for (sink, token) in [(&sink, Token::Output), (&stderr, Token::Stderr)] {
            if let Some(fd) = sink.waits_on() {
                // Devices that never make a writer wait cannot be waited for.
                match poller.add(fd, token) {
                    Ok(()) | Err(Errno::PERM) => {}
                    Err(source) => return Err(system("watch the output")(source)),
                }
            }
        }
        let input = opened.files();
        let mut own = None;
        let mut hosts = Vec::new();
        for Place { name, ranks, local, reach } in places {
            let mut number = None;
            let link = match reach {
                Reach::There(events, link) => {
                    number = Some(events);
                    link
                }
                here => {
                    own = Some(hosts.len());
                    let assignment = assignment(&job, name.clone(), ranks.clone(), local);
                    let agent = Agent::new(assignment, input.clone(), buffers.clone())
                        .map_err(system("prepare to start copies"))?;
                    Box::new(match here {
                        Reach::Guests(guests) => agent.of_guests(guests),
                        _ => agent,
                    })
                }
            };
            hosts.push(Host { name, ranks, number, link });
        }
        let mut hosts = Hosts::new(hosts, own);
        let (source, total) = match opened {
            Opened::Files(input, _) => {
                let dealer = hosts.while_silent(&poller, || dealer(&job, &input))?;
                let window = Window::new(job.records);
                let total = Some(input.layout().length());
                (Source::Files(FileSource::new(input, dealer, window)), total)
            }
            Opened::Stream(mut reader, _) => {
                reader.enlarge(pipe_size(&job));
                if let Some(fd) = reader.waits_on() {
                    match poller.add(fd, Token::Input) {
                        Ok(()) | Err(Errno::PERM) => {}
                        Err(source) => return Err(system("watch the input")(source)),
                    }
                }
                (Source::Stream(StreamSource::new(reader, &job)), None)
            }
        };
        let ranks = job.ranks.get();
        // With very many ranks, memory is not theirs to take one by one.
        let held = HELD + (ranks as usize).min(64) * (1 << 20);
        let hold = Hold::new(buffers.clone(), held, job.spill_dir.clone());
        let terms = Terms {
            ranks,
            delimiter: job.records.delimiter().unwrap_or(b'\n'),
            tagged: job.tag == Tag::Rank,
            one_line_a_record: (job.contract == Contract::Lines).then_some(job.header),
        };
        let mut root = Root {
            hosts,
            gather: Gather::new(Stage::new(hold, sink), way(&job), &terms),
            diagnostics: Diagnostics::new(stderr, ranks, job.tag == Tag::Rank),
            ending: Some(output.ending),
            output_name: output.name,
            observer,
            ranks: (0..ranks).map(|_| RankState::default()).collect(),
            retained: Hold::new(buffers.clone(), RETAINED, job.spill_dir.clone()),
            stopping: None,
            tally: Tally::default(),
            started: now,
            next_bar: None,
            consumed: 0,
            dealt: 0,
            dealt_chunks: 0,
            total,
            blocked: super::Limit::Copies,
            output_dead: false,
            finished: false,
            shortage: 0,
            talks: false,
            forgotten: None,
            listens: false,
            waits: BTreeMap::new(),
            told_of_waits: false,
            source,
            job,
        };
        root.begin(&poller, now);
        Ok((root, poller))
    }

    fn begin(&mut self, poller: &Poller, now: Instant) {
        for rank in 0..self.job.ranks.get() {
            let state = &mut self.ranks[rank as usize];
            state.owed_output = OUTPUT_WINDOW.min((16 << 20) / self.job.ranks.get() as usize + 1);
            state.owed_diagnostics = DIAGNOSTIC_WINDOW;
        }
        self.give_credit(poller, now);
        if self.job.run == Run::PerRank {
            for rank in 0..self.job.ranks.get() {
                self.start_copy(rank, None, poller, now);
                if matches!(self.source, Source::Files(_)) {
                    self.feed_header(rank, poller, now);
                }
                // A stream may have ended, and nobody who has not begun yet is to be asked then.
                if self.job.contract == Contract::Px && matches!(self.source, Source::Files(_)) {
                    // What it waits for may lie there when its program begins.
                    self.deal(poller, now);
                    self.hosts.pump(poller, now);
                }
                self.hear_all(poller, now);
                if self.stopping.is_some() {
                    break;
                }
            }
        }
    }
}

/// Descriptors needed for `ranks` copies on top of those for everything else.
pub fn descriptors_needed(ranks: NonZeroU32) -> u64 {
    5 * u64::from(ranks.get()) + 32
}

/// What the agent of a host called `name` is to run.
pub fn assignment(job: &Job, name: String, ranks: Vec<u32>, local: Local) -> Assignment {
    let by_reading = !job.commits_chunks() && job.deal == Deal::Dynamic;
    Assignment {
        command: job.command.clone(),
        ranks,
        local,
        world: job.ranks.get(),
        run: job.run,
        records: job.records,
        feeding: match job.contract {
            Contract::Px => Feeding::Px,
            Contract::None | Contract::Lines => Feeding::Stdin,
        },
        tells_reading: if by_reading { Reading::Told } else { Reading::Untold },
        leak_timeout: job.leak_timeout,
        host: name,
        job: job.id.clone(),
        pipes: pipes(job),
        binding: job.binding,
        directory: job.directory.clone(),
    }
}

fn pipe_size(job: &Job) -> usize {
    match pipes(job) {
        Pipes::Usual => crate::agent::pipes::DEFAULT,
        Pipes::Enlarged => crate::agent::pipes::affordable(2 * job.ranks.get() as usize + 2),
    }
}

fn pipes(job: &Job) -> Pipes {
    // Where chunks go to whoever has read, what lies unread in a large pipe is dealt too early;
    // and a copy for one small chunk needs no large pipe.
    let small = job.run == Run::PerChunk
        && matches!(job.chunk, ChunkSize::Records(..=64) | ChunkSize::Bytes(..=0x1_0000));
    if small || (job.deal == Deal::Dynamic && !job.commits_chunks()) {
        return Pipes::Usual;
    }
    Pipes::Enlarged
}

fn way(job: &Job) -> Way {
    let ranks = job.ranks.get();
    if job.contract == Contract::Px {
        let order = match job.order {
            Order::None => ChunkOrder::None,
            Order::Input => ChunkOrder::Input,
            Order::Rank => ChunkOrder::Home,
        };
        return Way::Emits(Emits::new(order, ranks));
    }
    match (job.run, job.order) {
        (Run::PerChunk, Order::None) => Way::Chunks(Chunks::new(ChunkOrder::None, ranks)),
        (Run::PerChunk, Order::Input) => Way::Chunks(Chunks::new(ChunkOrder::Input, ranks)),
        (Run::PerChunk, Order::Rank) => Way::Chunks(Chunks::new(ChunkOrder::Home, ranks)),
        (Run::PerRank, Order::None) => Way::Lines,
        (Run::PerRank, Order::Rank) => Way::Ranks,
        (Run::PerRank, Order::Input) if job.deal == Deal::Block => Way::Ranks,
        (Run::PerRank, Order::Input) if job.deal == Deal::Dynamic => {
            Way::InputLines(LineOrder::listed(ranks))
        }
        (Run::PerRank, Order::Input) => Way::InputLines(LineOrder::rotating(ranks)),
    }
}
