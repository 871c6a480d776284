//! Which backend a job takes, and why.

use std::ffi::OsStr;

use px_runtime::failure::Message;

use crate::options::Options;
use crate::world::{Teller, Variables, World, told};

/// Variables that name hosts where no option does.
const LISTS: [&str; 3] = ["PX_HOSTFILE", "PBS_NODEFILE", "LSB_HOSTS"];
/// The backends, as users write them.
const BACKENDS: [(&str, Backend); 5] = [
    ("auto", Backend::Auto),
    ("local", Backend::Local),
    ("ssh", Backend::Ssh),
    ("mpi", Backend::Mpi),
    ("slurm", Backend::Slurm),
];

/// A backend that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Backend {
    /// Whatever fits where this process is.
    Auto,
    Local,
    Ssh,
    Mpi,
    Slurm,
}

/// How a job is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// On this host alone.
    Local,
    /// On the hosts that are named, each logged in to.
    Ssh,
    /// On the hosts that are named, or this one, by an `mpiexec` that pxrun starts.
    Mpi,
    /// On the hosts of the allocation, by an `srun` that pxrun starts.
    Slurm,
    /// As one of the processes that a launcher started.
    Join(World),
}

/// A way, and the reason for it.
#[derive(Debug, PartialEq, Eq)]
pub struct Choice {
    /// How the job is run.
    pub way: Way,
    /// Why, as `-v` says it.
    pub reason: String,
}

impl Choice {
    /// What `-v` says.
    pub fn note(&self) -> String {
        let name = match self.way {
            Way::Local => "local",
            Way::Ssh => "ssh",
            Way::Mpi => "mpi",
            Way::Slurm => "slurm",
            Way::Join(World { rank, size, .. }) => {
                return format!("rank {rank} of {size}, {}", self.reason);
            }
        };
        format!("backend `{name}`, {}", self.reason)
    }
}

/// Who names hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hosts {
    Nobody,
    /// This variable: a default, which an allocation or a launcher that is nearer outdoes.
    Variable(&'static str),
    /// `--hostfile` or `-H`.
    Option,
}

/// Chooses the backend from the options and the environment.
///
/// # Errors
/// What is asked for cannot be had here, or contradicts itself.
pub fn choose(options: &Options, variables: Variables<'_>) -> Result<Choice, Message> {
    let set = |name: &str| variables(name).filter(|value| !value.is_empty());
    let hosts = if options.raw("hostfile").is_some() || options.raw("host").is_some() {
        Hosts::Option
    } else {
        let named = LISTS.into_iter().find(|name| set(name).is_some());
        named.map_or(Hosts::Nobody, Hosts::Variable)
    };
    let job = set("SLURM_JOB_ID").map(|id| id.to_string_lossy().into_owned());
    let surroundings = Surroundings { hosts, job, variables };
    let choice = match (options.choice("backend", &BACKENDS)?, set("PX_BACKEND")) {
        (Some(backend), _) => surroundings.choose(backend, "--backend "),
        (None, Some(word)) => surroundings.choose(by_variable(&word)?, "PX_BACKEND="),
        (None, None) => surroundings.fitting(),
    }?;
    if options.raw("mpiexec").is_some() && choice.way != Way::Mpi {
        let text = "`--mpiexec` is for `--backend mpi`, which is not asked for";
        return Err(Message::new(text).help("add `--backend mpi`"));
    }
    Ok(choice)
}

/// The choice of a process that was handed a job of MPI's.
pub fn handed_over() -> Choice {
    Choice { way: Way::Mpi, reason: "as this was handed over".to_owned() }
}

