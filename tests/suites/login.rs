//! Logins: every login shell and every sh get an agent to run, on hosts in whatever state, or say
//! in one line why not.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on panics")]

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Barrier;
use std::thread;

use px_tests::login::{Binary, Host};
use px_tests::{Scratch, binary};
use pxrun::ssh::command::{Rsh, Target};
use pxrun::ssh::identity::Machine;
use pxrun::ssh::own::Own;

/// Programs that the script needs; neither perl nor python3 is one.
const TOOLS: &[&str] =
    &["chmod", "find", "head", "ls", "mkdir", "mv", "od", "rm", "tr", "uname", "wc"];
/// Login shells that must be there, and some that are looked at where they are.
const SHELLS: &[&[&str]] =
    &[&["sh"], &["bash"], &["dash"], &["csh"], &["fish"], &["busybox", "sh"]];
const OTHER_SHELLS: &[&[&str]] = &[&["tcsh"], &["zsh"], &["ksh93"], &["mksh"]];
/// A file that each shell with a start-up file for such logins reads.
const START_UP: &[&str] = &[".bashrc", ".cshrc", ".tcshrc", ".zshenv", ".config/fish/config.fish"];
const NOISE: &str = "words of a start-up file";
const SMALL_DISK: &str = "mount -t tmpfs -o size=128k disk \"$HOME\"";
const NOEXEC_HOME: &str = "mount -t tmpfs -o noexec disk \"$HOME\"";

fn stand_in() -> Binary {
    Binary::of(&binary::stand_in())
}

fn find(program: &str) -> Option<PathBuf> {
    let found =
        ["/usr/local/bin", "/usr/bin", "/bin"].map(|folder| Path::new(folder).join(program));
    found.into_iter().find(|path| path.is_file())
}

/// A folder with these programs alone, for a PATH.
fn tools(scratch: &Scratch, name: &str, programs: &[&str]) -> PathBuf {
    let folder = scratch.directory(name);
    for program in programs {
        symlink(find(program).unwrap_or_else(|| panic!("no {program}")), folder.join(program))
            .unwrap();
    }
    folder
}

/// The names in a home's cache.
fn stored(scratch: &Scratch, cache: &str) -> Vec<String> {
    if scratch.has(cache) { scratch.names(cache) } else { Vec::new() }
}

fn name_of(binary: &Binary) -> String {
    binary.identity.hash.to_string()
}

#[test]
fn every_login_shell_stores_the_binary_once_and_runs_it() {
    let others = OTHER_SHELLS.iter().filter(|words| find(words[0]).is_some());
    for words in SHELLS.iter().chain(others) {
        let scratch = Scratch::new();
        let home = scratch.directory("home");
        fs::create_dir_all(home.join(".config/fish")).unwrap();
        for file in START_UP {
            fs::write(home.join(file), format!("printf '{NOISE}'\n")).unwrap();
        }
        let host = Host::new(&home).shell(words).variable("px_words", "the user's own");
        let (binary, cache) = (stand_in(), "home/.cache/pxrun");

        let first = host.log_in(&binary);
        assert!(first.pushed(), "{words:?}: {first:?}");
        assert_eq!(stored(&scratch, cache), [name_of(&binary)], "{words:?}");
        let mode = fs::metadata(scratch.at(cache).join(name_of(&binary))).unwrap().permissions();
        assert_eq!(mode.mode() & 0o7777, 0o700, "{words:?}");
        let second = host.log_in(&binary);
        assert!(!second.pushed(), "{words:?}: {second:?}");
        for said in [&first, &second] {
            let path = scratch.at(cache).join(name_of(&binary));
            assert!(said.agent().ends_with(&format!("binary {}\n", path.display())), "{said:?}");
            assert_eq!(said.stderr, "", "{words:?}");
        }
        if matches!(words[0], "bash" | "csh" | "fish" | "tcsh" | "zsh") {
            assert!(first.noise().contains(NOISE), "{words:?}: {first:?}");
        }
    }
}

