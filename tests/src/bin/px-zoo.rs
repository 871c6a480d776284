//! Children that misbehave, each a subcommand. `px-zoo` alone lists them.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a child that cannot go on panics")]

use std::env;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::Duration;

use px_tests::sys;
use rustix::process::{Pid, WaitOptions, WaitStatus};

type Result = io::Result<ExitCode>;
type Behaviour = (&'static str, &'static str, fn(&[String]) -> Result);

const SUCCESS: Result = Ok(ExitCode::SUCCESS);

/// Name, arguments, what it does.
const BEHAVIOURS: &[Behaviour] = &[
    ("upper", "", upper),
    ("keep", "DIR", keep),
    ("args", "ARG...", print_args),
    ("print-env", "NAME...", print_env),
    ("print-fds", "", print_fds),
    ("open-tty", "", open_tty),
    ("write-before-read", "BYTES", write_before_read),
    ("never-read", "DIR", never_read),
    ("read-slowly", "BYTES MILLISECONDS", read_slowly),
    ("close-stdin", "LINES", close_stdin),
    ("close-stdout", "FILE", close_stdout),
    ("amplify", "TIMES", amplify),
    ("ignore-signals", "DIR", ignore_signals),
    ("die-slowly", "DIR CODE", die_slowly),
    ("daemonize", "DIR", daemonize),
    ("daemon", "DIR", daemon),
    ("hold", "SECONDS", hold),
    ("hold-stdout", "SECONDS", hold_stdout),
    ("late-line", "MILLISECONDS", late_line),
    ("flood-stderr", "BYTES", flood_stderr),
    ("early-exit", "LINES", early_exit),
    ("exit", "CODE", exit),
    ("exit-loudly", "CODE", exit_loudly),
    ("signal", "SIGNAL", signal),
    ("stop", "DIR", stop),
    ("partial-line", "", partial_line),
    ("half-lines", "", half_lines),
    ("lazy", "", lazy),
    ("drop-line", "LINE", drop_line),
    ("double-line", "LINE", double_line),
    ("pause-after", "LINES DIR", pause_after),
    ("gate", "DIR COMMAND...", gate),
    ("greedy", "COMMAND...", greedy),
    ("foreground", "EVENTS COMMAND...", foreground),
    ("background", "EVENTS COMMAND...", background),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let name = arguments.first().map_or("", String::as_str);
    let Some(behaviour) = BEHAVIOURS.iter().find(|behaviour| behaviour.0 == name) else {
        for (name, arguments, _) in BEHAVIOURS {
            eprintln!("px-zoo {name} {arguments}");
        }
        return ExitCode::from(64);
    };
    behaviour.2(&arguments[1..]).unwrap_or_else(|error| {
        eprintln!("px-zoo {name}: {error}");
        ExitCode::from(74)
    })
}

fn number(arguments: &[String], at: usize) -> u64 {
    let text = arguments.get(at).unwrap_or_else(|| panic!("argument {} is missing", at + 1));
    text.parse().unwrap_or_else(|_| panic!("`{text}` is no number"))
}

/// The number of this copy: its chunk, or in per-rank its rank.
fn place() -> String {
    env::var("PX_CHUNK").or_else(|_| env::var("PX_RANK")).unwrap_or_else(|_| "0".to_owned())
}

/// Leaves a file, which a test waits for.
fn mark(directory: &str, what: &str) -> io::Result<()> {
    File::create(Path::new(directory).join(format!("{what}.{}", place()))).map(drop)
}

fn await_file(directory: &str, name: &str) {
    while !Path::new(directory).join(name).exists() {
        thread::sleep(Duration::from_millis(2));
    }
}

fn lines() -> impl Iterator<Item = Vec<u8>> {
    let mut stdin = BufReader::new(io::stdin());
    std::iter::from_fn(move || {
        let mut line = Vec::new();
        (stdin.read_until(b'\n', &mut line).unwrap() > 0).then_some(line)
    })
}

/// Reads one line byte by byte, so that what follows stays in the pipe.
fn line_unbuffered() -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    let mut byte = [0];
    while !line.ends_with(b"\n") && rustix::io::read(rustix::stdio::stdin(), &mut byte)? == 1 {
        line.push(byte[0]);
    }
    Ok(line)
}

/// Writes past every buffer of the library.
fn write_now(bytes: &[u8]) -> io::Result<()> {
    let mut left = bytes;
    while !left.is_empty() {
        let count = rustix::io::write(rustix::stdio::stdout(), left)?;
        left = &left[count..];
    }
    Ok(())
}

