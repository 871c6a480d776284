//! The bar: what has gone in and out, how fast, how long still, and what holds the job up.

use std::time::Duration;

use px_runtime::root::{Limit, Progress};

/// Draws the bar for a terminal of `columns` columns.
pub fn bar(progress: &Progress, columns: usize) -> String {
    let seconds = progress.elapsed.as_secs_f64().max(0.001);
    let rate = progress.consumed as f64 / seconds;
    let mut text = String::from("pxrun: ");
    match progress.total {
        Some(total) if total > 0 => {
            let share = progress.consumed as f64 / total as f64;
            let left = total.saturating_sub(progress.consumed) as f64 / rate.max(1.0);
            text += &format!(
                "{} of {} ({:.0} %), {}/s, {} left",
                bytes(progress.consumed as f64),
                bytes(total as f64),
                share.min(1.0) * 100.0,
                bytes(rate),
                clock(Duration::from_secs_f64(left.min(3.6e8))),
            );
        }
        _ => text += &format!("{} in, {}/s", bytes(progress.consumed as f64), bytes(rate)),
    }
    let limit = match progress.limit {
        Limit::Input => "input",
        Limit::Copies => "copies",
        Limit::Output => "output",
    };
    text += &format!(
        ", {} out, {} alive, limit: {limit}",
        bytes(progress.written as f64),
        progress.running
    );
    text.chars().take(columns.saturating_sub(1)).collect()
}

fn bytes(count: f64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut count = count;
    let mut unit = 0;
    while count >= 1000.0 && unit + 1 < UNITS.len() {
        count /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{count:.0} B") } else { format!("{count:.1} {}", UNITS[unit]) }
}

fn clock(left: Duration) -> String {
    let seconds = left.as_secs();
    if seconds < 3600 {
        format!("{}:{:02}", seconds / 60, seconds % 60)
    } else {
        format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_says_how_far_how_fast_and_what_is_the_limit() {
        let progress = Progress {
            total: Some(4 << 20),
            consumed: 1 << 20,
            written: 512,
            running: 2,
            elapsed: Duration::from_secs(1),
            limit: Limit::Copies,
        };
        let text = bar(&progress, 200);
        assert_eq!(
            text,
            "pxrun: 1.0 MiB of 4.0 MiB (25 %), 1.0 MiB/s, 0:03 left, 512 B out, 2 alive, limit: copies"
        );
        assert_eq!(bar(&progress, 20).chars().count(), 19);
    }
}
