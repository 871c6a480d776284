//! From a login to a running agent, on hosts of every kind.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use px_tests::processes::holds_within;
use px_tests::{Job, Lab, Outcome, binary, records};
use pxrun::ssh::script::COMMAND;

use crate::{BOUND, file, is_left_alone, job, logins, names, program};

/// Login shells, and the file that each runs at every login.
const SHELLS: [(&str, &str); 4] = [
    ("/bin/sh", ".ssh/rc"),
    ("/bin/bash", ".bashrc"),
    ("/bin/csh", ".cshrc"),
    ("/usr/bin/fish", ".config/fish/config.fish"),
];

/// Runs a job whose input comes back.
#[track_caller]
fn works(job: Job) -> Outcome {
    let input = records::numbered(500, 1);
    let outcome = job.words("-k cat").input(&input).run();
    outcome.ok().prints(&input);
    outcome
}

/// Where a host keeps the binary that it was sent.
fn cache(lab: &Lab, number: usize) -> PathBuf {
    lab.host(number).home().join(".cache/pxrun")
}

fn shells() -> px_tests::lab::Plan {
    let plan = Lab::of(SHELLS.len());
    (1..)
        .zip(SHELLS)
        .fold(plan, |plan, (number, (shell, _))| plan.host(number, |host| host.shell(shell)))
}

/// Has each host's shell run a line at every login.
fn start_up(lab: &Lab, line: &str) {
    for (host, (_, name)) in lab.hosts().iter().zip(SHELLS) {
        let path = host.home().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("{line}\n")).unwrap();
    }
}

#[test]
fn every_login_shell_will_do_and_its_noise_is_a_warning() {
    let lab = px_tests::lab!(shells());
    works(job(&lab, "")).quiet();
    start_up(&lab, "echo welcome to this host; printf '\\033[1mloud'");
    let outcome = works(job(&lab, ""));
    for host in lab.hosts() {
        let name = host.name();
        let said = format!("pxrun: warning: the login to `{name}` printed: welcome to this host");
        outcome.says(&said);
    }
    outcome.says_not("\u{1b}");
    works(job(&lab, "-q")).quiet();
    is_left_alone(&lab);
}

#[test]
fn a_login_that_prints_without_end_is_out() {
    let lab = px_tests::lab!(shells());
    start_up(&lab, "head -c 70000 /dev/zero | tr '\\0' 'x'");
    let outcome = job(&lab, "true").run();
    outcome.own_error().says("4 of 4 hosts cannot take part");
    for number in 1..=4 {
        let text =
            format!("`node{number}`: its login prints more than 64 KiB before anything runs");
        outcome.says(&text);
    }
    start_up(&lab, "head -c 60000 /dev/zero | tr '\\0' 'x'");
    let outcome = works(job(&lab, ""));
    outcome.check(outcome.stderr.len() < 4000, || "wanted a bounded warning".to_owned());
    is_left_alone(&lab);
}

#[test]
fn a_host_is_sent_the_program_once() {
    let lab = px_tests::lab!(Lab::of(3));
    for number in 1..=3 {
        assert!(!cache(&lab, number).exists());
    }
    works(job(&lab, "")).quiet();
    let stored = || {
        let stored = (1..=3).map(|number| {
            let directory = cache(&lab, number);
            let [name] = &*names(&directory) else { panic!("{directory:?}") };
            let found = fs::metadata(directory.join(name)).unwrap();
            let own = fs::metadata(directory).unwrap();
            assert_eq!((own.mode() & 0o7777, found.mode() & 0o77), (0o700, 0));
            (name.clone(), found.ino(), found.mtime(), found.mtime_nsec(), found.ctime_nsec())
        });
        stored.collect::<Vec<_>>()
    };
    let before = stored();
    assert_eq!(
        fs::read(cache(&lab, 1).join(&before[0].0)).unwrap(),
        fs::read(binary::pxrun()).unwrap()
    );
    works(job(&lab, "")).quiet();
    works(job(&lab, "--link ssh")).quiet();
    assert_eq!(stored(), before, "a second job sends nothing");
    for number in 1..=3 {
        assert_eq!(logins(&lab, number), 3, "one login a host and job");
    }
    is_left_alone(&lab);
}

#[test]
fn jobs_that_meet_on_a_fresh_host_all_go_well() {
    let lab = px_tests::lab!(Lab::of(2));
    let input = records::numbered(500, 2);
    let jobs = (0..4).map(|_| job(&lab, "-k cat").input(&input).start());
    for running in jobs.collect::<Vec<_>>() {
        running.finish().ok().quiet().prints(&input);
    }
    for number in 1..=2 {
        assert_eq!(names(&cache(&lab, number)).len(), 1, "nothing half-written is left");
    }
    is_left_alone(&lab);
}

