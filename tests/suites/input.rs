//! Every input, dealt exactly: rows 24 to 38, and the promise of exact cover.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on panics")]

use std::fs::{self, File, FileTimes, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, SystemTime};

use px_tests::rounds::{Random, big, rounds};
use px_tests::terminal::Ground;
use px_tests::{Feed, Job, Outcome, Scratch, Status, Terminal, checker, records};

/// Runs copies that each keep what they read, and returns it by rank or chunk.
fn kept(options: &str, give: impl FnOnce(Job) -> Job) -> Vec<Vec<u8>> {
    let scratch = Scratch::new();
    let directory = scratch.directory("kept");
    give(Job::new(options).zoo("keep").arg(directory)).run().ok().prints("");
    scratch.kept("kept")
}

/// The same, for inputs that are text.
fn kept_text(options: &str, give: impl FnOnce(Job) -> Job) -> Vec<String> {
    text(&kept(options, give))
}

fn text(shares: &[Vec<u8>]) -> Vec<String> {
    shares.iter().map(|share| String::from_utf8_lossy(share).into_owned()).collect()
}

/// Records of a delimiter, each with it; the last may lack it.
fn cut(input: &[u8], delimiter: u8) -> Vec<&[u8]> {
    input.split_inclusive(|&byte| byte == delimiter).collect()
}

/// What each rank gets when chunk i of `each` records goes to rank i mod N.
fn dealt(input: &[u8], delimiter: u8, each: usize, ranks: usize) -> Vec<Vec<u8>> {
    let mut shares = vec![Vec::new(); ranks];
    for (chunk, records) in cut(input, delimiter).chunks(each).enumerate() {
        shares[chunk % ranks].extend(records.concat());
    }
    shares
}

#[test]
fn row_24_empty_input_starts_every_rank_and_no_chunk() {
    Job::new("-np 3")
        .sh("cat; echo started")
        .input("")
        .run()
        .ok()
        .quiet()
        .prints("started\n".repeat(3));
    Job::new("-np 3").sh("cat; echo started").piped("").run().ok().prints("started\n".repeat(3));
    Job::new("-np 3 -k").sh("echo started").input("").run().ok().quiet().prints("");
    Job::new("-np 3 -k").sh("echo started").piped("").run().ok().quiet().prints("");
    Job::new("-np 3 --run per-chunk").sh("echo started").run().ok().prints("");
}

#[test]
fn row_25_a_last_record_without_delimiter_is_a_record() {
    for feed in Feed::BOTH {
        let shares = kept_text("-np 3 --chunk-records 1", |job| job.fed(feed, "one\ntwo\nthree"));
        assert_eq!(shares, ["one\n", "two\n", "three"]);
    }
}

#[test]
fn row_26_a_carriage_return_belongs_to_its_line() {
    let shares =
        kept_text("-np 2 --chunk-records 1", |job| job.input("one\r\ntwo\r\nthree\rfour\r\n"));
    assert_eq!(shares, ["one\r\nthree\rfour\r\n", "two\r\n"]);
}

#[test]
fn row_27_a_record_larger_than_the_chunk_is_never_split() {
    let input = records::numbered_with(300, 27, 60_000);
    for size in ["1", "100", "4k", "64K"] {
        let share = kept(&format!("-np 3 --chunk-size {size}"), |job| job.input(&input));
        checker::shares(&share, 300);
        let share = kept(&format!("-np 3 --chunk-size {size}"), |job| job.piped(&*input));
        checker::shares(&share, 300);
    }
}

#[test]
fn row_28_one_line_of_a_hundred_megabytes() {
    let mut input = vec![b'x'; 100 << 20];
    input.extend_from_slice(b"\nlast\n");
    for mode in ["-np 2", "-np 2 -k", "-np 2 -k --contract lines"] {
        let outcome = Job::new(mode).arg("cat").input(&input).measured().run();
        assert_eq!(outcome.ok().within_memory(2).stdout.len(), input.len(), "{mode}");
        let outcome = Job::new(mode).arg("cat").piped(&*input).measured().run();
        assert_eq!(outcome.ok().within_memory(2).stdout.len(), input.len(), "{mode}, piped");
    }
}

#[test]
fn row_28_a_huge_input_without_any_delimiter() {
    let scratch = Scratch::new();
    let input = scratch.sparse("input", big());
    let outcome = Job::new("-np 2 --order rank wc -c").input_file(&input).measured().run();
    outcome.ok().within_memory(2).prints(format!("{}\n0\n", big()));
}

