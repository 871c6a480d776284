//! What a host is told to run at a login: one constant command, and the script that it reads.
//!
//! The login shell may be sh, csh, fish or any other, so it sees nothing but [`COMMAND`], which
//! means the same to all of them and holds nothing of the user's. The script comes on stdin:
//! passed as words it would have to be quoted for every one of those shells, and some end a word
//! after a thousand bytes.

/// What sshd gives to the login shell: `SHELL -c COMMAND`.
///
/// `read` takes single bytes from a pipe, so what follows the line stays for the script.
pub const COMMAND: &str = r#"exec /bin/sh -c 'read -r px_script && eval "$px_script"'"#;

/// The script in its readable layout.
const BOOTSTRAP: &str = include_str!("bootstrap.sh");

/// Returns the script as the one line that [`COMMAND`] reads, without its newline.
pub fn line() -> String {
    let lines = BOOTSTRAP.lines().map(str::trim);
    let spoken = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    spoken.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_login_shell_reads_the_command_the_same_way() {
        let inner = COMMAND.strip_prefix("exec /bin/sh -c '").unwrap().strip_suffix('\'').unwrap();
        // Beyond these, csh expands `!` and fish knows backslashes even between single quotes.
        assert!(!inner.contains(['\'', '!', '\\', '\n']));
        assert!(inner.len() < 1000, "a word of the oldest csh");
    }

    #[test]
    fn the_script_is_one_line_that_any_read_can_hold() {
        let line = line();
        assert!(line.is_ascii() && !line.contains(['\n', '\r', '\0']));
        assert!(line.len() < 8 << 10, "{} bytes", line.len());
        // `read` strips blanks at the ends of a line.
        assert_eq!(line.trim(), line);
    }
}
