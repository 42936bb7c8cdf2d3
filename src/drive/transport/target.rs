//! Where a host is and how to log in. Plain data, no effects.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// One host as the transport sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The host's name in the answer file; every error and event carries it.
    pub name: String,
    /// This machine, or a machine behind SSH.
    pub reach: Reach,
    /// How a command with `sudo: true` becomes root. [`Sudo::None`] when the login is root already.
    pub sudo: Sudo,
}

/// The way to a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// This machine: scripts run with the local `sh`, tunnels are plain TCP.
    Local,
    /// Over SSH.
    Ssh(Box<SshReach>),
}

/// Everything one SSH connection needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshReach {
    /// IP address or DNS name.
    pub address: String,
    /// TCP port, usually 22.
    pub port: u16,
    /// Login name.
    pub user: String,
    /// What to present to the host, in order.
    pub login: Login,
    /// The bastion to go through; it may have a bastion of its own.
    pub jump: Option<Box<Target>>,
    /// The cloud's own `known_hosts` file (never `~/.ssh/known_hosts`).
    pub known_hosts: PathBuf,
    /// What to do about a host that the file does not know.
    pub host_keys: HostKeys,
    /// Pause between keepalive questions; three unanswered ones mean the connection is lost.
    pub keepalive: Duration,
    /// For name lookup, TCP, key exchange and login together.
    pub connect_deadline: Duration,
}

/// Credentials. They are tried in this order: agent, identity files, password.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Login {
    /// Socket of an SSH agent (usually `$SSH_AUTH_SOCK`); `None` asks no agent.
    pub agent: Option<PathBuf>,
    /// Private keys. `<file>-cert.pub` beside one is presented first, as an OpenSSH certificate.
    pub identities: Vec<PathBuf>,
    /// Password login, last resort.
    pub password: Option<Secret>,
}

/// How to become root.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Sudo {
    /// Not needed.
    #[default]
    None,
    /// `sudo` that asks nothing.
    Passwordless,
    /// `sudo` that wants this password (sent through stdin, only when asked).
    Password(Secret),
}

/// What to do about an unknown host key. A *changed* or revoked key always stops the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HostKeys {
    /// The key must be in the file already.
    #[default]
    Pinned,
    /// Trust on first contact and write it down.
    PinFirst,
}

/// A value that must not be shown: `Debug` prints dots, and there is no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a value.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value, for the one place that has to send it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"…\"")
    }
}

impl Target {
    /// This machine.
    pub fn local(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            reach: Reach::Local,
            sudo: Sudo::None,
        }
    }

    /// A machine behind SSH; `root`, port 22 and no credentials until `reach` says otherwise.
    pub fn ssh(name: impl Into<String>, reach: SshReach) -> Self {
        Self {
            name: name.into(),
            reach: Reach::Ssh(Box::new(reach)),
            sudo: Sudo::None,
        }
    }
}

impl SshReach {
    /// `root@address:22`, pinned host keys in `known_hosts`, no credentials yet, keepalive every
    /// 5 s, 20 s to connect.
    pub fn new(address: impl Into<String>, known_hosts: impl Into<PathBuf>) -> Self {
        Self {
            address: address.into(),
            port: 22,
            user: "root".to_owned(),
            login: Login::default(),
            jump: None,
            known_hosts: known_hosts.into(),
            host_keys: HostKeys::Pinned,
            keepalive: Duration::from_secs(5),
            connect_deadline: Duration::from_secs(20),
        }
    }
}
