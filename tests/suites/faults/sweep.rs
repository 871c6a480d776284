//! One fault a round, at a moment that nobody chose: whatever it is, what was promised holds.

use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::{Duration, Instant};

use px_tests::lab::{Host, Resident};
use px_tests::processes::Process;
use px_tests::rounds::{Random, rounds, seed};
use px_tests::{Job, Lab, Outcome, Running, Status, checker, lab, records};

use crate::ground::{
    BOUND, GONE, Ground, LEASE, errors, front, is_over, on, send, ssh_to, the_error, top,
};

const HOSTS: usize = 4;
const RECORDS: u64 = 16_000;
/// Records of a chunk.
const CHUNK: u64 = 200;
/// Slow enough that a job lasts while things happen to it.
const COPY: &str = "read-slowly 2048 4";

/// What can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    /// SIGKILL of a host's agent, its guardian, or the process that the login started.
    Agent,
    Guardian,
    Top,
    /// SIGKILL of a copy.
    Child,
    /// SIGKILL of the ssh that leads to a host.
    Ssh,
    /// SIGKILL of the root, its guardian, or the process that the user sees.
    Root,
    RootGuardian,
    Front,
    /// The cable, for good or for a while.
    Cut,
    CutAndHealed,
    /// SIGSTOP of a host's agent, for good or for a while.
    Frozen,
    FrozenAndThawed,
    /// A host without power, and one whose processes all died.
    Power,
    Crash,
}

use Fault::*;

const FAULTS: [Fault; 14] = [
    Agent,
    Guardian,
    Top,
    Child,
    Ssh,
    Root,
    RootGuardian,
    Front,
    Cut,
    CutAndHealed,
    Frozen,
    FrozenAndThawed,
    Power,
    Crash,
];

impl Fault {
    fn hits_the_root(self) -> bool {
        matches!(self, Root | RootGuardian | Front)
    }

    fn passes(self) -> bool {
        matches!(self, CutAndHealed | FrozenAndThawed)
    }
}

/// A way to run a job.
#[derive(Clone, Copy, Debug)]
struct Mode {
    words: &'static str,
    per_chunk: bool,
    ordered: bool,
}

const MODES: [Mode; 5] = [
    Mode { words: "--run per-chunk -k", per_chunk: true, ordered: true },
    Mode { words: "--run per-chunk --order none", per_chunk: true, ordered: false },
    Mode { words: "--run per-chunk -k --deal dynamic", per_chunk: true, ordered: true },
    Mode { words: "", per_chunk: false, ordered: false },
    Mode { words: "-k --contract lines", per_chunk: false, ordered: true },
];

/// How the input comes.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// As a file that every host sees by its name.
    Named,
    /// As a file without a name: the hosts are sent its bytes.
    Unnamed,
    /// Through a pipe.
    Pipe,
}

const WAYS: [Way; 3] = [Way::Named, Way::Unnamed, Way::Pipe];

/// All that is drawn for a round.
#[derive(Debug)]
struct Round {
    fault: Fault,
    host: usize,
    mode: Mode,
    way: Way,
    /// Over what the data goes.
    link: &'static str,
    /// So many bytes of output are seen first; none: while hosts are logged in to.
    after: usize,
    /// Microseconds that then pass.
    and: u64,
    /// How long a fault lasts that passes.
    lasts: Duration,
}

/// How a round went.
struct Run {
    outcome: Outcome,
    /// There was something for the fault to happen to.
    hit: bool,
    /// How long what the job left lived on.
    lived: Duration,
}

/// Whether it is what sshd has started on a host, and nothing of a job.
fn is_of_a_login(left: &Resident) -> bool {
    let of_a_job = ["--as-agent", "px-"].iter().any(|word| left.command.contains(word));
    left.host != "head" && !of_a_job
}

impl Round {
    fn draw(fault: Fault, random: &mut Random, size: usize) -> Round {
        let early = random.below(5) == 0;
        let most = (LEASE * 2).as_millis() as u64;
        Round {
            fault,
            host: 1 + random.below(HOSTS as u64) as usize,
            mode: *random.of(&MODES),
            way: *random.of(&WAYS),
            link: ["tcp", "ssh"][random.below(2) as usize],
            after: if early { 0 } else { 1 + random.below(size as u64 * 9 / 10) as usize },
            and: random.below(if early { 1_500_000 } else { 20_000 }),
            lasts: Duration::from_millis(random.below(most)),
        }
    }

