//! Lists parted by commas, each item of which may stand for many values.

use crate::hostfile::fault::Fault;
use crate::hostfile::stop::{Parsed, Stop, column, finish};
use crate::hostfile::{MOST_BYTES, MOST_NODES, Place, Source, Wrong};

/// Reads the list that is the value of `variable`: `item` parses one of it, up to a `,` or the end,
/// `count` says how many values it stands for, and `values` makes them. They are counted first.
pub(super) fn read<'a, T, V: IntoIterator>(
    variable: &'static str,
    text: &'a str,
    item: impl Fn(&'a str) -> Parsed<'a, T>,
    count: impl Fn(&T) -> u64,
    values: impl Fn(T) -> V,
) -> Result<Vec<V::Item>, Wrong> {
    let wrong = |stopped: Stop<'_>| {
        let column = column(text, stopped.rest);
        let place = Place { source: Source::Variable(variable), line: 1, column };
        Wrong { place, fault: stopped.fault }
    };
    if text.len() > MOST_BYTES {
        return Err(wrong(Stop { rest: text, fault: Fault::ListSize(text.len()) }));
    }
    let mut all = Vec::new();
    let mut rest = text;
    loop {
        let (after, found) = finish(item(rest)).map_err(wrong)?;
        let sum = count(&found).saturating_add(all.len() as u64);
        if sum > MOST_NODES as u64 {
            return Err(wrong(Stop { rest, fault: Fault::TooManyNodes(sum) }));
        }
        all.extend(values(found));
        match after.strip_prefix(',') {
            Some(next) => rest = next,
            None => return Ok(all),
        }
    }
}
