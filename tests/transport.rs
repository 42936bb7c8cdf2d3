//! The transport against an SSH server inside this process.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "support/ssh_server.rs"]
mod ssh_server;

use std::time::Duration;

use provision::drive::transport::{
    Command, ConnectError, Connector, HostKeys, Reach, RunError, Session, SshReach, Target,
};
use ssh_server::{Answer, SshServer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

async fn connect(target: &Target) -> Session {
    Connector::new().connect(target).await.unwrap()
}

fn reach(target: &mut Target) -> &mut SshReach {
    match &mut target.reach {
        Reach::Ssh(reach) => reach,
        Reach::Local => panic!("a local target"),
    }
}

/// Whether a process is there and no zombie.
fn runs(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    stat.rsplit(") ")
        .next()
        .is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
}

/// An address where everything comes back.
async fn echo() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut read, mut write) = stream.split();
                let _ = tokio::io::copy(&mut read, &mut write).await;
            });
        }
    });
    port
}

#[tokio::test]
async fn never_more_than_eight_channels_and_every_one_is_closed() {
    let server = SshServer::start().await;
    let session = connect(&server.target("a")).await;
    let port = echo().await;
    let mut work = tokio::task::JoinSet::new();
    for n in 0..30 {
        let session = session.clone();
        work.spawn(async move {
            if n % 3 == 0 {
                let mut tunnel = session.tunnel("127.0.0.1", port).await.unwrap();
                tunnel.write_all(b"ping").await.unwrap();
                let mut back = [0; 4];
                tunnel.read_exact(&mut back).await.unwrap();
                assert_eq!(&back, b"ping");
            } else {
                let output = session
                    .run(Command::new(format!("echo {n}")))
                    .await
                    .unwrap();
                assert_eq!(output.text(), format!("{n}\n"));
            }
        });
    }
    while let Some(done) = work.join_next().await {
        done.unwrap();
    }
    server.all_closed().await;
    assert_eq!(server.opened(), 30);
    assert!(server.most_open() <= 9, "{} at once", server.most_open());
}

#[tokio::test]
async fn a_deadline_ends_the_script_and_tells_its_last_line() {
    let server = SshServer::start().await;
    let session = connect(&server.target("a")).await;
    let command = Command::new("echo $$; echo working; sleep 100; echo never");
    let error = session
        .run(command.deadline(Duration::from_millis(500)))
        .await
        .unwrap_err();
    let RunError::Deadline {
        host, last_lines, ..
    } = &error
    else {
        panic!("{error}")
    };
    assert_eq!((host.as_str(), last_lines[1].as_str()), ("a", "working"));
    server.all_closed().await;
    session.close().await;
    let pid = &last_lines[0];
    assert!(!runs(pid), "process {pid} is left");
}

#[tokio::test]
async fn a_dropped_script_leaves_no_process_and_no_channel() {
    let server = SshServer::start().await;
    let session = connect(&server.target("a")).await;
    let (tell, told) = tokio::sync::oneshot::channel();
    let tell = std::sync::Mutex::new(Some(tell));
    let command = Command::new("trap '' TERM; sleep 100 & echo $!; wait; sleep 100");
    let command = command.on_line(std::sync::Arc::new(move |_, line| {
        if let Some(tell) = tell.lock().unwrap().take() {
            tell.send(line.to_owned()).unwrap();
        }
    }));
    let running = tokio::spawn({
        let session = session.clone();
        async move { session.run(command).await }
    });
    let pid = told.await.unwrap();
    running.abort();
    assert!(running.await.unwrap_err().is_cancelled());
    server.all_closed().await;
    assert!(!runs(&pid), "process {pid} is left");
}

#[tokio::test]
async fn answers_can_be_written_by_the_test() {
    let server = SshServer::start().await;
    server.answer(|script, stdin| match script {
        "question" => Some(Answer::ok([b"heard ", stdin].concat())),
        "mistake" => Some(Answer::failed(7, "no such thing\n")),
        _ => None,
    });
    let session = connect(&server.target("a")).await;
    let output = session
        .run(Command::new("question").stdin("you"))
        .await
        .unwrap();
    assert_eq!(output.text(), "heard you");
    let output = session.run(Command::new("mistake")).await.unwrap();
    assert_eq!(
        (output.status, output.last_lines(3)),
        (7, vec!["no such thing".to_owned()])
    );
    let output = session
        .run(Command::new("cat; echo real").stdin("x "))
        .await
        .unwrap();
    assert_eq!(output.text(), "x real\n");
}

