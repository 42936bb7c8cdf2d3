//! One SSH connection: TCP or a tunnel through a bastion, key exchange, host key, login; then shells
//! and tunnels on it. Connections are never retried here.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use russh::client::{self, DisconnectReason, Handle, Msg};
use russh::keys::{Algorithm, PublicKeyBase64 as _, PublicKeyOrCertificate};
use russh::{Channel, ChannelMsg, ChannelOpenFailure, ChannelReadHalf, ChannelWriteHalf, Sig};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::known_hosts::HostKey;
use super::pins::Pins;
use super::running::{Backend, Event, Input, Process};
use super::{ConnectError, RunError, SshReach, ssh_auth};

/// Unanswered keepalives before the connection counts as lost.
const KEEPALIVES: usize = 3;

/// When a host is full, the next attempts come after pauses that double from the first to the second.
const FULL_PAUSES: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(1));

/// A connection that is logged in.
pub(super) struct SshConnection {
    name: String,
    handle: Handle<Watcher>,
    lost: Slot<String>,
    /// The bastion's connection lives as long as those that go through it.
    _via: Option<Arc<SshConnection>>,
}

type Slot<T> = Arc<Mutex<Option<T>>>;

fn put<T>(slot: &Slot<T>, value: T) {
    *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
}

fn copy<T: Clone>(slot: &Slot<T>) -> Option<T> {
    slot.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// A byte stream both ways.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

impl SshConnection {
    /// Goes through all stages within the connect deadline.
    pub(super) async fn open(
        name: &str,
        reach: &SshReach,
        pins: &Pins,
        via: Option<Arc<SshConnection>>,
    ) -> Result<Self, ConnectError> {
        let deadline = Instant::now() + reach.connect_deadline;
        let late = |stage| ConnectError::Timeout {
            host: name.to_owned(),
            address: reach.address.clone(),
            port: reach.port,
            stage,
            after: reach.connect_deadline,
        };
        let stream = stream(name, reach, via.as_deref());
        let stream = timeout_at(deadline, stream)
            .await
            .map_err(|_| late("connecting"))??;

        let refused = Slot::default();
        let lost = Slot::default();
        let watcher = Watcher {
            name: name.to_owned(),
            reach: reach.clone(),
            pins: pins.clone(),
            refused: refused.clone(),
            lost: lost.clone(),
        };
        let config = Arc::new(config(reach, pins));
        let exchange = client::connect_stream(config, stream, watcher);
        let exchange = timeout_at(deadline, exchange)
            .await
            .map_err(|_| late("key exchange"))?;
        let mut handle = exchange.map_err(|error| {
            copy(&refused).unwrap_or_else(|| ConnectError::Protocol {
                host: name.to_owned(),
                address: reach.address.clone(),
                port: reach.port,
                cause: protocol_cause(&error),
            })
        })?;
        let login = ssh_auth::log_in(&mut handle, &reach.user, &reach.login);
        let login = timeout_at(deadline, login)
            .await
            .map_err(|_| late("login"))?;
        login.map_err(|tried| ConnectError::Auth {
            host: name.to_owned(),
            address: reach.address.clone(),
            user: reach.user.clone(),
            tried,
        })?;
        Ok(Self {
            name: name.to_owned(),
            handle,
            lost,
            _via: via,
        })
    }

    /// Whether it stands, as far as is known.
    pub(super) fn is_alive(&self) -> bool {
        !self.handle.is_closed()
    }

    /// Says goodbye.
    pub(super) async fn disconnect(&self) {
        let _ = self
            .handle
            .disconnect(russh::Disconnect::ByApplication, "done", "en")
            .await;
    }

    /// A TCP connection made from the host.
    pub(super) async fn tunnel(
        self: &Arc<Self>,
        address: &str,
        port: u16,
    ) -> Result<Box<dyn Duplex>, RunError> {
        let (connection, to) = (self.clone(), address.to_owned());
        let channel = self.unbroken(async move {
            let open = connection
                .handle
                .channel_open_direct_tcpip(to, port.into(), "127.0.0.1", 0);
            open.await
        });
        let channel = channel.await.map_err(|error| match error {
            russh::Error::ChannelOpenFailure(ChannelOpenFailure::ConnectFailed) => {
                RunError::NoListener {
                    host: self.name.clone(),
                    address: address.to_owned(),
                    port,
                }
            }
            error => self.refusal(&format!("a tunnel to {address}:{port}"), &error),
        })?;
        Ok(Box::new(channel.into_stream()))
    }

    /// A channel for a shell. sshd gives the place of a session that ended free only after it has read
    /// what we sent next: in a burst of short scripts it sees more sessions than there are, and says no.
    async fn session_channel(self: &Arc<Self>) -> Result<Channel<Msg>, russh::Error> {
        let mut pause = FULL_PAUSES.0;
        loop {
            let connection = self.clone();
            let open = async move { connection.handle.channel_open_session().await };
            match self.unbroken(open).await {
                Err(russh::Error::ChannelOpenFailure(ChannelOpenFailure::ConnectFailed))
                    if pause < FULL_PAUSES.1 =>
                {
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                }
                result => return result,
            }
        }
    }

    /// Opens a channel in a task of its own: a caller that goes away meanwhile leaves no channel open.
    async fn unbroken(
        &self,
        open: impl Future<Output = Result<Channel<Msg>, russh::Error>> + Send + 'static,
    ) -> Result<Channel<Msg>, russh::Error> {
        let (give, take) = oneshot::channel();
        tokio::spawn(async move {
            if let Err(Ok(orphan)) = give.send(open.await) {
                let _ = orphan.close().await;
            }
        });
        take.await.unwrap_or(Err(russh::Error::Disconnect))
    }

    fn refusal(&self, what: &str, error: &russh::Error) -> RunError {
        let host = self.name.clone();
        let cause = match error {
            russh::Error::ChannelOpenFailure(reason) => match reason {
                ChannelOpenFailure::AdministrativelyProhibited => "prohibited by its configuration",
                // OpenSSH's answer to one session more than MaxSessions.
                ChannelOpenFailure::ConnectFailed | ChannelOpenFailure::ResourceShortage => {
                    "too many sessions are open"
                }
                _ => "no reason given",
            },
            _ => {
                let cause = self.lost().unwrap_or_else(|| error.to_string());
                return RunError::Lost { host, cause };
            }
        };
        RunError::Refused {
            host,
            what: what.to_owned(),
            cause: cause.to_owned(),
        }
    }

    fn lost(&self) -> Option<String> {
        copy(&self.lost).or_else(|| self.handle.is_closed().then(|| "closed".to_owned()))
    }
}

async fn stream(
    name: &str,
    reach: &SshReach,
    via: Option<&SshConnection>,
) -> Result<Box<dyn Duplex>, ConnectError> {
    let (host, address, port) = (name.to_owned(), reach.address.clone(), reach.port);
    if let Some(via) = via {
        let open =
            via.handle
                .channel_open_direct_tcpip(&reach.address, port.into(), "127.0.0.1", 0);
        let channel = open.await.map_err(|error| ConnectError::Tcp {
            host,
            address,
            port,
            cause: format!("{} says: {}", via.name, tunnel_cause(&error)),
        })?;
        return Ok(Box::new(channel.into_stream()));
    }
    let resolved: Vec<_> = match tokio::net::lookup_host((reach.address.as_str(), port)).await {
        Ok(resolved) => resolved.collect(),
        Err(error) => {
            return Err(ConnectError::Resolve {
                host,
                address,
                cause: error.to_string(),
            });
        }
    };
    let mut last = std::io::Error::other("the name has no address");
    for to in resolved {
        match TcpStream::connect(to).await {
            Ok(stream) => {
                let _ = stream.set_nodelay(true);
                return Ok(Box::new(stream));
            }
            Err(error) => last = error,
        }
    }
    Err(ConnectError::Tcp {
        host,
        address,
        port,
        cause: last.to_string(),
    })
}

fn tunnel_cause(error: &russh::Error) -> String {
    match error {
        russh::Error::ChannelOpenFailure(ChannelOpenFailure::ConnectFailed) => {
            "connection refused or unreachable".to_owned()
        }
        russh::Error::ChannelOpenFailure(ChannelOpenFailure::AdministrativelyProhibited) => {
            "forwarding is prohibited (AllowTcpForwarding)".to_owned()
        }
        error => error.to_string(),
    }
}

fn config(reach: &SshReach, pins: &Pins) -> client::Config {
    let mut config = client::Config {
        keepalive_interval: Some(reach.keepalive),
        keepalive_max: KEEPALIVES,
        nodelay: true,
        ..client::Config::default()
    };
    // A certificate would stand before them; we pin keys and know no authorities.
    config.preferred.host_key_certificates = Vec::new().into();
    // Ask first for the kinds of key that are written down, or a host with several would show another.
    let known = pins.kinds(reach);
    let mut keys: Vec<Algorithm> = config.preferred.key.to_vec();
    keys.sort_by_key(|algorithm| !known.iter().any(|kind| same_kind(algorithm, kind)));
    config.preferred.key = keys.into();
    config
}

fn same_kind(algorithm: &Algorithm, kind: &str) -> bool {
    // RSA keys are one kind with several signature algorithms.
    if algorithm.clone().is_rsa() {
        kind == "ssh-rsa"
    } else {
        algorithm.as_str() == kind
    }
}

fn protocol_cause(error: &russh::Error) -> String {
    match error {
        russh::Error::Version => "what it sent is no SSH greeting".to_owned(),
        russh::Error::Disconnect | russh::Error::HUP => "it closed the connection".to_owned(),
        error => error.to_string(),
    }
}

/// Judges the host key and remembers how the connection ended.
pub(super) struct Watcher {
    name: String,
    reach: SshReach,
    pins: Pins,
    refused: Slot<ConnectError>,
    lost: Slot<String>,
}

impl client::Handler for Watcher {
    type Error = russh::Error;

    async fn check_server_key(
        &mut self,
        shown: &PublicKeyOrCertificate,
    ) -> Result<bool, russh::Error> {
        let key = shown.public_key();
        let kind = match key.algorithm() {
            Algorithm::Rsa { .. } => "ssh-rsa".to_owned(),
            algorithm => algorithm.as_str().to_owned(),
        };
        let key = HostKey {
            kind,
            blob: key.public_key_bytes(),
        };
        match self.pins.judge(&self.name, &self.reach, &key).await {
            Ok(()) => Ok(true),
            Err(error) => {
                put(&self.refused, error);
                Ok(false)
            }
        }
    }

    async fn disconnected(
        &mut self,
        reason: DisconnectReason<russh::Error>,
    ) -> Result<(), russh::Error> {
        let cause = match &reason {
            DisconnectReason::ReceivedDisconnect(info) => {
                format!("the host said: {}", info.message)
            }
            DisconnectReason::Error(russh::Error::KeepaliveTimeout) => {
                let silence = self.reach.keepalive * (KEEPALIVES as u32 + 1);
                format!("no answer for {} s", silence.as_secs().max(1))
            }
            DisconnectReason::Error(error) => protocol_cause(error),
        };
        put(&self.lost, cause);
        match reason {
            DisconnectReason::ReceivedDisconnect(_) => Ok(()),
            DisconnectReason::Error(error) => Err(error),
        }
    }
}

/// A shell on the host. Its channel is closed when dropped.
pub(super) struct SshProcess {
    read: ChannelReadHalf,
    write: Option<ChannelWriteHalf<Msg>>,
}

impl Backend for Arc<SshConnection> {
    type Process = SshProcess;

    async fn start(&self, command_line: &str) -> Result<(SshProcess, Input), RunError> {
        let channel = self.session_channel().await;
        let channel = channel.map_err(|error| self.refusal("a session", &error))?;
        let (read, write) = channel.split();
        let input = write.make_writer();
        let process = SshProcess {
            read,
            write: Some(write),
        };
        if let Some(write) = &process.write {
            let sent = write.exec(true, command_line).await;
            sent.map_err(|error| self.refusal("a command", &error))?;
        }
        Ok((process, Box::new(input)))
    }

    fn lost(&self) -> Option<String> {
        SshConnection::lost(self)
    }
}

impl Process for SshProcess {
    async fn next(&mut self) -> Event {
        loop {
            match self.read.wait().await {
                Some(ChannelMsg::Data { data }) => return Event::Stdout(data),
                Some(ChannelMsg::ExtendedData { data, ext: 1 }) => return Event::Stderr(data),
                Some(ChannelMsg::ExitStatus { exit_status }) => {
                    return Event::Exit(i32::try_from(exit_status).unwrap_or(-1));
                }
                Some(ChannelMsg::ExitSignal { signal_name, .. }) => {
                    return Event::Exit(128 + signal_number(&signal_name));
                }
                Some(ChannelMsg::Failure) | None => return Event::End,
                Some(_) => {}
            }
        }
    }

    async fn close(mut self) {
        if let Some(write) = self.write.take() {
            let _ = write.close().await;
        }
    }
}

impl Drop for SshProcess {
    fn drop(&mut self) {
        let Some(write) = self.write.take() else {
            return;
        };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { write.close().await });
        }
    }
}

fn signal_number(signal: &Sig) -> i32 {
    match signal {
        Sig::HUP => 1,
        Sig::INT => 2,
        Sig::QUIT => 3,
        Sig::ILL => 4,
        Sig::ABRT => 6,
        Sig::FPE => 8,
        Sig::KILL => 9,
        Sig::USR1 => 10,
        Sig::SEGV => 11,
        Sig::PIPE => 13,
        Sig::ALRM => 14,
        Sig::TERM => 15,
        Sig::Custom(_) => 0,
    }
}

impl std::fmt::Debug for SshConnection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SshConnection")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
