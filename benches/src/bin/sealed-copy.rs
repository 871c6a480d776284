//! `sealed-copy INPUT [OUTPUT]`: the bare limit of a sealed link on this machine.
//!
//! Two processes and one TCP connection over the loopback: one reads INPUT and sends it in records
//! of 64 KiB, the other opens them and writes OUTPUT, or drops what it opened. Nothing else is
//! done: no messages, no credit, no copies. It prints the seconds from the first byte read to the
//! receiver's word that all has arrived, and MB/s (10^6 bytes).

use std::error::Error;
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use px_runtime::link::dial::{Call, Dial};
use px_runtime::link::door::Door;
use px_runtime::link::hello::{Admitted, Guest, Hello, Proof};
use px_runtime::link::place::Place;
use px_runtime::link::seal::{LARGEST_PLAIN, LARGEST_RECORD, Side, Terms};
use px_runtime::link::secret::Secret;
use rustix::event::{PollFd, PollFlags, poll};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// The receiving process is this program with this as its first word.
const RECEIVE: &str = "--receive";
const PATIENCE: Duration = Duration::from_secs(5);
/// Sent and received with one system call each.
const RECORDS_AT_ONCE: usize = 4;

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    let outcome = match words.as_slice() {
        [first, rest @ ..] if first == RECEIVE => receive(rest.first().map(Path::new)),
        [input] => send(Path::new(input), None),
        [input, output] => send(Path::new(input), Some(Path::new(output))),
        _ => Err("usage: sealed-copy INPUT [OUTPUT]".into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("sealed-copy: error: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn guest(secret: Secret) -> Guest {
    let (version, job) = (env!("CARGO_PKG_VERSION").into(), "sealed-copy".into());
    let terms = Terms { version, job, agent: 0, attempt: 0, dialer: Side::Root };
    Guest { terms, proof: Proof::Secret(secret) }
}

/// The receiver gets the secret on its stdin and says there where it listens.
fn start_receiver(output: Option<&Path>, secret: &Secret) -> Outcome<(Child, SocketAddr)> {
    let mut receiver = Command::new(std::env::current_exe()?)
        .arg(RECEIVE)
        .args(output)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    receiver.stdin.take().ok_or("no pipe to the receiver")?.write_all(secret.expose())?;
    let mut port = [0; 2];
    receiver.stdout.as_mut().ok_or("no pipe from the receiver")?.read_exact(&mut port)?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, u16::from_le_bytes(port)));
    Ok((receiver, address))
}

fn send(input: &Path, output: Option<&Path>) -> Outcome<()> {
    let mut input = File::open(input)?;
    let secret = Secret::random()?;
    let (mut receiver, address) = start_receiver(output, &secret)?;
    let mut link = dial(address, &guest(secret))?;
    let mut stream = TcpStream::from(link.stream);
    stream.set_nonblocking(false)?;

    let start = Instant::now();
    let mut plain = vec![0; RECORDS_AT_ONCE * LARGEST_PLAIN];
    let mut sealed = Vec::new();
    let mut bytes = 0;
    loop {
        let length = input.read(&mut plain)?;
        if length == 0 {
            break;
        }
        sealed.clear();
        link.sealer.seal(&plain[..length], &mut sealed)?;
        stream.write_all(&sealed)?;
        bytes += length as u64;
    }
    stream.shutdown(std::net::Shutdown::Write)?;
    let mut arrived = [0; 8];
    receiver.stdout.take().ok_or("no pipe from the receiver")?.read_exact(&mut arrived)?;
    let seconds = start.elapsed().as_secs_f64();

    let status = receiver.wait()?;
    let arrived = u64::from_le_bytes(arrived);
    if !status.success() || arrived != bytes {
        return Err(format!("{arrived} of {bytes} bytes arrived; {status}").into());
    }
    #[expect(clippy::cast_precision_loss, reason = "a rate in whole MB/s")]
    let rate = bytes as f64 / seconds / 1e6;
    println!("{seconds:.3} s, {rate:.0} MB/s");
    Ok(())
}

fn receive(output: Option<&Path>) -> Outcome<()> {
    let mut secret = [0; 32];
    io::stdin().read_exact(&mut secret)?;
    let mut output = output.map(File::create).transpose()?;
    let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let place = Place { address, ports: None, user_timeout: PATIENCE };
    let mut door = Door::for_one(&place, guest(Secret::take(&mut secret)))?;
    let mut said = io::stdout();
    said.write_all(&door.local_addr().port().to_le_bytes())?;
    said.flush()?;
    let mut link = let_in(&mut door)?;
    let mut stream = TcpStream::from(link.stream);
    stream.set_nonblocking(false)?;

    let mut received = vec![0; RECORDS_AT_ONCE * LARGEST_RECORD];
    let (mut waiting, mut bytes) = (0, 0);
    let mut plain = Vec::new();
    loop {
        let length = stream.read(&mut received[waiting..])?;
        if length == 0 {
            break;
        }
        let end = waiting + length;
        plain.clear();
        let consumed = link.opener.open(&received[..end], &mut plain)?;
        received.copy_within(consumed..end, 0);
        waiting = end - consumed;
        bytes += plain.len() as u64;
        if let Some(output) = &mut output {
            output.write_all(&plain)?;
        }
    }
    said.write_all(&u64::to_le_bytes(bytes))?;
    said.flush()?;
    if waiting > 0 { Err("the connection ended within a record".into()) } else { Ok(()) }
}

fn let_in(door: &mut Door) -> Outcome<Admitted> {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        if let Some(link) = door.turn(Instant::now())?.pop() {
            return Ok(link);
        }
        wait(&*door, end)?;
    }
    Err("the sender did not dial".into())
}

fn dial(address: SocketAddr, guest: &Guest) -> Outcome<Admitted> {
    let call = Call { address, hello: Hello::Bare, patience: PATIENCE, user_timeout: PATIENCE };
    let mut dial = Dial::start(&call, guest, Instant::now())?;
    loop {
        if let Some(link) = dial.turn(Instant::now())? {
            return Ok(link);
        }
        wait(&dial, Instant::now() + PATIENCE)?;
    }
}

fn wait(set: impl AsFd, until: Instant) -> io::Result<()> {
    let left = px_runtime::sys::timespec(until.saturating_duration_since(Instant::now()));
    poll(&mut [PollFd::new(&set, PollFlags::IN)], Some(&left))?;
    Ok(())
}
