//! Reaching the hosts of a cloud: the lab is made if there is one, every host is connected to and asked what
//! it is.

use std::collections::BTreeMap;
use std::time::Instant;

use tokio::task::JoinSet;

use super::exit::Exit;
use super::places::CloudState;
use super::target;
use crate::drive::bus::Bus;
use crate::drive::transport::{Command, ConnectError, Connector, Session, Target};
use crate::lab::{self, LabHosts, LabSpec};
use crate::model::cloud::Cloud;
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
        base: None,
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
            Some(lab) => target::of_lab(host, lab),
            None => target::of_host(host, &known_hosts, accept_new).await,
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
                // Every display says the host before the message.
                if let Some(rest) = problem.message.strip_prefix(&format!("{name}: ")) {
                    problem.message = rest.to_owned();
                }
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
    let mut facts = HostFacts::parse(&output.text());
    facts.skew = facts.clock - jiff::Timestamp::now().as_millisecond() as f64 / 1000.0;
    Ok((session, facts))
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
