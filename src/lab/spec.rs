//! What a lab shall look like: plain data, checked, no effects.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use super::error::LabError;

/// A wanted lab.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabSpec {
    /// Its name: lower-case letters, digits and dashes, at most 32; names directories and interfaces.
    pub name: String,
    /// How the hosts are made.
    #[serde(default)]
    pub backend: Backend,
    /// What the hosts run.
    pub distro: Distro,
    /// A root file system made out of that distribution's, in place of the plain one: a directory that nothing
    /// changes while the lab is there. Where it has `/etc/sysconfig/network-scripts`, hosts are told their
    /// address there, else by systemd-networkd.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<PathBuf>,
    /// The hosts, at least one.
    pub hosts: Vec<LabHost>,
    /// The network of `eth0`, with this machine's address in it.
    pub management: LabNet,
    /// The network that `eth1` is plugged into, with this machine's address in it. Hosts have no address there.
    pub provider: LabNet,
}

/// One host of a lab.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabHost {
    /// Host name.
    pub name: String,
    /// Address in the management network.
    pub address: Ipv4Addr,
    /// At most this many CPUs' worth of time; no limit without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpus: Option<u32>,
    /// At most this much memory, in MiB; no limit without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
}

/// A network of a lab.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabNet {
    /// The network.
    pub network: Ipv4Net,
    /// This machine's address in it: the way out for who lives there.
    pub gateway: Ipv4Addr,
}

/// How the hosts of a lab are made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// Containers with their own init, network and file system, on this machine.
    #[default]
    Nspawn,
}

/// A distribution release that lab hosts can run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Distro {
    /// Debian 12 "bookworm".
    Debian12,
    /// Debian 13 "trixie".
    Debian13,
}

impl Distro {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Debian12, Self::Debian13];

    /// The name used in answer files and platforms: `debian13`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Debian12 => "debian12",
            Self::Debian13 => "debian13",
        }
    }

    /// The archive's name for the release: `trixie`.
    pub fn codename(self) -> &'static str {
        match self {
            Self::Debian12 => "bookworm",
            Self::Debian13 => "trixie",
        }
    }

    /// The release of this name, if lab hosts can run it.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|distro| distro.name() == name)
    }
}

impl LabSpec {
    /// Says what is wrong with the wanted lab; the first problem only.
    pub fn check(&self) -> Result<(), LabError> {
        let problem = self.problem();
        problem.map_or(Ok(()), |problem| {
            Err(LabError::Spec {
                lab: self.name.clone(),
                problem,
            })
        })
    }

    fn problem(&self) -> Option<String> {
        if let Some(problem) = name_problem(&self.name, 32) {
            return Some(format!("its name {problem}"));
        }
        if let Some(base) = self.base.as_ref().filter(|base| !base.join("etc").is_dir()) {
            return Some(format!(
                "its base `{}` is no root file system",
                base.display()
            ));
        }
        for (what, net) in [
            ("management", &self.management),
            ("provider", &self.provider),
        ] {
            let LabNet { network, gateway } = net;
            if !(16..=29).contains(&network.prefix_len()) {
                return Some(format!(
                    "the {what} network {network} must be a /16 to a /29"
                ));
            }
            if !network.contains(gateway) {
                return Some(format!("the {what} gateway {gateway} is not in {network}"));
            }
        }
        let (a, b) = (self.management.network, self.provider.network);
        if a.contains(&b) || b.contains(&a) {
            return Some(format!(
                "the management network {a} and the provider network {b} overlap"
            ));
        }
        self.host_problem()
    }

    fn host_problem(&self) -> Option<String> {
        if self.hosts.is_empty() {
            return Some("it has no hosts".to_owned());
        }
        let (mut names, mut addresses) = (BTreeSet::new(), BTreeSet::new());
        for LabHost { name, address, .. } in &self.hosts {
            if let Some(problem) = name_problem(name, 63) {
                return Some(format!("the host name `{name}` {problem}"));
            }
            let net = self.management.network;
            if !net.contains(address) || *address == net.network() || *address == net.broadcast() {
                return Some(format!(
                    "`{name}` has {address}, which is no host address in {net}"
                ));
            }
            if *address == self.management.gateway {
                return Some(format!("`{name}` has {address}, which is this machine's"));
            }
            if !names.insert(name) {
                return Some(format!("two hosts are called `{name}`"));
            }
            if !addresses.insert(address) {
                return Some(format!("two hosts have the address {address}"));
            }
        }
        None
    }

    /// What has to be made to turn a recorded lab into this one: the new hosts. Anything else that
    /// differs cannot be changed under a living lab.
    pub(crate) fn added_since(&self, recorded: &Self) -> Result<Vec<String>, LabError> {
        let differs = |what: String| LabError::Different {
            lab: self.name.clone(),
            difference: what,
        };
        if self.distro != recorded.distro {
            let (have, want) = (recorded.distro.name(), self.distro.name());
            return Err(differs(format!("with {have} hosts, not {want}")));
        }
        if self.base != recorded.base {
            return Err(differs("with hosts made from another base".to_owned()));
        }
        for (what, have, want) in [
            ("management", recorded.management, self.management),
            ("provider", recorded.provider, self.provider),
        ] {
            if have != want {
                let (have, want) = (have.network, want.network);
                return Err(differs(format!(
                    "with the {what} network {have}, not as wanted ({want})"
                )));
            }
        }
        for old in &recorded.hosts {
            match self.hosts.iter().find(|host| host.name == old.name) {
                None => return Err(differs(format!("with a host `{}`", old.name))),
                Some(new) if new.address != old.address => {
                    let (name, address) = (&old.name, old.address);
                    return Err(differs(format!("`{name}` has {address} there")));
                }
                Some(_) => {}
            }
        }
        let is_new = |host: &&LabHost| recorded.hosts.iter().all(|old| old.name != host.name);
        Ok(self
            .hosts
            .iter()
            .filter(is_new)
            .map(|host| host.name.clone())
            .collect())
    }
}

