//! Bounds: memory, descriptors, address space, processes, users: rows 34, 44 to 47 and 49.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on panics")]

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use px_tests::rounds::big;
use px_tests::{Feed, Job, Outcome, Scratch, binary, checker, processes, records};
use rustix::process::Resource;

/// A user of the tests' own, so that nobody else counts against its limits.
const SOMEBODY: u32 = 54_321;

fn needs_root() {
    assert!(rustix::process::geteuid().is_root(), "needs root, to start as another user");
}

/// One big input for all tests: its path and length.
fn big_input() -> &'static (PathBuf, u64) {
    static INPUT: OnceLock<(PathBuf, u64)> = OnceLock::new();
    INPUT.get_or_init(|| {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let path = directory.join(format!("big-input-{}", big()));
        let size = match fs::metadata(&path) {
            Ok(file) if file.len() > big() - 1000 => file.len(),
            _ => {
                let partial = path.with_extension("partial");
                let size = records::log_lines(&File::create(&partial).unwrap(), big()).unwrap();
                fs::rename(&partial, &path).unwrap();
                size
            }
        };
        (path, size)
    })
}

/// Runs a job over the big input, counts what it prints, and wants it to be as long.
fn over_big_input(job: Job, feed: Feed) -> Outcome {
    let (path, size) = big_input();
    let (reader, writer) = std::io::pipe().unwrap();
    let counter = std::thread::spawn(move || count(reader));
    let job = job.stdout(OwnedFd::from(writer));
    let job = match feed {
        Feed::File => job.input_file(path),
        Feed::Pipe => job.held_stdin(),
    };
    let mut running = job.start();
    let feeder = (feed == Feed::Pipe).then(|| {
        let (mut stdin, mut file) = (running.take_stdin(), File::open(path).unwrap());
        std::thread::spawn(move || std::io::copy(&mut file, &mut stdin))
    });
    let outcome = running.finish();
    outcome.ok();
    assert_eq!(counter.join().unwrap(), *size, "{}", outcome.seen());
    if let Some(feeder) = feeder {
        assert_eq!(feeder.join().unwrap().unwrap(), *size);
    }
    outcome
}

/// Checks the memory of `cat` in a mode.
fn bounded(options: &str, feed: Feed) {
    let job = Job::new("-np 2").words(options).arg("cat").measured();
    over_big_input(job, feed).within_memory(2);
}

fn count(mut reader: impl Read) -> u64 {
    let (mut block, mut count) = (vec![0; 1 << 20], 0);
    while let read @ 1.. = reader.read(&mut block).unwrap() {
        count += read as u64;
    }
    count
}

#[test]
fn row_47_memory_is_bounded_unordered() {
    bounded("", Feed::File);
    bounded("", Feed::Pipe);
}

#[test]
fn row_47_memory_is_bounded_in_rank_order() {
    bounded("--order rank", Feed::File);
    bounded("--order rank --deal block", Feed::File);
    bounded("--order rank", Feed::Pipe);
}

#[test]
fn row_47_memory_is_bounded_in_input_order_with_blocks() {
    bounded("-k --run per-rank --deal block", Feed::File);
}

#[test]
fn row_47_memory_is_bounded_in_input_order_with_contract_lines() {
    bounded("-k --contract lines", Feed::File);
    bounded("-k --contract lines", Feed::Pipe);
}

#[test]
fn row_47_memory_is_bounded_per_chunk() {
    bounded("-k", Feed::File);
    bounded("-k", Feed::Pipe);
    bounded("--run per-chunk", Feed::File);
    bounded("-k --chunk-size 200M", Feed::File);
    bounded("-k --chunk-size 200M", Feed::Pipe);
}

#[test]
fn row_47_memory_is_bounded_with_dynamic_dealing() {
    bounded("--deal dynamic", Feed::File);
    bounded("--deal dynamic", Feed::Pipe);
    bounded("-k --deal dynamic", Feed::File);
}