/// A job whose one copy has read its first line and waits; `then` changes the input; it goes on.
fn disturbed(options: &str, bytes: &[u8], then: impl FnOnce(&File)) -> Outcome {
    let scratch = Scratch::new();
    let path = scratch.file("input", bytes);
    let file = OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let job = Job::new(options).zoo("pause-after 1").arg(scratch.path()).input_file(&path);
    let mut running = job.start();
    running.until("the first copy waits", |_| scratch.has("ready.0"));
    then(&file);
    scratch.file("open", "");
    running.finish()
}

#[test]
fn row_29_a_truncated_input_is_an_error_and_never_sigbus() {
    let input = records::numbered(400_000, 29);
    for mode in ["-np 1", "-np 1 -k", "-np 2 -k --contract lines", "-np 1 --order rank"] {
        let outcome = disturbed(mode, &input, |file| file.set_len(1_000_000).unwrap());
        outcome.own_error().says("input").says("changed");
        // Elsewhere output flows before anybody can know.
        let committed = mode == "-np 1 -k";
        assert!(!committed || !outcome.stdout.contains(&0), "zeros: {}", outcome.seen());
    }
}

#[test]
fn row_29_a_truncation_at_any_moment() {
    let input = records::numbered(200_000, 29);
    let mut random = Random::seeded(29);
    for _ in 0..rounds(15) {
        let scratch = Scratch::new();
        let path = scratch.file("input", &input);
        let mode = *random.of(&["-np 2", "-np 2 -k", "-np 2 -k --contract lines"]);
        let job = Job::new(mode).arg("cat").input_file(&path);
        let running = job.start();
        let (length, wait) = (random.below(input.len() as u64), random.below(40_000));
        // The moment is to be random; nothing waits for it.
        thread::sleep(Duration::from_micros(wait));
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len(length).unwrap();
        let outcome = running.finish();
        let left = &input[..length as usize];
        match outcome.status {
            // It had ended before, or it had not yet begun.
            Status::Exited(0) => {
                let found = sorted_lines(&outcome.stdout);
                let whole = found == sorted_lines(&input) || found == sorted_lines(left);
                outcome.check(whole, || format!("wanted all, or the first {length} bytes"));
            }
            _ => drop(outcome.own_error()),
        }
    }
}

fn sorted_lines(bytes: &[u8]) -> Vec<&[u8]> {
    let mut lines = cut(bytes, b'\n');
    lines.sort_unstable();
    lines
}

#[test]
fn row_30_a_truncation_inside_a_page_does_not_pass_as_zeros() {
    let input = records::numbered(2000, 30);
    for mode in ["-np 1", "-np 1 -k --chunk-records 500", "-np 1 --order rank"] {
        let shorter = input.len() as u64 - 100;
        let outcome = disturbed(mode, &input, |file| file.set_len(shorter).unwrap());
        outcome.own_error().says("input");
        let committed = mode.contains("-k");
        assert!(!committed || !outcome.stdout.contains(&0), "zeros: {}", outcome.seen());
    }
}

#[test]
fn row_31_a_rewritten_input_is_an_error() {
    let input = records::numbered(400_000, 31);
    let rewrite = |file: &File| file.write_all_at(b"0 other", input.len() as u64 - 1000).unwrap();
    disturbed("-np 1", &input, rewrite).own_error().says("input").says("changed");
    disturbed("-np 1 -k", &input, rewrite).own_error().says("input").says("changed");
    let back = |file: &File| {
        rewrite(file);
        let times = FileTimes::new().set_modified(SystemTime::UNIX_EPOCH);
        file.set_times(times).unwrap();
    };
    disturbed("-np 1", &input, back).own_error().says("input").says("changed");
}

#[test]
fn row_31_a_grown_input_counts_as_it_was_with_one_warning() {
    let input = records::numbered(100_000, 31);
    for mode in ["-np 1", "-np 2 -k --contract lines", "-np 1 -k --chunk-records 50000"] {
        let outcome = disturbed(mode, &input, |file| {
            file.write_all_at(b"more\n", input.len() as u64).unwrap();
        });
        checker::each_once(&outcome.ok().stdout, 100_000);
        let warnings = outcome.stderr.to_lowercase().matches("grew").count()
            + outcome.stderr.to_lowercase().matches("grown").count()
            + outcome.stderr.to_lowercase().matches("larger").count();
        assert_eq!(warnings, 1, "{}", outcome.seen());
    }
}

