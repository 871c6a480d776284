use std::path::PathBuf;
use std::sync::Arc;

use super::*;
use crate::hostfile::allocation::Slots;
use crate::hostfile::{Place, Source};
use crate::mpiexec::family::Kind;

fn host(name: &str) -> Host {
    Host {
        host: name.to_owned(),
        user: None,
        port: None,
        slots: Slots::Counted(4),
        max_slots: None,
        reason: String::new(),
        place: Place { source: Source::File(Arc::from("hosts")), line: 3, column: 1 },
    }
}

fn found(family: Family) -> Found {
    let kind = Kind { family, shown: String::new() };
    Found {
        launcher: PathBuf::from("/usr/bin/mpirun"),
        called: "mpirun".into(),
        launcher_kind: kind.clone(),
        agent: PathBuf::from("/opt/pxrun-mpi"),
        agent_kind: kind,
    }
}

fn wanted<'a>(found: &'a Found, hosts: &'a [Host], rsh: &'a Rsh) -> Wanted<'a> {
    Wanted {
        found,
        hosts,
        here: hosts.iter().position(|host| host.host == "head"),
        own_name: "head.own",
        rsh,
        hostfile: Path::new("/run/px/hosts"),
        socket: Path::new("/run/px/root"),
        is_superuser: false,
    }
}

fn shown(words: &[OsString]) -> String {
    words.iter().map(|word| word.to_str().unwrap()).collect::<Vec<_>>().join(" ")
}

fn value<'a>(translation: &'a Translation, name: &str) -> Option<&'a str> {
    let mut all = translation.environment.iter().filter(|(known, _)| known == name);
    let value = all.next().map(|(_, value)| value.to_str().unwrap());
    assert_eq!(all.next(), None);
    value
}

#[test]
fn the_first_process_is_here_and_the_others_follow_as_listed() {
    assert_eq!(order(3, Some(1)), [Some(1), Some(0), Some(2)]);
    assert_eq!(order(2, None), [None, Some(0), Some(1)]);
    assert_eq!(order(1, Some(0)), [Some(0)]);
}

#[test]
fn this_host_may_be_listed_once() {
    let hosts = [host("a"), host("localhost"), host("head")];
    assert_eq!(here(&hosts, |host| host.host == "head"), Ok(Some(2)));
    assert_eq!(here(&hosts, |_| false), Ok(None));
    let told = here(&hosts, |host| host.host != "a").unwrap_err();
    assert_eq!(told.text, "`localhost` at hosts:3 and `head` at hosts:3 are this host");
}

#[test]
fn open_mpi_is_told_one_process_a_host_in_this_order() {
    let (found, rsh) = (found(Family::OpenMpi), Rsh::default());
    let hosts = [host("node2"), host("head"), host("node1")];
    let ours = vec![("UCX_TLS".into(), "tcp".into()), ("HOME".into(), "/root".into())];
    let translation = translate(&wanted(&found, &hosts, &rsh), ours).unwrap();
    assert_eq!(translation.hostfile, "head.own slots=1\nnode2 slots=1\nnode1 slots=1\n");
    assert_eq!(
        shown(&translation.words),
        "mpirun --hostfile /run/px/hosts --map-by seq --bind-to none --stdin none --wdir / -np 3 \
         -x UCX_TLS /opt/pxrun-mpi --as-agent /run/px/root"
    );
    let agent = value(&translation, "OMPI_MCA_plm_rsh_agent").unwrap();
    assert!(agent.starts_with("ssh -T ") && agent.contains("-o BatchMode=yes"), "{agent}");
    assert_eq!(value(&translation, "PRTE_MCA_plm_ssh_agent"), Some(agent));
    assert_eq!(value(&translation, "OMPI_MCA_orte_keep_fqdn_hostnames"), Some("0"));
    assert_eq!(value(&translation, "OMPI_ALLOW_RUN_AS_ROOT"), None);
}

#[test]
fn hydra_is_told_one_process_a_host_in_this_order() {
    let found = found(Family::Hydra);
    let rsh = Rsh::parse("/usr/bin/ssh -F conf").unwrap();
    let hosts = [host("node2"), host("head"), host("node1")];
    let ours = vec![("UCX_TLS".into(), "tcp".into()), ("HOME".into(), "/root".into())];
    let translation = translate(&wanted(&found, &hosts, &rsh), ours).unwrap();
    assert_eq!(translation.hostfile, "head\nnode2\nnode1\n");
    assert_eq!(
        shown(&translation.words),
        "mpirun -rmk user -launcher ssh -launcher-exec /usr/bin/ssh -f /run/px/hosts -ppn 1 \
         -wdir / -n 3 -genvlist I_MPI_PIN,MV2_ENABLE_AFFINITY,UCX_TLS \
         /opt/pxrun-mpi --as-agent /run/px/root"
    );
    let more = value(&translation, "HYDRA_LAUNCHER_EXTRA_ARGS").unwrap();
    assert!(more.starts_with("-F conf -T "), "{more}");
    assert_eq!(value(&translation, "HYDRA_BINDING"), Some("none"));
}

