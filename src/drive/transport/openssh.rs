//! What the user's own SSH configuration says about a host, asked of OpenSSH itself (`ssh -G`), since
//! nobody else understands all of `Include`, `Match` and `Host`.
//!
//! The answer file wins: [`Resolved::fill`] only touches what it left open.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::SshReach;

/// The parts of `ssh -G` that matter here. What it did not print is `None` or empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Resolved {
    /// Address or name to connect to.
    pub address: Option<String>,
    /// Login name.
    pub user: Option<String>,
    /// TCP port.
    pub port: Option<u16>,
    /// Identity files that exist, in OpenSSH's order.
    pub identities: Vec<PathBuf>,
    /// Agent socket, when it is another one than `$SSH_AUTH_SOCK`.
    pub agent: Option<PathBuf>,
    /// Bastions, the one nearest to us first.
    pub jumps: Vec<Hop>,
}

/// One bastion of a `ProxyJump`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hop {
    /// Login name, if it was given.
    pub user: Option<String>,
    /// Host name or address.
    pub address: String,
    /// TCP port, if it was given.
    pub port: Option<u16>,
}

/// What the answer file says already, and OpenSSH must not change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Given {
    /// The login name.
    pub user: bool,
    /// The port.
    pub port: bool,
    /// Identity files.
    pub identities: bool,
}

/// Asks the `ssh` program, if there is one. `None` when there is none, or it does not answer.
pub async fn ask(host: &str) -> Option<Resolved> {
    let ssh = which::which("ssh").ok()?;
    if host.is_empty() || host.starts_with('-') {
        return None;
    }
    let mut command = tokio::process::Command::new(ssh);
    command
        .args(["-G", host])
        .stdin(std::process::Stdio::null())
        .kill_on_drop(true);
    let output = tokio::time::timeout(Duration::from_secs(5), command.output())
        .await
        .ok()?
        .ok()?;
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let mut resolved = parse(&String::from_utf8_lossy(&output.stdout), home.as_deref());
    resolved.identities.retain(|file| file.exists());
    output.status.success().then_some(resolved)
}

/// Reads what `ssh -G` printed: `keyword value`, one a line.
pub fn parse(text: &str, home: Option<&Path>) -> Resolved {
    let mut resolved = Resolved::default();
    for (keyword, value) in text.lines().filter_map(|line| line.trim().split_once(' ')) {
        match keyword.to_ascii_lowercase().as_str() {
            "hostname" => resolved.address = Some(value.to_owned()),
            "user" => resolved.user = Some(value.to_owned()),
            "port" => resolved.port = value.parse().ok(),
            "identityfile" => resolved.identities.push(at_home(value, home)),
            "identityagent" if !matches!(value, "none" | "SSH_AUTH_SOCK") => {
                resolved.agent = Some(at_home(value, home));
            }
            "proxyjump" if value != "none" => {
                resolved.jumps = value.split(',').filter_map(hop).collect();
            }
            _ => {}
        }
    }
    resolved
}

/// `[user@]host[:port]` or `ssh://[user@]host[:port]`, IPv6 addresses in brackets.
fn hop(text: &str) -> Option<Hop> {
    let text = text.trim();
    let text = text
        .strip_prefix("ssh://")
        .unwrap_or(text)
        .trim_end_matches('/');
    let (user, place) = match text.rsplit_once('@') {
        Some((user, place)) => (Some(user.to_owned()), place),
        None => (None, text),
    };
    let (address, port) = match place
        .strip_prefix('[')
        .and_then(|rest| rest.split_once(']'))
    {
        Some((address, rest)) => (address, rest.strip_prefix(':')),
        None => match place.split_once(':') {
            Some((address, port)) if !port.contains(':') => (address, Some(port)),
            _ => (place, None),
        },
    };
    let port = port.map(str::parse).transpose().ok()?;
    (!address.is_empty()).then(|| Hop {
        user,
        address: address.to_owned(),
        port,
    })
}

fn at_home(path: &str, home: Option<&Path>) -> PathBuf {
    match (path.strip_prefix("~/"), home) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(path),
    }
}

impl Resolved {
    /// Fills what the answer file left open. The address is always taken over: the answer file's may be
    /// an alias. Jumps are the caller's, since each needs a target of its own.
    pub fn fill(&self, reach: &mut SshReach, given: Given) {
        if let Some(address) = &self.address {
            reach.address.clone_from(address);
        }
        if let Some(user) = self.user.as_ref().filter(|_| !given.user) {
            reach.user.clone_from(user);
        }
        if let Some(port) = self.port.filter(|_| !given.port) {
            reach.port = port;
        }
        if !given.identities {
            reach.login.identities.clone_from(&self.identities);
        }
        if let Some(agent) = &self.agent {
            reach.login.agent = Some(agent.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRINTED: &str = "host box\nuser stack\nhostname 192.0.2.7\nport 2222\n\
        addkeystoagent false\nidentityfile ~/.ssh/id_rsa\nidentityfile /keys/id with space\n\
        identityagent SSH_AUTH_SOCK\nproxyjump me@gate:2200,ssh://inner,[fe80::1]:22\n\
        syslogfacility USER\nrubbish\n";

    fn hop(user: Option<&str>, address: &str, port: Option<u16>) -> Hop {
        Hop {
            user: user.map(str::to_owned),
            address: address.to_owned(),
            port,
        }
    }

    #[test]
    fn what_openssh_prints_is_read() {
        let expected = Resolved {
            address: Some("192.0.2.7".to_owned()),
            user: Some("stack".to_owned()),
            port: Some(2222),
            identities: vec!["/home/me/.ssh/id_rsa".into(), "/keys/id with space".into()],
            agent: None,
            jumps: vec![
                hop(Some("me"), "gate", Some(2200)),
                hop(None, "inner", None),
                hop(None, "fe80::1", Some(22)),
            ],
        };
        assert_eq!(parse(PRINTED, Some(Path::new("/home/me"))), expected);
        assert_eq!(
            parse("proxyjump none\nidentityagent none\n", None),
            Resolved::default()
        );
        let agent = parse("identityagent ~/agent.sock\n", Some(Path::new("/home/me"))).agent;
        assert_eq!(agent, Some("/home/me/agent.sock".into()));
    }

    #[test]
    fn the_answer_file_wins() {
        let resolved = parse(PRINTED, None);
        let mut reach = SshReach::new("box", "/known_hosts");
        resolved.fill(
            &mut reach,
            Given {
                user: true,
                port: false,
                identities: false,
            },
        );
        assert_eq!((reach.user.as_str(), reach.port), ("root", 2222));
        assert_eq!(reach.address, "192.0.2.7");
        assert_eq!(reach.login.identities.len(), 2);
    }

    #[tokio::test]
    async fn openssh_itself_answers() {
        let resolved = ask("someone@box.invalid").await.unwrap();
        assert_eq!(resolved.address.as_deref(), Some("box.invalid"));
        assert_eq!(resolved.user.as_deref(), Some("someone"));
        assert_eq!(ask("-oProxyCommand=x").await, None);
    }
}
