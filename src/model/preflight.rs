//! Preflight: can these hosts become this cloud? Judged from what they said of themselves, before anything is touched.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use super::cloud::{Cloud, Host, NicSelector};
use super::event::{Problem, Severity};
use super::host_facts::HostFacts;
use super::name::Role;

/// Memory below which a host of a role cannot work, and below which it will be slow, in MiB.
const MEMORY: [(Role, u64, u64); 2] = [(Role::Controller, 3500, 5500), (Role::Compute, 900, 1800)];
/// Free space below which packages and logs do not fit, in MiB, for the controller and for others.
const DISK: (u64, u64) = (5000, 3000);
/// Difference of clocks, in seconds, above which tokens and messages are refused as too old or too new.
const CLOCK_SKEW: f64 = 30.0;

/// Everything that stands in the way (errors) or will be felt (warnings), host by host.
pub fn judge(cloud: &Cloud, facts: &BTreeMap<String, HostFacts>) -> Vec<Problem> {
    let mut found = Vec::new();
    for host in &cloud.hosts {
        if let Some(facts) = facts.get(host.name.as_str()) {
            found.extend(size(host, facts));
            found.extend(networks(cloud, host, facts));
        }
    }
    found.extend(clocks(facts));
    found.extend(twins(facts));
    found
}

fn finding(severity: Severity, host: &str, code: &str, what: String, help: String) -> Problem {
    Problem {
        severity,
        host: Some(host.to_owned()),
        help: Some(help),
        ..Problem::error(format!("preflight::{code}"), what)
    }
}

fn size(host: &Host, facts: &HostFacts) -> Vec<Problem> {
    let name = host.name.as_str();
    let mut found = Vec::new();
    for (role, least, enough) in MEMORY {
        let has = facts.memory_mib;
        if !host.has(role) || has >= enough {
            continue;
        }
        let severity = if has < least {
            Severity::Error
        } else {
            Severity::Warning
        };
        found.push(finding(
            severity,
            name,
            "memory",
            format!(
                "{has} MiB of memory; a {role} wants {enough} MiB and cannot work below {least}"
            ),
            "give the host more memory, or switch services off".into(),
        ));
    }
    let wanted = if host.has(Role::Controller) {
        DISK.0
    } else {
        DISK.1
    };
    if facts.root_free_mib < wanted {
        found.push(finding(
            Severity::Error,
            name,
            "disk",
            format!(
                "{} MiB are free on /; packages and logs need {wanted}",
                facts.root_free_mib
            ),
            "make room on the host's root file system".into(),
        ));
    }
    found
}

fn networks(cloud: &Cloud, host: &Host, facts: &HostFacts) -> Vec<Problem> {
    let name = host.name.as_str();
    let mut found = Vec::new();
    let switches = host.has(Role::Network) || host.has(Role::Compute);
    let nics: Vec<_> = facts
        .nics
        .keys()
        .filter(|nic| *nic != "lo")
        .cloned()
        .collect();
    if let (Some(wanted), None) = (&host.provider_nic, &facts.provider_nic) {
        let wanted = match wanted {
            NicSelector::Name(name) => format!("is called `{name}`"),
            NicSelector::Mac(mac) => format!("has the hardware address {mac}"),
            NicSelector::Cidr(cidr) => format!("has an address in {cidr}"),
        };
        found.push(finding(
            Severity::Error,
            name,
            "provider-nic",
            format!("no NIC {wanted}; there are {}", nics.join(", ")),
            format!("set `networks.provider.nic`, or `hosts.{name}.provider_nic`"),
        ));
    }
    let Some(tunnel) = facts.tunnel_address.as_ref().filter(|_| switches) else {
        if switches {
            found.push(finding(
                Severity::Error,
                name,
                "tunnel",
                format!(
                    "it has no address in {}, where tunnels are to end",
                    cloud.networks.tunnel.cidr
                ),
                format!("set `hosts.{name}.tunnel_address`, or `networks.tunnel.cidr`"),
            ));
        }
        return found;
    };
    let inside = tunnel
        .parse::<Ipv4Addr>()
        .is_ok_and(|address| cloud.networks.provider.cidr.contains(&address));
    if facts.datapath == "netdev" && !inside {
        found.push(finding(
            Severity::Error,
            name,
            "datapath",
            format!(
                "its kernel has no openvswitch module, and the userspace datapath cannot send tunnels from \
                 {tunnel}: they must end on br-ex"
            ),
            format!(
                "set `hosts.{name}.tunnel_address` to a free address in {}",
                cloud.networks.provider.cidr
            ),
        ));
    }
    found
}

/// All hosts were asked at nearly the same time, so their clocks can be compared.
fn clocks(facts: &BTreeMap<String, HostFacts>) -> Vec<Problem> {
    let mut by_skew: Vec<(&String, f64)> = facts
        .iter()
        .filter(|(_, f)| f.skew.is_finite())
        .map(|(name, f)| (name, f.skew))
        .collect();
    by_skew.sort_by(|a, b| a.1.total_cmp(&b.1));
    let (Some((_, first)), Some((name, last))) = (by_skew.first(), by_skew.last()) else {
        return Vec::new();
    };
    if last - first <= CLOCK_SKEW {
        return Vec::new();
    }
    vec![finding(
        Severity::Warning,
        name,
        "clock",
        format!("its clock is {:.0} s ahead of another host's", last - first),
        "the run brings clocks into step; see that `time.servers` can be reached".into(),
    )]
}

/// Machines that were copied share what should tell them apart.
fn twins(facts: &BTreeMap<String, HostFacts>) -> Vec<Problem> {
    let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
    let mut found = Vec::new();
    for (name, facts) in facts {
        if facts.machine_id.is_empty() {
            continue;
        }
        if let Some(other) = seen.insert(&facts.machine_id, name) {
            found.push(finding(
                Severity::Warning,
                name,
                "machine-id",
                format!("it has the same /etc/machine-id as {other}: one is a copy of the other"),
                format!(
                    "on {name}: `rm /etc/machine-id && systemd-machine-id-setup`, then restart it"
                ),
            ));
        }
    }
    found
}