#[test]
fn row_47_memory_is_bounded_with_a_copy_that_expands() {
    let scratch = Scratch::new();
    let path = scratch.at("input");
    let size = records::log_lines(&File::create(&path).unwrap(), big() / 32).unwrap();
    for mode in ["-k", "-k --contract lines", "-k --run per-rank --deal block", "--order rank"] {
        // With contract lines a line grows; elsewhere a line becomes many.
        let job = Job::new("-np 2").words(mode).input_file(&path).measured();
        let job = match mode.contains("contract") {
            true => job.arg("sed").arg("s/.*/&&&&&&&&&&&&&&&&/"),
            false => job.zoo("amplify 16"),
        };
        let (reader, writer) = std::io::pipe().unwrap();
        let counter = std::thread::spawn(move || count(reader));
        job.stdout(OwnedFd::from(writer)).run().ok().within_memory(2);
        assert!(counter.join().unwrap() > 15 * size, "{mode}");
    }
}

#[test]
fn row_47_memory_is_bounded_while_the_reader_of_our_output_waits() {
    let (path, size) = big_input();
    for mode in ["", "-k", "-k --contract lines"] {
        let job =
            Job::new("-np 2").words(mode).arg("cat").input_file(path).held_stdout().measured();
        let mut running = job.start();
        let stdout = running.take_stdout();
        running
            .until("our output is full", |_| rustix::io::ioctl_fionread(&stdout).unwrap() >= 4096);
        let counter = std::thread::spawn(move || count(stdout));
        running.finish().ok().within_memory(2);
        assert_eq!(counter.join().unwrap(), *size);
    }
}

#[test]
fn row_47_memory_grows_by_two_mebibytes_a_rank_at_most() {
    let (path, _) = big_input();
    let null = OpenOptions::new().write(true).open("/dev/null").unwrap();
    let job = Job::new("-np 64 cat").input_file(path).stdout(null).measured();
    job.run().ok().within_memory(64);
}

#[test]
fn row_34_a_small_address_space_is_no_hindrance() {
    for mode in ["", "--order rank", "-k", "-k --contract lines"] {
        let job = Job::new("-np 2").words(mode).arg("cat");
        over_big_input(job.limit(Resource::As, 400 << 20, 400 << 20), Feed::File);
    }
}

#[test]
fn row_44_a_soft_limit_of_descriptors_is_raised() {
    let input = records::numbered(20_000, 44);
    let job = Job::new("-np 100 cat").limit(Resource::Nofile, 64, 4096).input(&input);
    checker::each_once(&job.run().ok().stdout, 20_000);
}

#[test]
fn row_44_a_raised_limit_is_not_passed_on_to_the_copies() {
    let job = Job::new("-np 1").sh("ulimit -n").limit(Resource::Nofile, 64, 4096);
    job.input("").run().ok().prints("64\n");
}

#[test]
fn row_44_more_input_files_than_the_soft_limit_are_no_hindrance() {
    let scratch = Scratch::new();
    let mut job = Job::new("-np 2").directory(scratch.path()).limit(Resource::Nofile, 64, 4096);
    let mut all = Vec::new();
    for number in 0..200 {
        let name = format!("{number}.txt");
        let bytes = records::numbered(50, number);
        scratch.file(&name, &bytes);
        job = job.words(&format!("-i {name}"));
        all.extend(bytes);
    }
    let outcome = job.words("-k --contract lines cat").run();
    assert!(outcome.ok().stdout == all);
}

#[test]
fn row_44_too_few_descriptors_are_an_error_with_the_number_needed() {
    let scratch = Scratch::new();
    let started = format!("touch {}", scratch.at("started").display());
    let job = Job::new("-np 100").sh(&started).limit(Resource::Nofile, 64, 64);
    let outcome = job.input("a\n").run();
    outcome.own_error().says_any(&["descriptor", "open files"]).says("64").says("100 ranks");
    assert!(!scratch.has("started"));
}

#[test]
fn row_44_few_ranks_fit_in_64_descriptors() {
    let input = records::numbered(20_000, 44);
    for mode in ["", "-k", "--order rank", "-k --contract lines"] {
        let job = Job::new("-np 4").words(mode).arg("cat").limit(Resource::Nofile, 64, 64);
        checker::each_once(&job.input(&input).run().ok().stdout, 20_000);
    }
}

#[test]
fn row_45_a_limit_of_processes_is_a_clear_error_needs_root_to_become_another_user() {
    needs_root();
    for mode in ["-np 64", "-np 64 -k --chunk-records 1"] {
        let scratch = Scratch::new();
        let job = Job::new(mode).zoo("gate").arg(scratch.path()).arg("cat").as_user(SOMEBODY + 1);
        let job = job.limit(Resource::Nproc, 40, 40).input(records::numbered(1000, 45));
        job.run().own_error().says("resource temporarily unavailable");
    }
}