#[test]
fn the_agent_inherits_nothing_of_the_script() {
    let scratch = Scratch::new();
    let home = scratch.directory("home");
    let host = Host::new(&home);
    let said = host.log_in(&stand_in());
    inherits_what_it_should(&said.agent());
}

/// Checks that an agent is in the situation of this process, its parent's parent.
#[track_caller]
fn inherits_what_it_should(agent: &str) {
    let own = |name: &str| {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned()
    };
    for (word, name) in [("umask", "Umask:"), ("ignored", "SigIgn:"), ("blocked", "SigBlk:")] {
        assert!(agent.contains(&format!("{word} {}\n", own(name))), "{agent}");
    }
    assert!(agent.contains("variables []\n"), "{agent}");
}

#[test]
fn every_sh_runs_the_script_needs_root() {
    for shell in ["bash", "busybox", "dash", "ksh93", "mksh"] {
        let Some(path) = find(shell) else {
            assert!(!["bash", "busybox", "dash"].contains(&shell), "no {shell}");
            continue;
        };
        let scratch = Scratch::new();
        let home = scratch.directory("home");
        // Mounted in the place of what /bin/sh leads to, it is called by that name.
        let path = path.canonicalize().unwrap();
        let mount = format!(
            "cp '{}' \"$HOME/sh\"; mount --bind \"$HOME/sh\" \"$(readlink -f /bin/sh)\"",
            path.display()
        );
        let host = Host::new(&home).shell(&["/bin/bash"]).mounted(&mount);
        let binary = stand_in();
        assert!(host.log_in(&binary).agent().contains("home/.cache/pxrun/"), "{shell}");
        let said = host.log_in(&binary);
        assert!(!said.pushed() && said.agent().contains("home/.cache/pxrun/"), "{shell}: {said:?}");
        assert_eq!(said.stderr, "", "{shell}");
    }
}

#[test]
fn the_programs_of_busybox_are_enough_needs_root() {
    let scratch = Scratch::new();
    let home = scratch.directory("home");
    let applets = scratch.directory("applets");
    for applet in TOOLS {
        symlink(find("busybox").unwrap(), applets.join(applet)).unwrap();
    }
    let mount = "cp /bin/busybox \"$HOME/sh\"; mount --bind \"$HOME/sh\" \"$(readlink -f /bin/sh)\"; \
         PATH=\"$APPLETS\"";
    let host = Host::new(&home).shell(&["/bin/bash"]).variable("APPLETS", &applets).mounted(mount);
    let said = host.log_in(&stand_in());
    assert!(said.pushed() && said.agent().contains("home/.cache/pxrun/"), "{said:?}");
}

#[test]
fn many_pushes_of_the_same_binary_at_once_all_succeed() {
    const LOGINS: usize = 6;
    let scratch = Scratch::new();
    let home = scratch.directory("home");
    let (host, binary, start) = (Host::new(&home), stand_in(), Barrier::new(LOGINS));
    thread::scope(|scope| {
        for _ in 0..LOGINS {
            scope.spawn(|| {
                start.wait();
                host.log_in(&binary).agent();
            });
        }
    });
    assert_eq!(stored(&scratch, "home/.cache/pxrun"), [name_of(&binary)]);
}

#[test]
fn a_read_only_home_leaves_the_runtime_directory_needs_root() {
    let scratch = Scratch::new();
    let home = scratch.directory("home");
    let runtime = scratch.directory("run time");
    let host = Host::new(&home)
        .variable("XDG_RUNTIME_DIR", &runtime)
        .mounted("mount -t tmpfs -o ro disk \"$HOME\"");
    let binary = stand_in();
    assert!(host.log_in(&binary).pushed());
    assert_eq!(stored(&scratch, "run time/pxrun"), [name_of(&binary)]);
    let said = host.log_in(&binary);
    assert!(!said.pushed() && said.agent().contains("run time/pxrun/"), "{said:?}");
}

