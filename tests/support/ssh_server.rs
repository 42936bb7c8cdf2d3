//! An SSH server inside the test process: runs scripts for real or answers from a function, forwards
//! TCP, counts channels, refuses logins, changes its key, cuts and freezes connections.
//!
//! ```ignore
//! #[path = "support/ssh_server.rs"]
//! mod ssh_server;
//!
//! let server = SshServer::start().await;
//! let session = Connector::new().connect(&server.target("controller")).await?;
//! server.answer(|script, _stdin| (script == "true").then(|| Answer::ok("")));
//! ```

#![allow(dead_code, reason = "each test uses a part of it")]

use std::collections::{HashMap, HashSet};
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use provision::drive::transport::{HostKeys, Login, Secret, SshReach, Target};
use russh::keys::{Algorithm, PrivateKey, ssh_key::LineEnding};
use russh::server::{Auth, ChannelOpenHandle, Msg, Response, Session, VerifiedPublicKey};
use russh::{Channel, ChannelId, ChannelMsg, ChannelOpenFailure, ChannelReadHalf, MethodKind};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional, duplex};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;

/// What a scripted host answers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answer {
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
    pub(crate) status: u32,
}

impl Answer {
    pub(crate) fn ok(stdout: impl Into<Vec<u8>>) -> Self {
        Self {
            stdout: stdout.into(),
            ..Self::default()
        }
    }

    pub(crate) fn failed(status: u32, stderr: impl Into<Vec<u8>>) -> Self {
        Self {
            stderr: stderr.into(),
            status,
            ..Self::default()
        }
    }
}

type Script = dyn Fn(&str, &[u8]) -> Option<Answer> + Send + Sync;

/// Listens until dropped.
pub(crate) struct SshServer {
    pub(crate) dir: TempDir,
    pub(crate) port: u16,
    shared: Arc<Shared>,
    listening: AbortHandle,
}

/// What connections share, and what tests look at.
#[derive(Default)]
pub(crate) struct Shared {
    host_key: Mutex<Option<PrivateKey>>,
    script: Mutex<Option<Arc<Script>>>,
    refuse_logins: AtomicBool,
    prohibit_tunnels: AtomicBool,
    only_questions: AtomicBool,
    connections: AtomicUsize,
    opened: AtomicUsize,
    open: Mutex<HashSet<(usize, ChannelId)>>,
    most_open: AtomicUsize,
    changed: Notify,
    frozen: watch::Sender<bool>,
    relays: Mutex<Vec<AbortHandle>>,
}

impl SshServer {
    /// On a free loopback port, running scripts for real.
    pub(crate) async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let key = new_key().to_openssh(LineEnding::LF).unwrap();
        std::fs::write(dir.path().join("id"), key.as_bytes()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared::default());
        *shared.host_key.lock().unwrap() = Some(new_key());
        let listening = tokio::spawn(listen(listener, shared.clone())).abort_handle();
        Self {
            dir,
            port,
            shared,
            listening,
        }
    }

    /// A target with a key that is let in; pins at first contact.
    pub(crate) fn target(&self, name: &str) -> Target {
        let mut reach = SshReach::new("127.0.0.1", self.known_hosts());
        reach.port = self.port;
        reach.login = Login {
            identities: vec![self.dir.path().join("id")],
            ..Login::default()
        };
        reach.host_keys = HostKeys::PinFirst;
        Target::ssh(name, reach)
    }

    /// A target that logs in with a password; the right one is `secret`.
    pub(crate) fn password_target(&self, name: &str, password: &str) -> Target {
        let mut target = self.target(name);
        if let provision::drive::transport::Reach::Ssh(reach) = &mut target.reach {
            reach.login = Login {
                password: Some(Secret::new(password)),
                ..Login::default()
            };
        }
        target
    }

    pub(crate) fn known_hosts(&self) -> PathBuf {
        self.dir.path().join("known_hosts")
    }

    /// From now on `answer` gets each script and its stdin first; `None` runs it for real.
    pub(crate) fn answer(
        &self,
        answer: impl Fn(&str, &[u8]) -> Option<Answer> + Send + Sync + 'static,
    ) {
        *self.shared.script.lock().unwrap() = Some(Arc::new(answer));
    }

    pub(crate) fn refuse_logins(&self, refuse: bool) {
        self.shared.refuse_logins.store(refuse, Ordering::SeqCst);
    }

    pub(crate) fn prohibit_tunnels(&self) {
        self.shared.prohibit_tunnels.store(true, Ordering::SeqCst);
    }

    /// Takes passwords as answers to a question only (keyboard-interactive).
    pub(crate) fn only_questions(&self) {
        self.shared.only_questions.store(true, Ordering::SeqCst);
    }

    /// Another host key for connections from now on.
    pub(crate) fn change_host_key(&self) {
        *self.shared.host_key.lock().unwrap() = Some(new_key());
    }

    /// Cuts all connections, as a pulled cable with an attentive kernel would.
    pub(crate) fn cut(&self) {
        for relay in self.shared.relays.lock().unwrap().drain(..) {
            relay.abort();
        }
    }

    /// Bytes stop flowing, and nobody is told.
    pub(crate) fn freeze(&self, frozen: bool) {
        self.shared.frozen.send_replace(frozen);
    }

    /// TCP connections accepted so far.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Channels opened so far.
    pub(crate) fn opened(&self) -> usize {
        self.shared.opened.load(Ordering::SeqCst)
    }

    /// The most channels that were open at one time.
    pub(crate) fn most_open(&self) -> usize {
        self.shared.most_open.load(Ordering::SeqCst)
    }

    /// Waits until every channel opened so far was closed.
    pub(crate) async fn all_closed(&self) {
        let all = async {
            loop {
                let changed = self.shared.changed.notified();
                if self.shared.open.lock().unwrap().is_empty() {
                    return;
                }
                changed.await;
            }
        };
        let all = tokio::time::timeout(std::time::Duration::from_secs(10), all).await;
        assert!(
            all.is_ok(),
            "{:?} are still open",
            self.shared.open.lock().unwrap()
        );
    }
}

