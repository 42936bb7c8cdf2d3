//! HTTP and AMQP through a tunnel of an SSH server inside this process.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "support/ssh_server.rs"]
mod ssh_server;

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use provision::drive::amqp::{BrokerAccount, BrokerLogin, try_login};
use provision::drive::http::{Body, HttpClient, HttpError, Method, Request};
use provision::drive::transport::{Command, Connector, RunError, Secret, Session, Target};
use ssh_server::SshServer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

async fn session(server: &SshServer) -> Session {
    Connector::new()
        .connect(&server.target("controller"))
        .await
        .unwrap()
}

/// Answers `METHOD path bytes sum` and, where the path asks for it, misbehaves.
struct Web {
    port: u16,
    connections: Arc<AtomicUsize>,
    requests: Arc<AtomicUsize>,
}

impl Web {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let connections = Arc::new(AtomicUsize::new(0));
        let requests = Arc::new(AtomicUsize::new(0));
        let it = Self {
            port,
            connections: connections.clone(),
            requests: requests.clone(),
        };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                connections.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(stream, requests.clone()));
            }
        });
        it
    }

    fn client(&self, session: &Session) -> HttpClient {
        HttpClient::new(session.clone(), "127.0.0.1", self.port)
    }
}

async fn serve(stream: TcpStream, requests: Arc<AtomicUsize>) {
    let mut stream = BufReader::new(stream);
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(_) => return,
            }
        }
        requests.fetch_add(1, Ordering::SeqCst);
        let head = String::from_utf8(head).unwrap().to_lowercase();
        let length = head.split("content-length: ").nth(1).map_or(0, |rest| {
            rest.split("\r\n").next().unwrap().parse().unwrap()
        });
        let (mut left, mut sum, mut piece) = (length, 0u64, vec![0; 64 * 1024]);
        while left > 0 {
            let size = left.min(piece.len());
            stream.read_exact(&mut piece[..size]).await.unwrap();
            sum += piece[..size]
                .iter()
                .map(|byte| u64::from(*byte))
                .sum::<u64>();
            left -= size;
        }
        let line = head.lines().next().unwrap();
        if line.contains("/slow") {
            tokio::time::sleep(Duration::from_secs(100)).await;
        }
        if line.contains("/vanish") {
            return;
        }
        let body = format!("{line} {length} {sum}");
        let answer = format!(
            "HTTP/1.1 201 Created\r\nX-Subject-Token: abc\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(answer.as_bytes()).await.unwrap();
        if line.contains("/last") {
            return;
        }
    }
}

#[tokio::test]
async fn requests_share_a_connection_and_let_go_of_it() {
    let (server, web) = (SshServer::start().await, Web::start().await);
    let session = session(&server).await;
    let client = web.client(&session);
    for _ in 0..5 {
        let response = client
            .request(Request::new(Method::GET, "/v3?x=1"))
            .await
            .unwrap();
        assert_eq!(
            (response.status, response.header("x-subject-token")),
            (201, Some("abc"))
        );
        assert_eq!(&response.body[..], b"get /v3?x=1 http/1.1 0 0");
    }
    assert_eq!(web.connections.load(Ordering::SeqCst), 1);
    let request = Request::new(Method::POST, "/x").json(&serde_json::json!({ "a": 1 }));
    let response = client.request(request).await.unwrap();
    assert!(
        response.body.starts_with(b"post /x http/1.1 7 "),
        "{response:?}"
    );
    server.all_closed().await;

    let mut set = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let client = client.clone();
        set.spawn(async move {
            client
                .request(Request::new(Method::GET, "/"))
                .await
                .unwrap()
        });
    }
    while set.join_next().await.is_some() {}
    assert!(web.connections.load(Ordering::SeqCst) <= 1 + 3);
}

