//! The transport against real OpenSSH servers on loopback ports.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "support/sshd.rs"]
mod sshd;

use std::sync::Arc;
use std::time::Duration;

use provision::drive::http::{HttpClient, Method, Request};
use provision::drive::transport::{
    Command, ConnectError, Connector, HostKeys, Login, Reach, RunError, Session, SshReach, Target,
};
use sshd::{Agent, Sshd, keygen};

async fn connect(target: &Target) -> Session {
    Connector::new()
        .connect(target)
        .await
        .unwrap_or_else(|error| panic!("{error}"))
}

fn reach(target: &mut Target) -> &mut SshReach {
    match &mut target.reach {
        Reach::Ssh(reach) => reach,
        Reach::Local => panic!("a local target"),
    }
}

async fn says(session: &Session, script: &str) -> String {
    session.run(Command::new(script)).await.unwrap().text()
}

fn last_lines(error: RunError) -> Vec<String> {
    match error {
        RunError::Deadline { last_lines, .. } => last_lines,
        other => panic!("{other}"),
    }
}

/// Whether a process is there and no zombie.
fn runs(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    stat.rsplit(") ")
        .next()
        .is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
}

#[tokio::test]
async fn a_script_gets_its_input_and_we_get_its_output() {
    let server = Sshd::start("");
    let session = connect(&server.ed25519()).await;
    let data: Vec<u8> = (0..1u32 << 18).flat_map(u32::to_le_bytes).collect();
    let command = Command::new("cat; echo to stderr >&2; exit 3").stdin(data.clone());
    let output = session.run(command.capture_all()).await.unwrap();
    assert_eq!(output.status, 3);
    assert!(output.stdout == data);
    assert_eq!(output.stderr, b"to stderr\n");

    assert_eq!(
        says(&session, "pwd; umask; echo $LC_ALL").await,
        "/\n0022\nC\n"
    );
    let output = session.run(Command::new("kill -TERM $$")).await.unwrap();
    assert_eq!(output.status, 143);
    // Nobody reads it, and far more than the channel's window is on its way.
    let command = Command::new("exit 0").stdin(vec![0; 8 << 20]);
    assert!(
        session
            .run(command.deadline(Duration::from_secs(20)))
            .await
            .unwrap()
            .success()
    );
    let output = session
        .run(Command::new("yes | head -c 5000000"))
        .await
        .unwrap();
    assert_eq!(
        (output.stdout.len(), output.dropped),
        (1 << 20, 5_000_000 - (1 << 20))
    );
    assert!(session.boot_id().await.unwrap().len() > 36);
}

#[tokio::test]
async fn every_kind_of_key_logs_in() {
    let server = Sshd::start("");
    for kind in ["ed25519", "ecdsa", "rsa"] {
        let identities = vec!["/nowhere".into(), server.login_key(kind)];
        let session = connect(&server.target(Login {
            identities,
            ..Login::default()
        }))
        .await;
        assert_eq!(says(&session, "echo in").await, "in\n", "{kind}");
    }
    let locked = server.path("locked");
    sshd::keygen_with(&locked, "ed25519", "a passphrase");
    let login = Login {
        identities: vec![locked],
        ..Login::default()
    };
    let error = Connector::new()
        .connect(&server.target(login))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("needs a passphrase"), "{error}");
    assert!(error.help().unwrap().contains("ssh-add"));
}

#[tokio::test]
async fn a_certificate_beside_the_key_logs_in() {
    let mut server = Sshd::start("");
    let (ca, id) = (server.path("ca"), server.path("id"));
    keygen(&ca, "ed25519");
    let login = Login {
        identities: vec![id.clone()],
        ..Login::default()
    };
    server.configure(&format!("TrustedUserCAKeys {}.pub", ca.display()));
    for kind in ["ed25519", "rsa"] {
        let _ = std::fs::remove_file(&id);
        keygen(&id, kind);
        let error = Connector::new()
            .connect(&server.target(login.clone()))
            .await
            .unwrap_err();
        assert!(matches!(error, ConnectError::Auth { .. }), "{error}");
        sshd::sign(&ca, &id, &sshd::whoami());
        connect(&server.target(login.clone())).await;
        std::fs::remove_file(server.path("id-cert.pub")).unwrap();
    }
}

