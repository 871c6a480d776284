//! Which world the environment puts this program in, without I/O.

use std::ffi::c_int;

use crate::status::{Fault, PX_ERR_FOREIGN_WORLD, PX_ERR_PROTOCOL};

/// The variable that names the socket to the agent.
pub(crate) const SOCKET: &str = "PX_FD";

/// Names of variables by which others tell how many processes they have started as one program.
const FOREIGN: [&str; 3] = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"];

/// A program's place among others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its rank.
    pub rank: c_int,
    /// World size.
    pub size: c_int,
    /// Its place among the ranks of its host.
    pub local_rank: c_int,
    /// All ranks of its host.
    pub local_size: c_int,
    /// What its host is called, where the environment says it.
    pub host: Option<String>,
}

/// What the environment says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Surroundings {
    /// pxrun feeds it through the socket whose number this must be.
    Fed(String),
    /// pxrun has started it to read its stdin.
    Unfed(Place),
    /// Nobody has started it as one of several.
    Alone,
}

/// Tells from the environment's variables where this program is.
///
/// # Errors
/// `PX_ERR_FOREIGN_WORLD`; `PX_ERR_PROTOCOL` for a variable of pxrun's that cannot be right.
pub fn look(variable: impl Fn(&str) -> Option<String>) -> Result<Surroundings, Fault> {
    if let Some(socket) = variable(SOCKET) {
        return Ok(Surroundings::Fed(socket));
    }
    if variable("PX_SINGLETON").as_deref() == Some("1") {
        return Ok(Surroundings::Alone);
    }
    if let Some(size) = variable("PX_SIZE") {
        let told = |name: &str, otherwise: c_int| {
            variable(name).map_or(Ok(otherwise), |value| number(name, &value))
        };
        return Ok(Surroundings::Unfed(Place {
            rank: told("PX_RANK", 0)?,
            size: number("PX_SIZE", &size)?,
            local_rank: told("PX_LOCAL_RANK", 0)?,
            local_size: told("PX_LOCAL_SIZE", 1)?,
            host: variable("PX_HOST"),
        }));
    }
    for name in FOREIGN {
        let others = variable(name).and_then(|value| value.trim().parse::<u64>().ok());
        if let Some(others) = others.filter(|others| *others > 1) {
            return Err(Fault::new(PX_ERR_FOREIGN_WORLD, foreign(name, others)));
        }
    }
    Ok(Surroundings::Alone)
}

fn foreign(name: &str, others: u64) -> String {
    format!(
        "`{name}` is {others}: another launcher has started this program {others} times, and each \
         would be a world of one that reads the whole input; start it by `pxrun --contract px`, \
         or set PX_SINGLETON=1 where that is meant"
    )
}

/// Reads a number that pxrun has put into the environment.
///
/// # Errors
/// `PX_ERR_PROTOCOL`.
pub fn number(name: &str, value: &str) -> Result<c_int, Fault> {
    let number = value.parse().ok().filter(|number| *number >= 0);
    number.ok_or_else(|| {
        let text = format!("`{name}` must be a whole number from 0 on, found `{value}`");
        Fault::new(PX_ERR_PROTOCOL, text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(variables: &[(&str, &str)]) -> Result<Surroundings, Fault> {
        look(|name| variables.iter().find(|v| v.0 == name).map(|v| v.1.to_owned()))
    }

    #[test]
    fn a_program_without_a_launcher_is_alone() {
        assert_eq!(told(&[]), Ok(Surroundings::Alone));
        assert_eq!(
            told(&[("PMI_SIZE", "1"), ("SLURM_STEP_NUM_TASKS", "")]),
            Ok(Surroundings::Alone)
        );
    }

    #[test]
    fn a_world_of_another_launcher_is_refused_unless_it_is_meant() {
        for name in FOREIGN {
            let fault = told(&[(name, "8")]).unwrap_err();
            assert_eq!(fault.status, PX_ERR_FOREIGN_WORLD);
            assert!(fault.text.contains(name) && fault.text.contains("PX_SINGLETON=1"));
            assert_eq!(told(&[(name, "8"), ("PX_SINGLETON", "1")]), Ok(Surroundings::Alone));
            assert!(told(&[(name, "8"), ("PX_SINGLETON", "0")]).is_err());
            assert_eq!(told(&[(name, "8"), ("PX_FD", "5")]), Ok(Surroundings::Fed("5".to_owned())));
        }
    }

    #[test]
    fn under_pxrun_a_program_has_its_place_also_where_it_is_not_fed() {
        let place = [("PX_RANK", "3"), ("PX_SIZE", "8"), ("PX_LOCAL_RANK", "1"), ("PMI_SIZE", "8")];
        let rest = [("PX_LOCAL_SIZE", "4"), ("PX_HOST", "node02")];
        let wanted = Place {
            rank: 3,
            size: 8,
            local_rank: 1,
            local_size: 4,
            host: Some("node02".to_owned()),
        };
        assert_eq!(told(&[&place[..], &rest].concat()), Ok(Surroundings::Unfed(wanted)));
        for wrong in ["", "-1", "x", "99999999999"] {
            let fault = told(&[("PX_SIZE", wrong)]).unwrap_err();
            assert_eq!(fault.status, PX_ERR_PROTOCOL);
            assert!(fault.text.contains(&format!("found `{wrong}`")), "{}", fault.text);
        }
    }
}
