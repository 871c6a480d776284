//! On several hosts, by ranks dealt out over them.

use px_tests::{Feed, Lab, Scratch, lab};

use crate::examples::{Language, RANKS, on_hosts};
use crate::oracles;

const HOSTS: usize = 2;

#[test]
fn word_count_on_hosts_adds_up_to_what_wc_counts() {
    let lab = lab!(Lab::of(HOSTS));
    let [_, _, text, _] = oracles::texts();
    let wanted = oracles::word_count(&text);
    for (language, ranks, feed) in all() {
        let job = on_hosts(&lab, ranks, "--contract px", language, "word_count");
        let outcome = job.fed(feed, &text).run();
        let sum = oracles::sum(&outcome.ok().quiet().text());
        outcome.check(sum == wanted, || format!("wanted {wanted:?} in all"));
    }
}

#[test]
fn monte_carlo_on_hosts_prints_the_same_whoever_computes_it() {
    let words = "-k --contract px --chunk-records 1 --deal dynamic";
    let lab = lab!(Lab::of(HOSTS));
    let cases = oracles::cases();
    same(&lab, words, "monte_carlo", &cases, &oracles::monte_carlo(&cases));
}

#[test]
fn histogram_on_hosts_prints_what_is_in_each_picture_in_the_order_of_the_list() {
    let lab = lab!(Lab::of(HOSTS));
    let scratch = Scratch::new();
    let names = oracles::pictures(&scratch);
    let words = "-k --contract px --deal dynamic --chunk-records 3";
    same(&lab, words, "histogram", &names, &oracles::histogram(&names));
}

#[test]
fn ring_on_hosts_prints_the_sum_of_all_ranks() {
    let lab = lab!(Lab::of(HOSTS));
    let numbers = oracles::numbers(100_000);
    same(&lab, "--contract px", "ring", &numbers, &oracles::ring(&numbers));
}

fn all() -> impl Iterator<Item = (Language, usize, Feed)> {
    let ways = RANKS.into_iter().zip([Feed::File, Feed::Pipe, Feed::File]).chain([(8, Feed::Pipe)]);
    ways.flat_map(|(ranks, feed)| Language::BOTH.map(|language| (language, ranks, feed)))
}

fn same(lab: &Lab, words: &str, name: &str, input: &[u8], wanted: &[u8]) {
    for (language, ranks, feed) in all() {
        let job = on_hosts(lab, ranks, words, language, name).fed(feed, input);
        job.run().ok().quiet().prints(wanted);
    }
}