fn name_problem(name: &str, longest: usize) -> Option<String> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty() {
        Some("is empty".to_owned())
    } else if name.len() > longest {
        Some(format!("is longer than {longest} characters"))
    } else if let Some(bad) = name.chars().find(|&c| !allowed(c)) {
        Some(format!(
            "has a `{bad}`; lower-case letters, digits and dashes are allowed"
        ))
    } else if name.starts_with('-') || name.ends_with('-') {
        Some("starts or ends with a dash".to_owned())
    } else {
        None
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A lab of two hosts, as the default answer file has it.
    pub(crate) fn spec() -> LabSpec {
        let net = |network: &str, gateway: &str| LabNet {
            network: network.parse().unwrap(),
            gateway: gateway.parse().unwrap(),
        };
        let host = |name: &str, address: &str| LabHost {
            name: name.to_owned(),
            address: address.parse().unwrap(),
            cpus: None,
            memory: None,
        };
        LabSpec {
            name: "lab".to_owned(),
            backend: Backend::Nspawn,
            distro: Distro::Debian13,
            base: None,
            hosts: vec![
                host("controller", "10.0.0.100"),
                host("compute1", "10.0.0.101"),
            ],
            management: net("10.0.0.0/24", "10.0.0.1"),
            provider: net("10.0.1.0/24", "10.0.1.1"),
        }
    }

    fn problem(change: impl FnOnce(&mut LabSpec)) -> String {
        let mut wanted = spec();
        change(&mut wanted);
        wanted.check().unwrap_err().to_string()
    }

    #[test]
    fn the_default_lab_is_sound() {
        spec().check().unwrap();
    }

    #[test]
    fn each_contradiction_is_named() {
        assert_eq!(
            problem(|lab| lab.name = "Lab".to_owned()),
            "lab `Lab`: its name has a `L`; lower-case letters, digits and dashes are allowed"
        );
        assert_eq!(
            problem(|lab| lab.hosts.clear()),
            "lab `lab`: it has no hosts"
        );
        assert_eq!(
            problem(|lab| lab.hosts[1].name = "controller".to_owned()),
            "lab `lab`: two hosts are called `controller`"
        );
        assert_eq!(
            problem(|lab| lab.hosts[1].address = lab.hosts[0].address),
            "lab `lab`: two hosts have the address 10.0.0.100"
        );
        assert_eq!(
            problem(|lab| lab.hosts[0].address = lab.management.gateway),
            "lab `lab`: `controller` has 10.0.0.1, which is this machine's"
        );
        assert_eq!(
            problem(|lab| lab.hosts[0].address = [10, 0, 0, 255].into()),
            "lab `lab`: `controller` has 10.0.0.255, which is no host address in 10.0.0.0/24"
        );
        assert_eq!(
            problem(|lab| lab.provider = lab.management),
            "lab `lab`: the management network 10.0.0.0/24 and the provider network 10.0.0.0/24 overlap"
        );
        assert_eq!(
            problem(|lab| lab.provider.gateway = [10, 0, 2, 1].into()),
            "lab `lab`: the provider gateway 10.0.2.1 is not in 10.0.1.0/24"
        );
    }

    #[test]
    fn a_base_of_ones_own_must_be_a_root_file_system_and_stays() {
        assert_eq!(
            problem(|lab| lab.base = Some("/nonexistent".into())),
            "lab `lab`: its base `/nonexistent` is no root file system"
        );
        let mut wanted = spec();
        wanted.base = Some("/".into());
        wanted.check().unwrap();
        assert_eq!(
            wanted.added_since(&spec()).unwrap_err().to_string(),
            "lab `lab` already exists, but with hosts made from another base"
        );
    }

    #[test]
    fn a_host_may_join_a_living_lab_and_nothing_else_may_change() {
        let mut wanted = spec();
        wanted.hosts.push(LabHost {
            name: "compute2".to_owned(),
            address: [10, 0, 0, 102].into(),
            cpus: None,
            memory: None,
        });
        assert_eq!(wanted.added_since(&spec()).unwrap(), ["compute2"]);
        assert_eq!(spec().added_since(&spec()).unwrap(), [""; 0]);

        let gone = spec().added_since(&wanted).unwrap_err();
        assert_eq!(
            gone.to_string(),
            "lab `lab` already exists, but with a host `compute2`"
        );
        wanted.distro = Distro::Debian12;
        let other = wanted.added_since(&spec()).unwrap_err();
        assert_eq!(
            other.to_string(),
            "lab `lab` already exists, but with debian13 hosts, not debian12"
        );
        assert_eq!(other.help(), "run `provision lab down lab` first");
    }
}