/// The choice of a program that is made to be one of several.
///
/// # Errors
/// What its launcher says cannot be; options that only one who starts others can follow.
pub fn among_others(options: &Options, variables: Variables<'_>) -> Result<Choice, Message> {
    let others = ["hostfile", "host", "backend", "mpiexec"];
    if let Some(name) = others.into_iter().find(|name| options.raw(name).is_some()) {
        let text = format!("`--{name}` is for `pxrun`; `pxrun-mpi` runs where it was started");
        let help = "give the hosts to `mpirun` or `mpiexec`, or start `pxrun --backend mpi`";
        return Err(Message::new(text).help(help));
    }
    Ok(match told(variables)?.filter(World::is_shared) {
        Some(world) => Choice { way: Way::Join(world), reason: world.reason() },
        None => Choice { way: Way::Local, reason: "as no launcher started others".to_owned() },
    })
}

/// The choice for a program that runs a job of its own: what world a launcher put it into is the
/// program's, and the job neither joins it nor takes its hosts.
///
/// # Errors
/// As [`choose`].
pub fn of_a_program(options: &Options, variables: Variables<'_>) -> Result<Choice, Message> {
    let Some(world) = told(variables)?.filter(World::is_shared) else {
        return choose(options, variables);
    };
    let named = options.choice("backend", &BACKENDS)?.filter(|&backend| backend != Backend::Auto);
    let hosts = options.raw("hostfile").is_some() || options.raw("host").is_some();
    Ok(match (named, hosts) {
        // Within a step there can be another.
        (Some(Backend::Slurm), _) => {
            let tells = |name: &str| Teller::ALL.iter().any(|teller| teller.variables().0 == name);
            choose(options, &|name| if tells(name) { None } else { variables(name) })?
        }
        (Some(_), _) => choose(options, variables)?,
        (None, true) => {
            let reason = "as hosts are named by `--hostfile` or `-H`".to_owned();
            Choice { way: Way::Ssh, reason }
        }
        (None, false) => {
            let reason = format!("as this program is one of a world: {}", world.said());
            Choice { way: Way::Local, reason }
        }
    })
}

/// The choice where nothing is started: the work is done in the program that runs the job.
pub fn of_guests() -> Choice {
    Choice { way: Way::Local, reason: "as a program does the work itself".to_owned() }
}

fn by_variable(word: &OsStr) -> Result<Backend, Message> {
    let found = BACKENDS.iter().find(|(known, _)| word == *known);
    found.map(|(_, backend)| *backend).ok_or_else(|| {
        let words: Vec<_> = BACKENDS.iter().map(|(word, _)| format!("`{word}`")).collect();
        let (words, found) = (words.join(", "), word.to_string_lossy());
        Message::new(format!("`PX_BACKEND` must be one of {words}, found `{found}`"))
    })
}

/// All that a choice depends on but what is asked for.
struct Surroundings<'a> {
    hosts: Hosts,
    /// The number of Slurm's job, in an allocation.
    job: Option<String>,
    variables: Variables<'a>,
}

