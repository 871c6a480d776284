//! Counts, one for each node: `2(x3),1` is 2, 2, 2, 1.

use std::iter::repeat_n;

use nom::Parser;
use nom::bytes::complete::{tag, take_while};
use nom::character::complete::char;
use nom::combinator::opt;
use nom::sequence::preceded;

use crate::hostfile::fault::{Fault, Found};
use crate::hostfile::stop::{Parsed, character, must, stop};
use crate::hostfile::{MOST_NODES, MOST_SLOTS, Wrong};

use super::list;

/// Expands counts as Slurm writes them in `SLURM_TASKS_PER_NODE` and `SLURM_JOB_CPUS_PER_NODE`;
/// `variable` is what messages call them.
///
/// # Errors
/// What is wrong, and in which column; more than 1 MiB, or more than 1,048,576 counts.
///
/// # Examples
/// ```
/// use pxrun::slurm::counts::expand;
///
/// assert_eq!(expand("SLURM_TASKS_PER_NODE", "2(x3),1").unwrap(), [2, 2, 2, 1]);
/// let wrong = expand("SLURM_TASKS_PER_NODE", "2(x3),one").unwrap_err();
/// assert_eq!(
///     wrong.to_string(),
///     "SLURM_TASKS_PER_NODE:1:7: a count must be a whole number from 1 to 65535, found `one`",
/// );
/// ```
pub fn expand(variable: &'static str, text: &str) -> Result<Vec<u32>, Wrong> {
    let times = |&(_, times): &(u32, u64)| times;
    list::read(variable, text, run, times, |(count, times)| repeat_n(count, times as usize))
}

/// Parses a count and how often it is repeated.
fn run(input: &str) -> Parsed<'_, (u32, u64)> {
    let (rest, count) = whole(input, u64::from(MOST_SLOTS), Fault::Count)?;
    let repeated = preceded(tag("(x"), |rest| whole(rest, MOST_NODES as u64, Fault::Repetition));
    let close = must(char(')'), |rest| Fault::Repetition(character(rest)));
    let (rest, repeated) = opt((repeated, close)).parse(rest)?;
    if rest.starts_with(|next| next != ',') {
        return stop(rest, Fault::CountEnd(character(rest)));
    }
    Ok((rest, (count as u32, repeated.map_or(1, |(times, _)| times))))
}

/// Parses a whole number from 1 to `most`.
fn whole(input: &str, most: u64, fault: impl Fn(Found) -> Fault) -> Parsed<'_, u64> {
    let (rest, digits) = take_while(|next: char| next.is_ascii_digit()).parse(input)?;
    match digits.parse() {
        Ok(number) if (1..=most).contains(&number) => Ok((rest, number)),
        _ => stop(input, fault(Found::until(input, |next| matches!(next, ',' | '(' | ')')))),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::expand;

    fn wrong(text: &str) -> String {
        expand("COUNTS", text).unwrap_err().to_string()
    }

    #[test]
    fn every_wrong_count_is_named_with_its_column() {
        for (text, found) in [
            ("", "1: a count must be a whole number from 1 to 65535, found nothing"),
            ("2,", "3: a count must be a whole number from 1 to 65535, found nothing"),
            ("2,0", "3: a count must be a whole number from 1 to 65535, found `0`"),
            ("65536", "1: a count must be a whole number from 1 to 65535, found `65536`"),
            ("+2", "1: a count must be a whole number from 1 to 65535, found `+2`"),
            ("2(x0)", "4: a repetition must be as in `2(x3)`, from 1 to 1048576, found `0`"),
            ("2(x)", "4: a repetition must be as in `2(x3)`, from 1 to 1048576, found nothing"),
            ("2(x3", "5: a repetition must be as in `2(x3)`, from 1 to 1048576, found nothing"),
            ("2(3)", "2: counts must be parted by `,`, found `(`"),
            ("2 ,1", "2: counts must be parted by `,`, found ` `"),
        ] {
            assert_eq!(wrong(text), format!("COUNTS:1:{found}"), "{text}");
        }
    }

    #[test]
    fn counts_have_bounds() {
        assert_eq!(expand("COUNTS", "1(x1048576)").unwrap().len(), 1 << 20);
        assert!(wrong("1(x1048576),1").ends_with("at most 1048576 nodes, found 1048577"));
        assert!(wrong("1(x1048577)").ends_with("found `1048577`"));
        assert!(wrong("1(x99999999999999999999)").ends_with("found `99999999999999999999`"));
        assert!(wrong(&"1".repeat((1 << 20) + 1)).ends_with("(1 MiB), found 1048577"));
    }

    proptest! {
        #[test]
        fn counts_are_as_many_as_they_say(
            runs in proptest::collection::vec((1u32..65_536, 1usize..9), 1..20)
        ) {
            let written: Vec<String> = runs.iter().map(|&(count, times)| match times {
                1 => count.to_string(),
                _ => format!("{count}(x{times})"),
            }).collect();
            let meant: Vec<u32> =
                runs.iter().flat_map(|&(count, times)| vec![count; times]).collect();
            prop_assert_eq!(expand("COUNTS", &written.join(",")).unwrap(), meant);
        }

        #[test]
        fn whatever_the_text_a_fault_lies_inside_it(text in "[0-9(x),ä ]{0,20}") {
            match expand("COUNTS", &text) {
                Ok(counts) => prop_assert!(!counts.is_empty() && !counts.contains(&0)),
                Err(wrong) => {
                    let columns = 1..=text.chars().count() + 1;
                    prop_assert!(columns.contains(&(wrong.place.column as usize)));
                }
            }
        }
    }
}
