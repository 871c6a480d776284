//! Whatever Slurm's variables hold: a list of nodes or of counts is read without a panic to a bounded
//! number of them, or refused in a column inside it; an allocation is whole, or refused in a line.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pxrun::hostfile::{MOST_NAME, MOST_NODES, MOST_SLOTS, Wrong};
use pxrun::slurm::allocation::Allocation;
use pxrun::slurm::{counts, nodelist};

fuzz_target!(|text: &str| {
    match nodelist::expand("SLURM_JOB_NODELIST", text) {
        Ok(names) => {
            assert!((1..=MOST_NODES).contains(&names.len()));
            assert!(names.iter().all(|name| !name.is_empty() && name.len() <= MOST_NAME));
        }
        Err(wrong) => inside(&wrong, text),
    }
    match counts::expand("SLURM_TASKS_PER_NODE", text) {
        Ok(counts) => {
            assert!((1..=MOST_NODES).contains(&counts.len()));
            assert!(counts.iter().all(|count| (1..=MOST_SLOTS).contains(count)));
        }
        Err(wrong) => inside(&wrong, text),
    }
    // A line for each variable.
    let value = |name: &str| {
        text.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix('=')?.to_owned()))
    };
    match Allocation::read(value) {
        Ok(None) => {}
        Ok(Some(allocation)) => {
            assert!((1..=MOST_NODES).contains(&allocation.nodes.len()));
            assert!(allocation.nodes.iter().all(|node| node.slots > 0 && node.cpus > 0));
            assert_eq!(allocation.hosts().len(), allocation.nodes.len());
        }
        Err(message) => {
            let message = message.render("error");
            assert!(message.len() < 2000);
            assert!(message.lines().all(|line| !line.contains(char::is_control)));
        }
    }
});

fn inside(wrong: &Wrong, text: &str) {
    let column = wrong.place.column as usize;
    assert!((1..=text.chars().count() + 1).contains(&column) && wrong.place.line == 1);
}