fn pass_on() -> io::Result<u64> {
    io::copy(&mut io::stdin().lock(), &mut io::stdout().lock())
}

fn read_all() -> io::Result<u64> {
    io::copy(&mut io::stdin().lock(), &mut io::sink())
}

fn upper(_: &[String]) -> Result {
    for line in lines() {
        write_now(&line.to_ascii_uppercase())?;
    }
    SUCCESS
}

/// Stores what it reads under its number; the file appears whole or not at all.
fn keep(arguments: &[String]) -> Result {
    let path = Path::new(&arguments[0]).join(place());
    let partial = path.with_extension("partial");
    io::copy(&mut io::stdin().lock(), &mut File::create(&partial)?)?;
    fs::rename(partial, path)?;
    SUCCESS
}

fn print_args(arguments: &[String]) -> Result {
    read_all()?;
    write_now(format!("{arguments:?}\n").as_bytes())?;
    SUCCESS
}

fn print_env(arguments: &[String]) -> Result {
    read_all()?;
    let values = arguments.iter().map(|name| env::var(name).unwrap_or_else(|_| "unset".to_owned()));
    write_now(format!("{}\n", values.collect::<Vec<_>>().join(" ")).as_bytes())?;
    SUCCESS
}

fn print_fds(_: &[String]) -> Result {
    read_all()?;
    let mut open = Vec::new();
    for entry in fs::read_dir("/proc/self/fd")? {
        let path = entry?.path();
        // The descriptor by which the directory is read is the only one that points there.
        if !fs::read_link(&path)?.starts_with("/proc") {
            open.push(path.file_name().unwrap().to_str().unwrap().to_owned());
        }
    }
    open.sort();
    write_now(format!("{}\n", open.join(" ")).as_bytes())?;
    SUCCESS
}

fn open_tty(_: &[String]) -> Result {
    read_all()?;
    let line = match File::open("/dev/tty") {
        Ok(_) => "opened\n".to_owned(),
        Err(error) => format!("refused with {}\n", error.raw_os_error().unwrap()),
    };
    write_now(line.as_bytes())?;
    SUCCESS
}

fn write_before_read(arguments: &[String]) -> Result {
    let mut left = number(arguments, 0);
    let block = [b"w".repeat(63), b"\n".to_vec()].concat().repeat(1024);
    while left > 0 {
        let count = left.min(block.len() as u64);
        write_now(&block[..count as usize])?;
        left -= count;
    }
    pass_on()?;
    SUCCESS
}

fn never_read(arguments: &[String]) -> Result {
    mark(&arguments[0], "ready")?;
    loop {
        thread::park();
    }
}

fn read_slowly(arguments: &[String]) -> Result {
    let (mut block, pause) = (vec![0; number(arguments, 0) as usize], number(arguments, 1));
    loop {
        match rustix::io::read(rustix::stdio::stdin(), &mut block)? {
            0 => return SUCCESS,
            count => write_now(&block[..count])?,
        }
        thread::sleep(Duration::from_millis(pause));
    }
}

fn close_stdin(arguments: &[String]) -> Result {
    for _ in 0..number(arguments, 0) {
        write_now(&line_unbuffered()?)?;
    }
    // A descriptor of /dev/null in its place closes the pipe all the same.
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    for line in 0..1000 {
        write_now(format!("computed {line}\n").as_bytes())?;
    }
    SUCCESS
}

fn close_stdout(arguments: &[String]) -> Result {
    write_now(b"before\n")?;
    rustix::stdio::dup2_stdout(OpenOptions::new().write(true).open("/dev/null")?)?;
    let count = read_all()?;
    fs::write(&arguments[0], count.to_string())?;
    SUCCESS
}

fn amplify(arguments: &[String]) -> Result {
    let times = number(arguments, 0);
    let mut stdout = BufWriter::with_capacity(64 << 10, io::stdout());
    for line in lines() {
        for _ in 0..times {
            stdout.write_all(&line)?;
        }
    }
    stdout.flush()?;
    SUCCESS
}

const POLITE: [i32; 5] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGUSR1, libc::SIGUSR2];

fn ignore_signals(arguments: &[String]) -> Result {
    sys::block(&POLITE)?;
    mark(&arguments[0], "ready")?;
    loop {
        let signal = sys::wait_for_signal(&POLITE)?;
        mark(&arguments[0], &format!("signal-{signal}"))?;
    }
}

