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
        Some(match self {
            Self::Resolve { .. } => {
                "set the host's `address` to an IP address, or to a name that this machine can \
                 resolve"
                    .to_owned()
            }
            Self::Tcp { address, port, .. } => format!(
                "check that the host is up and that sshd listens: `nc -vz {address} {port}`; the \
                 answer file sets `address`, `port` and `jump`"
            ),
            Self::Timeout {
                stage: "connecting",
                address,
                port,
                ..
            } => format!(
                "check that the host is up and that no firewall drops packets: `ping {address}`, \
                 `nc -vz {address} {port}`"
            ),
            Self::Timeout { .. } => {
                "the host accepts connections but is slow to answer: look at its load, and at \
                 `UseDNS` in its sshd_config"
                    .to_owned()
            }
            Self::Protocol { port, .. } => {
                format!(
                    "check that port {port} is the port of sshd, and that sshd lets us in at all"
                )
            }
            Self::HostKeyChanged { file, line, .. } => format!(
                "if the host was installed anew, remove line {line} of {file} and run again with \
                 `--accept-new-host-keys`; if not, somebody may be in between"
            ),
            Self::HostKeyRevoked { .. } => {
                "the key must not be used any more: give the host a new one (`ssh-keygen -A`)"
                    .to_owned()
            }
            Self::HostKeyUnknown { file, .. } => format!(
                "compare the fingerprint with `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` on \
                 the host, then run with `--accept-new-host-keys`, or set `[ssh] host_keys = \
                 \"pin-first\"`, or add its line to {file}"
            ),
            Self::KnownHosts { file, .. } => format!("make {file} readable and writable for you"),
            Self::Auth {
                address,
                user,
                tried,
                ..
            } => auth_help(address, user, tried),
            Self::Jump { source, .. } => return source.help(),
            Self::NotRebooted { last, .. } => {
                return last.as_ref().and_then(|last| last.help()).or_else(|| {
                    Some("look at the host's console, then run again: it continues".to_owned())
                });
            }
        })
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

fn auth_help(address: &str, user: &str, tried: &[String]) -> String {
    let said = |words: &str| tried.iter().any(|line| line.contains(words));
    if said("needs a passphrase") {
        return "add the key to an agent: `eval $(ssh-agent)`, then `ssh-add`".to_owned();
    }
    if said("hung up") {
        return "the host allows only a few keys per login (MaxAuthTries): name the right one with \
                `identity`, or empty the agent with `ssh-add -D`"
            .to_owned();
    }
    format!("run `ssh-copy-id {user}@{address}`, or set `user` and `identity` of the host")
}

impl RunError {
    /// The way out, as a sentence with a command where there is one.
    pub fn help(&self) -> Option<String> {
        let text = match self {
            Self::Lost { .. } => "run again: it continues where it was",
            Self::Refused { what, .. } if what.contains("tunnel") => {
                "set `AllowTcpForwarding yes` (or `local`) in the host's sshd_config and reload sshd"
            }
            Self::Refused { cause, .. } if cause.contains("too many") => {
                "raise `MaxSessions` in the host's sshd_config to 10, its default"
            }
            Self::Refused { what, .. } if what.contains("shell") => {
                "the login needs a shell: `chsh -s /bin/sh`, and no forced command for our key"
            }
            Self::Sudo { user, cause, .. } => return Some(cause.help(user)),
            Self::Spawn { .. } => "is there a `sh` in PATH?",
            _ => return None,
        };
        Some(text.to_owned())
    }

    /// Whether the connection is gone, so that [`Session::reconnect`](super::Session::reconnect) is
    /// the next thing to try.
    pub fn is_lost(&self) -> bool {
        matches!(self, Self::Lost { .. })
    }

    /// Whether this belongs to "host unreachable or login refused" rather than to a step that failed.
    pub fn is_unreachable(&self) -> bool {
        matches!(
            self,
            Self::Lost { .. } | Self::Sudo { .. } | Self::Refused { .. }
        )
    }
}

impl SudoError {
    fn help(&self, user: &str) -> String {
        match self {
            Self::Missing => "install `sudo` on the host, or log in as root".to_owned(),
            Self::WantsPassword => format!(
                "set `sudo = \"password\"` for the host, or allow it without one: `echo '{user} \
                 ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/{user}`"
            ),
            Self::WrongPassword => "check the sudo password that you gave".to_owned(),
            Self::RequiresTty => {
                format!("add `Defaults:{user} !requiretty` to the host's sudoers")
            }
            Self::NotAllowed | Self::Other(_) => {
                format!("let `{user}` run everything with sudo, or log in as root")
            }
        }
    }
}
