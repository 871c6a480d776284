//! The wall times as an SVG bar chart: a panel a work, each with its own scale from zero.

use std::fmt::Write;

use crate::contestant::Side;
use crate::rounds::Outcome;
use crate::stats::{duration, spread};
use crate::works::Raced;

const WIDTH: f64 = 760.0;
const BAR_LEFT: f64 = 230.0;
const BAR_WIDTH: f64 = 420.0;
const BAR_STEP: f64 = 18.0;
const HEAD: f64 = 34.0;
/// A bar longer than so many times the panel's second fastest is cut, else nothing else is seen.
const CUT_AT: f64 = 8.0;

/// Draws every work that has a time.
pub fn draw(results: &[Raced]) -> String {
    let mut body = String::new();
    let mut y = legend(&mut body);
    for raced in results {
        let timed: Vec<&Outcome> =
            raced.outcomes.iter().filter(|outcome| !outcome.samples.is_empty()).collect();
        if !timed.is_empty() {
            y = panel(&mut body, y, raced, timed);
        }
    }
    let height = y + 12.0;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         width=\"{WIDTH}\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n{body}</svg>\n"
    )
}

fn colour(side: Side) -> &'static str {
    match side {
        Side::Ours => "#0b6e99",
        Side::Limit => "#a3adb5",
        Side::Peer => "#e0a040",
    }
}

fn legend(body: &mut String) -> f64 {
    let entries =
        [(Side::Ours, "pxrun"), (Side::Limit, "oracle and bare limits"), (Side::Peer, "peers")];
    text(body, 12.0, 22.0, "start", "Wall time, median; the thin line spans the quartiles");
    for (place, (side, label)) in entries.into_iter().enumerate() {
        let x = 390.0 + 110.0 * place as f64 + if place == 2 { 50.0 } else { 0.0 };
        bar(body, x, 12.0, 12.0, side);
        text(body, x + 17.0, 22.0, "start", label);
    }
    30.0
}

fn panel(body: &mut String, top: f64, raced: &Raced, mut timed: Vec<&Outcome>) -> f64 {
    timed.sort_by(|a, b| a.wall().median.total_cmp(&b.wall().median));
    let anchor = timed[usize::from(timed.len() > 1)].wall().median;
    let longest = timed.iter().map(|outcome| outcome.wall().third_quartile).fold(0.0, f64::max);
    let full = longest.min(CUT_AT * anchor).max(f64::MIN_POSITIVE);
    let title = raced.work.title.replace('`', "");
    let style = "font-weight=\"bold\" fill=\"#222222\"";
    push(
        body,
        &format!("<text x=\"12\" y=\"{:.1}\" {style}>{}</text>", top + 22.0, escape(&title)),
    );
    let mut y = top + HEAD;
    for outcome in timed {
        row(body, y, outcome, full);
        y += BAR_STEP;
    }
    y + 6.0
}

fn row(body: &mut String, y: f64, outcome: &Outcome, full: f64) {
    let Some(wall) = spread(outcome.samples.iter().map(|sample| sample.wall)) else { return };
    let place = |seconds: f64| BAR_LEFT + BAR_WIDTH * (seconds / full).min(1.0);
    let middle = y + 6.5;
    text(body, BAR_LEFT - 8.0, y + 11.0, "end", outcome.name);
    bar(body, BAR_LEFT, y, place(wall.median) - BAR_LEFT, outcome.side);
    let (low, high) = (place(wall.first_quartile), place(wall.third_quartile));
    push(
        body,
        &format!("<path d=\"M{low:.1} {middle:.1}H{high:.1}\" stroke=\"#222222\" fill=\"none\"/>"),
    );
    if wall.median > full {
        // A white slash says that the bar goes on.
        let x = BAR_LEFT + BAR_WIDTH - 24.0;
        let (bottom, top) = (y + 15.0, y - 2.0);
        let path = format!("M{x:.1} {bottom:.1}L{:.1} {top:.1}", x + 8.0);
        push(body, &format!("<path d=\"{path}\" stroke=\"#ffffff\" stroke-width=\"4\"/>"));
    }
    text(body, high.max(place(wall.median)) + 6.0, y + 11.0, "start", &duration(wall.median));
}

fn bar(body: &mut String, x: f64, y: f64, width: f64, side: Side) {
    let fill = colour(side);
    push(
        body,
        &format!(
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"13\" fill=\"{fill}\"/>"
        ),
    );
}

fn text(body: &mut String, x: f64, y: f64, anchor: &str, words: &str) {
    let place = format!("x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"#222222\"");
    push(body, &format!("<text {place}>{}</text>", escape(words)));
}

fn push(body: &mut String, line: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(body, "{line}");
}

fn escape(words: &str) -> String {
    words.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