#[tokio::test]
async fn refused_logins_say_what_was_tried() {
    let server = SshServer::start().await;
    let connector = Connector::new();
    connector
        .connect(&server.password_target("a", "secret"))
        .await
        .unwrap();
    let error = connector
        .connect(&server.password_target("a", "wrong"))
        .await
        .unwrap_err();
    assert!(error.to_string().ends_with("tried: password"), "{error}");
    assert!(!error.to_string().contains("wrong"));

    server.only_questions();
    connector
        .connect(&server.password_target("a", "secret"))
        .await
        .unwrap();
    let error = connector
        .connect(&server.password_target("a", "wrong"))
        .await
        .unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("password, password (keyboard-interactive)"),
        "{error}"
    );

    let server = SshServer::start().await;
    server.refuse_logins(true);
    let mut target = server.target("a");
    reach(&mut target)
        .login
        .identities
        .insert(0, "/nowhere/id".into());
    let error = connector.connect(&target).await.unwrap_err();
    let ConnectError::Auth { tried, .. } = &error else {
        panic!("{error}")
    };
    let id = server.dir.path().join("id").display().to_string();
    assert_eq!(tried, &["/nowhere/id (not there)".to_owned(), id]);
    assert!(error.help().unwrap().contains("ssh-copy-id"));
    assert!(!error.is_transient());
}

#[tokio::test]
async fn a_key_is_pinned_once_and_a_changed_one_stops() {
    let server = SshServer::start().await;
    let mut target = server.target("a");
    reach(&mut target).host_keys = HostKeys::Pinned;
    let error = Connector::new().connect(&target).await.unwrap_err();
    assert!(
        matches!(error, ConnectError::HostKeyUnknown { .. }),
        "{error}"
    );
    assert!(
        !server.known_hosts().exists(),
        "nothing is written unless that is allowed"
    );

    let connector = Connector::new();
    let first = server.target("a");
    let (one, two) = tokio::join!(connector.connect(&first), connector.connect(&first));
    one.and(two).unwrap();
    let pinned = std::fs::read_to_string(server.known_hosts()).unwrap();
    assert_eq!(pinned.lines().count(), 1, "{pinned}");
    connect(&target).await;

    server.change_host_key();
    for target in [&target, &first] {
        let error = connector.connect(target).await.unwrap_err();
        let ConnectError::HostKeyChanged {
            line,
            expected,
            shown,
            ..
        } = &error
        else {
            panic!("{error}")
        };
        assert_eq!(*line, 1);
        assert!(expected.contains("SHA256:") && shown.contains("SHA256:") && expected != shown);
    }
    assert_eq!(
        std::fs::read_to_string(server.known_hosts()).unwrap(),
        pinned
    );
}

#[tokio::test]
async fn a_cut_connection_is_told_and_made_again_for_all_clones() {
    let server = SshServer::start().await;
    let session = connect(&server.target("a")).await;
    let clone = session.clone();
    let running = tokio::spawn(async move { clone.run(Command::new("echo; sleep 100")).await });
    while server.opened() == 0 {
        tokio::task::yield_now().await;
    }
    server.cut();
    let error = running.await.unwrap().unwrap_err();
    assert!(error.is_lost(), "{error}");
    assert!(!session.is_alive());
    let (one, two) = tokio::join!(
        session.reconnect(Duration::from_secs(10)),
        session.reconnect(Duration::from_secs(10)),
    );
    one.and(two).unwrap();
    assert_eq!(server.connections(), 2, "both shared one attempt");
    assert_eq!(
        session.run(Command::new("echo back")).await.unwrap().text(),
        "back\n"
    );
}

#[tokio::test]
async fn silence_is_noticed() {
    let server = SshServer::start().await;
    let mut target = server.target("a");
    reach(&mut target).keepalive = Duration::from_millis(50);
    let session = connect(&target).await;
    session.run(Command::new("true")).await.unwrap();
    server.freeze(true);
    let error = session.run(Command::new("true")).await.unwrap_err();
    assert!(
        error.is_lost() && error.to_string().contains("no answer"),
        "{error}"
    );
    reach(&mut target).connect_deadline = Duration::from_millis(300);
    let error = Connector::new().connect(&target).await.unwrap_err();
    assert!(
        matches!(
            error,
            ConnectError::Timeout {
                stage: "key exchange",
                ..
            }
        ),
        "{error}"
    );
    server.freeze(false);
    session.reconnect(Duration::from_secs(10)).await.unwrap();
}

#[tokio::test]
async fn a_reboot_is_known_by_its_boot_id() {
    let server = SshServer::start().await;
    server.answer(|script, _| script.contains("boot_id").then(|| Answer::ok("one\n1\n")));
    let session = connect(&server.target("a")).await;
    let before = session.boot_id().await.unwrap();
    assert_eq!(before, "one/1");
    let waiting = tokio::spawn({
        let (session, before) = (session.clone(), before.clone());
        async move {
            session
                .wait_for_reboot(&before, Duration::from_secs(20))
                .await
        }
    });
    while server.opened() < 2 {
        tokio::task::yield_now().await;
    }
    server.refuse_logins(true);
    server.cut();
    while server.connections() < 2 {
        tokio::task::yield_now().await;
    }
    server.answer(|script, _| script.contains("boot_id").then(|| Answer::ok("two\n1\n")));
    server.refuse_logins(false);
    assert_eq!(waiting.await.unwrap().unwrap(), "two/1");

    let error = session
        .wait_for_reboot("two/1", Duration::from_millis(300))
        .await
        .unwrap_err();
    assert!(
        matches!(error, ConnectError::NotRebooted { last: None, .. }),
        "{error}"
    );
}

