//! Sessions: what the rest of the program holds of a host.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::futures::OwnedNotified;
use tokio::sync::{Mutex, Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout};

use super::local::Local;
use super::pins::Pins;
use super::running;
use super::ssh::{Duplex, SshConnection};
use super::{Command, ConnectError, Output, Reach, RunError, SshReach, Target};

/// Scripts and tunnels open at a time on one connection. OpenSSH allows ten; two are left for
/// ending scripts.
const CHANNELS: usize = 8;

/// Pauses between attempts to connect again grow from the first to the second.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(3));

/// Makes sessions. One per run: it shares the connection to a bastion among the hosts behind it, and
/// lets only one first contact at a time write to a `known_hosts` file. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Connector {
    pins: Pins,
    bastions: Arc<Mutex<HashMap<String, Bastion>>>,
}

type Bastion = Arc<Mutex<Weak<SshConnection>>>;

/// One live connection to one host, or this machine. Cheap to clone; all clones share it, also after
/// [`Session::reconnect`].
///
/// At most eight scripts and tunnels are open at a time; the ninth waits for its turn, and its deadline
/// counts from there.
#[derive(Debug, Clone)]
pub struct Session {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    target: Target,
    connector: Connector,
    channels: Arc<Semaphore>,
    wanted: Arc<Notify>,
    link: RwLock<Link>,
    reconnecting: Mutex<()>,
}

#[derive(Debug, Clone)]
enum Link {
    Local(Local),
    Ssh(Arc<SshConnection>),
}

/// A TCP connection made from the host. Closed when dropped.
pub struct Tunnel {
    stream: Box<dyn Duplex>,
    _permit: OwnedSemaphorePermit,
}

impl Connector {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Connects, checks the host key and logs in, within the target's connect deadline (which each
    /// bastion on the way has for itself).
    pub async fn connect(&self, target: &Target) -> Result<Session, ConnectError> {
        let link = self.link(target).await?;
        let shared = Shared {
            target: target.clone(),
            connector: self.clone(),
            channels: Arc::new(Semaphore::new(CHANNELS)),
            wanted: Arc::default(),
            link: RwLock::new(link),
            reconnecting: Mutex::new(()),
        };
        Ok(Session {
            shared: Arc::new(shared),
        })
    }

    /// Like [`Connector::connect`], for a host that may still be booting: tries with growing pauses
    /// until `deadline` (from now) or until the host refuses for good.
    pub async fn connect_within(
        &self,
        target: &Target,
        deadline: Duration,
    ) -> Result<Session, ConnectError> {
        let end = Instant::now() + deadline;
        let mut pause = PAUSES.0;
        loop {
            match self.connect(&hurried(target, end)).await {
                Err(error) if error.is_transient() && Instant::now() + pause < end => {
                    sleep(pause).await;
                    pause = (pause * 2).min(PAUSES.1);
                }
                result => return result,
            }
        }
    }

    async fn link(&self, target: &Target) -> Result<Link, ConnectError> {
        match &target.reach {
            Reach::Local => Ok(Link::Local(Local {
                name: target.name.clone(),
            })),
            Reach::Ssh(reach) => {
                let via = self.bastion(&target.name, reach).await?;
                let opened = SshConnection::open(&target.name, reach, &self.pins, via).await?;
                Ok(Link::Ssh(Arc::new(opened)))
            }
        }
    }