#[test]
fn this_host_is_first_also_when_it_is_not_listed() {
    let (rsh, hosts) = (Rsh::default(), [host("node1")]);
    for (family, text) in [
        (Family::OpenMpi, "head.own slots=1\nnode1 slots=1\n"),
        (Family::Hydra, "head.own\nnode1\n"),
    ] {
        let found = found(family);
        let translation = translate(&wanted(&found, &hosts, &rsh), Vec::new()).unwrap();
        assert_eq!(translation.hostfile, text);
        assert!(shown(&translation.words).contains(" 2 "));
    }
}

#[test]
fn hydra_is_not_told_a_name_that_means_every_host_to_itself() {
    let (found, rsh) = (found(Family::Hydra), Rsh::default());
    for name in ["localhost", "LOCALHOST", "127.0.1.1", "::1"] {
        let hosts = [host(name), host("node1")];
        let wanted = Wanted { here: Some(0), ..wanted(&found, &hosts, &rsh) };
        let translation = translate(&wanted, Vec::new()).unwrap();
        assert_eq!(translation.hostfile, "head.own\nnode1\n", "{name}");
    }
}

#[test]
fn names_keep_their_domain_where_another_host_has_one() {
    let (found, rsh) = (found(Family::OpenMpi), Rsh::default());
    let keeps = |hosts: &[Host]| {
        let translation = translate(&wanted(&found, hosts, &rsh), Vec::new()).unwrap();
        value(&translation, "OMPI_MCA_orte_keep_fqdn_hostnames") == Some("1")
    };
    assert!(keeps(&[host("head"), host("n1.example")]));
    assert!(!keeps(&[host("head"), host("n1"), host("10.0.0.1")]));
}

#[test]
fn root_may_run_open_mpi() {
    let (found, rsh, hosts) = (found(Family::OpenMpi), Rsh::default(), [host("head")]);
    let wanted = Wanted { is_superuser: true, ..wanted(&found, &hosts, &rsh) };
    let translation = translate(&wanted, Vec::new()).unwrap();
    assert_eq!(value(&translation, "OMPI_ALLOW_RUN_AS_ROOT"), Some("1"));
    assert_eq!(value(&translation, "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"), Some("1"));
}

#[test]
fn users_and_ports_are_told_where_the_launcher_has_words_for_them() {
    let rsh = Rsh::default();
    let mut other = host("node1");
    other.user = Some("me".to_owned());
    let text = |family, other: &Host, rsh: &Rsh| {
        let found = found(family);
        let hosts = [host("head"), other.clone()];
        translate(&wanted(&found, &hosts, rsh), Vec::new()).map(|done| done.hostfile)
    };
    let with_user = text(Family::Hydra, &other, &rsh).unwrap();
    assert_eq!(with_user, "head\nnode1 user=me\n");
    other.port = Some(2222);
    let with_both = text(Family::OpenMpi, &other, &rsh).unwrap();
    assert_eq!(with_both, "head.own slots=1\nnode1 slots=1 username=me port=2222\n");
    let told = text(Family::Hydra, &other, &rsh).unwrap_err();
    assert_eq!(told.text, "hosts:3: `/usr/bin/mpirun` cannot be told port 2222 of `node1`");
    assert!(told.help.unwrap().contains("--backend ssh"));
    assert!(text(Family::OpenMpi, &other, &Rsh::parse("rsh").unwrap()).is_err());
    let told = text(Family::OpenMpi, &host("fd00::1"), &rsh).unwrap_err();
    assert!(told.text.ends_with("cannot be told the IPv6 address `fd00::1`"), "{}", told.text);
}

#[test]
fn a_remote_shell_that_the_launcher_would_take_apart_is_refused() {
    let hosts = [host("head")];
    for (family, rsh, fits) in [
        (Family::OpenMpi, "ssh -F 'my file'", false),
        (Family::Hydra, "ssh -F 'my file'", false),
        (Family::OpenMpi, "ssh -o x=a:b", false),
        (Family::Hydra, "ssh -o x=a:b", true),
        (Family::Hydra, "ssh -l ''", false),
    ] {
        let (found, rsh) = (found(family), Rsh::parse(rsh).unwrap());
        let translated = translate(&wanted(&found, &hosts, &rsh), Vec::new());
        assert_eq!(translated.is_ok(), fits, "{family:?} {rsh:?}");
    }
}

#[test]
fn another_remote_shell_is_not_told_what_only_ssh_knows() {
    let (found, hosts) = (found(Family::Hydra), [host("head")]);
    let rsh = Rsh::parse("rsh -n").unwrap();
    let translation = translate(&wanted(&found, &hosts, &rsh), Vec::new()).unwrap();
    assert!(shown(&translation.words).contains("-launcher rsh -launcher-exec rsh "));
    assert_eq!(value(&translation, "HYDRA_LAUNCHER_EXTRA_ARGS"), Some("-n"));
}
