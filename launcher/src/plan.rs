//! From options to a validated plan, refusing what cannot be before anything starts.

use std::ffi::OsString;
use std::io::Read;
use std::num::{NonZeroU32, NonZeroU64};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use px_runtime::agent::Guest;
use px_runtime::agent::assignment::{Binding, VARIABLES};
use px_runtime::engine;
use px_runtime::failure::Message;
use px_runtime::input::open::InputName;
use px_runtime::job::{
    ChunkSize, Contract, Deal, EarlyExit, Job, OnFailure, OnLoss, Order, OutputName, Run, Tag,
};
use px_runtime::link::control::{Errand, LauncherEnv, Packing};
use px_runtime::records::Records;
use px_runtime::root::Verbosity;
use px_runtime::root::setup::descriptors_needed;

use rustix::process::Signal;

use crate::backend::{Choice, Way};
use crate::hosts::Listing;
use crate::options::Options;
use crate::placement::{Oversubscribe, Wish};
use crate::slurm::allocation::Allocation;
use crate::{Refusal, command, hosts, values};

/// Open files of one other host: a login's three pipes, a connection, and one to wait for it.
const FDS_OF_A_HOST: u64 = 6;
/// Most ranks that one host is asked for.
const MOST_RANKS: u64 = 1 << 20;

/// How far a description of the plan may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DryRun {
    /// Hosts are asked where a count needs it.
    Contacting,
    /// Nobody is asked.
    Offline,
}

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
    pub dry_run: Option<DryRun>,
    /// The command and its arguments, as the user gave them.
    pub words: Vec<OsString>,
    /// `NAME=VALUE` to be set for the copies.
    pub variables: Vec<Vec<u8>>,
    /// Whether copies see what a launcher said to their agent.
    pub launcher_env: LauncherEnv,
    /// Which launcher of an MPI to use, if it is named.
    pub mpiexec: Option<PathBuf>,
    /// Where to find the others of a world, if it is named.
    pub rendezvous: Option<PathBuf>,
    /// How the job is run.
    pub way: Way,
    /// What Slurm gave the job in which this process runs, where that is used.
    pub allocation: Option<Allocation>,
    /// Which hosts to use; `None` for this one.
    pub listing: Option<Listing>,
    /// Who does the work of the copies where a program runs a job of its own functions.
    pub guests: Vec<Guest>,
    /// Said before the job begins.
    pub notes: Vec<String>,
}

impl Plan {
    /// Makes a plan over links of an MPI of it, which ends with the first process that is lost.
    ///
    /// # Errors
    /// What such links cannot do.
    pub fn over_mpi(mut self) -> Result<Self, Message> {
        let packing = self.listing.as_ref().map(|listing| listing.reach.packing);
        if packing == Some(Packing::Compressed) {
            let text = "`--compress` is for connections of pxrun's own, and data goes over MPI";
            return Err(Message::new(text).help("leave it out, or use `--backend ssh`"));
        }
        self.job.on_loss = OnLoss::Stop;
        Ok(self)
    }

    /// What SIGUSR1 means: Slurm's users have it sent as a warning before their time is up.
    pub fn user_signal(&self) -> engine::Order {
        let slurm = match self.way {
            Way::Slurm => true,
            Way::Join(_) => std::env::var_os("SLURM_JOB_ID").is_some(),
            Way::Local | Way::Ssh | Way::Mpi => false,
        };
        if slurm { engine::Order::Stop(Signal::USR1) } else { engine::Order::Status }
    }

    /// What every host is to run, as the user said it.
    pub fn errand(&self) -> Errand {
        let directory = self.job.directory.clone();
        let directory = directory.or_else(|| std::env::current_dir().ok()).unwrap_or_default();
        Errand {
            words: self.words.iter().map(|word| word.as_bytes().to_vec()).collect(),
            directory: directory.into_os_string().into_vec(),
            variables: self.variables.clone(),
            launcher_env: self.launcher_env,
        }
    }
}