    /// The connection to go through: one that stands already, or a new one. Hosts behind one bastion
    /// that connect at the same time wait for the first of them.
    async fn bastion(
        &self,
        name: &str,
        reach: &SshReach,
    ) -> Result<Option<Arc<SshConnection>>, ConnectError> {
        let Some(jump) = reach.jump.as_deref() else {
            return Ok(None);
        };
        let Reach::Ssh(through) = &jump.reach else {
            return Ok(None);
        };
        let place = self
            .bastions
            .lock()
            .await
            .entry(route(through))
            .or_default()
            .clone();
        let mut place = place.lock().await;
        if let Some(standing) = place.upgrade().filter(|it| it.is_alive()) {
            return Ok(Some(standing));
        }
        let lift = |source| ConnectError::Jump {
            host: name.to_owned(),
            jump: jump.name.clone(),
            source: Box::new(source),
        };
        let via = Box::pin(self.bastion(&jump.name, through))
            .await
            .map_err(lift)?;
        let opened = SshConnection::open(&jump.name, through, &self.pins, via)
            .await
            .map_err(lift)?;
        let opened = Arc::new(opened);
        *place = Arc::downgrade(&opened);
        Ok(Some(opened))
    }
}

/// Names a way to a host: its login and those of the bastions before it.
fn route(reach: &SshReach) -> String {
    let here = format!("{}@{}:{}", reach.user, reach.address, reach.port);
    match reach.jump.as_deref().map(|jump| &jump.reach) {
        Some(Reach::Ssh(before)) => format!("{} {here}", route(before)),
        _ => here,
    }
}

/// The target with a connect deadline that does not reach beyond `end`.
fn hurried(target: &Target, end: Instant) -> Target {
    let mut target = target.clone();
    if let Reach::Ssh(reach) = &mut target.reach {
        let left = end.saturating_duration_since(Instant::now());
        reach.connect_deadline = reach.connect_deadline.min(left);
    }
    target
}

impl Session {
    /// The target it was made for.
    pub fn target(&self) -> &Target {
        &self.shared.target
    }

    /// Runs a script to its end. A non-zero status is an `Ok` with that status.
    ///
    /// It starts in `/` with `umask 022`, `LC_ALL=C` and the `sbin` directories in `PATH`. When the
    /// deadline passes or the future is dropped, the script's whole process group on the host gets
    /// TERM and, two seconds later, KILL.
    pub async fn run(&self, command: Command) -> Result<Output, RunError> {
        let permit = self.turn("a session").await?;
        let target = &self.shared.target;
        match self.link() {
            Link::Local(local) => running::run(&local, target, &command, permit).await,
            Link::Ssh(ssh) => running::run(&ssh, target, &command, permit).await,
        }
    }

    /// Opens a TCP connection from the host to `address:port`. Counts as one of the eight channels
    /// until dropped. Nothing listening there is [`RunError::NoListener`]. Has no deadline of its
    /// own: an address that swallows packets takes minutes to fail.
    pub async fn tunnel(&self, address: &str, port: u16) -> Result<Tunnel, RunError> {
        let permit = self.turn("a tunnel").await?;
        let stream: Box<dyn Duplex> = match self.link() {
            Link::Ssh(ssh) => ssh.tunnel(address, port).await?,
            Link::Local(_) => {
                let stream = TcpStream::connect((address, port)).await;
                let stream = stream.map_err(|_| RunError::NoListener {
                    host: self.shared.target.name.clone(),
                    address: address.to_owned(),
                    port,
                })?;
                let _ = stream.set_nodelay(true);
                Box::new(stream)
            }
        };
        Ok(Tunnel {
            stream,
            _permit: permit,
        })
    }

    /// Whether the connection still stands, as far as is known without asking the host.
    pub fn is_alive(&self) -> bool {
        match self.link() {
            Link::Local(_) => true,
            Link::Ssh(ssh) => ssh.is_alive(),
        }
    }

    /// Makes the connection again if it is gone: tries with growing pauses until `deadline` (from
    /// now) or until the host refuses for good (login, host key). Callers at the same time share one
    /// attempt.
    pub async fn reconnect(&self, deadline: Duration) -> Result<(), ConnectError> {
        let end = Instant::now() + deadline;
        let _turn = self.shared.reconnecting.lock().await;
        let mut pause = PAUSES.0;
        while !self.is_alive() {
            match self.relink(end).await {
                Err(error) if error.is_transient() && Instant::now() + pause < end => {
                    sleep(pause).await;
                    pause = (pause * 2).min(PAUSES.1);
                }
                result => return result,
            }
        }
        Ok(())
    }

