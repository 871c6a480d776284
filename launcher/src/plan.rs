//! From options to a validated plan, refusing what cannot be before anything starts.

use std::ffi::OsString;
use std::io::Read;
use std::num::{NonZeroU32, NonZeroU64};
use std::path::PathBuf;
use std::time::Duration;

use px_runtime::agent::assignment::Binding;
use px_runtime::failure::Message;
use px_runtime::input::open::InputName;
use px_runtime::job::{
    ChunkSize, Contract, Deal, EarlyExit, Job, OnFailure, Order, OutputName, Run, Tag,
};
use px_runtime::records::Records;
use px_runtime::root::Verbosity;
use px_runtime::root::setup::descriptors_needed;

use crate::options::Options;
use crate::{Refusal, command, values};

/// Most ranks that one host is asked for.
const MOST_RANKS: u64 = 1 << 20;

/// A job and how to talk about it.
#[derive(Debug)]
pub struct Plan {
    /// The job.
    pub job: Job,
    /// What this host is called.
    pub host: String,
    /// Why there are so many ranks.
    pub ranks_reason: String,
    /// How much to say.
    pub verbosity: Verbosity,
    /// Whether a bar is drawn.
    pub bar: bool,
    /// Where to log copies.
    pub joblog: Option<PathBuf>,
    /// Only describe it.
    pub dry_run: bool,
    /// Said before the job begins.
    pub notes: Vec<String>,
}

/// Makes the plan.
///
/// # Errors
/// Whatever is wrong with the options, the command or this process's limits.
pub fn plan(options: Options) -> Result<Plan, Refusal> {
    std::env::current_dir().map_err(|error| {
        Message::new(format!("the working directory is gone: {error}")).help("cd to another one")
    })?;
    let (ranks, ranks_reason) = ranks(&options)?;
    let records = records(&options)?;
    let (run, deal, order, contract) = shape(&options, records)?;
    let mut notes = Vec::new();
    let input = input(&options, &mut notes)?;
    let output = options.raw("output").map_or(OutputName::Stdout, |path| {
        if path == "-" || path == "/dev/stdout" {
            OutputName::Stdout
        } else {
            OutputName::Path(path.into())
        }
    });
    let verbosity = match (options.flag("quiet"), options.flag("verbose")) {
        (true, true) => return Err(Message::new("`-q` and `-v` exclude each other").into()),
        (true, false) => Verbosity::Quiet,
        (false, true) => Verbosity::Verbose,
        (false, false) => Verbosity::Usual,
    };
    if let (true, Some(byte)) = (options.flag("tag"), records.delimiter())
        && (b"[] ".contains(&byte) || byte.is_ascii_digit())
    {
        return Err(Message::new("`--tag` cannot tell its own bytes from this delimiter").into());
    }
    let early_exit = if options.flag("allow-early-exit") {
        if contract == Contract::Lines {
            let text =
                "`--contract lines` needs every record read, and `--allow-early-exit` does not";
            return Err(Message::new(text).into());
        }
        EarlyExit::Allowed
    } else {
        EarlyExit::Fails
    };
    let job = Job {
        command: command::resolve(&options.command)?,
        ranks,
        records,
        header: options.value("header", |t| values::whole(t, 0, u64::MAX))?.unwrap_or(0),
        input,
        spill_dir: spill_dir(&options, &output),
        output,
        chunk: chunk(&options)?,
        deal,
        run,
        order,
        contract,
        tag: if options.flag("tag") { Tag::Rank } else { Tag::Off },
        ok: options.value("ok", values::statuses)?.unwrap_or_else(|| vec![0]),
        early_exit,
        on_failure: if options.flag("keep-going") { OnFailure::KeepGoing } else { OnFailure::Stop },
        grace: options.value("grace", values::seconds)?.unwrap_or(Duration::from_secs(5)),
        timeout: options.value("timeout", values::seconds)?,
        leak_timeout: options
            .value("leak-timeout", values::seconds)?
            .unwrap_or(Duration::from_secs(2)),
        binding: Binding::None,
        id: job_id()?,
    };
    check_descriptors(&job)?;
    let choices = [("auto", None), ("always", Some(true)), ("never", Some(false))];
    let bar = options.choice("progress", &choices)?.flatten();
    let terminal =
        || verbosity > Verbosity::Quiet && rustix::termios::isatty(rustix::stdio::stderr());
    Ok(Plan {
        host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        ranks_reason,
        verbosity,
        bar: bar.unwrap_or_else(terminal),
        joblog: options.raw("joblog").map(PathBuf::from),
        dry_run: options.flag("dry-run"),
        notes,
        job,
    })
}

fn ranks(options: &Options) -> Result<(NonZeroU32, String), Message> {
    let cores = std::thread::available_parallelism().map_or(1, |count| count.get() as u64);
    let cores_text =
        |count: u64| if count == 1 { "1 core".to_owned() } else { format!("{count} cores") };
    let factor = match options.oversubscribe() {
        None => 1,
        Some(text) => values::whole(text, 1, 1024)
            .map_err(|wrong| Message::new(format!("`--oversubscribe` {wrong}")))?,
    };
    let (count, reason) = match options.value("np", |text| values::whole(text, 1, MOST_RANKS))? {
        Some(count) => (count, "as asked for by `-np`".to_owned()),
        None if factor > 1 => {
            (cores * factor, format!("{factor} for each of {}", cores_text(cores)))
        }
        None => (cores, format!("this process may use {}", cores_text(cores))),
    };
    let count = u32::try_from(count).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MIN);
    Ok((count, reason))
}

