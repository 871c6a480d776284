//! Without pxrun: each program is a world of one on its own stdin and stdout.

use px_tests::{Feed, Scratch};

use crate::examples::{Language, by_itself, program};
use crate::oracles;

#[test]
fn word_count_alone_counts_what_wc_counts() {
    for text in oracles::texts() {
        let wanted = oracles::word_count(&text);
        for language in Language::BOTH {
            for feed in Feed::BOTH {
                let job = by_itself(program(language, "word_count")).fed(feed, &text);
                let outcome = job.run();
                let sum = oracles::sum(&outcome.ok().quiet().text());
                outcome.check(sum == wanted, || format!("wanted {wanted:?} in all"));
            }
        }
    }
}

#[test]
fn monte_carlo_alone_prints_the_result_of_each_case() {
    alone("monte_carlo", &oracles::cases(), &oracles::monte_carlo(&oracles::cases()));
}

#[test]
fn histogram_alone_prints_what_is_in_each_picture() {
    let scratch = Scratch::new();
    let names = oracles::pictures(&scratch);
    alone("histogram", &names, &oracles::histogram(&names));
}

#[test]
fn ring_alone_prints_the_sum() {
    let numbers = oracles::numbers(10_000);
    alone("ring", &numbers, &oracles::ring(&numbers));
}

fn alone(name: &str, input: &[u8], wanted: &[u8]) {
    for language in Language::BOTH {
        for feed in Feed::BOTH {
            let job = by_itself(program(language, name)).fed(feed, input);
            job.run().ok().quiet().prints(wanted);
        }
    }
}

#[test]
fn a_case_that_is_none_fails_and_is_shown() {
    for language in Language::BOTH {
        let job = by_itself(program(language, "monte_carlo")).input("2 100\n2 many\n");
        job.run().exits(1).says("monte_carlo: a case must be `DIMENSION POINTS`, found `2 many`");
    }
}

#[test]
fn a_file_that_is_no_picture_fails_and_is_named() {
    let scratch = Scratch::new();
    let wrong = [
        ("gone", None, "it cannot be opened"),
        ("text", Some("P"), "not a binary PGM or PPM"),
        ("ascii", Some("P2\n2 2\n255\n0 0 0 0\n"), "not a binary PGM or PPM"),
        ("comment", Some("P5 # no end"), "not a binary PGM or PPM"),
        ("deep", Some("P5 1 1 65535 ab"), "not a binary PGM or PPM"),
        ("wide", Some("P5 99999999999999999999 1 255 a"), "not a binary PGM or PPM"),
        ("short", Some("P5 2 2 255 abc"), "it ends before its last pixel"),
    ];
    for (name, bytes, why) in wrong {
        let path = scratch.at(name);
        if let Some(bytes) = bytes {
            scratch.file(name, bytes);
        }
        for language in Language::BOTH {
            let job = by_itself(program(language, "histogram")).input(path.to_str().unwrap());
            job.run().exits(1).says(&format!("histogram: {}: {why}", path.display())).prints("");
        }
    }
}