impl Shared {
    fn opens(&self, connection: usize, channel: ChannelId) {
        self.opened.fetch_add(1, Ordering::SeqCst);
        let mut open = self.open.lock().unwrap();
        open.insert((connection, channel));
        self.most_open.fetch_max(open.len(), Ordering::SeqCst);
    }

    fn closes(&self, connection: usize, channel: ChannelId) {
        self.open.lock().unwrap().remove(&(connection, channel));
        self.changed.notify_waiters();
    }
}

impl Drop for SshServer {
    fn drop(&mut self) {
        self.listening.abort();
        self.cut();
    }
}

fn new_key() -> PrivateKey {
    PrivateKey::random(&mut russh::keys::key::safe_rng(), Algorithm::Ed25519).unwrap()
}

async fn listen(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((outside, _)) = listener.accept().await {
        let number = shared.connections.fetch_add(1, Ordering::SeqCst);
        outside.set_nodelay(true).unwrap();
        let (inside, near) = duplex(1 << 20);
        let relay = tokio::spawn(relay(outside, near, shared.frozen.subscribe()));
        shared.relays.lock().unwrap().push(relay.abort_handle());
        let config = russh::server::Config {
            keys: shared
                .host_key
                .lock()
                .unwrap()
                .clone()
                .into_iter()
                .collect(),
            auth_rejection_time: std::time::Duration::ZERO,
            methods: if shared.only_questions.load(Ordering::SeqCst) {
                [MethodKind::KeyboardInteractive][..].into()
            } else {
                [MethodKind::PublicKey, MethodKind::Password][..].into()
            },
            nodelay: true,
            ..Default::default()
        };
        let handler = Connection {
            number,
            shared: shared.clone(),
            channels: HashMap::new(),
        };
        tokio::spawn(async move {
            if let Ok(running) = russh::server::run_stream(Arc::new(config), inside, handler).await
            {
                let _ = running.await;
            }
        });
    }
}

async fn relay(
    mut outside: TcpStream,
    mut near: tokio::io::DuplexStream,
    mut frozen: watch::Receiver<bool>,
) {
    loop {
        tokio::select! {
            _ = copy_bidirectional(&mut outside, &mut near) => return,
            _ = frozen.wait_for(|frozen| *frozen) => {}
        }
        if frozen.wait_for(|frozen| !*frozen).await.is_err() {
            return;
        }
    }
}

struct Connection {
    number: usize,
    shared: Arc<Shared>,
    channels: HashMap<ChannelId, Channel<Msg>>,
}

impl Connection {
    fn login(&self, right: bool) -> Auth {
        let refused = self.shared.refuse_logins.load(Ordering::SeqCst);
        if right && !refused {
            Auth::Accept
        } else {
            Auth::reject()
        }
    }
}

impl russh::server::Handler for Connection {
    type Error = russh::Error;

    async fn auth_publickey(
        &mut self,
        _: &str,
        _: VerifiedPublicKey<'_>,
    ) -> Result<Auth, russh::Error> {
        Ok(self.login(true))
    }

    async fn auth_password(&mut self, _: &str, password: &str) -> Result<Auth, russh::Error> {
        Ok(self.login(password == "secret"))
    }

