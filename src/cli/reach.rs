//! Reaching the hosts of a cloud: the lab is made if there is one, every host is connected to and asked what
//! it is.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use tokio::task::JoinSet;

use super::exit::Exit;
use super::places::CloudState;
use crate::drive::bus::Bus;
use crate::drive::transport::{
    Command, ConnectError, Connector, HostKeys, Login, Secret, Session, SshReach, Sudo, Target,
};
use crate::lab::{self, LabHosts, LabSpec};
use crate::model::cloud::choice::{HostKeys as KeyPolicy, Sudo as SudoChoice};
use crate::model::cloud::{Cloud, Host, Jump, Ssh};
use crate::model::event::{Event, HostSummary, Problem};
use crate::model::host_facts::{self, HostFacts};

/// What was reached.
#[derive(Debug)]
pub(crate) struct Reached {
    /// A session for each host that let us in.
    pub(crate) sessions: BTreeMap<String, Session>,
    /// What each of them is.
    pub(crate) facts: BTreeMap<String, HostFacts>,
    /// The worst that happened to the others.
    pub(crate) worst: Exit,
}

/// Makes the lab of a cloud, or takes up what is there.
pub(crate) async fn lab_up(
    cloud: &Cloud,
    distro: &str,
    bus: &Bus,
) -> Result<Option<LabHosts>, Problem> {
    if cloud.lab.is_none() {
        return Ok(None);
    }
    let problem = |error: &lab::LabError| Problem {
        causes: super::causes(error),
        help: Some(error.help()),
        ..Problem::error("lab::up", error.to_string())
    };
    let spec = lab_spec(cloud, distro)?;
    let places = lab::Places::from_env().map_err(|error| problem(&error))?;
    let progress = super::lab::events(bus.clone());
    let hosts = lab::up(&spec, &places, &progress)
        .await
        .map_err(|error| problem(&error))?;
    Ok(Some(hosts))
}

/// The lab that a cloud asks for.
pub(crate) fn lab_spec(cloud: &Cloud, distro: &str) -> Result<LabSpec, Problem> {
    let known = lab::Distro::from_name(distro);
    let distro = known.ok_or_else(|| {
        Problem::error("lab::distro", format!("no lab host can run {distro} yet"))
    })?;
    let management = &cloud.networks.management;
    let first = management
        .cidr
        .hosts()
        .next()
        .unwrap_or(management.cidr.network());
    Ok(LabSpec {
        name: cloud.name.to_string(),
        backend: lab::Backend::Nspawn,
        distro,
        hosts: cloud
            .hosts
            .iter()
            .map(|host| lab::LabHost {
                name: host.name.to_string(),
                address: host.address,
                cpus: Some(host.cpus),
                memory: Some(host.memory_mib),
            })
            .collect(),
        management: lab::LabNet {
            network: management.cidr,
            gateway: management.gateway.unwrap_or(first),
        },
        provider: lab::LabNet {
            network: cloud.networks.provider.cidr,
            gateway: cloud.networks.provider.gateway,
        },
    })
}

/// Connects to every host at once and asks it what it is.
pub(crate) async fn connect(
    cloud: &Cloud,
    lab: Option<&LabHosts>,
    state: &CloudState,
    accept_new: bool,
    bus: &Bus,
) -> Reached {
    let connector = Connector::new();
    let mut connecting = JoinSet::new();
    let known_hosts = state.file("known_hosts");
    for host in &cloud.hosts {
        let target = match lab {
            Some(lab) => lab_target(host, lab),
            None => target(host, &known_hosts, accept_new),
        };
        bus.send(Event::HostConnecting {
            host: host.name.to_string(),
        });
        let (connector, name, bus) = (connector.clone(), host.name.to_string(), bus.clone());
        connecting.spawn(async move {
            let started = Instant::now();
            let result = greet(&connector, &target).await;
            if result.is_ok() {
                let elapsed_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
                bus.send(Event::HostConnected {
                    host: name.clone(),
                    elapsed_ms,
                });
            }
            (name, result)
        });
    }
    let mut reached = Reached {
        sessions: BTreeMap::new(),
        facts: BTreeMap::new(),
        worst: Exit::Done,
    };
    while let Some(Ok((name, result))) = connecting.join_next().await {
        match result {
            Ok((session, mut facts)) => {
                if let Some(host) = cloud.host(&name) {
                    facts.place(cloud, host);
                }
                bus.send(Event::HostFacts {
                    host: name.clone(),
                    facts: summary(&facts),
                });
                reached.sessions.insert(name.clone(), session);
                reached.facts.insert(name, facts);
            }
            Err(mut problem) => {
                problem.host = Some(name.clone());
                bus.send(Event::HostFailed {
                    host: name,
                    problem,
                });
                reached.worst = Exit::Unreachable;
            }
        }
    }
    reached
}

