//! What the launcher is told by its environment, and what the agents are to see of it.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use crate::launcher_env::StartedBy;

/// What a scheduler has set for its job. With these an MPI's launcher would use that allocation
/// instead of the hosts that the user has named.
const SCHEDULERS: [&str; 9] =
    ["SLURM_", "SRUN_", "PBS_", "LSB_", "LOADL_", "COBALT_", "FLUX_", "PALS_", "PE_HOSTFILE"];

/// Settings of an MPI or of the network below it, which the agents need on every host. Nothing else
/// of this environment gets there, as with every backend.
const CARRIED: [&str; 12] = [
    "UCX_",
    "FI_",
    "MPICH_",
    "MPIR_CVAR_",
    "I_MPI_",
    "MV2_",
    "MVP_",
    "HCOLL_",
    "SHARP_",
    "PSM2_",
    "PSM3_",
    // Where its libraries are, for one that is not installed where the system looks.
    "LD_LIBRARY_PATH",
];

/// A variable.
pub type Variable = (OsString, OsString);

fn begins_with_any(name: &OsStr, beginnings: &[&str]) -> bool {
    beginnings.iter().any(|beginning| name.as_bytes().starts_with(beginning.as_bytes()))
}

/// The launcher's environment: `ours` without what a scheduler or another launcher has set, which
/// would have it take itself for a process of theirs, and `set` besides.
pub fn for_launcher(ours: Vec<Variable>, set: &[(&str, String)]) -> Vec<Variable> {
    let started_by = StartedBy::told(ours.iter().map(|(name, _)| name.as_os_str()));
    let mut kept = ours;
    kept.retain(|(name, _)| {
        !started_by.owns(name)
            && !begins_with_any(name, &SCHEDULERS)
            && set.iter().all(|(known, _)| name != *known)
    });
    kept.extend(set.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))));
    kept
}

/// The names of variables that the launcher is to pass on to every host, each once.
pub fn carried(environment: &[Variable]) -> Vec<OsString> {
    let names = environment.iter().map(|(name, _)| name);
    // A comma or a blank in a name would make it two in a list.
    let plain = |name: &&OsString| !name.as_bytes().iter().any(|byte| b", \t\n".contains(byte));
    let mut names: Vec<OsString> =
        names.filter(|name| begins_with_any(name, &CARRIED)).filter(plain).cloned().collect();
    names.sort();
    names.dedup();
    names
}

/// `NAME=VALUE`, as a program is given it.
pub fn joined((mut name, value): Variable) -> OsString {
    name.push("=");
    name.push(value);
    name
}

/// Takes `NAME=VALUE` apart; `None` where it is neither.
pub fn split(pair: OsString) -> Option<Variable> {
    let bytes = pair.as_bytes();
    let at = bytes.iter().position(|&byte| byte == b'=').filter(|&at| at > 0)?;
    let text = |bytes: &[u8]| OsStr::from_bytes(bytes).to_owned();
    Some((text(&bytes[..at]), text(&bytes[at + 1..])))
}

/// This process's own environment, as a program is given it.
pub fn own() -> Vec<OsString> {
    std::env::vars_os().map(joined).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(names: &[&str]) -> Vec<Variable> {
        names.iter().map(|name| (name.into(), "x".into())).collect()
    }

    fn names(environment: &[Variable]) -> Vec<&str> {
        environment.iter().map(|(name, _)| name.to_str().unwrap()).collect()
    }

    #[test]
    fn an_allocation_around_it_is_hidden_from_the_launcher() {
        let ours = variables(&[
            "PATH",
            "SLURM_JOB_ID",
            "SLURM_JOBID",
            "PBS_NODEFILE",
            "LSB_HOSTS",
            "PE_HOSTFILE",
            "PMIX_MCA_gds",
            "OMPI_MCA_btl",
            "SLURMX",
        ]);
        let kept = for_launcher(ours, &[]);
        assert_eq!(names(&kept), ["PATH", "PMIX_MCA_gds", "OMPI_MCA_btl", "SLURMX"]);
    }

    #[test]
    fn settings_that_an_mpirun_around_it_has_made_are_not_taken_for_the_users() {
        let ours = variables(&["OMPI_COMM_WORLD_SIZE", "OMPI_MCA_ess", "PMIX_MCA_x", "HOME"]);
        assert_eq!(names(&for_launcher(ours, &[])), ["HOME"]);
    }

    #[test]
    fn what_is_set_takes_the_place_of_what_was() {
        let kept = for_launcher(variables(&["A", "B"]), &[("A", "new".to_owned())]);
        assert_eq!(names(&kept), ["B", "A"]);
        assert_eq!(kept[1].1, "new");
        assert_eq!(joined(kept[1].clone()), "A=new");
    }

    #[test]
    fn the_agents_get_the_networks_settings_and_nothing_else() {
        let environment =
            variables(&["HOME", "UCX_TLS", "PATH", "FI_PROVIDER", "UCX_A,B", "I_MPI_PIN"]);
        assert_eq!(carried(&environment), ["FI_PROVIDER", "I_MPI_PIN", "UCX_TLS"]);
    }
}
