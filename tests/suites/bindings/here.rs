//! With pxrun on one machine, by any number of ranks.

use std::fs;

use px_tests::{Feed, Outcome, Scratch, binary};

use crate::examples::{Language, RANKS, job, run_script, top};
use crate::oracles;

#[test]
fn word_count_adds_up_to_what_wc_counts() {
    for text in oracles::texts() {
        let wanted = oracles::word_count(&text);
        for (language, ranks) in all() {
            for feed in Feed::BOTH {
                let words = format!("-np {ranks} --contract px");
                let outcome = job(&words, language, "word_count").fed(feed, &text).run();
                let sum = oracles::sum(&outcome.ok().quiet().text());
                outcome.check(sum == wanted, || format!("wanted {wanted:?} in all"));
            }
        }
    }
}

#[test]
fn monte_carlo_prints_the_same_whoever_computes_it() {
    let words = "-k --contract px --chunk-records 1 --deal dynamic";
    same(words, "monte_carlo", &oracles::cases(), &oracles::monte_carlo(&oracles::cases()));
}

#[test]
fn histogram_prints_what_is_in_each_picture_in_the_order_of_the_list() {
    let scratch = Scratch::new();
    let names = oracles::pictures(&scratch);
    let words = "-k --contract px --deal dynamic --chunk-records 3";
    same(words, "histogram", &names, &oracles::histogram(&names));
}

#[test]
fn ring_prints_the_sum_of_all_ranks() {
    for count in [1, 7, 100_000] {
        let numbers = oracles::numbers(count);
        same("--contract px", "ring", &numbers, &oracles::ring(&numbers));
    }
}

#[test]
fn a_wrong_case_fails_its_job() {
    for language in Language::BOTH {
        let words = "-np 2 -k --contract px --chunk-records 1";
        let outcome = job(words, language, "monte_carlo").input("2 100\n2 many\n").run();
        outcome
            .own_error()
            .says("found `2 many`")
            .says("released chunk 1 (bytes 6 to 13) as failed");
    }
}

#[test]
fn the_run_scripts_print_what_the_expected_file_says() {
    let expected = fs::read(top().join("examples/c/expected.txt")).unwrap();
    for language in Language::BOTH {
        script(language, &binary::pxrun().display().to_string()).ok().quiet().prints(&expected);
    }
}

#[test]
fn the_run_scripts_fail_when_their_job_fails() {
    for language in Language::BOTH {
        script(language, "false").exits(1);
    }
}

fn all() -> impl Iterator<Item = (Language, usize)> {
    Language::BOTH.into_iter().flat_map(|language| RANKS.map(|ranks| (language, ranks)))
}

fn same(words: &str, name: &str, input: &[u8], wanted: &[u8]) {
    for (language, ranks) in all() {
        for feed in Feed::BOTH {
            let job = job(&format!("-np {ranks} {words}"), language, name).fed(feed, input);
            job.run().ok().quiet().prints(wanted);
        }
    }
}

/// Runs the script of a language's folder at the top of the repository.
fn script(language: Language, pxrun: &str) -> Outcome {
    run_script(language, |command| command.env("PXRUN", pxrun))
}