/// Makes the plan; where there are `guests`, the command is but a name for what they do.
///
/// # Errors
/// Whatever is wrong with the options, the command or this process's limits.
pub fn plan(options: Options, choice: Choice, guests: Vec<Guest>) -> Result<Plan, Refusal> {
    let here = std::env::current_dir().map_err(|error| {
        Message::new(format!("the working directory is gone: {error}")).help("cd to another one")
    })?;
    let np = options.value("np", |text| values::whole(text, 1, MOST_RANKS))?;
    let np = np.and_then(|np| u32::try_from(np).ok());
    let wish = hosts::wish(&options, np)?;
    let allocation = match choice.way {
        Way::Slurm => Allocation::read(|name| std::env::var(name).ok())?,
        Way::Local | Way::Ssh | Way::Mpi | Way::Join(_) => None,
    };
    let listing = match choice.way {
        Way::Local => None,
        Way::Ssh => hosts::listing(&options, wish)?,
        Way::Slurm => {
            let found = allocation.as_ref();
            found.map(|found| hosts::in_allocation(&options, wish, found)).transpose()?
        }
        Way::Mpi => Some(hosts::for_mpi(&options, wish)?),
        // Its hosts are known when its processes have met.
        Way::Join(world) => Some(hosts::of_processes(&options, wish, world.size)?),
    };
    let variables = variables(&options)?;
    let keep = options.flag("keep-launcher-env");
    let launcher_env = if keep { LauncherEnv::Kept } else { LauncherEnv::Dropped };
    let (ranks, ranks_reason) = match &listing {
        None => ranks(&wish)?,
        // Known once the hosts have answered.
        Some(_) => (NonZeroU32::MIN, String::new()),
    };
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
    if verbosity == Verbosity::Verbose {
        notes.push(choice.note());
    }
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
        if contract == Contract::Px {
            let text =
                "`--contract px` needs every chunk released, and `--allow-early-exit` does not";
            return Err(Message::new(text).into());
        }
        EarlyExit::Allowed
    } else {
        EarlyExit::Fails
    };
    let header = options.value("header", |t| values::whole(t, 0, u64::MAX))?.unwrap_or(0);
    if header > 0 && contract == Contract::Px {
        let text = "`--header` is for copies that read stdin, and `--contract px` for others";
        return Err(Message::new(text).help("read the header from the file by its name").into());
    }
    let directory = options.raw("wdir").map(|given| here.join(given));
    let job = Job {
        command: match &listing {
            None if guests.is_empty() => {
                let directory = directory.as_deref();
                command::resolve(&options.command, &variables, launcher_env, directory)?
            }
            _ => command::elsewhere(&options.command)?,
        },
        // A host's login begins elsewhere.
        directory: directory.clone(),
        ranks,
        records,
        header,
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
        on_loss: OnLoss::DealAgain,
        grace: options.value("grace", values::seconds)?.unwrap_or(Duration::from_secs(5)),
        timeout: options.value("timeout", values::seconds)?,
        leak_timeout: options
            .value("leak-timeout", values::seconds)?
            .unwrap_or(Duration::from_secs(2)),
        binding: options
            .choice("bind-to", &[("none", Binding::None), ("core", Binding::Core)])?
            .unwrap_or(Binding::None),
        id: job_id()?,
    };
    check_guests(&job, &guests)?;
    check_descriptors(&job, job.ranks, listing.as_ref())?;
    if let (Some(directory), None) = (&job.directory, &listing) {
        check_directory(directory)?;
    }
    let dry_run = match options.dry_run() {
        None => None,
        Some("") => Some(DryRun::Contacting),
        Some("offline") => Some(DryRun::Offline),
        Some(other) => {
            let text = format!("`--dry-run` takes nothing or `offline`, found `{other}`");
            return Err(Message::new(text).into());
        }
    };
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
        dry_run,
        words: options.command.clone(),
        variables,
        launcher_env,
        mpiexec: options.raw("mpiexec").map(PathBuf::from),
        rendezvous: options.raw("rendezvous").map(PathBuf::from),
        way: choice.way,
        allocation,
        listing,
        guests,
        notes,
        job,
    })
}