impl Surroundings<'_> {
    /// What is asked for, by the words `by` and the backend's own.
    fn choose(&self, backend: Backend, by: &str) -> Result<Choice, Message> {
        let reason = |backend| format!("as asked for by `{by}{backend}`");
        match backend {
            Backend::Auto => self.fitting(),
            Backend::Local if self.hosts == Hosts::Option => {
                let text = format!("`{by}local` is this host alone, and other options name hosts");
                let help = "leave out `--hostfile` and `-H`, or use `--backend ssh`";
                Err(Message::new(text).help(help))
            }
            Backend::Local => Ok(Choice { way: Way::Local, reason: reason("local") }),
            Backend::Ssh if self.hosts == Hosts::Nobody => {
                let text = format!("`{by}ssh` needs hosts, and none are named");
                Err(Message::new(text).help("name them with `--hostfile` or `-H`"))
            }
            Backend::Ssh => Ok(Choice { way: Way::Ssh, reason: reason("ssh") }),
            Backend::Mpi => match told(self.variables)?.filter(World::is_shared) {
                None => Ok(Choice { way: Way::Mpi, reason: reason("mpi") }),
                Some(world) => {
                    let text = format!("`{by}mpi` starts an `mpiexec`, and this is inside of one");
                    let help = "start `pxrun-mpi` instead of `pxrun`, or use `--backend local`";
                    Err(Message::new(text).note(world.said()).help(help))
                }
            },
            Backend::Slurm => match told(self.variables)?.filter(World::is_shared) {
                Some(world) => join(world),
                None if self.job.is_some() => {
                    Ok(Choice { way: Way::Slurm, reason: reason("slurm") })
                }
                None => {
                    let text = format!("`{by}slurm` needs an allocation, and this is in none");
                    Err(Message::new(text)
                        .note("`SLURM_JOB_ID` is not set")
                        .help("run it under `salloc` or `sbatch`, or use `--backend ssh`"))
                }
            },
        }
    }

    /// What fits where this process is.
    fn fitting(&self) -> Result<Choice, Message> {
        let world = told(self.variables)?;
        if let Some(world) = world.filter(World::is_shared) {
            if self.hosts == Hosts::Option {
                let text = "hosts are named, but this process is one of a world that has its own";
                let help = "leave out `--hostfile` and `-H`; or use `--backend ssh` to have each of \
                            the processes run a whole job";
                return Err(Message::new(text).note(world.said()).help(help));
            }
            return join(world);
        }
        let here = |reason: &str| Choice { way: Way::Local, reason: reason.to_owned() };
        Ok(match (self.hosts, &self.job) {
            (Hosts::Option, _) => {
                let reason = "as hosts are named by `--hostfile` or `-H`".to_owned();
                Choice { way: Way::Ssh, reason }
            }
            // Hosts and allocation are the outer job's.
            _ if world.is_some_and(|world| world.teller == Teller::Pxrun) => {
                here("as this is in a copy of another job")
            }
            (_, Some(job)) => {
                let reason = format!("as this is in the allocation of Slurm's job {job}");
                Choice { way: Way::Slurm, reason }
            }
            (Hosts::Variable(name), None) => {
                Choice { way: Way::Ssh, reason: format!("as hosts are named by `{name}`") }
            }
            (Hosts::Nobody, None) => here("as no other hosts are named"),
        })
    }
}

impl World {
    /// What tells of it.
    fn said(&self) -> String {
        let (size, rank) = self.teller.variables();
        format!("`{size}` is {}, `{rank}` is {}", self.size, self.rank)
    }

    /// Why it is joined.
    fn reason(&self) -> String {
        format!("as a launcher started this with others: {}", self.said())
    }
}

