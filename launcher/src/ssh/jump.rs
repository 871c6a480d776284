//! Hosts that are reached through another one: that one's server is asked for as many logins as
//! there are hosts behind it, so fewer go at once.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::command::{Rsh, Target};

/// Logins at once through one host.
pub const LOGINS: usize = 8;
/// Most that `ssh -G` is listened to, in bytes.
const LONGEST: u64 = 256 << 10;

/// Whether any host may be reached through another.
#[derive(Clone, Debug)]
pub struct Jumps {
    possible: bool,
}

impl Jumps {
    /// Looks whether ssh's options or files speak of jumps at all: mostly they do not, and then no
    /// host costs the time of asking.
    pub fn look(rsh: &Rsh) -> Self {
        let home = std::env::var_os("HOME").map(PathBuf::from);
        let own = home.map(|home| home.join(".ssh/config"));
        let more = fs::read_dir("/etc/ssh/ssh_config.d").into_iter().flatten().flatten();
        let mut files: Vec<_> = more.map(|entry| entry.path()).collect();
        files.extend(own.clone());
        files.push("/etc/ssh/ssh_config".into());
        let in_files = files.iter().any(|file| speaks_of_jumps(file, Some(file) == own.as_ref()));
        Jumps { possible: rsh.is_openssh() && (in_files || rsh.chooses_its_way()) }
    }

    /// The first host on the way to `target`, if there is one.
    pub fn on_the_way(&self, rsh: &Rsh, target: Target<'_>) -> Option<String> {
        if !self.possible {
            return None;
        }
        let words = rsh.question(target);
        let (program, arguments) = words.split_first()?;
        let mut asked = Command::new(program);
        asked.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = asked.spawn().ok()?;
        let mut text = Vec::new();
        let read = child.stdout.take()?.take(LONGEST).read_to_end(&mut text);
        let ended = child.wait();
        if read.is_err() || ended.is_err() {
            return None;
        }
        first_hop(&String::from_utf8_lossy(&text))
    }
}

/// Whether a file of ssh's has a word about jumps, or about files that may have.
fn speaks_of_jumps(file: &Path, own: bool) -> bool {
    let Ok(bytes) = fs::File::open(file).and_then(|file| {
        let mut bytes = Vec::new();
        file.take(LONGEST).read_to_end(&mut bytes).map(|_| bytes)
    }) else {
        return false;
    };
    let text = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
    let words = ["proxyjump", "proxycommand"];
    words.iter().any(|word| text.contains(word)) || own && text.contains("include")
}

/// The first hop in what `ssh -G` prints.
fn first_hop(settings: &str) -> Option<String> {
    let of = |name: &str| {
        let value = settings.lines().find_map(|line| line.strip_prefix(name))?.trim();
        (value != "none" && !value.is_empty()).then(|| value.to_owned())
    };
    let jump = of("proxyjump ").and_then(|list| list.split(',').next().map(str::to_owned));
    jump.or_else(|| of("proxycommand "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_several_jumps_is_the_one_that_all_logins_meet() {
        assert_eq!(first_hop("user a\nproxyjump gate,inner\n"), Some("gate".into()));
        assert_eq!(first_hop("proxycommand nc %h %p\n"), Some("nc %h %p".into()));
        assert_eq!(first_hop("proxyjump none\nport 22\n"), None);
    }
}