    fn job(&self, ground: &Ground, input: &[u8]) -> Job {
        let words = format!("{} --link {} --chunk-records {CHUNK}", self.mode.words, self.link);
        let job = ground.job(2, &words);
        let job = match self.way {
            Way::Named => job.arg("-i").arg(ground.scratch.at("input")),
            Way::Unnamed => job.input(input),
            Way::Pipe => job.piped(input),
        };
        job.zoo(COPY)
    }

    /// Waits for its moment.
    fn wait(&self, job: &mut Running) {
        let after = self.after;
        job.until("so much output", |job| job.printed() >= after || is_over(job));
        // The moment is to be random; nothing waits for it.
        thread::sleep(Duration::from_micros(self.and));
    }

    /// Lets it happen; says whether there was something to hit.
    fn strike(&self, job: &mut Running, host: &Host) -> bool {
        match self.fault {
            Cut | CutAndHealed => {
                host.cut();
            }
            Power => {
                host.kill();
            }
            Crash => {
                host.crash();
            }
            _ => {
                let find = |job: &Running| self.victims(job, host);
                job.until("a victim", |job| !find(job).is_empty() || is_over(job));
                let victims = find(job);
                let signal = match self.fault {
                    Frozen | FrozenAndThawed => libc::SIGSTOP,
                    _ => libc::SIGKILL,
                };
                send(signal, &victims);
                return !victims.is_empty();
            }
        }
        !is_over(job)
    }

    fn victims(&self, job: &Running, host: &Host) -> Vec<Process> {
        let mut found = match self.fault {
            Agent | Frozen | FrozenAndThawed => on(host, "px-agent"),
            Guardian => on(host, "px-guardian"),
            Top => top(host).into_iter().collect(),
            Child => on(host, "px-zoo"),
            Ssh => ssh_to(job, host).into_iter().collect(),
            Root => job.named("px-agent"),
            RootGuardian => job.named("px-guardian"),
            _ => front(job),
        };
        found.truncate(1);
        found
    }

    /// Undoes it.
    fn undo(&self, host: &Host) {
        match self.fault {
            Cut | CutAndHealed => {
                host.heal();
            }
            Frozen | FrozenAndThawed => send(libc::SIGCONT, &on(host, "px-agent")),
            Power | Crash => {
                host.start();
            }
            _ => {}
        }
    }

    /// Runs the job; says how it went.
    fn run(&self, ground: &Ground, input: &[u8]) -> Run {
        let host = ground.lab.host(self.host);
        let mut job = self.job(ground, input).start();
        self.wait(&mut job);
        let hit = self.strike(&mut job, host);
        let lived = thread::scope(|scope| {
            if self.fault.passes() {
                scope.spawn(|| {
                    // How long it lasts is what is tested.
                    thread::sleep(self.lasts);
                    self.undo(host);
                });
            }
            job.wait_for_end();
            let ended = Instant::now();
            if self.may_leave_a_login() {
                let left = ground.lab.leftovers(GONE);
                assert!(left.iter().all(is_of_a_login), "left: {left:?}");
            } else {
                ground.is_left_clean(GONE);
            }
            ended.elapsed()
        });
        if !self.fault.passes() {
            self.undo(host);
        }
        ground.is_left_clean(BOUND);
        let outcome = job.finish();
        self.judge(&outcome, input, hit);
        Run { outcome, hit, lived }
    }

    /// Whether the host may have been cut off before its agent was there. The shell that waits for
    /// it then ends when sshd hears that the other side has gone.
    fn may_leave_a_login(&self) -> bool {
        matches!(self.fault, Cut) && self.after == 0
    }

    fn judge(&self, outcome: &Outcome, input: &[u8], hit: bool) {
        if outcome.status == Status::Exited(0) {
            outcome.check(errors(outcome).is_empty(), || "wanted no error".to_owned());
            if self.mode.ordered {
                outcome.prints(input);
            } else {
                checker::each_once(&outcome.stdout, RECORDS);
            }
            return;
        }
        outcome.check(hit, || "nothing happened to it, and it fails".to_owned());
        self.judge_output(outcome, input);
        if self.fault == Front {
            outcome.dies_by(libc::SIGKILL);
            return;
        }
        let error = the_error(outcome);
        if !self.fault.hits_the_root() {
            let name = format!("`node{}`", self.host);
            outcome.check(error.contains(&name), || format!("wanted {name} in the error"));
            // Before it begins, a job begins nowhere; then, a host that is lost can be done without.
            let began = !outcome.stdout.is_empty() && self.after > 0;
            outcome.check(self.fault == Child || !(self.mode.per_chunk && began), || {
                "chunks of a lost host were not dealt to others".to_owned()
            });
        }
    }