#[tokio::test]
async fn the_agent_logs_in_and_many_keys_in_it_do_no_harm() {
    let server = Sshd::start("MaxAuthTries 4");
    let agent = Agent::start(server.dir.path());
    let rsa = server.login_key("rsa");
    agent.add(&rsa);
    let mut login = Login {
        agent: Some(agent.socket.clone()),
        ..Login::default()
    };
    connect(&server.target(login.clone())).await;

    agent.remove_all();
    for n in 0..6 {
        let other = server.path(&format!("other{n}"));
        keygen(&other, "ed25519");
        agent.add(&other);
    }
    agent.add(&rsa);
    let error = Connector::new()
        .connect(&server.target(login.clone()))
        .await
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("agent (7 keys), then the host hung up"),
        "{error}"
    );
    assert!(error.help().unwrap().contains("MaxAuthTries"));

    // The private half is not even there: the name alone tells which of the agent's keys to use.
    std::fs::remove_file(&rsa).unwrap();
    login.identities = vec![rsa];
    connect(&server.target(login)).await;
}

#[tokio::test]
async fn the_way_leads_through_bastions() {
    let (outer, inner, host) = (Sshd::start(""), Sshd::start(""), Sshd::start(""));
    let mut bastion = inner.ed25519();
    reach(&mut bastion).jump = Some(Box::new(outer.ed25519()));
    let mut target = host.ed25519();
    reach(&mut target).jump = Some(Box::new(bastion));
    let session = connect(&target).await;
    let data = vec![7; 1 << 20];
    let command = Command::new("cat").stdin(data.clone()).capture_all();
    assert!(session.run(command).await.unwrap().stdout == data);
    assert_eq!(outer.log().matches("Accepted publickey").count(), 1);
}

#[tokio::test]
async fn no_more_sessions_than_the_host_allows() {
    let server = Sshd::start("");
    let target = server.ed25519();
    let session = connect(&target).await;
    let mut set = tokio::task::JoinSet::new();
    for n in 0..200 {
        let session = session.clone();
        set.spawn(async move { says(&session, &format!("sleep 0.01; echo {n}")).await });
    }
    assert_eq!(set.join_all().await.len(), 200);

    let server = Sshd::start("MaxSessions 1");
    let session = connect(&server.ed25519()).await;
    let (one, two) = tokio::join!(
        session.run(Command::new("sleep 4")),
        session.run(Command::new("sleep 4"))
    );
    let error = one.and(two).unwrap_err();
    assert!(error.help().unwrap().contains("MaxSessions"), "{error}");
}

#[tokio::test]
async fn a_deadline_ends_everything_the_script_started() {
    let server = Sshd::start("");
    let session = connect(&server.ed25519()).await;
    let script = "trap '' TERM; sleep 300 & echo $!; sh -c 'echo $$; sleep 300'; wait";
    let mut set = tokio::task::JoinSet::new();
    for _ in 0..12 {
        let command = Command::new(script).deadline(Duration::from_millis(700));
        let session = session.clone();
        set.spawn(async move { session.run(command).await.unwrap_err() });
    }
    let pids: Vec<String> = set
        .join_all()
        .await
        .into_iter()
        .flat_map(last_lines)
        .collect();
    assert_eq!(pids.len(), 24);
    let end = tokio::time::Instant::now() + Duration::from_secs(10);
    while let Some(pid) = pids.iter().find(|pid| runs(pid)) {
        assert!(tokio::time::Instant::now() < end, "{pid} still runs");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // More deadlines than MaxSessions: none of them kept its slot.
    assert_eq!(says(&session, "echo still here").await, "still here\n");
}

#[tokio::test]
async fn no_process_list_and_no_environment_shows_a_secret() {
    let server = Sshd::start("");
    let session = connect(&server.ed25519()).await;
    let (tell, told) = tokio::sync::oneshot::channel();
    let tell = std::sync::Mutex::new(Some(tell));
    // Still at work when its first line arrives.
    let script = "password=hidden-in-script; read -r other; echo ready; sleep 1";
    let command = Command::new(script).stdin("hidden-in-stdin\n");
    let command = command.on_line(Arc::new(move |_, _| {
        if let Some(tell) = tell.lock().unwrap().take() {
            tell.send(shown()).unwrap();
        }
    }));
    session.run(command).await.unwrap();
    let shown = told.await.unwrap();
    assert!(shown.contains("umask 022"), "our own shell is among them");
    assert!(!shown.contains("hidden-in"), "a secret is visible");
}

/// Command lines and environments of all processes but this one.
fn shown() -> String {
    let mut text = String::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name
            .parse::<u32>()
            .is_ok_and(|pid| pid != std::process::id())
        {
            for file in ["cmdline", "environ"] {
                let bytes = std::fs::read(entry.path().join(file)).unwrap_or_default();
                text += &String::from_utf8_lossy(&bytes);
            }
        }
    }
    text
}

