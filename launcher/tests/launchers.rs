//! What a copy gets where pxrun itself was started by a launcher: as much as anywhere else.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on panics")]

use std::process::{Command, Output, Stdio};

/// Launchers as Debian names them, and the beginnings of what they set.
const LAUNCHERS: [(&str, &[&str]); 2] = [
    ("mpirun.openmpi", &["OMPI_", "PMIX_", "PRTE_"]),
    ("mpiexec.hydra", &["PMI_", "HYDI_", "MPI_LOCAL", "MPIR_CVAR_CH3", "GFORTRAN_"]),
];

/// Runs `words` as the only process of a launcher; a leading `pxrun` is the one that is tested.
fn below(launcher: &str, words: &str) -> Command {
    let mut command = Command::new(launcher);
    command.args(["-n", "1"]);
    for word in words.split(' ') {
        command.arg(if word == "pxrun" { env!("CARGO_BIN_EXE_pxrun") } else { word });
    }
    command.stdin(Stdio::null());
    command.env("OMPI_ALLOW_RUN_AS_ROOT", "1").env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
    command
}

fn run(mut command: Command) -> String {
    let output: Output = command.output().expect("mpirun.openmpi of openmpi-bin, hydra of mpich");
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The lines of `text` that begin as one of `families` does.
fn of(text: &str, families: &[&str]) -> Vec<String> {
    let among = |line: &&str| families.iter().any(|family| line.starts_with(family));
    text.lines().filter(among).map(str::to_owned).collect()
}

#[test]
fn a_copy_sees_nothing_of_what_a_launcher_said_to_pxrun() {
    for (launcher, families) in LAUNCHERS {
        let said = run(below(launcher, "env"));
        for family in families.iter().filter(|family| **family != "PRTE_") {
            assert!(!of(&said, &[family]).is_empty(), "{launcher} sets no {family}* any more");
        }
        let seen = run(below(launcher, "pxrun -np 1 env"));
        assert_eq!(of(&seen, families), [""; 0], "{launcher}");
        assert!(!of(&seen, &["PATH="]).is_empty());
    }
}

#[test]
fn what_the_user_sets_for_copies_is_not_the_launchers() {
    for (launcher, name) in [("mpirun.openmpi", "OMPI_MCA_btl"), ("mpiexec.hydra", "PMI_DEBUG")] {
        let said = run(below(launcher, &format!("pxrun -np 1 -x {name}=self env")));
        assert_eq!(of(&said, &[name]), [format!("{name}=self")]);
        let mut inherited = below(launcher, "pxrun -np 1 env");
        inherited.env(name, "self");
        assert_eq!(of(&run(inherited), &[name]), [""; 0]);
    }
    // Where no launcher is, all are the user's.
    let mut alone = Command::new(env!("CARGO_BIN_EXE_pxrun"));
    alone.args(["-np", "1", "env"]).stdin(Stdio::null()).env("OMPI_MCA_btl", "self");
    assert_eq!(of(&run(alone), &["OMPI_MCA_btl"]), ["OMPI_MCA_btl=self"]);
}

#[test]
fn a_copy_sees_all_of_it_where_that_is_asked_for() {
    for (launcher, families) in LAUNCHERS {
        let seen = run(below(launcher, "pxrun --keep-launcher-env -np 1 env"));
        for family in families.iter().filter(|family| **family != "PRTE_") {
            assert!(!of(&seen, &[family]).is_empty(), "{launcher}: {family}*");
        }
    }
}

#[test]
fn a_copy_has_three_descriptors_whatever_a_launcher_leaves_open() {
    // `ls` looks through a fourth one of its own.
    const THREE: &str = "0\n1\n2\n3\n";
    for (launcher, _) in LAUNCHERS {
        let copies = run(below(launcher, "pxrun -np 1 ls /proc/self/fd"));
        assert_eq!(copies, THREE, "{launcher}");
    }
    let hydras = run(below("mpiexec.hydra", "ls /proc/self/fd"));
    assert!(hydras.len() > THREE.len(), "hydra leaves nothing open any more: {hydras}");
}

/// One task of a launcher's: runs its arguments. The process of the second one is held back until
/// the output is there and a little longer; the first one then notes which others still run.
const TASK: &str = r#"
    task=$PMI_RANK
    "$@" & own=$!
    echo $own >$DIR/new.$task && mv $DIR/new.$task $DIR/task.$task
    if [ $task = 1 ]; then
        until [ -e $DIR/runs ]; do sleep 0.01; done
        kill -STOP $own && : >$DIR/held
        until [ -e $DIR/out ]; do sleep 0.01; done
        sleep 0.2
        kill -CONT $own
    fi
    wait $own || exit
    [ $task = 0 ] || exit 0
    for other in $DIR/task.[1-9]*; do
        state=$(sed -n 's/^State:[^A-Z]*\(.\).*/\1/p' /proc/$(cat $other)/status 2>/dev/null)
        case $state in ''|Z) ;; *) echo $other $state >>$DIR/late ;; esac
    done
    : >>$DIR/late"#;

/// Goes on once the second task is held back.
const COPY: &str = ": >$DIR/runs; until [ -e $DIR/held ]; do sleep 0.01; done; exec cat";

#[test]
fn the_first_task_of_a_step_ends_last() {
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name);
    std::fs::write(at("in"), "a\nb\nc\n").unwrap();
    let mut command = Command::new("mpiexec.hydra");
    command.args(["-n", "3", "sh", "-c", TASK, "sh", env!("CARGO_BIN_EXE_pxrun"), "-i"]);
    command.arg(at("in")).arg("-o").arg(at("out")).args(["--order", "rank", "sh", "-c", COPY]);
    let output = command.env("DIR", place.path()).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    assert_eq!(std::fs::read_to_string(at("out")).unwrap().lines().count(), 3);
    assert_eq!(std::fs::read_to_string(at("late")).unwrap(), "");
}