#[tokio::test]
async fn an_idle_connection_holds_nobody_up() {
    let (server, web) = (SshServer::start().await, Web::start().await);
    let session = session(&server).await;
    let client = web.client(&session);
    let mut tunnels = Vec::new();
    for _ in 0..7 {
        tunnels.push(session.tunnel("127.0.0.1", web.port).await.unwrap());
    }
    // With all channels taken nothing is kept; with one left the connection is, until it is wanted.
    client
        .request(Request::new(Method::GET, "/"))
        .await
        .unwrap();
    tunnels.pop();
    client
        .request(Request::new(Method::GET, "/"))
        .await
        .unwrap();
    tunnels.push(session.tunnel("127.0.0.1", web.port).await.unwrap());
    let asked = std::time::Instant::now();
    session.run(Command::new("true")).await.unwrap();
    assert!(
        asked.elapsed() < Duration::from_millis(1500),
        "{:?}",
        asked.elapsed()
    );
    assert!(server.most_open() <= 9, "{}", server.most_open());
}

#[tokio::test]
async fn only_what_may_be_repeated_is_repeated() {
    let (server, web) = (SshServer::start().await, Web::start().await);
    let client = web.client(&session(&server).await);
    client
        .request(Request::new(Method::GET, "/"))
        .await
        .unwrap();
    let error = client
        .request(Request::new(Method::POST, "/vanish"))
        .await
        .unwrap_err();
    assert!(matches!(error, HttpError::Broken { .. }), "{error}");
    assert_eq!(web.requests.load(Ordering::SeqCst), 2);

    client
        .request(Request::new(Method::GET, "/"))
        .await
        .unwrap();
    let error = client
        .request(Request::new(Method::GET, "/vanish"))
        .await
        .unwrap_err();
    assert!(matches!(error, HttpError::Broken { .. }), "{error}");
    assert_eq!(
        web.requests.load(Ordering::SeqCst),
        5,
        "once on the old, once on a new connection"
    );

    client
        .request(Request::new(Method::GET, "/last"))
        .await
        .unwrap();
    client
        .request(Request::new(Method::POST, "/"))
        .await
        .unwrap();
}

#[tokio::test]
async fn errors_name_method_and_address_but_no_token() {
    let (server, web) = (SshServer::start().await, Web::start().await);
    let session = session(&server).await;
    let request = Request::new(Method::GET, "/slow").header("X-Auth-Token", "s3cret");
    assert!(!format!("{request:?}").contains("s3cret"));
    let request = request.deadline(Duration::from_millis(200));
    let error = web.client(&session).request(request).await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.starts_with("controller: GET http://127.0.0.1:"),
        "{text}"
    );
    server.all_closed().await;

    let free = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let client = HttpClient::new(session, "127.0.0.1", free);
    let error = client
        .request(Request::new(Method::GET, "/"))
        .await
        .unwrap_err();
    let HttpError::Connect { source, .. } = error else {
        panic!("{error}")
    };
    assert!(matches!(*source, RunError::NoListener { .. }), "{source}");
}

#[tokio::test]
async fn a_large_file_is_streamed() {
    let (server, web) = (SshServer::start().await, Web::start().await);
    let session = session(&server).await;
    let size: u64 = 200 << 20;
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"begin").unwrap();
    file.as_file().set_len(size).unwrap();
    let mut request = Request::new(Method::PUT, "/v2/images/1/file");
    request.body = Body::File(file.path().to_owned());
    request.deadline = Duration::from_secs(120);
    let before = resident();
    let upload = web.client(&session);
    let upload = upload.request(request.header("Content-Type", "application/octet-stream"));
    tokio::pin!(upload);
    let mut most = 0;
    let response = loop {
        tokio::select! {
            response = &mut upload => break response.unwrap(),
            () = tokio::time::sleep(Duration::from_millis(20)) => most = most.max(resident()),
        }
    };
    let sum: u64 = b"begin".iter().map(|byte| u64::from(*byte)).sum();
    let expected = format!("put /v2/images/1/file http/1.1 {size} {sum}");
    assert_eq!(String::from_utf8_lossy(&response.body), expected);
    // Both ends of the tunnel live in this process.
    assert!(most < before + 64 * 1024, "from {before} to {most} KiB");

    let mut request = Request::new(Method::PUT, "/x");
    request.body = Body::File("/nowhere/image".into());
    let error = web.client(&session).request(request).await.unwrap_err();
    assert!(error.to_string().contains("/nowhere/image"), "{error}");
}

fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Plays a broker: sends `first` after the greeting, and each further frame after one of ours.
async fn broker(frames: Vec<Vec<u8>>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut greeting = [0; 8];
        stream.read_exact(&mut greeting).await.unwrap();
        assert_eq!(&greeting, b"AMQP\0\0\x09\x01");
        for frame in frames {
            stream.write_all(&frame).await.unwrap();
            if frame[0] == 1 {
                let mut head = [0; 7];
                if stream.read_exact(&mut head).await.is_err() {
                    return;
                }
                let size = u32::from_be_bytes(head[3..].try_into().unwrap()) as usize;
                let mut rest = vec![0; size + 1];
                stream.read_exact(&mut rest).await.unwrap();
            }
        }
    });
    port
}

fn method(class: u16, method: u16, arguments: &[u8]) -> Vec<u8> {
    let size = u32::try_from(arguments.len() + 4).unwrap();
    let mut frame = vec![1, 0, 0];
    frame.extend(size.to_be_bytes());
    frame.extend(class.to_be_bytes());
    frame.extend(method.to_be_bytes());
    frame.extend(arguments);
    frame.push(0xce);
    frame
}

async fn ask(port: u16) -> BrokerLogin {
    let session = Connector::new()
        .connect(&Target::local("controller"))
        .await
        .unwrap();
    let account = BrokerAccount {
        user: "openstack".to_owned(),
        password: Secret::new("pw"),
        vhost: "/".to_owned(),
    };
    try_login(
        &session,
        "127.0.0.1",
        port,
        &account,
        Duration::from_secs(5),
    )
    .await
}

#[tokio::test]
async fn a_broker_accepts_refuses_or_is_none() {
    let start = method(10, 10, b"\0\x09\0\0\0\0\0\0\0\x05PLAIN\0\0\0\x05en_US");
    // Connection.Tune asks for our Tune-Ok, and our Open follows at once.
    let tune = method(10, 30, &[7, 255, 0, 2, 0, 0, 0, 60]);
    let heartbeat = vec![8, 0, 0, 0, 0, 0, 0, 0xce];
    let open_ok = method(10, 41, b"\0");
    let port = broker(vec![start.clone(), tune.clone(), heartbeat, open_ok]).await;
    assert_eq!(ask(port).await, BrokerLogin::Accepted);

    let text = b"ACCESS_REFUSED - Login was refused";
    let mut close = 403u16.to_be_bytes().to_vec();
    close.push(u8::try_from(text.len()).unwrap());
    close.extend(text);
    close.extend([0, 0, 0, 0]);
    let close = method(10, 50, &close);
    let refused = BrokerLogin::Refused(format!("403 {}", String::from_utf8_lossy(text)));
    assert_eq!(
        ask(broker(vec![start.clone(), close.clone()]).await).await,
        refused
    );
    assert_eq!(
        ask(broker(vec![start.clone(), tune, close]).await).await,
        refused
    );

    let hung_up = ask(broker(vec![start]).await).await;
    assert!(
        matches!(&hung_up, BrokerLogin::Refused(why) if why.contains("closed")),
        "{hung_up:?}"
    );

    let other = ask(broker(vec![b"AMQP\0\x01\0\0".to_vec()]).await).await;
    assert!(
        matches!(&other, BrokerLogin::NoBroker(why) if why.contains("0-9-1")),
        "{other:?}"
    );
    let free = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    assert!(matches!(ask(free).await, BrokerLogin::NoBroker(_)));
}
