//! How a script travels: the command line that is sent, the bytes that follow on stdin, and what the
//! two tell us back. Pure.
//!
//! The command line is the same for every script of that length: script, input and password only
//! ever go through stdin. On the host two small programs run, one after the other:
//!
//! 1. the *outer* one, as the login user, prints `<RS><pid>` (what login files printed before that
//!    line is thrown away) and becomes root if asked to;
//! 2. the *inner* one prints `<RS>go <pid>`, reads exactly the script's bytes from stdin, checks that
//!    none is missing, and evaluates it. What is left on stdin is the script's own input.
//!
//! `dd` does the reading: it takes whole blocks by `read(2)` and never one byte too many, where
//! `head -c` and the shells' own buffers do.

use bytes::{Bytes, BytesMut};

use super::error::SudoError;
use super::{Command, Sudo, Target};

/// The record separator starts a line of ours on the script's stdout.
pub(super) const MARK: u8 = 0x1e;

/// Asks for the sudo password on stderr.
pub(super) const PROMPT: &str = "provision-asks-for-the-sudo-password:";

/// Last line of each script, so that half a script is never run.
const END: &str = "\n#end";

/// What the login shell of the host is asked to run. Understood by POSIX shells, csh and fish alike:
/// it uses single quotes and has neither quotes, backslashes before quotes nor `!` inside them.
pub(super) fn command_line(script_bytes: usize, become_root: Option<&Sudo>) -> String {
    let launch = match become_root {
        None | Some(Sudo::None) => "exec sh -c \"$1\"".to_owned(),
        Some(Sudo::Passwordless) => "LC_ALL=C exec sudo -n -- sh -c \"$1\"".to_owned(),
        Some(Sudo::Password(_)) => format!("LC_ALL=C exec sudo -S -p {PROMPT} -- sh -c \"$1\""),
    };
    let outer = format!(r#"printf "\036%s\n" $$;{launch}"#);
    let size = script_bytes + END.len();
    let inner = format!(
        r#"cd /;umask 022;LC_ALL=C;PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin;export LC_ALL PATH;printf "\036go %s\n" $$;s=$(dd bs={size} count=1 iflag=fullblock 2>/dev/null)||s=$(dd bs=1 count={size} 2>/dev/null);case $s in *\#end)eval "$s";;*)exit 125;;esac"#
    );
    format!("exec sh -c '{outer}' sh '{inner}'")
}

/// The script, its end mark, and the script's input, as they go into stdin.
pub(super) fn payload(command: &Command) -> Bytes {
    let mut bytes = BytesMut::with_capacity(command.script.len() + END.len() + command.stdin.len());
    bytes.extend_from_slice(command.script.as_bytes());
    bytes.extend_from_slice(END.as_bytes());
    bytes.extend_from_slice(&command.stdin);
    bytes.freeze()
}

/// How this command becomes root on this target, if it has to.
pub(super) fn become_root<'a>(target: &'a Target, command: &Command) -> Option<&'a Sudo> {
    (command.sudo && target.sudo != Sudo::None).then_some(&target.sudo)
}

/// Ends the process groups of a script: TERM now, and KILL for what is left after two seconds, from the
/// background: a host has room for few sessions, so this one is short.
pub(super) fn kill_script(groups: &[u32]) -> String {
    let groups: Vec<_> = groups.iter().map(|group| format!("-{group}")).collect();
    let groups = groups.join(" ");
    format!(
        "to_all() {{ r=1; for g in {groups}; do kill -s $1 -- \"$g\" 2>/dev/null && r=0; done; return $r; }}\n\
         to_all TERM || exit 0\n\
         (trap '' HUP TERM\n\
         n=0\n\
         while [ $n -lt 20 ] && to_all 0; do\n\
         n=$((n+1)); sleep 0.1 2>/dev/null || {{ sleep 1; n=$((n+9)); }}\n\
         done\n\
         to_all KILL) </dev/null >/dev/null 2>&1 &"
    )
}