#[test]
fn row_32_pipes_fifos_and_sockets_are_streams() {
    let input = records::numbered(50_000, 32);
    checker::each_once(&Job::new("-np 3 cat").piped(&*input).run().ok().stdout, 50_000);
    Job::new("-np 3 -k cat").piped(&*input).run().ok().prints(&input);

    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let feeder = feed(ours, &input);
    Job::new("-np 3 -k cat").stdin(std::os::fd::OwnedFd::from(theirs)).run().ok().prints(&input);
    feeder.join().unwrap();

    for on_stdin in [true, false] {
        let scratch = Scratch::new();
        let fifo = scratch.fifo("fifo");
        let (path, bytes) = (fifo.clone(), input.clone());
        let feeder = thread::spawn(move || {
            OpenOptions::new().write(true).open(path).unwrap().write_all(&bytes).unwrap();
        });
        let job = Job::new("-np 3 -k --contract lines");
        let job = if on_stdin {
            job.arg("cat").input_file(&fifo)
        } else {
            job.arg("-i").arg(&fifo).arg("cat")
        };
        job.run().ok().prints(&input);
        feeder.join().unwrap();
    }
}

fn feed(mut end: impl Write + Send + 'static, bytes: &[u8]) -> thread::JoinHandle<()> {
    let bytes = bytes.to_vec();
    thread::spawn(move || end.write_all(&bytes).unwrap())
}

#[test]
fn row_32_a_terminal_on_stdin_is_not_read() {
    let mut terminal = Terminal::start(&Job::new("-np 2").sh("cat; echo started"), Ground::Fore);
    assert_eq!(terminal.end(), "exited 0", "{}", terminal.seen());
    assert_eq!(terminal.stdout(), b"started\nstarted\n");
    assert!(terminal.screen().contains("pxrun: "), "one note: {}", terminal.screen());
}

#[test]
fn row_33_files_of_proc_are_read_to_their_end() {
    let mut paths = vec!["/proc/filesystems", "/proc/version"];
    if fs::read("/proc/kallsyms").is_ok() {
        paths.push("/proc/kallsyms");
    }
    for path in paths {
        let whole = fs::read(path).unwrap();
        Job::new("-np 2 -k -i").arg(path).arg("cat").run().ok().prints(&whole);
        Job::new("-np 2 -k cat").input_file(Path::new(path)).run().ok().prints(&whole);
        let outcome = Job::new("-np 2 --order rank -i").arg(path).arg("cat").run();
        assert_eq!(outcome.ok().stdout.len(), whole.len());
    }
}

#[test]
fn row_33_files_of_sys_are_shorter_than_they_say() {
    let path = "/sys/kernel/mm/transparent_hugepage/enabled";
    let path = if Path::new(path).exists() { path } else { "/sys/kernel/uevent_seqnum" };
    let whole = fs::read(path).unwrap();
    let outcome = Job::new("-np 2 -k -i").arg(path).arg("cat").run();
    // Either is honest; bytes that are not there are not.
    match outcome.status {
        Status::Exited(0) => drop(outcome.prints(&whole)),
        _ => drop(outcome.own_error()),
    }
}

#[test]
fn row_35_a_sparse_terabyte_is_planned_without_reading_it() {
    let scratch = Scratch::new();
    let input = scratch.sparse("input", 1 << 40);
    for deal in ["round-robin", "block"] {
        let job = Job::new("-np 2 --allow-early-exit --records bytes=1048576 --order rank --deal");
        let outcome = job.arg(deal).sh("head -c 3").input_file(&input).measured().run();
        outcome.ok().within_memory(2).prints([0; 6]).says("dropped");
    }
}

#[test]
fn row_37_inputs_that_cannot_be_read_are_refused_before_any_start() {
    let scratch = Scratch::new();
    let started = format!("touch {}", scratch.at("started").display());
    let missing = scratch.at("missing");
    let job = |input: &Path| Job::new("-np 2 -i").arg(input).sh(&started).run();
    job(&missing).own_error().says("missing").says("no such file");
    job(scratch.path()).own_error().says("directory");
    Job::new("-np 2").sh(&started).input_file(scratch.path()).run().own_error().says("directory");
    assert!(!scratch.has("started"));
}

#[test]
fn row_37_an_unreadable_input_is_refused_needs_root_to_become_another_user() {
    let scratch = Scratch::new();
    let secret = scratch.file("secret", "a\n");
    fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let job = Job::new("-np 2 -i").arg(&secret).arg("cat").as_user(65_534);
    job.run().own_error().says("secret").says("permission denied");
}