    /// The kernel's boot id and the start time of process 1: changes with every boot, also where
    /// "hosts" are containers on one kernel.
    pub async fn boot_id(&self) -> Result<String, RunError> {
        let script =
            "cat /proc/sys/kernel/random/boot_id; sed 's/.*) //' /proc/1/stat | cut -d' ' -f20";
        let command = Command::new(script)
            .as_login_user()
            .deadline(Duration::from_secs(10));
        let output = self.run(command).await?;
        Ok(output
            .text()
            .split_whitespace()
            .collect::<Vec<_>>()
            .join("/"))
    }

    /// After a reboot was asked for: waits until the host answers with another boot id than
    /// `before`, and returns it. Hosts that have not gone down yet are waited for as well, and so are
    /// hosts that refuse logins while they boot.
    pub async fn wait_for_reboot(
        &self,
        before: &str,
        deadline: Duration,
    ) -> Result<String, ConnectError> {
        let end = Instant::now() + deadline;
        let _turn = self.shared.reconnecting.lock().await;
        let mut pause = PAUSES.0;
        let mut last = None;
        while Instant::now() < end {
            if self.is_alive() {
                // A host that goes down may leave us without an answer.
                let asked = timeout(Duration::from_secs(5), self.boot_id()).await;
                match asked {
                    Ok(Ok(now)) if now != before && !now.is_empty() => return Ok(now),
                    Ok(Ok(_)) => {}
                    _ => self.cut().await,
                }
            } else {
                match self.relink(end).await {
                    Ok(()) => continue,
                    Err(error @ ConnectError::Auth { .. }) => last = Some(Box::new(error)),
                    Err(error) if error.is_transient() => last = Some(Box::new(error)),
                    Err(error) => return Err(error),
                }
            }
            sleep(pause.min(end.saturating_duration_since(Instant::now()))).await;
            pause = (pause * 2).min(PAUSES.1);
        }
        let host = self.shared.target.name.clone();
        Err(ConnectError::NotRebooted {
            host,
            after: deadline,
            last,
        })
    }

    /// Waits for what is being ended (at most 8 s) and says goodbye. Without it the connection closes
    /// when the last clone is dropped.
    pub async fn close(&self) {
        let all = self.shared.channels.acquire_many(CHANNELS as u32);
        let _ = timeout(Duration::from_secs(8), all).await;
        self.cut().await;
    }

    fn link(&self) -> Link {
        self.shared
            .link
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    async fn relink(&self, end: Instant) -> Result<(), ConnectError> {
        let target = hurried(&self.shared.target, end);
        let link = self.shared.connector.link(&target).await?;
        *self
            .shared
            .link
            .write()
            .unwrap_or_else(PoisonError::into_inner) = link;
        Ok(())
    }

    async fn cut(&self) {
        if let Link::Ssh(ssh) = self.link() {
            ssh.disconnect().await;
        }
    }

    /// Whether all eight channels are in use, so that keeping an idle one costs somebody.
    pub(in crate::drive) fn is_crowded(&self) -> bool {
        self.shared.channels.available_permits() == 0
    }

    /// Completes when somebody wants a channel and there is none, counting from this call.
    pub(in crate::drive) fn channel_wanted(&self) -> OwnedNotified {
        self.shared.wanted.clone().notified_owned()
    }

    async fn turn(&self, what: &str) -> Result<OwnedSemaphorePermit, RunError> {
        let channels = &self.shared.channels;
        if let Ok(permit) = channels.clone().try_acquire_owned() {
            return Ok(permit);
        }
        self.shared.wanted.notify_waiters();
        channels
            .clone()
            .acquire_owned()
            .await
            .map_err(|_| RunError::Refused {
                host: self.shared.target.name.clone(),
                what: what.to_owned(),
                cause: "the session is closed".to_owned(),
            })
    }
}

impl std::fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tunnel")
    }
}

impl AsyncRead for Tunnel {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Tunnel {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