    /// What was written is right as far as it goes.
    fn judge_output(&self, outcome: &Outcome, input: &[u8]) {
        let mut output = &outcome.stdout[..];
        // Whoever wrote it was killed, perhaps within a line; and what a copy that failed by itself
        // has printed is output, its unfinished line too.
        if self.fault.hits_the_root() || (self.fault == Child && !self.mode.per_chunk) {
            let whole = output.strip_suffix(b"\n").unwrap_or(output);
            let last = whole.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
            if checker::numbers(&output[last..]).is_err() {
                output = &output[..last];
            }
        }
        checker::at_most_once(output, RECORDS);
        if self.mode.ordered {
            outcome.check(input.starts_with(output), || "no beginning of the input".to_owned());
        }
        if self.mode.per_chunk && !self.fault.hits_the_root() {
            whole_chunks(output);
        }
    }
}

/// Holds when of each chunk there is all or nothing.
#[track_caller]
fn whole_chunks(output: &[u8]) {
    let mut found: BTreeMap<u64, u64> = BTreeMap::new();
    for number in checker::numbers(output).unwrap() {
        *found.entry(number / CHUNK).or_default() += 1;
    }
    let torn: Vec<_> = found.into_iter().filter(|&(_, count)| count != CHUNK).collect();
    assert!(torn.is_empty(), "parts of chunks: {torn:?}");
}

/// Every fault once, in another order each time.
fn deck(random: &mut Random) -> Vec<Fault> {
    let mut deck = FAULTS.to_vec();
    for at in (1..deck.len()).rev() {
        deck.swap(at, random.below(at as u64 + 1) as usize);
    }
    deck
}

/// What a run has seen.
#[derive(Default)]
struct Seen {
    ends: BTreeMap<(Fault, String), u64>,
    /// Rounds of each fault, and those that it came too late for.
    late: BTreeMap<Fault, (u64, u64)>,
    broken: Vec<String>,
    /// The longest that anything lived after the end of its root.
    longest: Duration,
}

impl Seen {
    /// Does a round; says whether all of it was as promised.
    fn round(&mut self, ground: &Ground, round: &Round, input: &[u8], name: &str) -> bool {
        println!("{name}: {round:?}");
        let done = catch_unwind(AssertUnwindSafe(|| round.run(ground, input)));
        match &done {
            Ok(Run { outcome, hit, lived }) => {
                let how = if *hit { "hit" } else { "too late" };
                let bytes = outcome.stdout.len();
                println!("  {how}, {:?}, {bytes} bytes, {lived:.1?}", outcome.status);
                self.longest = self.longest.max(*lived);
                let end = (round.fault, format!("{:?}", outcome.status));
                *self.ends.entry(end).or_default() += 1;
                let (rounds, late) = self.late.entry(round.fault).or_default();
                *rounds += 1;
                *late += u64::from(!hit);
            }
            Err(_) => self.broken.push(format!("{name}: {round:?}")),
        }
        done.is_ok()
    }
}

#[test]
fn one_fault_at_any_moment_loses_doubles_and_leaves_nothing() {
    lab!();
    let input = records::numbered(RECORDS, 4);
    let seed = seed();
    let mut random = Random::seeded(seed);
    let mut seen = Seen::default();
    let mut faults = Vec::new();
    let (mut number, count) = (0, rounds(40));
    while number < count {
        // Now and then fresh hosts, so that other suites get theirs between; and after a round
        // that broke a promise, for whatever it has left.
        let ground = Ground::new(lab!(Lab::of(HOSTS)));
        fs::write(ground.scratch.at("input"), &input).unwrap();
        for _ in 0..FAULTS.len() {
            if number == count {
                break;
            }
            if faults.is_empty() {
                faults = deck(&mut random);
            }
            let round = Round::draw(faults.pop().unwrap(), &mut random, input.len());
            number += 1;
            if !seen.round(&ground, &round, &input, &format!("seed {seed}, round {number}")) {
                break;
            }
        }
    }
    println!("{count} rounds; what a job left lived at most {:.1?} on", seen.longest);
    for ((fault, status), count) in seen.ends {
        println!("{fault:?}: {status}, {count} times");
    }
    // Faults that do not come in time test nothing. One of few rounds may be late by chance.
    let never: Vec<_> =
        seen.late.iter().filter(|(_, (all, late))| *all >= 10 && all == late).collect();
    assert!(never.is_empty(), "always too late: {never:?}");
    let (all, late) = seen.late.values().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    assert!(all < 10 || 2 * late < all, "{late} of {all} rounds were too late");
    assert!(
        seen.broken.is_empty(),
        "promises broken in {} of {count} rounds:\n{}",
        seen.broken.len(),
        seen.broken.join("\n")
    );
}
