//! Becoming root on a real sshd with a real sudo, as a user who exists in the server's own mount
//! namespace only.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "support/sshd.rs"]
mod sshd;

use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::Duration;

use provision::drive::transport::{
    Command, Connector, RunError, Secret, Session, Sudo, SudoError, Target,
};
use sshd::Sshd;

async fn connect(target: &Target) -> Session {
    Connector::new()
        .connect(target)
        .await
        .unwrap_or_else(|error| panic!("{error}"))
}

fn password(text: &str) -> Sudo {
    Sudo::Password(Secret::new(text))
}

async fn fails(server: &Sshd, sudo: Sudo) -> SudoError {
    let session = connect(&server.bob(sudo)).await;
    match session.run(Command::new("id -u").stdin("never read")).await {
        Err(error @ RunError::Sudo { .. }) => {
            assert!(
                error
                    .to_string()
                    .starts_with("box: `bob` cannot become root: "),
                "{error}"
            );
            assert!(
                error.help().is_some() && !error.to_string().contains("password'"),
                "{error}"
            );
            let RunError::Sudo { cause, .. } = error else {
                unreachable!()
            };
            cause
        }
        other => panic!("{other:?}"),
    }
}

async fn works(server: &Sshd, sudo: Sudo) {
    let session = connect(&server.bob(sudo)).await;
    let data: Vec<u8> = (0..1u32 << 18).flat_map(u32::to_le_bytes).collect();
    let command = Command::new("id -u >&2; cat; exit 7")
        .stdin(data.clone())
        .capture_all();
    let output = session.run(command).await.unwrap();
    assert_eq!(
        (output.status, output.stderr.ends_with(b"0\n")),
        (7, true),
        "{output:?}"
    );
    assert!(output.stdout == data);
    let output = session
        .run(Command::new("id -un").as_login_user())
        .await
        .unwrap();
    assert_eq!(output.text(), "bob\n");

    let command = Command::new("trap '' TERM; sleep 300 & echo $!; wait; sleep 300")
        .deadline(Duration::from_secs(1));
    let error = session.run(command).await.unwrap_err();
    let RunError::Deadline { last_lines, .. } = &error else {
        panic!("{error}")
    };
    let pid = last_lines
        .iter()
        .find(|line| line.parse::<u32>().is_ok())
        .unwrap();
    session.close().await;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    assert!(
        stat.is_empty() || stat.contains(") Z "),
        "root's process {pid} still runs: {stat}"
    );
}

#[tokio::test]
async fn sudo_without_a_password() {
    let server = Sshd::with_bob("", "bob ALL=(ALL) NOPASSWD: ALL");
    works(&server, Sudo::Passwordless).await;
    // A password that nobody asks for must not end up in the script's input.
    works(&server, password("unneeded")).await;
}

#[tokio::test]
async fn sudo_with_a_password() {
    let server = Sshd::with_bob("", "bob ALL=(ALL) ALL");
    works(&server, password("bob's password")).await;
    assert_eq!(
        fails(&server, password("another")).await,
        SudoError::WrongPassword
    );
    assert_eq!(
        fails(&server, Sudo::Passwordless).await,
        SudoError::WantsPassword
    );
}

#[tokio::test]
async fn sudo_that_gives_each_command_a_terminal() {
    let server = Sshd::with_bob("", "Defaults use_pty\nbob ALL=(ALL) ALL");
    works(&server, password("bob's password")).await;
}

#[tokio::test]
async fn sudo_that_is_not_for_us() {
    let server = Sshd::with_bob("", "Defaults requiretty\nbob ALL=(ALL) NOPASSWD: ALL");
    assert_eq!(
        fails(&server, Sudo::Passwordless).await,
        SudoError::RequiresTty
    );
    let server = Sshd::with_bob("", "Defaults !lecture");
    assert_eq!(
        fails(&server, password("bob's password")).await,
        SudoError::NotAllowed
    );
    let server = Sshd::with_bob("", "bob ALL=(ALL) NOPASSWD: /bin/true");
    assert_eq!(
        fails(&server, Sudo::Passwordless).await,
        SudoError::WantsPassword
    );
}

#[tokio::test]
async fn a_host_without_sudo() {
    let bin = tempfile::tempdir().unwrap();
    std::fs::set_permissions(bin.path(), PermissionsExt::from_mode(0o755)).unwrap();
    symlink("/bin/sh", bin.path().join("sh")).unwrap();
    let server = Sshd::with_bob(&format!("SetEnv SHLVL=5 PATH={}", bin.path().display()), "");
    assert_eq!(fails(&server, Sudo::Passwordless).await, SudoError::Missing);
}
