//! Which world a launcher put this process into, told by its environment.
//!
//! Each launcher sets variables of its own, and they stay set below it: under `mpirun` in an allocation
//! of Slurm those of Slurm are another program's. So one launcher tells, the first of a fixed list, and
//! the others are not looked at.

use std::ffi::OsString;

use px_runtime::failure::Message;

use crate::values;

/// Looks up a variable of the environment.
pub type Variables<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// The largest world that is believed.
const LARGEST: u64 = 1 << 20;

/// Who says that there is a world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Teller {
    /// pxrun itself: this process is in a copy of another job.
    Pxrun,
    /// Open MPI's `mpirun`.
    OpenMpi,
    /// A launcher that speaks PMI: `mpiexec.hydra`, or `srun --mpi=pmi2`.
    Pmi,
    /// `srun`.
    Slurm,
}

impl Teller {
    /// In the order in which they are listened to.
    pub const ALL: [Teller; 4] = [Teller::Pxrun, Teller::OpenMpi, Teller::Pmi, Teller::Slurm];

    /// The variables that hold the world's size and this process's rank in it.
    pub fn variables(self) -> (&'static str, &'static str) {
        match self {
            Teller::Pxrun => ("PX_SIZE", "PX_RANK"),
            Teller::OpenMpi => ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"),
            Teller::Pmi => ("PMI_SIZE", "PMI_RANK"),
            Teller::Slurm => ("SLURM_STEP_NUM_TASKS", "SLURM_PROCID"),
        }
    }
}

/// The processes that one launcher started together, this one among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct World {
    /// Who says so.
    pub teller: Teller,
    /// Which of them this one is.
    pub rank: u32,
    /// How many there are.
    pub size: u32,
}

impl World {
    /// Whether there are others to be one job with. A launcher that started one process, as
    /// `srun --pty bash` does, left it to itself; and a copy's world is its own pxrun's.
    pub fn is_shared(&self) -> bool {
        self.teller != Teller::Pxrun && self.size > 1
    }
}

/// Reads the world that this process is in, if any launcher tells of one.
///
/// # Errors
/// The first launcher whose variable is present says something that cannot be.
pub fn told(variables: Variables<'_>) -> Result<Option<World>, Message> {
    for teller in Teller::ALL {
        let (size, rank) = teller.variables();
        let Some(size) = variables(size) else { continue };
        // What is submitted inside a step of another job has the variables of that step left over.
        if teller == Teller::Slurm && variables("SLURM_NTASKS").is_some_and(|own| own != size) {
            continue;
        }
        let rank = variables(rank);
        match (teller, read(teller, &size, rank.as_ref())) {
            (_, Ok(world)) => return Ok(Some(world)),
            // A copy always has both and both are right: anything else is no word of pxrun's.
            (Teller::Pxrun, Err(_)) => {}
            (_, Err(wrong)) => return Err(wrong),
        }
    }
    Ok(None)
}

fn read(teller: Teller, size: &OsString, rank: Option<&OsString>) -> Result<World, Message> {
    let (size_name, rank_name) = teller.variables();
    let wrong = |text: String| {
        Message::new(text)
            .note("the launcher that started this process sets it")
            .help(format!("`unset {size_name}` if none did, or `--backend local`"))
    };
    let number = |name: &str, text: &OsString, least, most| {
        let parsed = values::whole(&text.to_string_lossy(), least, most);
        parsed.map_err(|found| wrong(format!("`{name}` {found}")))
    };
    let size = number(size_name, size, 1, LARGEST)?;
    let rank = rank.ok_or_else(|| {
        wrong(format!("`{size_name}` is {size}, and `{rank_name}` is not set beside it"))
    })?;
    let rank = number(rank_name, rank, 0, size - 1)?;
    let small = |number| u32::try_from(number).unwrap_or(u32::MAX);
    Ok(World { teller, rank: small(rank), size: small(size) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told_by(pairs: &[(&str, &str)]) -> Result<Option<World>, Message> {
        told(&|name| {
            let found = pairs.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| value.into())
        })
    }

    /// What tells of rank 3 of 8, for each launcher.
    fn of_eight(teller: Teller) -> [(&'static str, &'static str); 2] {
        let (size, rank) = teller.variables();
        [(size, "8"), (rank, "3")]
    }

    #[test]
    fn the_first_launcher_that_tells_is_the_only_one_heard() {
        for (at, &teller) in Teller::ALL.iter().enumerate() {
            let mut pairs = of_eight(teller).to_vec();
            for &later in &Teller::ALL[at + 1..] {
                let (size, rank) = later.variables();
                pairs.extend([(size, "5"), (rank, "no number")]);
            }
            pairs.reverse();
            let world = World { teller, rank: 3, size: 8 };
            assert_eq!(told_by(&pairs), Ok(Some(world)));
            assert_eq!(world.is_shared(), teller != Teller::Pxrun);
        }
    }

    #[test]
    fn without_a_size_there_is_no_world() {
        assert_eq!(told_by(&[]), Ok(None));
        // As a batch script has it, or a shell of `salloc`.
        assert_eq!(told_by(&[("SLURM_PROCID", "0"), ("SLURM_NTASKS", "8")]), Ok(None));
        assert_eq!(told_by(&[("PMI_RANK", "0"), ("OMPI_COMM_WORLD_RANK", "0")]), Ok(None));
    }

    #[test]
    fn one_process_alone_shares_its_world_with_nobody() {
        for teller in [Teller::OpenMpi, Teller::Pmi, Teller::Slurm] {
            let (size, rank) = teller.variables();
            let world = told_by(&[(size, "1"), (rank, "0")]).unwrap().unwrap();
            assert!(!world.is_shared());
        }
        // The first one is believed also when it says that there is nobody else.
        let pairs = [("PMI_SIZE", "1"), ("PMI_RANK", "0")];
        let below = [pairs, of_eight(Teller::Slurm)].concat();
        assert_eq!(told_by(&below).unwrap().unwrap().size, 1);
    }

    #[test]
    fn a_step_of_another_job_is_no_world() {
        let step = of_eight(Teller::Slurm);
        let told = |own| told_by(&[step.as_slice(), &[("SLURM_NTASKS", own)]].concat()).unwrap();
        assert_eq!(told("3"), None);
        assert_eq!(told("8").map(|world| world.size), Some(8));
    }

    #[test]
    fn half_a_world_is_an_error_that_names_the_variable() {
        for teller in [Teller::OpenMpi, Teller::Pmi, Teller::Slurm] {
            let (size, rank) = teller.variables();
            for (pairs, named) in [
                (vec![(size, "8")], rank),
                (vec![(size, ""), (rank, "3")], size),
                (vec![(size, "0"), (rank, "0")], size),
                (vec![(size, "99999999999"), (rank, "0")], size),
                (vec![(size, "8"), (rank, "8")], rank),
                (vec![(size, "8"), (rank, "-1")], rank),
            ] {
                let wrong = told_by(&pairs).unwrap_err();
                assert!(wrong.text.contains(&format!("`{named}`")), "{}", wrong.text);
                assert!(wrong.help.unwrap().contains("--backend local"));
            }
        }
    }

    #[test]
    fn what_only_looks_like_a_copys_place_is_none() {
        for pairs in [vec![("PX_SIZE", "12px"), ("PX_RANK", "1")], vec![("PX_SIZE", "12")]] {
            let all = [pairs, of_eight(Teller::Slurm).to_vec()].concat();
            assert_eq!(told_by(&all).unwrap().unwrap().teller, Teller::Slurm);
        }
    }
}
