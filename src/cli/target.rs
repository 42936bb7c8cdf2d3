//! How each host is logged in to: what the answer file says, then the user's SSH configuration, then defaults.

use std::path::{Path, PathBuf};

use crate::drive::transport::openssh::{self, Given};
use crate::drive::transport::{HostKeys, Login, Secret, SshReach, Sudo, Target};
use crate::lab::LabHosts;
use crate::model::cloud::choice::{HostKeys as KeyPolicy, Sudo as SudoChoice};
use crate::model::cloud::{Host, Jump, Ssh};

/// A host of a lab: the lab says how.
pub(crate) fn of_lab(host: &Host, lab: &LabHosts) -> Target {
    let machine = lab
        .hosts
        .iter()
        .find(|machine| machine.name == host.name.as_str());
    let mut reach = SshReach::new(host.address.to_string(), &lab.known_hosts);
    if let Some(machine) = machine {
        reach.port = machine.port;
        reach.user.clone_from(&machine.user);
    }
    reach.login.identities = vec![lab.key.clone()];
    Target::ssh(host.name.to_string(), reach)
}

/// A host that exists already. With `accept_new`, keys that nobody knows yet are kept.
pub(crate) async fn of_host(host: &Host, known_hosts: &Path, accept_new: bool) -> Target {
    let ssh = &host.ssh;
    let place = Jump {
        user: ssh.user.clone(),
        host: ssh.host.clone().unwrap_or_else(|| host.address.to_string()),
        port: ssh.port,
    };
    let (mut reach, configured) = hop(&place, ssh, known_hosts, accept_new).await;
    let hops = ssh.jump.clone().unwrap_or(configured);
    for next in &hops {
        let (mut through, _) = hop(next, ssh, known_hosts, accept_new).await;
        through.jump = reach.jump.take();
        reach.jump = Some(Box::new(Target::ssh(next.host.clone(), through)));
    }
    let sudo = sudo(ssh, &reach.user);
    Target {
        sudo,
        ..Target::ssh(host.name.to_string(), reach)
    }
}

/// One hop, and the jump hosts that the user's SSH configuration wants before it.
async fn hop(
    place: &Jump,
    ssh: &Ssh,
    known_hosts: &Path,
    accept_new: bool,
) -> (SshReach, Vec<Jump>) {
    let mut reach = SshReach::new(place.host.clone(), known_hosts);
    reach.connect_deadline = ssh.connect_timeout;
    reach.host_keys = match (ssh.host_keys, accept_new) {
        (KeyPolicy::Pinned, false) => HostKeys::Pinned,
        _ => HostKeys::PinFirst,
    };
    reach.login = login(ssh);
    reach.user = place.user.clone().unwrap_or(reach.user);
    reach.port = place.port.unwrap_or(reach.port);
    let resolved = match ssh.use_ssh_config {
        true => openssh::ask(&place.host).await,
        false => None,
    };
    let Some(resolved) = resolved else {
        return (reach, Vec::new());
    };
    let jumps = resolved.jumps.iter().map(|hop| Jump {
        user: hop.user.clone(),
        host: hop.address.clone(),
        port: hop.port,
    });
    let jumps = jumps.collect();
    let given = Given {
        user: place.user.is_some(),
        port: place.port.is_some(),
        identities: !ssh.identity.is_empty(),
    };
    resolved.fill(&mut reach, given);
    (reach, jumps)
}

fn login(ssh: &Ssh) -> Login {
    let agent = std::env::var_os("SSH_AUTH_SOCK")
        .filter(|_| ssh.agent)
        .map(PathBuf::from);
    let usual = ["~/.ssh/id_ed25519", "~/.ssh/id_ecdsa", "~/.ssh/id_rsa"];
    let identities = match ssh.identity.is_empty() {
        false => ssh.identity.iter().map(|path| home(path)).collect(),
        true => usual
            .into_iter()
            .map(home)
            .filter(|path| path.exists())
            .collect(),
    };
    Login {
        agent,
        identities,
        password: environment(ssh.password_env.as_deref()),
    }
}

fn sudo(ssh: &Ssh, user: &str) -> Sudo {
    match (ssh.sudo, environment(ssh.sudo_password_env.as_deref())) {
        (SudoChoice::None, _) => Sudo::None,
        (SudoChoice::Auto, _) if user == "root" => Sudo::None,
        (SudoChoice::Auto | SudoChoice::Password, Some(password)) => Sudo::Password(password),
        _ => Sudo::Passwordless,
    }
}

fn environment(name: Option<&str>) -> Option<Secret> {
    std::env::var(name?).ok().map(Secret::new)
}

fn home(path: &str) -> PathBuf {
    match (path.strip_prefix("~/"), std::env::var_os("HOME")) {
        (Some(rest), Some(home)) => PathBuf::from(home).join(rest),
        _ => PathBuf::from(path),
    }
}