fn join(world: World) -> Result<Choice, Message> {
    if world.teller == Teller::OpenMpi {
        let text = "plain pxrun cannot join the world of Open MPI's `mpirun`";
        return Err(Message::new(text).note(world.said()).help(
            "start `pxrun-mpi`; or use `--backend local` to have each of the processes run a \
                   whole job",
        ));
    }
    Ok(Choice { way: Way::Join(world), reason: world.reason() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::{Asked, parse};
    use crate::words::split;

    const IN_SLURM: &[(&str, &str)] = &[("SLURM_JOB_ID", "7")];
    const OMPI: &[(&str, &str)] = &[("OMPI_COMM_WORLD_SIZE", "4"), ("OMPI_COMM_WORLD_RANK", "1")];
    const HYDRA: &[(&str, &str)] = &[("PMI_SIZE", "4"), ("PMI_RANK", "1")];
    const STEP: &[(&str, &str)] =
        &[("SLURM_JOB_ID", "7"), ("SLURM_STEP_NUM_TASKS", "4"), ("SLURM_PROCID", "1")];
    const SHELL: &[(&str, &str)] =
        &[("SLURM_JOB_ID", "7"), ("SLURM_STEP_NUM_TASKS", "1"), ("SLURM_PROCID", "0")];
    const COPY: &[(&str, &str)] = &[("PX_SIZE", "4"), ("PX_RANK", "1")];
    const LISTED: &[(&str, &str)] = &[("PX_HOSTFILE", "hosts")];

    fn parsed(options: &str) -> Box<Options> {
        let words = options.split_whitespace().chain(["cat"]).map(Into::into);
        let Ok(Asked::Job(options)) = parse(split(words).unwrap()) else { panic!("{options}") };
        options
    }

    fn chosen(options: &str, variables: &[&[(&str, &str)]]) -> Result<Choice, Message> {
        let options = parsed(options);
        let variables = variables.concat();
        choose(&options, &|name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into())
        })
    }

    #[track_caller]
    fn takes(options: &str, variables: &[&[(&str, &str)]], way: Way) {
        assert_eq!(chosen(options, variables).map(|choice| choice.way), Ok(way), "{options}");
    }

    #[track_caller]
    fn refuses(options: &str, variables: &[&[(&str, &str)]], says: &[&str]) {
        let said = chosen(options, variables).unwrap_err().render("error");
        assert!(said.contains("help: "), "no way out: {said}");
        for word in says {
            assert!(said.contains(word), "`{word}` is missing: {said}");
        }
    }

    fn joined(teller: Teller) -> Way {
        Way::Join(World { teller, rank: 1, size: 4 })
    }

    #[test]
    fn what_fits_is_taken_where_nothing_is_asked_for() {
        for auto in ["", "--backend auto"] {
            let with = |more: &str| format!("{auto} {more}");
            takes(auto, &[], Way::Local);
            takes(auto, &[LISTED], Way::Ssh);
            takes(auto, &[&[("PBS_NODEFILE", "/x")]], Way::Ssh);
            takes(auto, &[&[("PBS_NODEFILE", "")]], Way::Local);
            takes(&with("-H a,b"), &[], Way::Ssh);
            takes(auto, &[IN_SLURM], Way::Slurm);
            takes(auto, &[IN_SLURM, LISTED], Way::Slurm);
            takes(&with("--hostfile f"), &[IN_SLURM], Way::Ssh);
            takes(auto, &[SHELL], Way::Slurm);
            takes(auto, &[STEP], joined(Teller::Slurm));
            takes(auto, &[HYDRA, IN_SLURM, LISTED], joined(Teller::Pmi));
        }
    }

    #[test]
    fn a_copy_of_a_job_runs_a_job_of_its_own_host() {
        takes("", &[COPY, STEP, LISTED], Way::Local);
        takes("-H a", &[COPY], Way::Ssh);
        takes("--backend slurm", &[COPY, IN_SLURM], Way::Slurm);
        takes("", &[COPY, IN_SLURM, &[("PX_BACKEND", "slurm")]], Way::Slurm);
    }

    #[test]
    fn local_is_this_host_wherever_it_is() {
        for around in [OMPI, HYDRA, STEP, SHELL, LISTED, &[("PMI_SIZE", "many")]] {
            takes("--backend local", &[around], Way::Local);
            takes("", &[around, &[("PX_BACKEND", "local")]], Way::Local);
        }
        refuses("--backend local -H a", &[], &["`--backend local`", "`-H`"]);
        refuses("-f a", &[&[("PX_BACKEND", "local")]], &["`PX_BACKEND=local`", "`--hostfile`"]);
    }

    #[test]
    fn an_option_goes_before_the_variable() {
        takes("--backend ssh -H a", &[&[("PX_BACKEND", "local")]], Way::Ssh);
        takes("--backend auto", &[&[("PX_BACKEND", "mpi")]], Way::Local);
        takes("", &[&[("PX_BACKEND", "")]], Way::Local);
        let wrong = chosen("", &[&[("PX_BACKEND", "pbs")]]).unwrap_err().text;
        assert_eq!(
            wrong,
            "`PX_BACKEND` must be one of `auto`, `local`, `ssh`, `mpi`, `slurm`, found `pbs`"
        );
    }

    #[test]
    fn mpi_is_never_taken_unasked() {
        takes("--backend mpi -H a,b", &[IN_SLURM], Way::Mpi);
        takes("--mpiexec /x", &[&[("PX_BACKEND", "mpi")]], Way::Mpi);
        refuses("--mpiexec /x", &[], &["`--mpiexec`", "`--backend mpi`"]);
        for inside in [OMPI, HYDRA, STEP] {
            refuses("--backend mpi", &[inside], &["`pxrun-mpi`", "is 4"]);
        }
    }

    #[test]
    fn slurm_is_an_allocation_or_a_step_of_one() {
        takes("--backend slurm --hostfile f", &[IN_SLURM], Way::Slurm);
        takes("--backend slurm", &[STEP], joined(Teller::Slurm));
        refuses("--backend slurm", &[], &["`SLURM_JOB_ID`", "`salloc`", "`--backend ssh`"]);
    }

    #[test]
    fn ssh_needs_hosts() {
        takes("--backend ssh", &[LISTED], Way::Ssh);
        takes("--backend ssh -H a", &[STEP], Way::Ssh);
        refuses("--backend ssh", &[], &["`--backend ssh`", "`--hostfile`"]);
    }

    #[test]
    fn a_world_that_cannot_be_joined_is_refused_with_both_ways_out() {
        refuses("", &[OMPI], &["`mpirun`", "`pxrun-mpi`", "`--backend local`"]);
        refuses("-H a", &[STEP], &["`SLURM_STEP_NUM_TASKS` is 4", "`--backend ssh`"]);
        refuses("", &[&[("PMI_SIZE", "4")]], &["`PMI_RANK`", "`--backend local`"]);
    }

    #[test]
    fn who_was_started_with_others_is_told_of_no_hosts_and_no_backend() {
        for (option, named) in [
            ("-H a", "`--host`"),
            ("--hostfile h", "`--hostfile`"),
            ("--backend ssh", "`--backend`"),
            ("--mpiexec /x", "`--mpiexec`"),
        ] {
            let refused = among_others(&parsed(option), &|_| None).unwrap_err();
            assert!(refused.text.contains(named), "{}", refused.text);
        }
        let alone =
            among_others(&parsed("-v"), &|name| (name == "PX_BACKEND").then(|| "ssh".into()));
        assert_eq!(alone.unwrap().way, Way::Local);
    }

    #[test]
    fn a_job_of_a_program_leaves_the_world_to_the_program() {
        let way = |options: &str, around: &[(&str, &str)]| {
            let variables = |name: &str| {
                let found = around.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| value.into())
            };
            of_a_program(&parsed(options), &variables).map(|choice| choice.way)
        };
        for world in [OMPI, HYDRA, STEP] {
            assert_eq!(way("", world), Ok(Way::Local));
            assert_eq!(way("--backend auto", world), Ok(Way::Local));
            assert_eq!(way("-H a", world), Ok(Way::Ssh));
            assert_eq!(way("--backend ssh -H a", world), Ok(Way::Ssh));
            assert!(way("--backend mpi", world).is_err());
        }
        assert_eq!(way("--backend slurm", STEP), Ok(Way::Slurm));
        assert!(way("--backend slurm", HYDRA).is_err());
        assert_eq!(way("", IN_SLURM), Ok(Way::Slurm));
        assert_eq!(way("", LISTED), Ok(Way::Ssh));
        assert_eq!(way("", COPY), Ok(Way::Local));
    }

    #[test]
    fn the_reason_says_what_was_seen() {
        let reason = |options: &str, around| chosen(options, &[around]).unwrap().reason;
        assert_eq!(reason("--backend local", &[]), "as asked for by `--backend local`");
        assert_eq!(reason("", LISTED), "as hosts are named by `PX_HOSTFILE`");
        assert_eq!(reason("", SHELL), "as this is in the allocation of Slurm's job 7");
        assert_eq!(
            reason("", STEP),
            "as a launcher started this with others: `SLURM_STEP_NUM_TASKS` is 4, `SLURM_PROCID` is 1"
        );
    }
}