#[test]
fn every_input_reaches_exactly_one_copy_whole_and_in_order() {
    for (name, input) in records::zoo() {
        for ranks in [1, 2, 3, 8] {
            for each in [1, 2, 7] {
                let options = format!("-np {ranks} --chunk-records {each}");
                let wanted = dealt(&input, b'\n', each, ranks);
                for feed in Feed::BOTH {
                    let found = kept(&options, |job| job.fed(feed, &input));
                    assert!(found == wanted, "{name}: {feed:?}, {options}");
                }
            }
        }
    }
}

const ALPHABETS: &[&[u8]] = &[b"\n", b"a\n", b"abcdefg\n", b"\0\r\n\xff"];

#[test]
fn generated_inputs_are_dealt_exactly() {
    let mut random = Random::seeded(1);
    for round in 0..rounds(40) {
        let length = random.below(3000);
        let alphabet = *random.of(ALPHABETS);
        let input: Vec<u8> = (0..length).map(|_| *random.of(alphabet)).collect();
        let (ranks, each) = (1 + random.below(9) as usize, 1 + random.below(40) as usize);
        let options = format!("-np {ranks} --chunk-records {each}");
        let feed = Feed::BOTH[round as usize % 2];
        let found = kept(&options, |job| job.fed(feed, &input));
        assert!(found == dealt(&input, b'\n', each, ranks), "round {round}: {options}");
    }
}

#[test]
fn chunks_of_explicit_size_go_round_robin() {
    let input = records::numbered(20_000, 5);
    let lines = cut(&input, b'\n');
    let (mut wanted, mut chunk, mut length) = (vec![Vec::new(); 3], 0, 0);
    for line in lines {
        wanted[chunk % 3].extend_from_slice(line);
        length += line.len();
        if length >= 5000 {
            (chunk, length) = (chunk + 1, 0);
        }
    }
    let sizes = "-np 3 --chunk-size 5000";
    assert!(kept(sizes, |job| job.input(&input)) == wanted, "a file");
    assert!(kept(sizes, |job| job.piped(&*input)) == wanted, "a pipe");
}

#[test]
fn other_records_are_cut_where_they_end() {
    let input = b"one\0two\nlines\0\0three".to_vec();
    let nul = kept("-np 2 --records nul --chunk-records 1", |job| job.input(&input));
    assert_eq!(text(&nul), text(&dealt(&input, 0, 1, 2)));
    let fields = b"a;b;;c\nd;e".to_vec();
    let shares = kept("-np 2 --delimiter ; --chunk-records 1", |job| job.input(&fields));
    assert_eq!(text(&shares), text(&dealt(&fields, b';', 1, 2)));
    for feed in Feed::BOTH {
        let options = "-np 2 --records bytes=3 --order rank --chunk-records 1";
        assert_eq!(kept_text(options, |job| job.fed(feed, "aaabb\ncccd")), ["aaaccc", "bb\nd"]);
    }
}

#[test]
fn ten_million_empty_lines() {
    let input = vec![b'\n'; 10_000_000];
    for mode in ["-np 2 cat", "-np 2 -k --chunk-size 64K cat", "-np 2 -k --contract lines cat"] {
        let outcome = Job::new(mode).input(&input).measured().run();
        assert!(outcome.ok().within_memory(2).stdout == input, "{mode}");
        assert!(Job::new(mode).piped(&*input).run().ok().stdout == input, "{mode}, piped");
    }
}

#[test]
fn file_names_are_dealt_evenly() {
    let mut names = Vec::new();
    let mut random = Random::seeded(60);
    for name in 0..60_000 {
        let part = "d".repeat(1 + random.below(120) as usize);
        writeln!(names, "/srv/{part}/{name}").unwrap();
    }
    let shares = kept("-np 8", |job| job.input(&names));
    for share in &shares {
        let count = cut(share, b'\n').len();
        assert!((7350..=7650).contains(&count), "a rank got {count} of 60,000 names");
    }
    assert_eq!(shares.concat().len(), names.len());
}

