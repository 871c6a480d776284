//! Lists of nodes: `n[001-010,12]-ib,login[1-2]`.

use crate::hostfile::brackets::{Pattern, pattern};
use crate::hostfile::fault::Fault;
use crate::hostfile::stop::{Parsed, character, must, stop, word};
use crate::hostfile::{MOST_NAME, Wrong};

use super::list;

/// Expands a list of nodes as `scontrol show hostnames` does; `variable` is what messages call it.
///
/// Order and duplicates are Slurm's: `n[2,1,1]` is three names. So are several brackets in one name.
///
/// Where Slurm (22.05) differs, in what it never writes itself:
///
/// | list | here | Slurm |
/// |---|---|---|
/// | `n[1-2]-ib`, text behind the last bracket | `n1-ib`, `n2-ib` | refused |
/// | `n[1-010]` | refused: 1 or 001? | `n1` to `n10` |
/// | `n[1-]`, `n[ 1-2]` | refused | `n1`; `n01`, `n02` |
/// | `n[1-2`, no closing bracket | refused | `n]` |
/// | a number of more than 15 digits | refused | taken |
/// | more than 65,536 numbers in a bracket | taken | refused |
///
/// # Errors
/// What is wrong, and in which column; more than 1 MiB, more than 1,048,576 names, or a name of more
/// than 253 characters.
///
/// # Examples
/// ```
/// use pxrun::slurm::nodelist::expand;
///
/// let nodes = expand("SLURM_JOB_NODELIST", "n[08-10,12],login").unwrap();
/// assert_eq!(nodes, ["n08", "n09", "n10", "n12", "login"]);
/// let wrong = expand("SLURM_JOB_NODELIST", "n[9-1]").unwrap_err();
/// assert_eq!(
///     wrong.to_string(),
///     "SLURM_JOB_NODELIST:1:3: a range must not run backwards, found `9-1`",
/// );
/// ```
pub fn expand(variable: &'static str, text: &str) -> Result<Vec<String>, Wrong> {
    list::read(variable, text, name, Pattern::count, |pattern| pattern.names())
}

fn name(input: &str) -> Parsed<'_, Pattern<'_>> {
    let (rest, found) = must(pattern, |rest| Fault::NoHost(word(rest)))(input)?;
    if found.longest() > MOST_NAME {
        return stop(input, Fault::NameLength(found.longest()));
    }
    match rest.chars().next() {
        None | Some(',') => Ok((rest, found)),
        Some(_) => stop(rest, Fault::HostCharacter(character(rest))),
    }
}

#[cfg(test)]
mod tests;