#[test]
fn where_nothing_may_be_executed_the_binary_runs_from_memory_needs_root() {
    for program in ["perl", "python3"] {
        let scratch = Scratch::new();
        let home = scratch.directory("home");
        let path = tools(&scratch, "tools", &[TOOLS, &[program]].concat());
        for disk in [NOEXEC_HOME, SMALL_DISK, "mount -t tmpfs -o ro disk \"$HOME\""] {
            let narrow = format!("{disk}; PATH='{}'", path.display());
            let host = Host::new(&home).shell(&["/bin/sh"]).mounted(&narrow);
            let said = host.log_in(&stand_in());
            let agent = said.agent();
            assert!(agent.contains("/memfd:pxrun"), "{program}, {disk}: {said:?}");
            inherits_what_it_should(&agent);
            assert_eq!(said.stderr, "", "{program}, {disk}");
        }
    }
}

#[test]
fn a_binary_that_memory_cannot_run_is_told_with_the_loaders_words_needs_root() {
    for program in ["perl", "python3"] {
        let scratch = Scratch::new();
        let home = scratch.directory("home");
        let path = tools(&scratch, "tools", &[TOOLS, &[program]].concat());
        let narrow = format!("{NOEXEC_HOME}; PATH='{}'", path.display());
        let host = Host::new(&home).shell(&["/bin/sh"]).mounted(&narrow);
        let words = host.log_in(&without_loader(&scratch)).failure();
        assert!(words.contains("No such file or directory"), "{program}: {words}");
        let words = host.log_in(&of_another_machine(&scratch)).failure();
        assert!(words.contains("Exec format error"), "{program}: {words}");
        let words = host.clone().cut_after(1000).log_in(&stand_in()).failure();
        assert!(words.contains("the binary was cut short on its way"), "{program}: {words}");
    }
}

#[test]
fn a_host_without_any_place_says_what_each_lacks_needs_root() {
    let scratch = Scratch::new();
    let home = scratch.directory("home");
    let path = tools(&scratch, "tools", TOOLS);
    let runtime = scratch.directory("run");
    let cases = [
        (SMALL_DISK, "No space left on device"),
        (NOEXEC_HOME, "Permission denied"),
        ("mount -t tmpfs -o ro disk \"$HOME\"", "Read-only file system"),
    ];
    for (disk, reason) in cases {
        let narrow = format!(
            "{disk}; mount -t tmpfs -o ro disk '{}'; PATH='{}'",
            runtime.display(),
            path.display()
        );
        let host = Host::new(&home).shell(&["/bin/sh"]).variable("XDG_RUNTIME_DIR", &runtime);
        let said = host.mounted(&narrow).log_in(&stand_in());
        let words = said.failure();
        assert!(!said.pushed(), "{said:?}");
        assert!(words.contains(reason) && words.contains("Read-only file system"), "{words}");
        assert!(words.ends_with("neither perl nor python3 is there to keep the binary in memory"));
    }
}

/// A binary whose header is that of an aarch64 one, while the root says that it is not.
fn of_another_machine(scratch: &Scratch) -> Binary {
    let ours = stand_in();
    let mut bytes = ours.bytes.clone();
    bytes[18] = if bytes[18] == 0xb7 { 0x3e } else { 0xb7 };
    let theirs = Binary::of(&scratch.file("other", &bytes));
    assert_ne!(theirs.identity.machine, ours.identity.machine);
    Binary {
        identity: pxrun::ssh::identity::Identity {
            machine: ours.identity.machine,
            ..theirs.identity
        },
        ..theirs
    }
}

fn without_loader(scratch: &Scratch) -> Binary {
    stand_in().patched(scratch.path(), b"/ld-linux-", b"/no-linux-")
}

#[test]
fn a_binary_of_another_machine_is_refused_before_it_is_pushed() {
    let scratch = Scratch::new();
    let home = scratch.directory("home");
    let mut binary = of_another_machine(&scratch);
    binary.identity.machine = Machine::of_header(&binary.bytes).unwrap();
    let said = Host::new(&home).log_in(&binary);
    assert!(!said.pushed() && said.failure().contains("Exec format error"), "{said:?}");
}

