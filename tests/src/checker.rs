//! Says whether numbered records came through: none lost, none doubled, in order, no foreign byte.
//!
//! It reads the lines that [`records`](crate::records) makes and knows nothing else of the job.

use crate::records::checksum;

/// Returns the numbers of the lines, in the order found.
///
/// # Errors
///
/// The first line that is not a whole, unchanged record.
pub fn numbers(output: &[u8]) -> Result<Vec<u64>, String> {
    if output.is_empty() {
        return Ok(Vec::new());
    }
    let Some(lines) = output.strip_suffix(b"\n") else {
        return Err(format!("the last line has no end: {}", shown(last_line(output))));
    };
    lines.split(|&byte| byte == b'\n').enumerate().map(|(at, line)| number(at, line)).collect()
}

fn number(at: usize, line: &[u8]) -> Result<u64, String> {
    let bad = || format!("line {} is no whole record: {}", at + 1, shown(line));
    let end = line.iter().rposition(|&byte| byte == b' ').ok_or_else(bad)?;
    let sum = std::str::from_utf8(&line[end + 1..]).map_err(|_| bad())?;
    if u64::from_str_radix(sum, 16) != Ok(checksum(&line[..end])) {
        return Err(bad());
    }
    let digits = line.split(|&byte| byte == b' ').next().unwrap_or_default();
    std::str::from_utf8(digits).ok().and_then(|text| text.parse().ok()).ok_or_else(bad)
}

fn last_line(bytes: &[u8]) -> &[u8] {
    bytes.rsplit(|&byte| byte == b'\n').next().unwrap_or_default()
}

fn shown(line: &[u8]) -> String {
    let start = String::from_utf8_lossy(&line[..line.len().min(120)]).into_owned();
    format!("`{start}` ({} bytes)", line.len())
}

/// Holds when the lines are records 0 to `count`, each once, in any order.
///
/// # Panics
///
/// When one is lost, doubled, broken or foreign.
pub fn each_once(output: &[u8], count: u64) {
    let seen = times(output, count);
    let lost: Vec<usize> = places(&seen, |times| times == 0);
    let doubled: Vec<usize> = places(&seen, |times| times > 1);
    assert!(
        lost.is_empty() && doubled.is_empty(),
        "{} of {count} records lost {:?}, {} doubled {:?}",
        lost.len(),
        &lost[..lost.len().min(10)],
        doubled.len(),
        &doubled[..doubled.len().min(10)],
    );
}

/// Holds when the lines are some of the records 0 to `count`, none of them twice, in any order.
///
/// # Panics
///
/// When one is doubled, broken or foreign.
pub fn at_most_once(output: &[u8], count: u64) {
    let doubled = places(&times(output, count), |times| times > 1);
    assert!(
        doubled.is_empty(),
        "{} records doubled {:?}",
        doubled.len(),
        &doubled[..doubled.len().min(10)]
    );
}

/// How often each of the records 0 to `count` is there.
fn times(output: &[u8], count: u64) -> Vec<u32> {
    let mut seen = vec![0_u32; usize::try_from(count).expect("count")];
    for number in numbers(output).unwrap_or_else(|problem| panic!("{problem}")) {
        let place = seen.get_mut(number as usize);
        *place.unwrap_or_else(|| panic!("record {number} is foreign (there are {count})")) += 1;
    }
    seen
}

fn places(seen: &[u32], wanted: impl Fn(u32) -> bool) -> Vec<usize> {
    seen.iter().enumerate().filter(|&(_, &times)| wanted(times)).map(|(at, _)| at).collect()
}

/// Holds when the lines are records 0 to `count`, each once, in order.
///
/// # Panics
///
/// When they are not.
pub fn in_order(output: &[u8], count: u64) {
    each_once(output, count);
    ascending(output);
}

/// Holds when the lines are whole records in ascending order.
///
/// # Panics
///
/// When they are not.
pub fn ascending(output: &[u8]) {
    let numbers = numbers(output).unwrap_or_else(|problem| panic!("{problem}"));
    let swapped = numbers.windows(2).find(|pair| pair[0] >= pair[1]);
    assert!(swapped.is_none(), "records out of order: {swapped:?}");
}

/// Holds when the shares of the copies cover records 0 to `count`: each record in one share,
/// whole, and each share in order.
///
/// # Panics
///
/// When they do not.
pub fn shares(shares: &[Vec<u8>], count: u64) {
    for share in shares {
        ascending(share);
    }
    each_once(&shares.concat(), count);
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;

    use super::{at_most_once, each_once, in_order, numbers};
    use crate::records::numbered;

    fn lines() -> Vec<Vec<u8>> {
        numbered(20, 1).split_inclusive(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect()
    }

    fn accepted(lines: &[Vec<u8>], check: fn(&[u8], u64)) -> bool {
        let output = lines.concat();
        catch_unwind(|| check(&output, 20)).is_ok()
    }

    #[test]
    fn whole_output_is_accepted() {
        assert!(accepted(&lines(), in_order));
        let mut swapped = lines();
        swapped.swap(3, 4);
        assert!(accepted(&swapped, each_once));
    }

    #[test]
    fn a_lost_a_doubled_a_swapped_and_a_foreign_line_are_found() {
        let all = lines();
        assert!(!accepted(&all[1..], each_once));
        assert!(!accepted(&[all.clone(), vec![all[7].clone()]].concat(), each_once));
        let mut swapped = all.clone();
        swapped.swap(3, 4);
        assert!(!accepted(&swapped, in_order));
        assert!(!accepted(&[all, vec![b"20 x 0\n".to_vec()]].concat(), each_once));
    }

    #[test]
    fn a_part_is_accepted_where_a_part_may_be_but_nothing_twice() {
        let all = lines();
        assert!(accepted(&all[3..9], at_most_once));
        assert!(!accepted(&[all.clone(), vec![all[7].clone()]].concat(), at_most_once));
        assert!(!accepted(&[all, vec![b"20 x 0\n".to_vec()]].concat(), at_most_once));
    }

    #[test]
    fn a_single_changed_byte_is_found() {
        let output = lines().concat();
        for at in 0..output.len() {
            let mut changed = output.clone();
            changed[at] ^= 1;
            assert_ne!(numbers(&changed), numbers(&output), "byte {at}");
        }
    }

    #[test]
    fn a_line_without_its_end_is_found() {
        let output = lines().concat();
        assert!(numbers(&output[..output.len() - 1]).is_err());
    }
}
