//! Writes the files of a lab.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::keys::Key;
use super::plan::{HostPlan, Plan};
use super::slurm_conf::SlurmPlan;
use super::texts;

fn write(path: &Path, text: &str, mode: u32) {
    fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
    fs::write(path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("chmod");
}

/// Writes the scripts and what the head reads; `keys` are that of the user, then those of hosts.
pub(super) fn write_head(lab: &Path, plan: &Plan, keys: &[Key]) {
    let count = plan.hosts.len();
    let head = lab.join("head");
    let known = |(number, key): (usize, &Key)| texts::known_host(number, &key.public);
    let known: String = keys.iter().enumerate().skip(1).map(known).collect();
    write(&lab.join("head.sh"), include_str!("../../lab/head.sh"), 0o644);
    write(&lab.join("host.sh"), include_str!("../../lab/host.sh"), 0o644);
    write(&head.join("key"), &keys[0].private, 0o600);
    write(&head.join("key.pub"), &keys[0].public, 0o644);
    write(&head.join("known_hosts"), &known, 0o644);
    write(&head.join("etc/hosts"), &texts::hosts(count), 0o644);
    write(&head.join("etc/ssh/ssh_config"), &texts::ssh_config(lab, count), 0o644);
    write(&head.join("setup.sh"), &texts::head_setup(lab, plan), 0o644);
    if let Some(slurm) = &plan.slurm {
        write_slurm(lab, slurm, count, &keys[0]);
    }
    write_user(&head, "/bin/sh");
}

/// Writes what one host reads.
pub(super) fn write_host(lab: &Path, number: usize, own: &HostPlan, plan: &Plan, key: &Key) {
    let name = texts::name(number);
    let host = lab.join(&name);
    write(&host.join("key"), &key.private, 0o600);
    write(&host.join("sshd_config"), &texts::sshd_config(lab, number, own), 0o644);
    write(&host.join("setup.sh"), &own.setup, 0o644);
    write(&host.join("etc/hosts"), &texts::hosts(plan.hosts.len()), 0o644);
    write(&host.join("etc/hostname"), &format!("{name}\n"), 0o644);
    // A locked root, as some machines have it, could not log in.
    write(&host.join("etc/shadow"), "root:*:19000:0:99999:7:::\n", 0o600);
    write_user(&host, &own.shell);
}

/// Writes what Slurm reads on all hosts, and makes its directories.
fn write_slurm(lab: &Path, plan: &SlurmPlan, hosts: usize, key: &Key) {
    write(&lab.join("slurm.sh"), include_str!("../../lab/slurm.sh"), 0o644);
    write(&lab.join("slurm.conf"), &plan.conf(lab, hosts), 0o644);
    // Any secret text does.
    write(&lab.join("munge.key"), &key.private, 0o600);
    for name in plan.nodes(hosts).into_iter().chain(["head".to_owned()]) {
        fs::create_dir_all(lab.join(&name).join("tmp")).expect("a directory");
    }
    fs::create_dir_all(lab.join("head/run")).expect("a directory");
}

/// Gives root on one host a home and a login shell.
fn write_user(host: &Path, shell: &str) {
    let home = host.join("home");
    let real = fs::read_to_string("/etc/passwd").expect("/etc/passwd");
    write(&host.join("etc/passwd"), &texts::passwd(&real, &home, shell), 0o644);
    fs::create_dir_all(&home).expect("a home");
    fs::set_permissions(&home, Permissions::from_mode(0o700)).expect("chmod");
}