fn ranks(wish: &Wish) -> Result<(NonZeroU32, String), Message> {
    let cores = std::thread::available_parallelism().map_or(1, |count| count.get() as u64);
    let cores_text =
        |count: u64| if count == 1 { "1 core".to_owned() } else { format!("{count} cores") };
    let factor = match wish.oversubscribe {
        Oversubscribe::No => 1,
        Oversubscribe::Times(factor) => u64::from(factor),
        Oversubscribe::Any => 2,
    };
    let per_host = wish.ranks_per_host;
    if let (Some(np), Some(most)) = (wish.np, per_host)
        && np > most
    {
        let text = format!("{np} ranks do not fit: `--ranks-per-host {most}` on one host");
        return Err(Message::new(text).help("name more hosts with `--hostfile` or `-H`"));
    }
    let (count, reason) = match wish.np {
        Some(count) => (u64::from(count), "as asked for by `-np`".to_owned()),
        None if let Some(count) = per_host => {
            (u64::from(count), "as asked for by `--ranks-per-host`".to_owned())
        }
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
    let contracts = [("lines", Contract::Lines), ("px", Contract::Px)];
    let contract = options.choice("contract", &contracts)?;
    let contract = contract.unwrap_or(Contract::None);
    let fixed = matches!(records, Records::Fixed(_));
    if fixed && contract == Contract::Lines {
        return Err(Message::new(
            "`--contract lines` needs records that are lines, found `bytes=N`",
        ));
    }
    let keeps_alive = contract != Contract::None || deal == Deal::Block;
    let run = match (run, order) {
        (Some(Run::PerRank), Order::Input) if !keeps_alive => {
            return Err(Message::new(
                "`--run per-rank` cannot keep the order of the input: which output belongs to \
                 which input is not known",
            )
            .help("use `--run per-chunk`, `--deal block`, `--contract lines` or `--contract px`"));
        }
        (Some(run), _) => run,
        (None, Order::Input) if !keeps_alive => Run::PerChunk,
        (None, _) => Run::PerRank,
    };
    if fixed && run == Run::PerRank && order == Order::None && contract != Contract::Px {
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

/// What `-x` sets for the copies.
fn variables(options: &Options) -> Result<Vec<Vec<u8>>, Message> {
    let pair = |word: OsString| {
        let bytes = word.as_bytes();
        let shown = word.to_string_lossy();
        let name = bytes.split(|&byte| byte == b'=').next().unwrap_or_default();
        if name.is_empty() {
            return Err(Message::new(format!("`-x` needs a variable's name, found `{shown}`")));
        }
        if VARIABLES.iter().any(|ours| ours.as_bytes() == name) {
            return Err(Message::new(format!("`-x`: `{shown}` is pxrun's own to set")));
        }
        if name.len() < bytes.len() {
            return Ok(bytes.to_vec());
        }
        let value = std::env::var_os(&word).ok_or_else(|| {
            Message::new(format!("`-x`: `{shown}` is not set here"))
                .help(format!("give it a value: `-x {shown}=VALUE`"))
        })?;
        Ok([bytes, b"=", value.as_bytes()].concat())
    };
    options.all("env").into_iter().map(pair).collect()
}

/// Makes sure that guests can do the work of all copies.
fn check_guests(job: &Job, guests: &[Guest]) -> Result<(), Message> {
    let ranks = job.ranks.get() as usize;
    if !guests.is_empty() && guests.len() != ranks {
        let text = format!("{} guests cannot be {ranks} ranks", guests.len());
        return Err(Message::new(text));
    }
    if !guests.is_empty() && (job.run, job.contract) != (Run::PerRank, Contract::Px) {
        let text = "a callback runs in the program itself, and other options start copies";
        return Err(Message::new(text).help("leave out `contract` and `run`"));
    }
    Ok(())
}

/// Makes sure of the directory that the copies are to run in here.
///
/// # Errors
/// That it cannot be entered.
pub fn check_directory(directory: &Path) -> Result<(), Message> {
    let found = std::fs::metadata(directory);
    let wrong = match found {
        Ok(found) if found.is_dir() => return Ok(()),
        Ok(_) => "it is no directory".to_owned(),
        Err(error) => error.to_string(),
    };
    let text = format!("cannot enter the working directory `{}`: {wrong}", directory.display());
    Err(Message::new(text))
}

/// Makes sure that the files can be opened that `ranks` ranks here and all other hosts need.
///
/// # Errors
/// The hard limit is too low.
pub fn check_descriptors(
    job: &Job,
    ranks: NonZeroU32,
    listing: Option<&Listing>,
) -> Result<(), Message> {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let may = limit.maximum.unwrap_or(u64::MAX);
    let hosts = listing.map_or(0, |listing| listing.hosts.len() as u64);
    let needed = descriptors_needed(ranks) + job.input.len() as u64 + hosts * FDS_OF_A_HOST;
    if needed > may && hosts > 0 {
        let text = "open files are needed, but the hard limit is";
        return Err(Message::new(format!("{hosts} hosts do not fit: {needed} {text} {may}"))
            .help("use fewer hosts, or raise `ulimit -Hn`"));
    }
    if needed > may {
        let text = "open files are needed, but the hard limit is";
        return Err(Message::new(format!("{ranks} ranks do not fit: {needed} {text} {may}"))
            .help("use fewer ranks, or raise `ulimit -Hn`"));
    }
    Ok(())
}