#[test]
fn automatic_chunks_of_a_small_file_are_counted_in_records() {
    let input = records::numbered(320, 6);
    let outcome = Job::new("-np 2 -k wc -l").input(&input).run();
    assert_eq!(outcome.ok().text(), "10\n".repeat(32), "320 / (16 x 2) records a chunk");
    let input = records::numbered(100_000, 6);
    let outcome = Job::new("-np 2 --run per-chunk wc -l").input(&input).run();
    let sizes: Vec<u64> = outcome.ok().text().lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(sizes.iter().sum::<u64>(), 100_000);
    assert!(sizes.iter().all(|&size| size <= 65), "at most 64 records a chunk: {sizes:?}");
}

#[test]
fn a_file_above_64_mib_is_dealt_evenly_in_bytes() {
    let scratch = Scratch::new();
    let path = scratch.at("input");
    let size = records::log_lines(&File::create(&path).unwrap(), 200 << 20).unwrap();
    for deal in ["round-robin", "block"] {
        let job = Job::new("-np 8 --order rank --deal").arg(deal).words("wc -c").input_file(&path);
        let outcome = job.run();
        let shares: Vec<u64> =
            outcome.ok().text().lines().map(|line| line.parse().unwrap()).collect();
        assert_eq!((shares.len(), shares.iter().sum()), (8, size));
        for share in &shares {
            let off = share.abs_diff(size / 8) as f64 / (size as f64 / 8.0);
            assert!(off <= 0.02, "{deal}: {shares:?} of {size} bytes");
        }
    }
}

#[test]
fn every_rank_gets_a_chunk_whatever_the_lengths_of_records() {
    let mut first = vec![b'x'; 1 << 20];
    first.extend_from_slice(b"\n1\n2\n3\n4\n5\n6\n7\n");
    let mut last = b"1\n2\n3\n4\n5\n6\n7\n".to_vec();
    last.extend(vec![b'x'; 1 << 20]);
    let mut large = vec![b'x'; 70 << 20];
    large.extend_from_slice(b"\n1\n2\n3\n4\n5\n6\n7\n");
    for (name, input) in [("first", first), ("last", last), ("above 64 MiB", large)] {
        let shares = kept("-np 8", |job| job.input(&input));
        assert!(shares.iter().all(|share| !share.is_empty()), "{name} long: a rank got nothing");
    }
}

#[test]
fn several_files_are_one_sequence_of_records() {
    let scratch = Scratch::new();
    let files = ["one\ntwo", "", "three\n", "four\nfive"];
    let mut job = Job::new("-np 2 --chunk-records 1");
    for (number, bytes) in files.iter().enumerate() {
        job = job.arg("-i").arg(scratch.file(&format!("input{number}"), bytes));
    }
    let directory = scratch.directory("kept");
    job.zoo("keep").arg(directory).run().ok();
    assert_eq!(text(&scratch.kept("kept")), ["one\nthree\nfive", "two\nfour\n"]);
}

#[test]
fn stdin_has_its_place_among_the_files() {
    let scratch = Scratch::new();
    let (first, last) = (scratch.file("first", "a\nb"), scratch.file("last", "e\n"));
    let job = || Job::new("-np 2 -k -i").arg(&first).words("-i - -i").arg(&last).arg("cat");
    job().input("c\nd").run().ok().prints("a\nb\nc\nd\ne\n");
    job().piped("c\nd").run().ok().prints("a\nb\nc\nd\ne\n");
}

#[test]
fn a_stream_among_files_and_a_file_named_twice() {
    let scratch = Scratch::new();
    let (file, fifo) = (scratch.file("file", "c\nd"), scratch.fifo("fifo"));
    let path = fifo.clone();
    let feeder = thread::spawn(move || fs::write(path, "a\nb").unwrap());
    let job = Job::new("-np 2 -k -i").arg(fifo).arg("-i").arg(&file).arg("-i").arg(&file);
    job.arg("cat").run().ok().prints("a\nb\nc\nd\nc\nd");
    feeder.join().unwrap();
}

#[test]
fn stdin_by_its_name_is_stdin() {
    for feed in Feed::BOTH {
        Job::new("-np 2 -k -i /dev/stdin cat").fed(feed, "a\nb\n").run().ok().prints("a\nb\n");
    }
}

#[test]
fn an_endless_device_is_a_stream() {
    let job = Job::new("-np 2 --records bytes=1024 --order rank --allow-early-exit -i /dev/zero");
    job.words("head -c 2").run().ok().prints([0; 4]);
}