#[test]
fn a_home_that_cannot_hold_the_program_is_no_hindrance() {
    let plan = Lab::of(4)
        .host(1, |host| host.setup("mount -t tmpfs -o ro home \"$HOME\""))
        .host(2, |host| host.setup("mount -t tmpfs -o noexec home \"$HOME\""))
        .host(3, |host| host.setup("mount -t tmpfs -o size=1m home \"$HOME\""))
        .host(4, |host| {
            host.setup("mount -t tmpfs -o noexec home \"$HOME\"; mkdir -m 700 /run/user")
                .sshd("SetEnv XDG_RUNTIME_DIR=/run/user")
        });
    let lab = px_tests::lab!(plan);
    works(job(&lab, "")).quiet();
    works(job(&lab, "")).quiet();
    for number in 1..=3 {
        assert_eq!(names(&cache(&lab, number)), [""; 0]);
    }
    let found = lab.host(4).command("ls").arg("/run/user/pxrun").output().unwrap();
    assert_eq!(String::from_utf8_lossy(&found.stdout).lines().count(), 1, "{found:?}");
    is_left_alone(&lab);
}

#[test]
fn an_agent_that_is_there_already_is_used() {
    let lab = px_tests::lab!(Lab::of(2));
    let given = |path: &str| job(&lab, "--agent-path").arg(path);
    works(given(&binary::pxrun().to_string_lossy())).quiet();
    let odd = lab.path().join("a $HOME 'x'/agent");
    fs::create_dir_all(odd.parent().unwrap()).unwrap();
    fs::copy(binary::pxrun(), &odd).unwrap();
    works(given(&odd.to_string_lossy())).quiet();
    for number in 1..=2 {
        assert!(!cache(&lab, number).exists(), "nothing was sent");
    }
    let outcome = given("/no/such/agent").arg("true").run();
    outcome.own_error().says("2 of 2 hosts cannot take part");
    outcome.says("`node1`: /no/such/agent: No such file or directory");
    is_left_alone(&lab);
}

#[test]
fn an_agent_of_another_version_is_refused_with_both_versions() {
    let lab = px_tests::lab!(Lab::of(1));
    let heard = lab.path().join("heard");
    let script = format!(
        "#!/bin/sh\n[ \"$1\" = --as-agent ] || exit 0\nprintf 'pxagent\\n\\0050.0.7'\n\
         exec cat >'{}'\n",
        heard.display()
    );
    let agent = program(&lab, "old-agent", &script);
    let outcome = job(&lab, "--agent-path").arg(agent).arg("true").run();
    let version = env!("CARGO_PKG_VERSION");
    let text = format!("host `node1`: its pxrun is version 0.0.7, this one is {version}");
    outcome.own_error().says(&text).says("help: `--agent-path`");
    is_left_alone(&lab);
    let heard = fs::read(heard).unwrap();
    assert!(heard.len() < 32, "what could hold a key goes to another version: {heard:?}");
    let noise = program(&lab, "no-agent", "#!/bin/sh\necho hello, this is something else\n");
    let outcome = job(&lab, "--agent-path").arg(noise).arg("true").run();
    outcome.own_error().says("host `node1`: what answered there is no pxrun agent");
    is_left_alone(&lab);
}

/// A program that notes its words, each ended by NUL, and logs in by ssh as told by its last two.
fn recorder(lab: &Lab, name: &str) -> (PathBuf, PathBuf) {
    let log = lab.path().join(format!("words of {}", name.replace('/', " ")));
    let script = format!(
        "#!/bin/bash\nprintf '%s\\0' \"$@\" >>'{}'\nexec ssh \"${{@: -2:1}}\" \"${{@: -1}}\"\n",
        log.display()
    );
    (program(lab, name, &script), log)
}

fn words(log: &PathBuf) -> Vec<String> {
    let text = String::from_utf8(fs::read(log).unwrap()).unwrap();
    text.split_terminator('\0').map(str::to_owned).collect()
}

#[test]
fn another_remote_shell_gets_host_and_command_alone() {
    let lab = px_tests::lab!(Lab::of(1));
    let (shell, log) = recorder(&lab, "my login");
    let rsh = format!("'{}' --for 'a b'", shell.display());
    works(lab.pxrun("-H node1:2 --rsh").arg(&rsh)).quiet();
    assert_eq!(words(&log), ["--for", "a b", "node1", COMMAND]);
    fs::remove_file(&log).unwrap();
    let hosts = file(&lab, "hosts", "node1 port=22\n");
    let outcome = lab.pxrun("--rsh").arg(&rsh).arg("-f").arg(&hosts).arg("true").run();
    outcome.own_error().says("host `node1`: ").says("cannot be told port 22 of `node1`");
    assert!(!log.exists());
    let outcome = lab.pxrun("-H node1:1 --rsh /no/such/shell true").run();
    outcome
        .own_error()
        .says("host `node1`: cannot start `/no/such/shell`: no such file or directory");
    is_left_alone(&lab);
}