/// Ends with a status of its own at the first request to end.
fn die_slowly(arguments: &[String]) -> Result {
    sys::block(&POLITE)?;
    mark(&arguments[0], "ready")?;
    sys::wait_for_signal(&POLITE)?;
    mark(&arguments[0], "ended")?;
    Ok(ExitCode::from(number(arguments, 1) as u8))
}

/// Leaves a process in a session of its own, whose parent is gone, and then behaves.
fn daemonize(arguments: &[String]) -> Result {
    let mut step = Command::new(env::current_exe()?);
    step.args(["daemon", &arguments[0]]);
    step.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    assert!(step.status()?.success());
    pass_on()?;
    SUCCESS
}

/// The step between: leads a session, starts the sleeper, and ends.
fn daemon(arguments: &[String]) -> Result {
    let _ = rustix::process::setsid();
    Command::new(env::current_exe()?).args(["ignore-signals", &arguments[0]]).spawn()?;
    // It must not be half-born when its parent ends.
    await_file(&arguments[0], &format!("ready.{}", place()));
    SUCCESS
}

fn hold(arguments: &[String]) -> Result {
    thread::sleep(Duration::from_secs(number(arguments, 0)));
    SUCCESS
}

fn hold_stdout(arguments: &[String]) -> Result {
    let mut grandchild = Command::new(env::current_exe()?);
    grandchild.args(["hold", &arguments[0]]).stdin(Stdio::null()).stderr(Stdio::null());
    grandchild.spawn()?;
    pass_on()?;
    SUCCESS
}

/// Passes its input on, and leaves a last line to a grandchild that outlives it.
fn late_line(arguments: &[String]) -> Result {
    pass_on()?;
    let seconds = number(arguments, 0) as f64 / 1000.0;
    let script = format!("sleep {seconds}; echo late");
    Command::new("sh").args(["-c", &script]).stdin(Stdio::null()).spawn()?;
    SUCCESS
}

fn flood_stderr(arguments: &[String]) -> Result {
    let line = format!("{}{}\n", place(), "e".repeat(98));
    let mut stderr = BufWriter::with_capacity(64 << 10, io::stderr());
    for _ in 0..number(arguments, 0) / line.len() as u64 {
        stderr.write_all(line.as_bytes())?;
    }
    stderr.flush()?;
    pass_on()?;
    SUCCESS
}

fn early_exit(arguments: &[String]) -> Result {
    for _ in 0..number(arguments, 0) {
        write_now(&line_unbuffered()?)?;
    }
    SUCCESS
}

fn exit(arguments: &[String]) -> Result {
    pass_on()?;
    Ok(ExitCode::from(number(arguments, 0) as u8))
}

fn exit_loudly(arguments: &[String]) -> Result {
    eprintln!("this copy has something to say");
    exit(arguments)
}

fn signal(arguments: &[String]) -> Result {
    pass_on()?;
    let signal = number(arguments, 0) as i32;
    let none = rustix::process::Rlimit { current: Some(0), maximum: Some(0) };
    rustix::process::setrlimit(rustix::process::Resource::Core, none)?;
    if signal != libc::SIGKILL {
        // The runtime has a handler for some.
        sys::restore(signal)?;
    }
    sys::raise(signal);
    Ok(ExitCode::FAILURE)
}

fn stop(arguments: &[String]) -> Result {
    mark(&arguments[0], "ready")?;
    sys::raise(libc::SIGSTOP);
    pass_on()?;
    SUCCESS
}

fn partial_line(_: &[String]) -> Result {
    pass_on()?;
    write_now(b"piece")?;
    SUCCESS
}

/// Writes every line in two halves.
fn half_lines(_: &[String]) -> Result {
    for line in lines() {
        let (first, second) = line.split_at(line.len() / 2);
        write_now(first)?;
        thread::yield_now();
        write_now(second)?;
    }
    SUCCESS
}

/// Writes nothing before it has read everything, like a filter with an endless buffer.
fn lazy(_: &[String]) -> Result {
    let mut held = Vec::new();
    io::stdin().read_to_end(&mut held)?;
    write_now(&held)?;
    SUCCESS
}

/// Passes lines on, line K (from 0, over all copies' numbered records) as often as said.
fn pass_lines(odd: u64, times: usize) -> Result {
    let mut stdout = BufWriter::new(io::stdout());
    let odd = format!("{odd} ");
    for line in lines() {
        let times = if line.starts_with(odd.as_bytes()) { times } else { 1 };
        stdout.write_all(&line.repeat(times))?;
    }
    stdout.flush()?;
    SUCCESS
}