#[tokio::test]
async fn tunnels_tell_nobody_there_from_not_allowed() {
    let server = SshServer::start().await;
    let session = connect(&server.target("a")).await;
    let free = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let error = session.tunnel("127.0.0.1", free).await.unwrap_err();
    assert!(
        matches!(error, RunError::NoListener { port, .. } if port == free),
        "{error}"
    );
    server.prohibit_tunnels();
    let error = session.tunnel("127.0.0.1", free).await.unwrap_err();
    assert!(matches!(error, RunError::Refused { .. }), "{error}");
    assert!(error.help().unwrap().contains("AllowTcpForwarding"));
}

#[tokio::test]
async fn hosts_behind_one_bastion_share_its_connection() {
    let (bastion, second) = (SshServer::start().await, SshServer::start().await);
    let (one, two) = (SshServer::start().await, SshServer::start().await);
    let mut inner = second.target("inner-bastion");
    reach(&mut inner).jump = Some(Box::new(bastion.target("bastion")));
    let targets = [&one, &two, &one, &two].map(|server| {
        let mut target = server.target("behind");
        reach(&mut target).jump = Some(Box::new(inner.clone()));
        target
    });
    let connector = Connector::new();
    let [a, b, c, d] = &targets;
    let (a, b, c, d) = tokio::join!(
        connector.connect(a),
        connector.connect(b),
        connector.connect(c),
        connector.connect(d)
    );
    for session in [a, b, c, d] {
        assert_eq!(
            session
                .unwrap()
                .run(Command::new("echo hi"))
                .await
                .unwrap()
                .text(),
            "hi\n"
        );
    }
    assert_eq!((bastion.connections(), second.connections()), (1, 1));

    bastion.change_host_key();
    let error = Connector::new().connect(&targets[0]).await.unwrap_err();
    let ConnectError::Jump { jump, source, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!(jump, "inner-bastion");
    let ConnectError::Jump { jump, source, .. } = &**source else {
        panic!("{source}")
    };
    assert_eq!(jump, "bastion");
    assert!(
        matches!(**source, ConnectError::HostKeyChanged { .. }),
        "{source}"
    );
}

#[tokio::test]
async fn what_is_no_ssh_server_is_named_so() {
    let (closed, web) = (
        TcpListener::bind("127.0.0.1:0")
            .await
            .unwrap()
            .local_addr()
            .unwrap()
            .port(),
        TcpListener::bind("127.0.0.1:0").await.unwrap(),
    );
    let known_hosts = tempfile::tempdir().unwrap();
    let mut it = SshReach::new("127.0.0.1", known_hosts.path().join("known_hosts"));
    it.port = closed;
    let error = Connector::new()
        .connect(&Target::ssh("a", it.clone()))
        .await
        .unwrap_err();
    assert!(
        matches!(error, ConnectError::Tcp { .. }) && error.is_transient(),
        "{error}"
    );

    it.port = web.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut stream, _) = web.accept().await.unwrap();
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    });
    let error = Connector::new()
        .connect(&Target::ssh("a", it.clone()))
        .await
        .unwrap_err();
    assert!(matches!(error, ConnectError::Protocol { .. }), "{error}");

    it.address = "no-such-host.invalid".to_owned();
    let error = Connector::new()
        .connect(&Target::ssh("a", it))
        .await
        .unwrap_err();
    assert!(matches!(error, ConnectError::Resolve { .. }), "{error}");
}

#[tokio::test]
async fn this_machine_is_a_host_as_well() {
    let session = connect(&Target::local("here")).await;
    let data: Vec<u8> = (0..=255u8).cycle().take(1 << 20).collect();
    let command = Command::new("cat; pwd >&2; exit 4")
        .stdin(data.clone())
        .capture_all();
    let output = session.run(command).await.unwrap();
    assert!(output.stdout == data);
    assert_eq!((output.status, output.stderr.as_slice()), (4, &b"/\n"[..]));
    let output = session.run(Command::new("kill -9 $$")).await.unwrap();
    assert_eq!(output.status, 137);

    let command = Command::new("echo $$; sleep 100").deadline(Duration::from_millis(200));
    let error = session.run(command).await.unwrap_err();
    let RunError::Deadline { last_lines, .. } = &error else {
        panic!("{error}")
    };
    session.close().await;
    assert!(!runs(&last_lines[0]));

    let port = echo().await;
    let mut tunnel = session.tunnel("127.0.0.1", port).await.unwrap();
    tunnel.write_all(b"hi").await.unwrap();
    let mut back = [0; 2];
    tunnel.read_exact(&mut back).await.unwrap();
    assert_eq!(&back, b"hi");
}

#[tokio::test]
async fn a_daemon_left_behind_does_not_hold_us() {
    let session = connect(&Target::local("here")).await;
    let command = Command::new("sleep 30 & echo $!").deadline(Duration::from_secs(20));
    let output = session.run(command).await.unwrap();
    assert!(
        output.success() && output.elapsed < Duration::from_secs(10),
        "{output:?}"
    );
    let pid = output.text();
    session
        .run(Command::new(format!("kill {pid}")))
        .await
        .unwrap();
}