async fn greet(connector: &Connector, target: &Target) -> Result<(Session, HostFacts), Problem> {
    let session = connector
        .connect(target)
        .await
        .map_err(|error| unreachable(&error))?;
    let output = session
        .run(Command::new(host_facts::SCRIPT).capture_all())
        .await;
    let output = output.map_err(|error| Problem {
        causes: super::causes(&error),
        help: error.help(),
        ..Problem::error("host::ask", error.to_string())
    })?;
    Ok((session, HostFacts::parse(&output.text())))
}

fn unreachable(error: &ConnectError) -> Problem {
    Problem {
        causes: super::causes(error),
        help: error.help(),
        ..Problem::error("host::unreachable", error.to_string())
    }
}

fn summary(facts: &HostFacts) -> HostSummary {
    HostSummary {
        os: facts.os.name.clone(),
        kernel: facts.kernel.clone(),
        cpus: facts.cpus,
        memory_mib: facts.memory_mib,
        virt: facts.virt.clone(),
        hypervisor: Some(if facts.kvm { "kvm" } else { "qemu" }.to_owned()),
        datapath: Some(facts.datapath.clone()),
    }
}

fn lab_target(host: &Host, lab: &LabHosts) -> Target {
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

/// How an existing host is reached: what the answer file says, then the user's SSH configuration, then defaults.
fn target(host: &Host, known_hosts: &Path, accept_new: bool) -> Target {
    let ssh = &host.ssh;
    let address = ssh.host.clone().unwrap_or_else(|| host.address.to_string());
    let mut reach = SshReach::new(address, known_hosts);
    fill(&mut reach, ssh, ssh.user.as_deref(), ssh.port, accept_new);
    reach.jump = jump(&ssh.jump, ssh, known_hosts, accept_new);
    let mut target = Target::ssh(host.name.to_string(), reach);
    let password = ssh
        .sudo_password_env
        .as_ref()
        .and_then(|name| std::env::var(name).ok());
    let root =
        matches!(&target.reach, crate::drive::transport::Reach::Ssh(reach) if reach.user == "root");
    target.sudo = match (ssh.sudo, password) {
        (SudoChoice::None, _) => Sudo::None,
        (SudoChoice::Auto, _) if root => Sudo::None,
        (SudoChoice::Auto | SudoChoice::Password, Some(password)) => {
            Sudo::Password(Secret::new(password))
        }
        _ => Sudo::Passwordless,
    };
    target
}

fn fill(reach: &mut SshReach, ssh: &Ssh, user: Option<&str>, port: Option<u16>, accept_new: bool) {
    if let Some(user) = user {
        user.clone_into(&mut reach.user);
    }
    if let Some(port) = port {
        reach.port = port;
    }
    reach.connect_deadline = ssh.connect_timeout;
    reach.host_keys = match (ssh.host_keys, accept_new) {
        (KeyPolicy::Pinned, false) => HostKeys::Pinned,
        _ => HostKeys::PinFirst,
    };
    let agent = std::env::var_os("SSH_AUTH_SOCK")
        .filter(|_| ssh.agent)
        .map(PathBuf::from);
    let password = ssh
        .password_env
        .as_ref()
        .and_then(|name| std::env::var(name).ok());
    let identities = match ssh.identity.is_empty() {
        false => ssh.identity.iter().map(|path| home(path)).collect(),
        true => ["id_ed25519", "id_ecdsa", "id_rsa"]
            .iter()
            .map(|name| home(&format!("~/.ssh/{name}")))
            .filter(|path| path.exists())
            .collect(),
    };
    reach.login = Login {
        agent,
        identities,
        password: password.map(Secret::new),
    };
}

/// The last hop, which knows the one before it.
fn jump(hops: &[Jump], ssh: &Ssh, known_hosts: &Path, accept_new: bool) -> Option<Box<Target>> {
    let (last, before) = hops.split_last()?;
    let mut reach = SshReach::new(last.host.clone(), known_hosts);
    fill(&mut reach, ssh, last.user.as_deref(), last.port, accept_new);
    reach.jump = jump(before, ssh, known_hosts, accept_new);
    Some(Box::new(Target::ssh(last.host.clone(), reach)))
}

fn home(path: &str) -> PathBuf {
    match (path.strip_prefix("~/"), std::env::var_os("HOME")) {
        (Some(rest), Some(home)) => PathBuf::from(home).join(rest),
        _ => PathBuf::from(path),
    }
}