#[test]
fn a_binary_that_does_not_run_is_told_with_the_loaders_words_and_not_stored() {
    let scratch = Scratch::new();
    let libc = stand_in().patched(scratch.path(), b"GLIBC_2.34\0", b"GLIBC_9.99\0");
    let cases = [
        (of_another_machine(&scratch), "Exec format error"),
        (without_loader(&scratch), "not found (status 127): its dynamic loader is not there"),
        (libc, "version `GLIBC_9.99' not found"),
    ];
    for (binary, words) in cases {
        let home = scratch.directory(&format!("home of {words}").replace('/', " "));
        let said = Host::new(&home).log_in(&binary);
        assert!(said.pushed() && said.failure().contains(words), "{words}: {said:?}");
        assert_eq!(fs::read_dir(home.join(".cache/pxrun")).unwrap().count(), 0, "{words}");
    }
}

#[test]
fn a_push_that_breaks_off_leaves_nothing() {
    let scratch = Scratch::new();
    let home = scratch.directory("home");
    let binary = stand_in();
    for bytes in [0, 1, binary.bytes.len() - 1] {
        let said = Host::new(&home).cut_after(bytes).log_in(&binary);
        assert!(said.failure().contains("the binary was cut short on its way"), "{said:?}");
        assert!(stored(&scratch, "home/.cache/pxrun").is_empty());
    }
}

#[test]
fn a_stored_binary_that_was_torn_is_pushed_anew() {
    let scratch = Scratch::new();
    let home = scratch.directory("home");
    let (host, binary) = (Host::new(&home), stand_in());
    let path = home.join(".cache/pxrun").join(name_of(&binary));
    host.log_in(&binary).agent();
    let half = &binary.bytes[..binary.bytes.len() / 2];
    for torn in [b"".as_slice(), half, b"exit 0\n"] {
        fs::write(&path, torn).unwrap();
        let said = host.log_in(&binary);
        assert!(said.pushed(), "{} bytes: {said:?}", torn.len());
        said.agent();
        assert_eq!(fs::read(&path).unwrap(), binary.bytes);
    }
}

#[test]
fn a_cache_that_others_can_write_to_is_not_used_needs_root() {
    let binary = stand_in();
    let spoil: [fn(&Path); 4] = [
        |cache| std::os::unix::fs::chown(cache, Some(65534), None).unwrap(),
        |cache| fs::set_permissions(cache, Permissions::from_mode(0o777)).unwrap(),
        |cache| fs::set_permissions(cache, Permissions::from_mode(0o770)).unwrap(),
        |cache| {
            let elsewhere = cache.with_extension("elsewhere");
            fs::rename(cache, &elsewhere).unwrap();
            symlink(elsewhere, cache).unwrap();
        },
    ];
    for spoil in spoil {
        let scratch = Scratch::new();
        let home = scratch.directory("home");
        let runtime = scratch.directory("run");
        let host = Host::new(&home).variable("XDG_RUNTIME_DIR", &runtime);
        host.log_in(&binary).agent();
        spoil(&home.join(".cache/pxrun"));
        let said = host.log_in(&binary);
        assert!(said.pushed() && said.agent().contains("/run/pxrun/"), "{said:?}");
    }
}

#[test]
fn what_a_killed_push_left_is_removed_a_day_later() {
    let scratch = Scratch::new();
    let home = scratch.directory("home");
    let (host, binary) = (Host::new(&home), stand_in());
    host.log_in(&binary).agent();
    let cache = home.join(".cache/pxrun");
    fs::remove_file(cache.join(name_of(&binary))).unwrap();
    for (name, hours) in [(".new-young", 1), (".new-old", 50)] {
        let file = fs::File::create(cache.join(name)).unwrap();
        let ago = std::time::Duration::from_secs(hours * 3600);
        file.set_modified(std::time::SystemTime::now() - ago).unwrap();
    }
    host.log_in(&binary).agent();
    assert_eq!(stored(&scratch, "home/.cache/pxrun"), [".new-young", &name_of(&binary)]);
}

