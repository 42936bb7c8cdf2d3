//! What can go wrong between us and a host, stage by stage. `Display` names the host and the cause,
//! [`ConnectError::help`] and [`RunError::help`] the way out.

use std::time::Duration;

use thiserror::Error;

/// No session could be made.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The name has no address.
    #[error("{host}: no address for `{address}`: {cause}")]
    Resolve {
        /// Host name in the answer file.
        host: String,
        /// What was looked up.
        address: String,
        /// The resolver's words.
        cause: String,
    },
    /// Nothing listens, or the network says no.
    #[error("{host}: no TCP connection to {address}:{port}: {cause}")]
    Tcp {
        /// Host name in the answer file.
        host: String,
        /// Address tried.
        address: String,
        /// Port tried.
        port: u16,
        /// The system's words.
        cause: String,
    },
    /// Nothing came back in time.
    #[error("{host}: {stage} with {address}:{port} took longer than {} s", after.as_secs())]
    Timeout {
        /// Host name in the answer file.
        host: String,
        /// Address tried.
        address: String,
        /// Port tried.
        port: u16,
        /// `connecting`, `key exchange` or `login`.
        stage: &'static str,
        /// The deadline that passed.
        after: Duration,
    },
    /// Something answers, but not SSH as we speak it.
    #[error("{host}: {address}:{port} does not speak SSH with us: {cause}")]
    Protocol {
        /// Host name in the answer file.
        host: String,
        /// Address tried.
        address: String,
        /// Port tried.
        port: u16,
        /// What was seen.
        cause: String,
    },
    /// The host showed another key than the one written down.
    #[error("{host}: the host key changed: {file}:{line} says {expected}, {address} shows {shown}")]
    HostKeyChanged {
        /// Host name in the answer file.
        host: String,
        /// Address tried.
        address: String,
        /// The `known_hosts` file that disagrees.
        file: String,
        /// Its line, from 1.
        line: usize,
        /// Fingerprint in the file.
        expected: String,
        /// Fingerprint shown.
        shown: String,
    },
    /// The key is marked `@revoked`.
    #[error("{host}: {file}:{line} revokes the host key {shown}")]
    HostKeyRevoked {
        /// Host name in the answer file.
        host: String,
        /// The `known_hosts` file.
        file: String,
        /// Its line, from 1.
        line: usize,
        /// Fingerprint shown.
        shown: String,
    },
    /// The file does not know the host, and first contact is not allowed.
    #[error("{host}: {file} has no key for {address}:{port}, which shows {shown}")]
    HostKeyUnknown {
        /// Host name in the answer file.
        host: String,
        /// Address tried.
        address: String,
        /// Port tried.
        port: u16,
        /// The `known_hosts` file.
        file: String,
        /// Fingerprint shown.
        shown: String,
    },
    /// The `known_hosts` file cannot be read or written.
    #[error("{host}: {file}: {cause}")]
    KnownHosts {
        /// Host name in the answer file.
        host: String,
        /// The file.
        file: String,
        /// The system's words.
        cause: String,
    },
    /// The host took none of our credentials.
    #[error(
        "{host}: login as `{user}` refused by {address}, tried: {}",
        tried_text(tried)
    )]
    Auth {
        /// Host name in the answer file.
        host: String,
        /// Address tried.
        address: String,
        /// Login name.
        user: String,
        /// What was tried or could not be, in order: `agent (2 keys)`, `/root/.ssh/id_ed25519`.
        tried: Vec<String>,
    },
    /// The bastion could not be reached, or would not pass us on.
    #[error("{host}: no way through jump host {jump}")]
    Jump {
        /// Host name in the answer file.
        host: String,
        /// Name of the bastion.
        jump: String,
        /// What the bastion's own connection said.
        #[source]
        source: Box<ConnectError>,
    },
    /// The host did not come back with a new boot in time.
    #[error("{host}: not back {} s after its reboot", after.as_secs())]
    NotRebooted {
        /// Host name in the answer file.
        host: String,
        /// The deadline that passed.
        after: Duration,
        /// The last attempt's error, if it was an attempt that failed.
        #[source]
        last: Option<Box<ConnectError>>,
    },
}

/// A script did not run to its end.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum RunError {
    /// The deadline passed; the remote process group was killed.
    #[error("{host}: no end after {} s{}", after.as_secs(), last_text(last_lines))]
    Deadline {
        /// Host name in the answer file.
        host: String,
        /// The deadline that passed.
        after: Duration,
        /// The last lines of output, both streams.
        last_lines: Vec<String>,
    },
    /// The connection broke while it ran; whether it ended on the host is unknown.
    #[error("{host}: the connection was lost: {cause}")]
    Lost {
        /// Host name in the answer file.
        host: String,
        /// What was seen.
        cause: String,
    },
    /// The host would not start a shell or open a tunnel.
    #[error("{host}: the host refused {what}: {cause}")]
    Refused {
        /// Host name in the answer file.
        host: String,
        /// `a session`, `a command`, `a tunnel to 127.0.0.1:5000`.
        what: String,
        /// The host's words.
        cause: String,
    },
    /// Nothing accepts connections there, as seen from the host.
    #[error("{host}: nothing accepts connections on {address}:{port}")]
    NoListener {
        /// Host name in the answer file.
        host: String,
        /// Address asked for.
        address: String,
        /// Port asked for.
        port: u16,
    },
    /// Becoming root did not work.
    #[error("{host}: `{user}` cannot become root: {cause}")]
    Sudo {
        /// Host name in the answer file.
        host: String,
        /// Login name.
        user: String,
        /// Why.
        cause: SudoError,
    },
    /// The local machine could not start the shell.
    #[error("{host}: cannot start `sh`: {cause}")]
    Spawn {
        /// Host name in the answer file.
        host: String,
        /// The system's words.
        cause: String,
    },
}

/// Why `sudo` did not make us root.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SudoError {
    /// There is no `sudo` program.
    #[error("`sudo` is not installed")]
    Missing,
    /// It wants a password and we have none.
    #[error("`sudo` wants a password")]
    WantsPassword,
    /// It did not take the password we have.
    #[error("`sudo` refused the password")]
    WrongPassword,
    /// `requiretty` is set.
    #[error("`sudo` insists on a terminal (requiretty)")]
    RequiresTty,
    /// The user may not.
    #[error("the user is not allowed to use `sudo`")]
    NotAllowed,
    /// Anything else, in its own words.
    #[error("`sudo` said: {0}")]
    Other(String),
}

fn tried_text(tried: &[String]) -> String {
    if tried.is_empty() {
        "nothing, there is no key and no agent".to_owned()
    } else {
        tried.join(", ")
    }
}

fn last_text(lines: &[String]) -> String {
    match lines.last() {
        Some(line) => format!(", last line: {line}"),
        None => ", and no output".to_owned(),
    }
}

impl ConnectError {
    /// The way out, as a sentence with a command where there is one.
    pub fn help(&self) -> Option<String> {
        None
    }

    /// Whether trying again can help (unreachable, timeout, lost), as opposed to refused logins and
    /// wrong host keys.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Tcp { .. } | Self::Timeout { .. } | Self::Protocol { .. } => true,
            Self::Jump { source, .. } => source.is_transient(),
            _ => false,
        }
    }
}

impl RunError {
    /// The way out, as a sentence with a command where there is one.
    pub fn help(&self) -> Option<String> {
        None
    }

    /// Whether the connection is gone, so that [`Session::reconnect`](super::Session::reconnect) is
    /// the next thing to try.
    pub fn is_lost(&self) -> bool {
        matches!(self, Self::Lost { .. })
    }
}
