//! Tasks of a launcher: this very program, started by it with one test to run.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use px_runtime::link::keys::KeyPair;
use pxrun::rendezvous::card::MOST_ADDRESSES;
use pxrun::rendezvous::{Card, MeetError, PATIENCE, of_step};

/// Where the tasks write what they have learned.
const NOTES: &str = "PX_TEST_NOTES";
/// The directory to meet in, if it is to be one.
const NAMED: &str = "PX_TEST_RENDEZVOUS";

/// What a launcher is to start.
const TASK: &str = "steps::a_step_has_a_place_to_meet_and_nobody_else_has";

fn number(name: &str) -> Option<u32> {
    std::env::var(name).ok()?.parse().ok()
}

/// What one task does where a launcher has started this test; by itself it is in no step.
#[test]
fn a_step_has_a_place_to_meet_and_nobody_else_has() {
    let Some(notes) = std::env::var_os(NOTES).map(PathBuf::from) else {
        let nowhere = of_step(|_| None, None, 0, 2);
        assert!(matches!(nowhere, Err(MeetError::Nowhere)));
        return;
    };
    let of = |names: [&str; 2]| names.into_iter().find_map(number);
    let (Some(task), Some(size)) =
        (of(["PMI_RANK", "SLURM_PROCID"]), of(["PMI_SIZE", "SLURM_STEP_NUM_TASKS"]))
    else {
        panic!("no launcher has started this");
    };
    let deadline = Instant::now() + PATIENCE;
    let named = std::env::var_os(NAMED).map(PathBuf::from);
    let mut place = of_step(|name| std::env::var_os(name), named.as_deref(), task, size).unwrap();
    // As long as a card can be.
    let longest = "[fd00:1111:2222:3333:4444:5555:6666:7777]:65535".parse().unwrap();
    let addresses = if task == 0 { vec![longest; MOST_ADDRESSES] } else { Vec::new() };
    let key = KeyPair::random().unwrap().public();
    let (job, host) = (place.job().to_owned(), format!("{task:h>64}"));
    let own = Card { job, task, host, key, addresses };
    let mut lines = vec![own.encode().unwrap()];
    if task == 0 {
        let cards = place.collect(deadline).unwrap();
        lines.extend(cards.iter().map(|card| card.encode().unwrap()));
        place.announce(&own, deadline).unwrap();
        // The place goes once all have left it.
        let met = |task| notes.join(format!("{task}")).exists();
        while !(1..size).all(met) {
            assert!(Instant::now() < deadline, "not all agents have met");
            std::thread::yield_now();
        }
    } else {
        lines.push(place.meet(&own, deadline).unwrap().encode().unwrap());
    }
    let hidden = notes.join(format!(".{task}"));
    std::fs::write(&hidden, lines.join("\n")).unwrap();
    std::fs::rename(&hidden, notes.join(format!("{task}"))).unwrap();
    drop(place);
    if let Some(fd) = number("PMI_FD").filter(|_| named.is_none()) {
        assert!(!Path::new(&format!("/proc/self/fd/{fd}")).exists(), "PMI_FD is closed");
    }
}

/// Runs the tasks and looks at what each has learned.
fn all_meet(launcher: &mut Command, size: usize) {
    let notes = tempfile::tempdir().unwrap();
    let ended = launcher
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", TASK, "--nocapture"])
        .env(NOTES, notes.path())
        .output()
        .unwrap_or_else(|error| panic!("{:?} must be installed: {error}", launcher.get_program()));
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{}: {said}", ended.status);
    let learned = |task: usize| -> Vec<String> {
        let text = std::fs::read_to_string(notes.path().join(task.to_string())).unwrap();
        text.lines().map(str::to_owned).collect()
    };
    let own: Vec<_> = (0..size).map(|task| learned(task)[0].clone()).collect();
    assert_eq!(learned(0), own);
    for task in 1..size {
        assert_eq!(learned(task), [own[task].as_str(), own[0].as_str()]);
    }
}

#[test]
fn tasks_of_hydra_meet_in_its_key_value_space() {
    for size in [1, 2, 5] {
        all_meet(Command::new("mpiexec.hydra").args(["-n", &size.to_string()]), size);
    }
}

#[test]
fn tasks_meet_in_a_directory_that_the_user_names() {
    let base = tempfile::tempdir().unwrap();
    let mut launcher = Command::new("mpiexec.hydra");
    all_meet(launcher.args(["-n", "4"]).env(NAMED, base.path()), 4);
    assert_eq!(std::fs::read_dir(base.path()).unwrap().count(), 0);
}

#[test]
fn without_a_launcher_there_is_no_place_to_meet() {
    let error = of_step(|_| None, None, 0, 2).err().unwrap();
    let told = px_runtime::failure::Message::from(error).render("error");
    assert!(
        told.contains("no way to find each other") && told.contains("`--backend ssh`"),
        "{told}"
    );
}