#[test]
fn an_agent_of_the_hosts_own_is_run_from_its_path() {
    let scratch = Scratch::new();
    let home = scratch.directory("home");
    scratch.directory("a $HOME `x` 'y'");
    let bytes = fs::read(binary::stand_in()).unwrap();
    let path = scratch.program("a $HOME `x` 'y'/agent", bytes);
    let said = Host::new(&home).agent(&path).log_in(&stand_in());
    assert!(!said.pushed(), "{said:?}");
    assert!(said.agent().ends_with(&format!("binary {}\n", path.display())), "{said:?}");
    assert!(!scratch.has("home/.cache"));
}

#[test]
fn an_agents_path_that_leads_to_none_is_told() {
    let scratch = Scratch::new();
    let home = scratch.directory("home");
    let other = of_another_machine(&scratch);
    let foreign = scratch.program("foreign", &other.bytes);
    let cases = [
        (scratch.at("none"), "No such file or directory"),
        (scratch.directory("folder"), "not an executable file"),
        (scratch.file("text", "exit 0\n"), "not an executable file"),
        (foreign, "Exec format error"),
        (PathBuf::from("-x"), "./-x: No such file or directory"),
    ];
    for (path, words) in cases {
        let said = Host::new(&home).agent(&path).log_in(&stand_in());
        assert!(said.failure().contains(words), "{}: {said:?}", path.display());
        assert!(said.failure().contains(path.to_str().unwrap()), "{said:?}");
    }
}

#[test]
fn pxrun_itself_is_pushed_and_knows_its_own_content() {
    let scratch = Scratch::new();
    let home = scratch.directory("home");
    let path = binary::pxrun();
    let binary = Binary::of(&path);
    let said = Host::new(&home).log_in(&binary);
    assert!(said.pushed(), "{said:?}");
    assert_eq!(stored(&scratch, "home/.cache/pxrun"), [name_of(&binary)]);
    let check = |hash: &str| {
        Command::new(&path).args(["--check-agent", hash]).output().expect("pxrun is started")
    };
    assert!(check(&name_of(&binary)).status.success());
    let wrong = check(&"0".repeat(64));
    assert_eq!(wrong.status.code(), Some(1));
    let words = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert!(words.contains("pxrun: error: the binary's hash must be `000"), "{words}");
}

#[test]
fn a_running_binary_is_read_also_after_it_was_replaced() {
    let own = Own::open().unwrap();
    assert_eq!(own.identity(), Binary::of(Path::new("/proc/self/exe")).identity);
    let scratch = Scratch::new();
    let copy = scratch.at("agent");
    fs::copy(binary::stand_in(), &copy).unwrap();
    let host = Host::new(&scratch.directory("home")).agent(&copy);
    fs::remove_file(&copy).unwrap();
    assert!(host.log_in(&stand_in()).failure().contains("No such file"));
}

/// What an installed ssh makes of the options, with a configuration that works against them.
#[test]
fn openssh_takes_every_option_whatever_the_users_configuration_says() {
    let scratch = Scratch::new();
    let configuration = scratch.file(
        "config",
        "IgnoreUnknown UseKeychain\nUseKeychain yes\nHost *\n  RequestTTY force\n  StdinNull yes\n  \
         RemoteCommand ls\n  SessionType none\n  ControlMaster auto\n  LocalForward 9 x:9\n",
    );
    let rsh = Rsh::parse(&format!("ssh -G -F '{}'", configuration.display())).unwrap();
    let target = Target { host: "h.invalid", user: Some("ann"), port: Some(2222) };
    let words = rsh.words(target).unwrap();
    let output = Command::new(&words[0]).args(&words[1..]).output().expect("ssh is started");
    let settings = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    for line in [
        "user ann",
        "hostname h.invalid",
        "port 2222",
        "batchmode yes",
        "requesttty false",
        "stdinnull no",
        "sessiontype default",
        "controlmaster false",
        "clearallforwardings yes",
        "connecttimeout 10",
        "forwardagent no",
        "forwardx11 no",
        "escapechar none",
    ] {
        assert!(settings.lines().any(|found| found == line), "no `{line}` in\n{settings}");
    }
}