/// Why `sudo` ended before the inner program began, from what it wrote to stderr.
pub(super) fn sudo_error(stderr: &str) -> SudoError {
    let says = |words: &[&str]| words.iter().any(|word| stderr.contains(word));
    if says(&[
        "sudo: not found",
        "sudo: command not found",
        "sudo: No such file",
    ]) {
        SudoError::Missing
    } else if says(&["must have a tty"]) {
        SudoError::RequiresTty
    } else if says(&[
        "incorrect password",
        "Sorry, try again",
        "Authentication failed",
    ]) {
        SudoError::WrongPassword
    } else if says(&[
        "is not in the sudoers",
        "is not allowed to",
        "may not run sudo",
    ]) {
        SudoError::NotAllowed
    } else if says(&[
        "a password is required",
        "a terminal is required",
        "interactive auth",
    ]) {
        SudoError::WantsPassword
    } else {
        let line = stderr
            .lines()
            .rev()
            .map(str::trim)
            .find(|line| !line.is_empty());
        SudoError::Other(line.unwrap_or("nothing at all").to_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::fs::PermissionsExt as _;
    use std::process::Stdio;

    use super::*;
    use crate::drive::transport::Secret;

    #[test]
    fn a_command_line_says_nothing_but_the_length() {
        let secret = Sudo::Password(Secret::new("hunter2"));
        let line = command_line(12345, Some(&secret));
        assert!(!line.contains("hunter2"));
        assert!(line.contains("sudo -S"));
        assert!(line.contains(&format!("bs={}", 12345 + END.len())));
    }

    #[test]
    fn quoting_is_plain_enough_for_any_login_shell() {
        for sudo in [
            None,
            Some(Sudo::Passwordless),
            Some(Sudo::Password(Secret::new("x"))),
        ] {
            let line = command_line(10, sudo.as_ref());
            assert_eq!(line.matches('\'').count(), 4, "{line}");
            assert!(
                !line.contains('!'),
                "csh reads ! even inside quotes: {line}"
            );
            assert!(
                !line.contains("\\\\") && !line.contains("\\'"),
                "fish unescapes these: {line}"
            );
        }
    }

    /// Runs the command line as the login shell of an account with `shell` would, with `sh` being
    /// `sh`, and returns what came out.
    fn through(login_shell: &[&str], sh: &[&str], command: &Command) -> Vec<u8> {
        let bin = tempfile::tempdir().unwrap();
        let sh = format!("#!/bin/bash\nexec {} \"$@\"\n", sh.join(" "));
        std::fs::write(bin.path().join("sh"), sh).unwrap();
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(bin.path().join("sh"), mode).unwrap();
        let path = format!(
            "{}:{}",
            bin.path().display(),
            std::env::var("PATH").unwrap()
        );
        let mut child = std::process::Command::new(login_shell[0])
            .args(&login_shell[1..])
            .args(["-c", &command_line(command.script.len(), None)])
            .env("PATH", path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (mut stdin, payload) = (child.stdin.take().unwrap(), payload(command));
        let feeding = std::thread::spawn(move || stdin.write_all(&payload));
        let output = child.wait_with_output().unwrap();
        feeding.join().unwrap().unwrap();
        assert_eq!(output.status.code(), Some(3), "{login_shell:?}");
        output.stdout
    }

    #[test]
    fn every_shell_passes_script_and_input_on_unharmed() {
        let input: Vec<u8> = (0..1u32 << 18).flat_map(u32::to_be_bytes).collect();
        let script =
            "read -r first; printf '%s\\n' \"$first\" 'it'\"'\"'s! \\n `#`'; cat; exit 3\n\n";
        let command = Command::new(script).stdin([b"a line\n", input.as_slice()].concat());
        let expected = [b"a line\nit's! \\n `#`\n", input.as_slice()].concat();
        let shells: [&[&str]; 7] = [
            &["dash"],
            &["bash"],
            &["busybox", "sh"],
            &["mksh"],
            &["zsh"],
            &["fish"],
            &["tcsh"],
        ];
        for (n, shell) in shells.into_iter().enumerate() {
            if n >= 2 && which::which(shell[0]).is_err() {
                continue;
            }
            // fish and tcsh can be login shells, but are no `sh`.
            let sh = if n < 5 { shell } else { shells[0] };
            let output = through(shell, sh, &command);
            let start = output
                .windows(5)
                .position(|it| it.starts_with(b"\x1ego "))
                .unwrap();
            let start = start + output[start..].iter().position(|it| *it == b'\n').unwrap() + 1;
            assert!(
                output[start..] == expected,
                "{shell:?}: {} bytes",
                output.len()
            );
        }
    }

    #[test]
    fn half_a_script_is_never_run() {
        let mut child = std::process::Command::new("sh")
            .args(["-c", &command_line(100, None)])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(b"echo half; rm -rf /tmp/x")
            .unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(125));
        assert!(!output.stdout.windows(4).any(|it| it == b"half"));
    }

    #[test]
    fn sudo_is_told_apart_by_its_words() {
        let cases = [
            ("sh: 1: exec: sudo: not found", SudoError::Missing),
            ("sh: line 1: exec: sudo: not found", SudoError::Missing),
            ("sudo: a password is required\n", SudoError::WantsPassword),
            (
                "sudo: a terminal is required to read the password",
                SudoError::WantsPassword,
            ),
            (
                "Sorry, try again.\nsudo: 1 incorrect password attempt",
                SudoError::WrongPassword,
            ),
            (
                "sudo: sorry, you must have a tty to run sudo",
                SudoError::RequiresTty,
            ),
            ("bob is not in the sudoers file.", SudoError::NotAllowed),
            (
                "Sorry, user bob is not allowed to execute '/bin/sh'",
                SudoError::NotAllowed,
            ),
            (
                "sudo: unable to open /etc/sudoers\n\n",
                SudoError::Other("sudo: unable to open /etc/sudoers".to_owned()),
            ),
        ];
        for (stderr, expected) in cases {
            assert_eq!(sudo_error(stderr), expected, "{stderr}");
        }
    }
}
