//! `[hosts]` and `[lab]`: the machines, their roles and sizes.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::ops::Range;

use super::networks::Nets;
use super::options;
use super::ssh::{self, SshPart};
use crate::model::answers::findings::Findings;
use crate::model::answers::known::Known;
use crate::model::answers::nearest::listed;
use crate::model::answers::schema::{AnswerFile, HostTable, LabTable, NicTable, NicValue};
use crate::model::answers::written::{Mac, Memory, NicName};
use crate::model::at::At;
use crate::model::cloud::{Host, NicSelector, Service, TunnelEndpoint, TunnelOn};
use crate::model::diagnostic::Diagnostic;
use crate::model::name::{HostName, Role};

/// A host, as far as it could be read.
#[derive(Debug)]
pub(super) struct ReadHost {
    /// As it is written, for messages.
    pub(super) written: String,
    /// Where its name is.
    pub(super) place: Range<usize>,
    name: Option<HostName>,
    pub(super) address: Option<At<Ipv4Addr>>,
    /// None: they could not be read.
    roles: Option<Vec<Role>>,
    ssh: crate::model::cloud::Ssh,
    pub(super) nic: Option<NicSelector>,
    pub(super) tunnel: Option<At<Ipv4Addr>>,
    cpus: u32,
    memory_mib: u64,
    config: crate::model::cloud::ConfigOverrides,
}

impl ReadHost {
    pub(super) fn has(&self, role: Role) -> bool {
        self.roles
            .as_ref()
            .is_some_and(|roles| roles.contains(&role))
    }

    /// What carries its end of the tunnels.
    pub(super) fn tunnel_on(&self, nets: &Nets) -> TunnelOn {
        let Some(address) = self.tunnel.as_ref().map(At::get) else {
            let elsewhere = nets.tunnel.is_some() && nets.tunnel != nets.management;
            return if elsewhere {
                TunnelOn::Other
            } else {
                TunnelOn::Management
            };
        };
        if self.address.as_ref().map(At::get) == Some(address) {
            TunnelOn::Management
        } else if nets
            .provider
            .as_ref()
            .is_some_and(|net| net.get().contains(address))
        {
            TunnelOn::Provider
        } else {
            TunnelOn::Other
        }
    }
}

/// What hosts have in common unless they say otherwise.
struct Common<'a> {
    lab: Option<&'a LabTable>,
    memory_mib: u64,
    ssh: SshPart,
    nic: Option<&'a NicSelector>,
}

/// Reads all hosts, in the order of the file.
pub(super) fn read(file: &AnswerFile, nets: &Nets, findings: &mut Findings<'_>) -> Vec<ReadHost> {
    let lab = file.lab.as_ref().map(At::get);
    let memory: Option<Memory> =
        findings.read_opt("lab.memory", lab.and_then(|lab| lab.memory.as_ref()));
    let common = Common {
        lab,
        memory_mib: memory.map_or(6 * 1024, |memory| memory.0),
        ssh: ssh::read("ssh", file.ssh.as_ref(), findings),
        nic: nets.nic.as_ref(),
    };
    if let Some(host) = file.ssh.as_ref().and_then(|table| table.host.as_ref()) {
        findings.add(
            Diagnostic::error(
                "ssh::host-for-all",
                "`ssh.host` would be the same for every host",
            )
            .at(findings.label(host.span(), "belongs to one host"))
            .help("write it in `[hosts.<name>.ssh]`"),
        );
    }
    let tables = file.hosts.iter().flat_map(At::get);
    let mut hosts: Vec<ReadHost> = tables
        .map(|(name, table)| one(name, table.get(), &common, findings))
        .collect();
    hosts.sort_by_key(|host| host.place.start);
    hosts
}

fn one(
    name: &At<String>,
    table: &HostTable,
    common: &Common<'_>,
    findings: &mut Findings<'_>,
) -> ReadHost {
    let path = format!("hosts.{}", name.get());
    let key = |key: &str| format!("{path}.{key}");
    let own_ssh = ssh::read(&key("ssh"), table.ssh.as_ref(), findings);
    let address = table
        .address
        .as_ref()
        .and_then(|a| findings.read_at(&key("address"), a));
    ssh::check_jump(name, address.as_ref(), &own_ssh, &common.ssh, findings);
    let own_nic = table
        .provider_nic
        .as_ref()
        .and_then(|n| nic(findings, &key("provider_nic"), n));
    if common.lab.is_none() {
        sizes_without_lab(table, findings);
    }
    let memory: Option<Memory> = findings.read_opt(&key("memory"), table.memory.as_ref());
    let cpus = table.cpus.as_ref().map(|cpus| *cpus.get());
    ReadHost {
        written: name.get().clone(),
        place: name.span(),
        name: findings.read("hosts", name),
        tunnel: table
            .tunnel_address
            .as_ref()
            .and_then(|a| findings.read_at(&key("tunnel_address"), a)),
        address,
        roles: table.roles.as_ref().map(|roles| in_order(roles.get())),
        ssh: own_ssh.over(&common.ssh),
        nic: own_nic.or_else(|| common.nic.cloned()),
        cpus: cpus.or(common.lab.and_then(|lab| lab.cpus)).unwrap_or(2),
        memory_mib: memory.map_or(common.memory_mib, |memory| memory.0),
        config: options::values(&table.config),
    }
}

fn in_order(roles: &[At<Role>]) -> Vec<Role> {
    let mut read: Vec<Role> = roles.iter().map(|role| *role.get()).collect();
    read.sort();
    read.dedup();
    read
}