#[tokio::test]
async fn a_host_that_shows_another_key_is_refused() {
    let mut server = Sshd::start("");
    let target = server.ed25519();
    let session = connect(&target).await;
    server.change_host_key();
    server.stop();
    server.restart();
    let error = session.run(Command::new("true")).await.unwrap_err();
    assert!(error.is_lost(), "{error}");
    let error = session
        .reconnect(Duration::from_secs(10))
        .await
        .unwrap_err();
    let file = server.path("known_hosts").display().to_string();
    assert!(
        error
            .to_string()
            .contains(&format!("the host key changed: {file}:1 says")),
        "{error}"
    );
    assert!(
        error
            .help()
            .unwrap()
            .contains(&format!("remove line 1 of {file}"))
    );
}

#[tokio::test]
async fn the_host_is_asked_for_the_kind_of_key_that_is_pinned() {
    let mut server = Sshd::start("");
    let (rsa, ecdsa) = (server.path("host_rsa"), server.path("host_ecdsa"));
    keygen(&rsa, "rsa");
    keygen(&ecdsa, "ecdsa");
    server.configure(&format!(
        "HostKey {}\nHostKey {}",
        rsa.display(),
        ecdsa.display()
    ));
    let mut target = server.ed25519();
    reach(&mut target).host_keys = HostKeys::Pinned;
    for file in [&rsa, &ecdsa, &server.path("host")] {
        let public = std::fs::read_to_string(file.with_extension("pub")).unwrap();
        let line = format!("[127.0.0.1]:{} {public}", server.port);
        std::fs::write(server.path("known_hosts"), line).unwrap();
        connect(&target).await;
    }
}

#[tokio::test]
async fn a_crashed_server_is_waited_for() {
    let mut server = Sshd::start("");
    let session = connect(&server.ed25519()).await;
    server.stop();
    let waiting = tokio::spawn({
        let session = session.clone();
        async move {
            while session.is_alive() {
                tokio::task::yield_now().await;
            }
            session.reconnect(Duration::from_secs(20)).await
        }
    });
    let target = session.target().clone();
    let connecting = tokio::spawn(async move {
        Connector::new()
            .connect_within(&target, Duration::from_secs(20))
            .await
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    server.restart();
    waiting.await.unwrap().unwrap();
    connecting.await.unwrap().unwrap();
    assert_eq!(says(&session, "echo back").await, "back\n");

    server.stop();
    let error = session.run(Command::new("true")).await.unwrap_err();
    assert!(error.is_lost(), "{error}");
    let error = session.reconnect(Duration::from_secs(1)).await.unwrap_err();
    assert!(matches!(error, ConnectError::Tcp { .. }), "{error}");
}

#[tokio::test]
async fn an_account_without_a_shell_is_told() {
    let server = Sshd::start("ForceCommand echo go away >&2");
    let session = connect(&server.ed25519()).await;
    let error = session.run(Command::new("true")).await.unwrap_err();
    assert!(
        matches!(&error, RunError::Refused { cause, .. } if cause == "go away"),
        "{error}"
    );
}

#[tokio::test]
async fn sshd_that_forbids_forwarding_is_told_from_a_closed_port() {
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let server = Sshd::start("");
    let error = connect(&server.ed25519())
        .await
        .tunnel("127.0.0.1", free)
        .await
        .unwrap_err();
    assert!(matches!(error, RunError::NoListener { .. }), "{error}");
    let server = Sshd::start("AllowTcpForwarding no");
    let session = connect(&server.ed25519()).await;
    let client = HttpClient::new(session, "127.0.0.1", free);
    let error = client
        .request(Request::new(Method::GET, "/"))
        .await
        .unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("prohibited"), "{source}");
}