    async fn auth_keyboard_interactive<'a>(
        &'a mut self,
        _: &str,
        _: &str,
        response: Option<Response<'a>>,
    ) -> Result<Auth, russh::Error> {
        let Some(mut answers) = response else {
            return Ok(Auth::Partial {
                name: "".into(),
                instructions: "".into(),
                prompts: vec![("Password: ".into(), false)].into(),
            });
        };
        Ok(self.login(answers.next().as_deref() == Some(b"secret")))
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        self.shared.opens(self.number, channel.id());
        self.channels.insert(channel.id(), channel);
        reply.accept().await;
        Ok(())
    }

    async fn channel_open_direct_tcpip(
        &mut self,
        channel: Channel<Msg>,
        host: &str,
        port: u32,
        _: &str,
        _: u32,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        if self.shared.prohibit_tunnels.load(Ordering::SeqCst) {
            reply
                .reject(ChannelOpenFailure::AdministrativelyProhibited)
                .await;
            return Ok(());
        }
        match TcpStream::connect((host, u16::try_from(port).unwrap())).await {
            Ok(mut stream) => {
                let (shared, number, id) = (self.shared.clone(), self.number, channel.id());
                shared.opens(number, id);
                reply.accept().await;
                tokio::spawn(async move {
                    let _ = copy_bidirectional(&mut channel.into_stream(), &mut stream).await;
                    shared.closes(number, id);
                });
            }
            Err(_) => reply.reject(ChannelOpenFailure::ConnectFailed).await,
        }
        Ok(())
    }

    async fn exec_request(
        &mut self,
        id: ChannelId,
        command: &[u8],
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        session.channel_success(id)?;
        let Some(channel) = self.channels.remove(&id) else {
            return Ok(());
        };
        let command = String::from_utf8_lossy(command).into_owned();
        let (shared, number) = (self.shared.clone(), self.number);
        let script = shared.script.lock().unwrap().clone();
        tokio::spawn(async move {
            exec(channel, command, script).await;
            shared.closes(number, id);
        });
        Ok(())
    }

    async fn channel_close(&mut self, id: ChannelId, _: &mut Session) -> Result<(), russh::Error> {
        self.shared.closes(self.number, id);
        Ok(())
    }
}

async fn exec(channel: Channel<Msg>, command: String, script: Option<Arc<Script>>) {
    let (mut read, write) = channel.split();
    let mut early = Vec::new();
    if let Some(script) = script {
        collect(&mut read, &mut early).await;
        let size = command
            .split("bs=")
            .nth(1)
            .and_then(|rest| rest.split(' ').next());
        let size: usize = size.and_then(|size| size.parse().ok()).unwrap_or(0);
        let (text, stdin) = early.split_at(size.min(early.len()));
        let text = String::from_utf8_lossy(text);
        if let Some(answer) = script(text.strip_suffix("\n#end").unwrap_or(&text), stdin) {
            let stdout = [b"\x1e4000001\n\x1ego 4000001\n", answer.stdout.as_slice()].concat();
            let _ = write.data_bytes(stdout).await;
            let _ = write.extended_data_bytes(1, answer.stderr).await;
            let _ = write.exit_status(answer.status).await;
            let _ = write.eof().await;
            let _ = write.close().await;
            return;
        }
    }
    let mut child = tokio::process::Command::new("sh");
    child.args(["-c", &command]).process_group(0);
    child
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = child.spawn().unwrap();
    let mut stdin = child.stdin.take();
    let (mut stdout, mut stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let feed = async {
        if let Some(pipe) = &mut stdin {
            let _ = pipe.write_all(&early).await;
        }
        if !early.is_empty() {
            stdin = None;
        }
        while let Some(message) = read.wait().await {
            match (message, &mut stdin) {
                (ChannelMsg::Data { data }, Some(pipe)) => {
                    let _ = pipe.write_all(&data).await;
                }
                (ChannelMsg::Eof, _) => stdin = None,
                (ChannelMsg::Close, _) => return,
                _ => {}
            }
        }
    };
    let out = async {
        let mut piece = vec![0; 32 * 1024];
        while let Ok(n @ 1..) = stdout.read(&mut piece).await {
            let _ = write.data_bytes(piece[..n].to_vec()).await;
        }
    };
    let err = async {
        let mut piece = vec![0; 32 * 1024];
        while let Ok(n @ 1..) = stderr.read(&mut piece).await {
            let _ = write.extended_data_bytes(1, piece[..n].to_vec()).await;
        }
    };
    let status = async {
        tokio::join!(out, err);
        child.wait().await.unwrap()
    };
    let status = tokio::select! {
        status = status => status,
        // Like sshd, lets go of the pipes and leaves the process to itself.
        () = feed => return,
    };
    let signal = status.signal().map_or(0, |signal| 128 + signal);
    let _ = write
        .exit_status(status.code().unwrap_or(signal).try_into().unwrap())
        .await;
    let _ = write.eof().await;
    let _ = write.close().await;
}

async fn collect(read: &mut ChannelReadHalf, into: &mut Vec<u8>) {
    while let Some(message) = read.wait().await {
        match message {
            ChannelMsg::Data { data } => into.extend_from_slice(&data),
            ChannelMsg::Eof | ChannelMsg::Close => return,
            _ => {}
        }
    }
}