#[test]
fn openssh_gets_the_documented_options_and_nothing_of_the_users_command() {
    let lab = px_tests::lab!(Lab::of(1));
    let (shell, log) = recorder(&lab, "bin/ssh");
    let job = lab.pxrun("--rsh").arg(format!("{} -v", shell.display()));
    let job = job.words("-H root@node1:2 -x SECRET=rosebud -k").words("sh -c").arg("cat # rosebud");
    job.input("a\n").run().ok().prints("a\n");
    let settings = [
        "IgnoreUnknown=*",
        "BatchMode=yes",
        "ConnectTimeout=10",
        "ServerAliveInterval=5",
        "ServerAliveCountMax=3",
        "ControlMaster=no",
        "ClearAllForwardings=yes",
        "RemoteCommand=none",
        "RequestTTY=no",
        "StdinNull=no",
        "ForkAfterAuthentication=no",
        "SessionType=default",
        "PermitLocalCommand=no",
    ];
    let mut wanted = vec!["-v", "-T", "-a", "-x", "-e", "none"];
    wanted.extend(settings.iter().flat_map(|setting| ["-o", setting]));
    wanted.extend(["-l", "root", "--", "node1", COMMAND]);
    assert_eq!(words(&log), wanted);
    is_left_alone(&lab);
}

#[test]
fn ssh_takes_a_configuration_of_the_users_choice() {
    let lab = px_tests::lab!(Lab::of(1));
    let text = format!(
        "Host far\n  HostName 10.77.0.11\n  HostKeyAlias node1\n  User root\n  IdentityFile {}\n  \
         UserKnownHostsFile {}\n  RequestTTY force\n  RemoteCommand ls\n",
        lab.path().join("head/key").display(),
        lab.known_hosts().display()
    );
    let configuration = file(&lab, "my configuration", text);
    let rsh = format!("ssh -F '{}'", configuration.display());
    works(lab.pxrun("-H far:2 --rsh").arg(&rsh)).quiet();
    let outcome = lab.pxrun("-H node1:2 --rsh").arg(&rsh).arg("true").run();
    outcome.own_error().says("host `node1`: ");
    is_left_alone(&lab);
}

#[test]
fn a_login_that_the_server_drops_is_tried_again() {
    let lab =
        px_tests::lab!(Lab::of(2).host(2, |host| host.default_startups().sshd("MaxStartups 2")));
    let (log, free) = (lab.path().join("logins"), lab.path().join("free"));
    // Its second login to a host waits until the test has made room.
    let script = format!(
        "#!/bin/bash\n[ \"${{@: -2:1}}\" = node2 ] || exec ssh \"$@\"\necho login >>'{0}'\n\
         [ $(wc -l <'{0}') = 1 ] || until [ -e '{1}' ]; do sleep 0.01; done\nexec ssh \"$@\"\n",
        log.display(),
        free.display()
    );
    let shell = program(&lab, "bin/ssh", &script);
    let connect = || {
        let place = (lab.host(2).address(), 22);
        lab.within(|| std::net::TcpStream::connect(place)).unwrap()
    };
    let held = [connect(), connect()];
    let refused = |lab: &Lab| lab.host(2).log().contains("MaxStartups");
    let running = job(&lab, "--rsh").arg(&shell).words("-k cat").input("a\nb\n").start();
    assert!(holds_within(BOUND, || refused(&lab)), "{}", lab.host(2).log());
    let again = || fs::read(&log).is_ok_and(|lines| lines == b"login\nlogin\n");
    assert!(holds_within(BOUND, again), "{}", running.stderr());
    drop(held);
    // Their end is seen when somebody else is let in.
    let greets = || {
        use std::io::Read;
        let mut stream = connect();
        stream.set_read_timeout(Some(BOUND)).unwrap();
        let mut greeting = [0; 4];
        stream.read_exact(&mut greeting).is_ok() && &greeting == b"SSH-"
    };
    assert!(holds_within(BOUND, greets));
    file(&lab, "free", "");
    running.finish().ok().quiet().prints("a\nb\n");
    is_left_alone(&lab);
}

#[test]
fn few_logins_at_once_serve_many_hosts() {
    let lab = px_tests::lab!(Lab::of(6));
    works(job(&lab, "--ssh-parallel 1")).quiet();
    for number in 1..=6 {
        assert_eq!(logins(&lab, number), 1);
    }
    is_left_alone(&lab);
}