fn sizes_without_lab(table: &HostTable, findings: &mut Findings<'_>) {
    let places = [
        ("cpus", table.cpus.as_ref().map(At::span)),
        ("memory", table.memory.as_ref().map(At::span)),
    ];
    for (key, place) in places {
        if let Some(place) = place {
            findings.add(
                Diagnostic::warning(
                    "lab::unused",
                    format!("`{key}` has no effect without `[lab]`"),
                )
                .at(findings.label(place, "the host has what it has"))
                .help("leave it out, or add `[lab]` to have the hosts made"),
            );
        }
    }
}

/// Reads how a NIC is found.
pub(super) fn nic(
    findings: &mut Findings<'_>,
    key: &str,
    written: &At<NicValue>,
) -> Option<NicSelector> {
    let read = match written.get() {
        NicValue::Name(name) => findings
            .read::<NicName>(key, &written.with(name.clone()))
            .map(NicSelector::from),
        NicValue::Table(NicTable {
            name: Some(name),
            mac: None,
            cidr: None,
        }) => findings
            .read::<NicName>(&format!("{key}.name"), name)
            .map(NicSelector::from),
        NicValue::Table(NicTable {
            name: None,
            mac: Some(mac),
            cidr: None,
        }) => findings
            .read::<Mac>(&format!("{key}.mac"), mac)
            .map(|mac| NicSelector::Mac(mac.0)),
        NicValue::Table(NicTable {
            name: None,
            mac: None,
            cidr: Some(cidr),
        }) => findings
            .read(&format!("{key}.cidr"), cidr)
            .map(NicSelector::Cidr),
        // With a key that nobody knows, it was reported already.
        NicValue::Table(NicTable {
            name: None,
            mac: None,
            cidr: None,
        }) if findings.is_unclear(key) => None,
        NicValue::Table(_) => {
            findings.add(
                Diagnostic::error(
                    "network::nic-choice",
                    format!("`{key}` must say one way to find the NIC"),
                )
                .at(findings.label(written.span(), "one of `name`, `mac` and `cidr`"))
                .help(format!(
                    "write `{key} = \"eth1\"` or `{key} = {{ mac = \"52:54:00:00:00:01\" }}`"
                )),
            );
            None
        }
    };
    if read.is_none() {
        findings.set_unclear(key);
    }
    read
}

/// Has every role that is needed somebody, and the controller only one?
pub(super) fn check_roles(
    file: &AnswerFile,
    hosts: &[ReadHost],
    services: &BTreeMap<String, Service>,
    known: &Known,
    findings: &mut Findings<'_>,
) {
    let place = file.hosts.as_ref().map_or(0..0, At::span);
    let mut controllers = hosts.iter().filter(|host| host.has(Role::Controller));
    if let (Some(first), Some(second)) = (controllers.next(), controllers.next()) {
        findings.add(
            Diagnostic::error("role::two-controllers", "two hosts are the controller")
                .at(findings.label(second.place.clone(), "this one too"))
                .at(findings.label(first.place.clone(), "this one"))
                .help("leave `controller` to one of them; more than one is not supported yet"),
        );
    }
    // Roles that could not be read may be the missing ones; they are reported already.
    if hosts.is_empty() || hosts.iter().any(|host| host.roles.is_none()) {
        return;
    }
    for role in Role::ALL {
        let has = hosts.iter().find(|host| host.has(role));
        let users: Vec<&str> = services
            .iter()
            .filter(|(_, service)| service.enabled)
            .map(|(name, _)| name.as_str())
            .filter(|name| {
                known
                    .services
                    .get(*name)
                    .is_some_and(|s| s.roles.contains(&role))
            })
            .collect();
        match (role, has) {
            // The controller takes it.
            (Role::Network, _) => {}
            (Role::Controller, None) => nobody(role, "everything", place.clone(), findings),
            (_, None) if !users.is_empty() => nobody(role, &listed(users), place.clone(), findings),
            (Role::Storage, Some(host)) if users.is_empty() => unused(role, host, findings),
            _ => {}
        }
    }
}

fn nobody(role: Role, users: &str, place: Range<usize>, findings: &mut Findings<'_>) {
    findings.add(
        Diagnostic::error("role::nobody", format!("no host has the role `{role}`"))
            .at(findings.label(place, format!("needed by {users}")))
            .help(format!(
                "add it to a host: `roles = [\"{role}\"]`; a host can have several roles"
            )),
    );
}

fn unused(role: Role, host: &ReadHost, findings: &mut Findings<'_>) {
    let message = format!(
        "`{}` has the role `{role}`, which no service uses",
        host.written
    );
    findings.add(
        Diagnostic::warning("role::unused", message)
            .at(findings.label(host.place.clone(), "this host"))
            .help("switch on a service that keeps data, or leave the role out"),
    );
}

/// The hosts of the cloud, unless a part of one is missing.
pub(super) fn finish(hosts: Vec<ReadHost>, nets: &Nets) -> Option<Vec<Host>> {
    let network_is_taken = hosts.iter().any(|host| host.has(Role::Network));
    hosts
        .into_iter()
        .map(|host| {
            let on = host.tunnel_on(nets);
            let address = host.address?.into_inner();
            let mut roles = host.roles?;
            if !network_is_taken && roles.contains(&Role::Controller) {
                roles.push(Role::Network);
                roles.sort();
            }
            Some(Host {
                name: host.name?,
                address,
                roles,
                ssh: host.ssh,
                provider_nic: host.nic,
                tunnel: TunnelEndpoint {
                    address: match on {
                        TunnelOn::Management => Some(address),
                        TunnelOn::Provider | TunnelOn::Other => host.tunnel.map(At::into_inner),
                    },
                    on,
                },
                cpus: host.cpus,
                memory_mib: host.memory_mib,
                config: host.config,
            })
        })
        .collect()
}
