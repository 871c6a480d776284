//! Which variables of a launcher's stay with this process, so that its copies do not get them.
//!
//! `mpirun`, `mpiexec` and `srun` tell each process that they start its place in a world. A copy is not
//! that process: were it an MPI program itself, it would try to join a world in which nobody waits for
//! it. Without them it is a world of one.
//!
//! A user's settings have names of the same families (`OMPI_MCA_btl`), and `mpirun` adds its own to
//! them, so below a launcher they cannot be told apart: there all of a family go. A process that no
//! launcher started keeps all.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::Mutex;

use px_runtime::sys::process::set_variable;
use rustix::io::Errno;

/// Only a launcher of MPI sets one of these.
const MARKS_OF_MPI: [&str; 8] = [
    "OMPI_COMM_WORLD_SIZE",
    "PMIX_RANK",
    "PMIX_NAMESPACE",
    "PMI_SIZE",
    "PMI_RANK",
    "PMI_FD",
    "HYDI_CONTROL_FD",
    "MPI_LOCALRANKID",
];
/// Beginnings of names that launchers of MPI set.
const FAMILIES_OF_MPI: [&str; 5] = ["OMPI_", "PMIX_", "PRTE_", "PMI_", "HYDI_"];
/// What Hydra sets outside of a family. The last one would have copies in Fortran write byte by byte.
const NAMES_OF_MPI: [&str; 4] = [
    "MPI_LOCALNRANKS",
    "MPI_LOCALRANKID",
    "MPIR_CVAR_CH3_INTERFACE_HOSTNAME",
    "GFORTRAN_UNBUFFERED_PRECONNECTED",
];
/// Only `srun` sets one of these; a batch script and a shell of `salloc` have neither.
const MARKS_OF_A_STEP: [&str; 2] = ["SLURM_STEP_ID", "SLURM_STEPID"];
/// Beginnings of names that belong to a step and not to its job.
const FAMILIES_OF_A_STEP: [&str; 4] = ["SLURM_STEP", "SLURM_SRUN_", "SLURM_LAUNCH_", "SLURM_PMI"];
/// The rest of what belongs to a step.
const NAMES_OF_A_STEP: [&str; 6] = [
    "SLURM_PROCID",
    "SLURM_LOCALID",
    "SLURM_NODEID",
    "SLURM_TASK_PID",
    "SLURM_GTIDS",
    "SLURM_MPI_TYPE",
];

/// What this process has set for itself alone.
static OWN: Mutex<Vec<&'static str>> = Mutex::new(Vec::new());

/// Sets a variable for libraries in this process; copies do not get it.
///
/// # Errors
/// `EDEADLK` when this process has more than one thread.
pub fn set_for_this_process(name: &'static str, value: &str) -> Result<(), Errno> {
    set_variable(name, value)?;
    if let Ok(mut own) = OWN.lock() {
        own.push(name);
    }
    Ok(())
}

/// The launchers that this process was started by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StartedBy {
    mpi: bool,
    step: bool,
}

impl StartedBy {
    /// Looks for the launchers' marks among the names of all variables.
    pub fn told<'a>(names: impl Iterator<Item = &'a OsStr>) -> Self {
        let mut started = StartedBy::default();
        for name in names {
            started.mpi |= MARKS_OF_MPI.iter().any(|mark| name == *mark);
            started.step |= MARKS_OF_A_STEP.iter().any(|mark| name == *mark);
        }
        started
    }

    /// Whether a variable is the launcher's word to this very process.
    pub fn owns(self, name: &OsStr) -> bool {
        let among = |families: &[&str], names: &[&str]| {
            families.iter().any(|family| name.as_bytes().starts_with(family.as_bytes()))
                || names.iter().any(|known| name == *known)
        };
        let own = OWN.lock().is_ok_and(|own| own.iter().any(|known| name == *known));
        own || self.mpi && among(&FAMILIES_OF_MPI, &NAMES_OF_MPI)
            || self.step && among(&FAMILIES_OF_A_STEP, &NAMES_OF_A_STEP)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is left of these names below the launchers whose marks are among them.
    fn kept<'a>(names: &[&'a str]) -> Vec<&'a str> {
        let started = StartedBy::told(names.iter().map(OsStr::new));
        names.iter().copied().filter(|name| !started.owns(OsStr::new(name))).collect()
    }

    #[test]
    fn a_users_settings_stay_where_no_launcher_started_this_process() {
        let own = ["OMPI_MCA_btl", "PMIX_MCA_gds", "PRTE_MCA_x", "MPIR_CVAR_DEBUG", "SLURM_NTASKS"];
        assert_eq!(kept(&own), own);
        let allocated = ["SLURM_JOB_ID", "SLURM_PROCID", "SLURM_LOCALID", "SLURM_NODELIST"];
        assert_eq!(kept(&allocated), allocated, "a batch script is no step");
    }

    #[test]
    fn nothing_of_open_mpi_is_left_below_mpirun() {
        let given = [
            "PATH",
            "OMPI_COMM_WORLD_SIZE",
            "OMPI_MCA_orte_hnp_uri",
            "OMPI_ALLOW_RUN_AS_ROOT",
            "PMIX_SERVER_URI41",
            "PRTE_LAUNCHED",
            "SLURM_PROCID",
            "OMPIX",
        ];
        assert_eq!(kept(&given), ["PATH", "SLURM_PROCID", "OMPIX"]);
    }

    #[test]
    fn nothing_of_hydra_is_left_below_mpiexec() {
        let given = [
            "PMI_FD",
            "PMI_RANK",
            "HYDI_CONTROL_FD",
            "MPI_LOCALNRANKS",
            "MPIR_CVAR_CH3_INTERFACE_HOSTNAME",
            "MPIR_CVAR_DEBUG",
            "GFORTRAN_UNBUFFERED_PRECONNECTED",
            "HYDRA_HOST_FILE",
        ];
        assert_eq!(kept(&given), ["MPIR_CVAR_DEBUG", "HYDRA_HOST_FILE"]);
    }

    #[test]
    fn a_step_of_slurm_goes_and_its_job_stays() {
        let given = [
            "SLURM_JOB_ID",
            "SLURM_JOB_NODELIST",
            "SLURM_CPUS_ON_NODE",
            "SLURM_CONF",
            "SLURM_ARRAY_TASK_ID",
            "OMPI_MCA_btl",
            "SLURM_STEP_ID",
            "SLURM_STEPID",
            "SLURM_STEP_NODELIST",
            "SLURM_STEPMGR",
            "SLURM_PROCID",
            "SLURM_LOCALID",
            "SLURM_NODEID",
            "SLURM_TASK_PID",
            "SLURM_GTIDS",
            "SLURM_SRUN_COMM_PORT",
            "SLURM_LAUNCH_NODE_IPADDR",
            "SLURM_MPI_TYPE",
            "SLURM_PMIX_MAPPING_SERV",
            "SLURM_PMIXP_ABORT_AGENT_PORT",
        ];
        assert_eq!(kept(&given), given[..6]);
    }
}
