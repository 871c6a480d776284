//! What a launcher says about its world, without I/O.

use std::ffi::OsString;

/// Each launcher's variable for the number of processes that it has started. Only the first that
/// is present counts: under mpirun in a Slurm allocation the others are another program's.
const SIZES: [&str; 3] = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"];

/// A number of processes and who says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Launched {
    /// The variable.
    pub variable: &'static str,
    /// What it says.
    pub size: usize,
}

/// How many processes the launcher has started, if one has and says it.
pub fn size(variable: impl Fn(&str) -> Option<OsString>) -> Option<Launched> {
    let (name, value) = SIZES.iter().find_map(|&name| Some((name, variable(name)?)))?;
    Some(Launched { variable: name, size: value.to_str()?.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(pairs: &[(&str, &str)]) -> Option<Launched> {
        size(|name| pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into()))
    }

    #[test]
    fn only_the_first_variable_that_is_present_counts() {
        let both = [("SLURM_STEP_NUM_TASKS", "4"), ("OMPI_COMM_WORLD_SIZE", "8")];
        assert_eq!(said(&both), Some(Launched { variable: "OMPI_COMM_WORLD_SIZE", size: 8 }));
        let spoiled = [("PMI_SIZE", "many"), ("SLURM_STEP_NUM_TASKS", "4")];
        assert_eq!(said(&spoiled), None);
        assert_eq!(said(&[("SLURM_STEP_NUM_TASKS", "4")]).map(|launched| launched.size), Some(4));
        assert_eq!(said(&[]), None);
    }
}