#[test]
fn stdin_starts_at_its_offset_and_is_left_at_its_end() {
    let scratch = Scratch::new();
    let path = scratch.file("input", "skipped\none\ntwo\n");
    for mode in ["-np 2 --order rank", "-np 2 -k", "-np 2 -k --contract lines"] {
        let mut file = File::open(&path).unwrap();
        file.seek(SeekFrom::Start(8)).unwrap();
        let job = Job::new(mode).words("--chunk-records 1 cat").stdin(file.try_clone().unwrap());
        job.run().ok().prints("one\ntwo\n");
        assert_eq!(file.stream_position().unwrap(), 16, "{mode}");
    }
}

#[test]
fn header_records_start_every_copys_input() {
    let input = "h1\nh2\na\nb\nc\n";
    for feed in Feed::BOTH {
        let shares = kept_text("-np 4 --header 2 --chunk-records 1", |job| job.fed(feed, input));
        assert_eq!(shares, ["h1\nh2\na\n", "h1\nh2\nb\n", "h1\nh2\nc\n", "h1\nh2\n"]);
        let chunks = kept_text("-np 2 -k --header 2 --chunk-records 2", |job| job.fed(feed, input));
        assert_eq!(chunks, ["h1\nh2\na\nb\n", "h1\nh2\nc\n"]);
    }
    let shares = kept_text("-np 2 --header 1 --deal block", |job| job.input("h\na\nb\n"));
    assert_eq!(shares, ["h\na\n", "h\nb\n"]);
}

#[test]
fn an_input_of_headers_alone_gives_them_to_every_copy() {
    assert_eq!(
        kept_text("-np 2 --header 3", |job| job.input("h1\nh2\n")),
        ["h1\nh2\n", "h1\nh2\n"]
    );
    Job::new("-np 2 -k --header 1").sh("echo started").input("h\n").run().ok().prints("");
}

#[test]
fn headers_of_later_files_must_be_equal_and_are_left_out() {
    let scratch = Scratch::new();
    let first = scratch.file("first", "h\na\nb");
    let same = scratch.file("same", "h\nc\n");
    let other = scratch.file("other", "g\nc\n");
    let job = |last: &Path| {
        let job = Job::new("-np 1 --header 1 -i").arg(&first).arg("-i").arg(last).arg("cat");
        job.run()
    };
    job(&same).ok().prints("h\na\nb\nc\n");
    job(&other).own_error().says("first 1 record").says("other");
}

#[test]
fn whole_records_are_dealt_as_they_arrive() {
    for mode in ["-np 2", "-np 2 -k", "-np 2 -k --contract lines", "-np 2 --deal dynamic"] {
        let mut job = Job::new(mode).zoo("upper").held_stdin().start();
        for record in 0..6 {
            job.write(format!("record {record}\n"));
            let wanted = format!("RECORD {record}\n");
            job.until(&wanted, |job| String::from_utf8_lossy(&job.stdout()).contains(&wanted));
        }
        job.write("rest");
        let outcome = job.finish();
        outcome.ok().prints_lines(6);
        assert!(outcome.text().ends_with("REST"), "{}", outcome.seen());
    }
}

#[test]
fn explicit_chunks_of_a_stream_are_exact_however_it_arrives() {
    let scratch = Scratch::new();
    let directory = scratch.directory("kept");
    let input = records::numbered(60, 8);
    let job = Job::new("-np 3 --chunk-records 4").zoo("keep").arg(directory).held_stdin();
    let mut running = job.start();
    for piece in input.chunks(37) {
        running.write(piece);
        thread::yield_now();
    }
    running.finish().ok();
    assert!(scratch.kept("kept") == dealt(&input, b'\n', 4, 3));
}

#[test]
fn a_stream_cannot_be_dealt_in_blocks() {
    let job = Job::new("-np 2 --deal block").sh("echo started").piped("a\nb\n");
    job.run().own_error().says("block").says("help:").prints("");
}

#[test]
fn dynamic_dealing_covers_the_input_too() {
    let input = records::numbered(100_000, 9);
    checker::shares(&kept("-np 4 --deal dynamic", |job| job.input(&input)), 100_000);
    checker::shares(&kept("-np 4 --deal dynamic", |job| job.piped(&*input)), 100_000);
    let chunks = kept("-np 4 --deal dynamic -k", |job| job.input(&input));
    assert!(chunks.concat() == input, "chunks in their order are the input");
}

#[test]
fn blocks_are_contiguous_runs() {
    let input = records::numbered(10_000, 10);
    let shares = kept("-np 4 --deal block", |job| job.input(&input));
    assert_eq!(shares.len(), 4);
    assert!(shares.concat() == input, "blocks in rank order are the input");
}