fn drop_line(arguments: &[String]) -> Result {
    pass_lines(number(arguments, 0), 0)
}

fn double_line(arguments: &[String]) -> Result {
    pass_lines(number(arguments, 0), 2)
}

/// Passes lines on, and waits in the midst until the test opens the gate.
fn pause_after(arguments: &[String]) -> Result {
    for _ in 0..number(arguments, 0) {
        write_now(&line_unbuffered()?)?;
    }
    mark(&arguments[1], "ready")?;
    await_file(&arguments[1], "open");
    loop {
        let mut block = vec![0; 64 << 10];
        match rustix::io::read(rustix::stdio::stdin(), &mut block)? {
            0 => return SUCCESS,
            count => write_now(&block[..count])?,
        }
    }
}

/// Waits until the test opens the gate, and becomes another command.
fn gate(arguments: &[String]) -> Result {
    mark(&arguments[0], "ready")?;
    await_file(&arguments[0], "open");
    let words = &arguments[1..];
    match BEHAVIOURS.iter().find(|behaviour| behaviour.0 == words[0]) {
        Some(behaviour) => behaviour.2(&words[1..]),
        None => Err(Command::new(&words[0]).args(&words[1..]).exec()),
    }
}

/// Takes all the pipe pages that its user may have, and runs a command meanwhile.
fn greedy(arguments: &[String]) -> Result {
    let mut taken = Vec::new();
    loop {
        let pipe = io::pipe()?;
        let got = rustix::pipe::fcntl_setpipe_size(&pipe.0, 1 << 20);
        taken.push(pipe);
        if got.is_err() {
            break;
        }
    }
    let status = Command::new(&arguments[0]).args(&arguments[1..]).status()?;
    drop(taken);
    Ok(ExitCode::from(status.code().unwrap_or(99) as u8))
}

fn foreground(arguments: &[String]) -> Result {
    control(arguments, true)
}

fn background(arguments: &[String]) -> Result {
    control(arguments, false)
}

/// Does a shell's job control for one job, and writes down what it sees.
fn control(arguments: &[String], in_front: bool) -> Result {
    for signal in [libc::SIGTTOU, libc::SIGINT, libc::SIGTSTP] {
        sys::ignore(signal)?;
    }
    sys::block(&[libc::SIGHUP])?;
    let events = OpenOptions::new().create(true).append(true).open(&arguments[0])?;
    let mut job = Command::new("sh");
    // The job's own shell waits until its group has the terminal, and gives way.
    job.args(["-c", "read go <&3; exec 3<&-; exec \"$@\"", "sh"]).args(&arguments[1..]);
    let (gate, mut key) = io::pipe()?;
    job_setup(&gate).prepare(&mut job);
    let job = job.process_group(0).spawn()?;
    let pid = Pid::from_child(&job);
    if in_front {
        rustix::termios::tcsetpgrp(rustix::stdio::stdin(), pid)?;
    }
    write_event(&events, &format!("started {}", pid.as_raw_nonzero()))?;
    // The kernel tells the shell alone that the terminal has gone; a shell tells its jobs.
    let group = -pid.as_raw_nonzero().get();
    thread::spawn(move || {
        while sys::wait_for_signal(&[libc::SIGHUP]).is_ok() {
            let _ = sys::kill(group, libc::SIGHUP);
        }
    });
    key.write_all(b"go\n")?;
    loop {
        let options = WaitOptions::UNTRACED | WaitOptions::CONTINUED;
        let Some((_, status)) = rustix::process::waitpid(Some(pid), options)? else { continue };
        write_event(&events, &event(status))?;
        if status.exited() || status.signaled() {
            return SUCCESS;
        }
    }
}

fn job_setup(gate: &io::PipeReader) -> sys::Setup {
    sys::Setup {
        inherited: vec![(sys::number(gate), 3)],
        defaults: vec![libc::SIGTTOU, libc::SIGINT, libc::SIGTSTP],
        ..sys::Setup::default()
    }
}

fn event(status: WaitStatus) -> String {
    match (status.exit_status(), status.terminating_signal(), status.stopping_signal()) {
        (Some(code), _, _) => format!("exited {code}"),
        (_, Some(signal), _) => format!("signaled {signal}"),
        (_, _, Some(signal)) => format!("stopped {signal}"),
        _ => "continued".to_owned(),
    }
}

fn write_event(mut events: &File, event: &str) -> io::Result<()> {
    events.write_all(format!("{event}\n").as_bytes())
}
