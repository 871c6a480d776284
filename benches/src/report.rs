//! The result as markdown: the targets first, then a table a work.

use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::contestant::ORACLE;
use crate::ground::{Ground, mebibytes};
use crate::hosts::Race;
use crate::rounds::Outcome;
use crate::stats::{duration, percent};
use crate::targets::judge;
use crate::works::{Raced, Table, Work, libpx};

/// The report on one machine.
pub fn whole(ground: &Ground, machine: &[String], results: &[Raced]) -> String {
    let mut text = measured(ground, machine, Some("start"));
    text += &tables(&[], results);
    text.trim_end().to_owned()
}

/// The report on programs that use libpx.
pub fn with_libpx(ground: &Ground, machine: &[String], results: &[Raced]) -> String {
    let mut text = measured(ground, machine, Some(libpx::FIRST));
    text.truncate(text.trim_end().len() + 1);
    text += &tables(&libpx::facts(), results);
    text.trim_end().to_owned()
}

/// The report on several hosts, with what was `told` of them.
pub fn on_hosts(race: Race, ground: &Ground, machine: &[String], told: &str) -> String {
    let often = match race {
        Race::Hosts => Some("hosts-start"),
        Race::Cluster => None,
    };
    let mut text = measured(ground, machine, often);
    line(
        &mut text,
        "CPU is that of the head's processes and of all that ran on the hosts for them; the root's \
         is that of pxrun's own processes on the head.\n",
    );
    text += told;
    text.trim_end().to_owned()
}

/// When and how it was measured, and on what.
fn measured(ground: &Ground, machine: &[String], often: Option<&str>) -> String {
    let options = &ground.options;
    let often =
        often.map_or_else(String::new, |work| format!(" (three times as many for `{work}`)"));
    let mut text = format!(
        "Measured on {}, {} ranks, an input of {}, {} rounds after a warm-up{often}, pipes of the bare limits {}. Times are medians, with the quartiles in \
         brackets.\n\n",
        date(),
        options.np,
        mebibytes(options.size_bytes),
        options.rounds,
        mebibytes(options.pipe_bytes as u64),
    );
    for fact in machine {
        line(&mut text, &format!("* {fact}"));
    }
    text.push('\n');
    text
}

/// Further facts, the targets, and a table a work.
pub fn tables(facts: &[String], results: &[Raced]) -> String {
    let mut text = String::new();
    for fact in facts {
        line(&mut text, &format!("* {fact}"));
    }
    if !facts.is_empty() {
        text.push('\n');
    }
    targets(&mut text, results);
    for raced in results {
        work(&mut text, raced);
    }
    text
}

fn targets(text: &mut String, results: &[Raced]) {
    line(text, "| work | target | found | |");
    line(text, "|---|---|---|---|");
    for raced in results {
        for target in &raced.work.targets {
            let verdict = judge(target, &raced.outcomes);
            let met = match verdict.met {
                Some(true) => "met",
                Some(false) => "**missed**",
                None => "not judged",
            };
            let (wanted, found) = (verdict.wanted, verdict.found);
            let (wanted, found) = (cell(&wanted), cell(&found));
            line(text, &format!("| {} | {wanted} | {found} | {met} |", raced.work.id));
        }
    }
}

fn work(text: &mut String, raced: &Raced) {
    line(text, &format!("\n### {}: {}\n", raced.work.id, raced.work.title));
    if raced.outcomes.is_empty() {
        line(text, "Nobody here can do this work.");
        return;
    }
    let heads = heads(&raced.work);
    line(text, &format!("| {} |", heads.join(" | ")));
    line(text, &format!("|{}", "---|".repeat(heads.len())));
    for outcome in &raced.outcomes {
        if let Some(failure) = &outcome.failure {
            let failure = failure.replace(['|', '\n'], " ");
            let rest = " |".repeat(heads.len() - 2);
            line(text, &format!("| {} | failed: {failure} |{rest}", cell(outcome.name)));
            continue;
        }
        let name = match outcome.scale {
            1 => cell(outcome.name),
            scale => format!("{} (times {scale})", cell(outcome.name)),
        };
        let mut cells = vec![name, outcome.wall().text(), outcome.cpu().text()];
        cells.extend(others(&raced.work, outcome, &raced.outcomes));
        line(text, &format!("| {} |", cells.join(" | ")));
    }
    for remark in &raced.work.remarks {
        line(text, &format!("\n{remark}"));
    }
}