#[test]
fn row_46_a_user_without_pipe_pages_gets_the_same_output_needs_root_to_become_another_user() {
    needs_root();
    let input = records::numbered(100_000, 46);
    let zoo = binary::zoo();
    // A greedy process of the same user leaves pipes of 8 KiB only.
    let greedy = [zoo.to_str().unwrap(), "greedy"];
    for mode in ["", "-k", "--order rank", "-k --contract lines"] {
        let job = Job::new("-np 20").words(mode).arg("cat").as_user(SOMEBODY + 2).under(&greedy);
        checker::each_once(&job.input(&input).run().ok().stdout, 100_000);
    }
}

#[test]
fn row_46_enlarged_pipes_take_a_quarter_at_most_needs_root_to_become_another_user() {
    needs_root();
    let pages = fs::read_to_string("/proc/sys/fs/pipe-user-pages-soft").unwrap();
    let most = pages.trim().parse::<u64>().unwrap() * 4096 / 4;
    for ranks in [8, 64, 200] {
        let scratch = Scratch::new();
        let job = Job::new("-np").arg(ranks.to_string()).zoo("gate").arg(scratch.path()).arg("cat");
        let job = job.as_user(SOMEBODY + 3).input(records::numbered(200_000, 46));
        let mut running = job.start();
        running.until("all copies run", |_| scratch.names(".").len() == ranks);
        let enlarged = enlarged_pipes(running.mark());
        assert!(enlarged <= most, "{enlarged} bytes of enlarged pipes for {ranks} ranks of {most}");
        scratch.file("open", "");
        checker::each_once(&running.finish().ok().stdout, 200_000);
    }
}

/// The capacity in bytes of all pipes of a job that are larger than the usual.
fn enlarged_pipes(mark: &str) -> u64 {
    let mut pipes = BTreeMap::new();
    for process in processes::survivors(mark) {
        let Ok(open) = fs::read_dir(format!("/proc/{}/fd", process.pid)) else { continue };
        for path in open.filter_map(|entry| Some(entry.ok()?.path())) {
            let is_pipe =
                fs::read_link(&path).is_ok_and(|to| to.to_string_lossy().starts_with("pipe:"));
            // Only a reader, and for a moment: nobody waits for a pipe to have none.
            let open = || OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&path);
            if is_pipe && let Ok(pipe) = open() {
                let capacity = rustix::pipe::fcntl_getpipe_size(&pipe).unwrap() as u64;
                pipes.insert(pipe.metadata().unwrap().ino(), capacity);
            }
        }
    }
    assert!(!pipes.is_empty(), "the job has pipes");
    pipes.into_values().filter(|&capacity| capacity > 64 << 10).sum()
}

#[test]
fn row_46_an_unprivileged_user_is_served_in_every_mode_needs_root_to_become_another_user() {
    needs_root();
    let input = records::numbered(100_000, 46);
    for mode in ["", "-k", "--order rank", "-k --contract lines", "--deal dynamic"] {
        let job = Job::new("-np 4").words(mode).arg("cat").as_user(SOMEBODY).input(&input);
        checker::each_once(&job.run().ok().stdout, 100_000);
    }
}

#[test]
fn row_49_two_thousand_ranks() {
    let input = records::numbered(100_000, 49);
    let outcome = Job::new("-np 2000 cat").input(&input).measured().run();
    checker::each_once(&outcome.ok().within_memory(2000).stdout, 100_000);
}

#[test]
fn row_49_a_million_chunks() {
    let input = "x\n".repeat(1_000_000);
    for mode in ["", "--order rank", "-k --contract lines"] {
        let job = Job::new("-np 2 --chunk-records 1").words(mode).arg("cat").input(&input);
        let outcome = job.measured().run();
        assert!(outcome.ok().within_memory(2).stdout == input.as_bytes(), "{mode}");
    }
}

#[test]
fn row_49_ten_thousand_copies_one_after_the_other() {
    let input = records::numbered(10_000, 49);
    let job = Job::new("-np 2 -k --chunk-records 1 cat").input(&input).measured();
    job.run().ok().within_memory(2).prints(&input);
}