fn records(options: &Options) -> Result<Records, Message> {
    let kind = options.value("records", |text| match text {
        "lines" => Ok(Records::LINES),
        "nul" => Ok(Records::Delimited(0)),
        _ => text
            .strip_prefix("bytes=")
            .and_then(|width| values::size(width).ok())
            .and_then(NonZeroU64::new)
            .map(Records::Fixed)
            .ok_or_else(|| format!("must be `lines`, `nul` or `bytes=N`, found `{text}`")),
    })?;
    match (kind, options.value("delimiter", values::byte)?) {
        (Some(_), Some(_)) => Err(Message::new("`--records` and `--delimiter` exclude each other")),
        (Some(kind), None) => Ok(kind),
        (None, Some(byte)) => Ok(Records::Delimited(byte)),
        (None, None) => Ok(Records::LINES),
    }
}

fn chunk(options: &Options) -> Result<ChunkSize, Message> {
    let size = options.value("chunk-size", values::size)?;
    let records = options.value("chunk-records", |text| values::whole(text, 1, u64::MAX))?;
    match (size, records) {
        (Some(_), Some(_)) => {
            Err(Message::new("`--chunk-size` and `--chunk-records` exclude each other"))
        }
        (Some(bytes), None) => Ok(ChunkSize::Bytes(bytes)),
        (None, Some(count)) => Ok(ChunkSize::Records(count)),
        (None, None) => Ok(ChunkSize::Automatic),
    }
}

/// How often the command starts, who gets a chunk, and how output can be ordered at all.
fn shape(options: &Options, records: Records) -> Result<(Run, Deal, Order, Contract), Message> {
    let deals =
        [("round-robin", Deal::RoundRobin), ("block", Deal::Block), ("dynamic", Deal::Dynamic)];
    let deal = options.choice("deal", &deals)?.unwrap_or(Deal::RoundRobin);
    let runs = [("per-rank", Run::PerRank), ("per-chunk", Run::PerChunk)];
    let run = options.choice("run", &runs)?;
    let orders = [("none", Order::None), ("input", Order::Input), ("rank", Order::Rank)];
    let order = match (options.choice("order", &orders)?, options.flag("keep-order")) {
        (Some(Order::None | Order::Rank), true) => {
            return Err(Message::new("`-k` means `--order input`, found another `--order`"));
        }
        (_, true) => Order::Input,
        (order, false) => order.unwrap_or(Order::None),
    };
    let contract = options.choice("contract", &[("lines", Contract::Lines)])?;
    let contract = contract.unwrap_or(Contract::None);
    let fixed = matches!(records, Records::Fixed(_));
    if fixed && contract == Contract::Lines {
        return Err(Message::new(
            "`--contract lines` needs records that are lines, found `bytes=N`",
        ));
    }
    let keeps_alive = contract == Contract::Lines || deal == Deal::Block;
    let run = match (run, order) {
        (Some(Run::PerRank), Order::Input) if !keeps_alive => {
            return Err(Message::new(
                "`--run per-rank` cannot keep the order of the input: which output belongs to \
                 which input is not known",
            )
            .help("use `--run per-chunk`, `--deal block`, or `--contract lines`"));
        }
        (Some(run), _) => run,
        (None, Order::Input) if !keeps_alive => Run::PerChunk,
        (None, _) => Run::PerRank,
    };
    if fixed && run == Run::PerRank && order == Order::None {
        return Err(Message::new(
            "with `--records bytes=N` the output of long-lived copies has no place to be cut at",
        )
        .help("use `--order rank`, or `--run per-chunk`"));
    }
    Ok((run, deal, order, contract))
}

fn input(options: &Options, notes: &mut Vec<String>) -> Result<Vec<InputName>, Message> {
    let named: Vec<OsString> = options.all("input");
    let stdin = |name: &OsString| name == "-" || name == "/dev/stdin";
    if named.iter().filter(|name| stdin(name)).count() > 1 {
        return Err(Message::new("standard input can be read only once, found `-i -` twice"));
    }
    if named.is_empty() {
        if rustix::termios::isatty(rustix::stdio::stdin()) {
            notes.push("standard input is a terminal: the copies get empty input".to_owned());
            return Ok(Vec::new());
        }
        return Ok(vec![InputName::Stdin]);
    }
    let name = |name: OsString| {
        if stdin(&name) { InputName::Stdin } else { InputName::Path(name.into()) }
    };
    Ok(named.into_iter().map(name).collect())
}

fn spill_dir(options: &Options, output: &OutputName) -> PathBuf {
    if let Some(directory) = options.raw("spill-dir") {
        return directory.into();
    }
    if let OutputName::Path(path) = output
        && let Some(parent) = path.parent()
        && std::fs::metadata(path).map_or(true, |found| found.is_file())
    {
        let here = parent.as_os_str().is_empty();
        return if here { PathBuf::from(".") } else { parent.to_owned() };
    }
    std::env::var_os("TMPDIR")
        .filter(|dir| !dir.is_empty())
        .map_or("/var/tmp".into(), PathBuf::from)
}

/// 128 random bits: two jobs never share a number, whatever their clocks say.
fn job_id() -> Result<String, Message> {
    let mut bytes = [0; 16];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut bytes))
        .map_err(|error| Message::new(format!("cannot read `/dev/urandom`: {error}")))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn check_descriptors(job: &Job) -> Result<(), Message> {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let may = limit.maximum.unwrap_or(u64::MAX);
    let needed = descriptors_needed(job.ranks) + job.input.len() as u64;
    if needed > may {
        let (ranks, text) = (job.ranks, "open files are needed, but the hard limit is");
        return Err(Message::new(format!("{ranks} ranks do not fit: {needed} {text} {may}"))
            .help("use fewer ranks, or raise `ulimit -Hn`"));
    }
    Ok(())
}