/// A text that ends no cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

/// What stands above the columns.
fn heads(work: &Work) -> Vec<String> {
    let limit = format!("x {}", work.limit.unwrap_or("bare limit"));
    let others: &[&str] = match work.table {
        Table::OneMachine => &["CPU, own", "x oracle", &limit],
        Table::Hosts => &["CPU, root", "wall after the last answer", &limit],
        Table::Cluster => &["CPU, root"],
        Table::Spans => &["CPU, root", "the copies' work"],
        Table::Messages(_) => &["CPU, own", "the messages", "each"],
        Table::Idle => &["CPU, root", "busiest idle agent"],
        Table::Crowd => {
            &["CPU, root", "all connected", "root's memory", "its threads", "its descriptors"]
        }
    };
    let first = ["contestant", "wall", "CPU, all"];
    first.iter().chain(others).map(|&head| head.to_owned()).collect()
}

/// The columns behind wall and CPU time.
fn others(work: &Work, outcome: &Outcome, outcomes: &[Outcome]) -> Vec<String> {
    let own = outcome.own().map_or_else(String::new, |own| own.text());
    let ratio = |to: &str| ratio(outcome, to, outcomes);
    let limit = work.limit.map(ratio).unwrap_or_default();
    let answered = outcome.answered();
    match work.table {
        Table::OneMachine => vec![own, ratio(ORACLE), limit],
        Table::Hosts => {
            let after = answered.map_or_else(String::new, |_| outcome.after_answers().text());
            vec![own, after, limit]
        }
        Table::Cluster => vec![own],
        Table::Spans => vec![own, outcome.figure().map_or_else(String::new, |span| span.text())],
        Table::Messages(count) => {
            let figure = outcome.figure();
            let each = figure.map(|span| duration(span.median / count as f64));
            vec![own, figure.map_or_else(String::new, |span| span.text()), each.unwrap_or_default()]
        }
        Table::Idle => {
            let share = outcome.figure().map(|share| share.median);
            vec![own, share.map_or_else(String::new, percent)]
        }
        Table::Crowd => {
            let answered = answered.map_or_else(String::new, |answered| answered.text());
            let mut cells = vec![own, answered];
            if let Some(footprint) = outcome.footprint() {
                cells.push(mebibytes(footprint.bytes));
                cells.extend([footprint.threads, footprint.descriptors].map(|n| n.to_string()));
            }
            cells
        }
    }
}

fn ratio(outcome: &Outcome, to: &str, outcomes: &[Outcome]) -> String {
    let reference = outcomes.iter().find(|other| other.name == to && other.failure.is_none());
    let ratio = reference.map(|reference| outcome.wall().median / reference.wall().median);
    ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}"))
}

fn line(text: &mut String, line: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{line}");
}

/// Today as YYYY-MM-DD, in UTC.
fn date() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let (year, month, day) = civil(since.as_secs() / 86_400);
    format!("{year}-{month:02}-{day:02}")
}

/// Days since 1970-01-01 as a date, counted year by year and month by month.
fn civil(mut days: u64) -> (u64, u64, u64) {
    let leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let mut year = 1970;
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let february = 28 + u64::from(leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    (year, month, days + 1)
}

#[cfg(test)]
mod tests {
    use super::civil;

    #[test]
    fn dates_are_right_around_leap_days() {
        assert_eq!(civil(0), (1970, 1, 1));
        assert_eq!(civil(11_016), (2000, 2, 29));
        assert_eq!(civil(19_722), (2023, 12, 31));
        assert_eq!(civil(20_513), (2026, 3, 1));
    }
}
