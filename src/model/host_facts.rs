//! What kind of machine a host is: asked once, at the start, and seen by templates as `host.facts`.
//!
//! ```text
//! os.id .version .name            of /etc/os-release: `debian`, `13`, `Debian GNU/Linux 13 (trixie)`
//! kernel cpus memory_mib          running kernel, processors online, memory
//! virt                            `none`, `kvm`, `systemd-nspawn`, `vmware`... (`none` when unknown)
//! container                       whether it is a container
//! kvm                             whether instances can run under KVM
//! cgroup                          1 or 2
//! datapath                        Open vSwitch: `system` where the kernel has it, else `netdev`
//! selinux                         `enforcing`, `permissive` or `disabled`
//! clock_adjustable                whether the host may set the clock
//! nics.<name>                     mac, mtu, up, addresses[] (`10.0.0.5/24`)
//! gateway gateway_nic             of the default route, or null
//! management_nic                  the NIC that has the host's management address, or null
//! provider_nic                    the NIC that the answer file selects, or null
//! tunnel_address                  the host's address in the tunnel network, or null
//! workers                         how many workers a service should have on this host
//! boot_id machine_id hostname     as the host says them
//! root_free_mib                   free space on /
//! skew                            how far the host's clock is ahead of ours, in seconds
//! ```

use std::collections::BTreeMap;

use ipnet::Ipv4Net;
use serde::Serialize;

use super::cloud::{Cloud, Host, NicSelector};

/// The script that asks. It reads only, and needs nothing but a POSIX shell and `ip`.
pub const SCRIPT: &str = include_str!("host_facts.sh");

/// What kind of machine a host is.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the module's page explains every name")]
pub struct HostFacts {
    pub os: Os,
    pub kernel: String,
    pub cpus: u32,
    pub memory_mib: u64,
    pub virt: String,
    pub container: bool,
    pub kvm: bool,
    pub cgroup: u8,
    pub datapath: String,
    pub selinux: String,
    pub clock_adjustable: bool,
    pub nics: BTreeMap<String, Nic>,
    pub gateway: Option<String>,
    pub gateway_nic: Option<String>,
    pub management_nic: Option<String>,
    pub provider_nic: Option<String>,
    pub tunnel_address: Option<String>,
    pub workers: u32,
    pub boot_id: String,
    pub machine_id: String,
    pub hostname: String,
    pub root_free_mib: u64,
    pub skew: f64,
    #[serde(skip)]
    pub clock: f64,
}

/// The distribution, as `/etc/os-release` has it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "named after the keys of the file")]
pub struct Os {
    pub id: String,
    pub version: String,
    pub name: String,
}

/// A network interface.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Nic {
    pub mac: String,
    pub mtu: u32,
    pub up: bool,
    pub addresses: Vec<String>,
}

impl HostFacts {
    /// Reads the output of [`SCRIPT`]: `key value` lines; others are passed over.
    pub fn parse(output: &str) -> Self {
        let mut facts = Self::default();
        for line in output.lines() {
            let (key, value) = line.split_once(' ').unwrap_or((line, ""));
            facts.take(key, value.trim());
        }
        facts.container = matches!(
            facts.virt.as_str(),
            "systemd-nspawn" | "lxc" | "lxc-libvirt" | "docker" | "podman" | "openvz"
        );
        facts.workers = workers(facts.cpus, facts.memory_mib);
        facts
    }

    fn take(&mut self, key: &str, value: &str) {
        let text = || value.to_owned();
        let yes = value == "yes";
        match key {
            "os_id" => self.os.id = text(),
            "os_version" => self.os.version = text(),
            "os_name" => self.os.name = text(),
            "kernel" => self.kernel = text(),
            "cpus" => self.cpus = value.parse().unwrap_or(1),
            "memory_kib" => self.memory_mib = value.parse().unwrap_or(0u64) / 1024,
            "virt" => self.virt = text(),
            "kvm" => self.kvm = yes,
            "cgroup" => self.cgroup = value.parse().unwrap_or(1),
            "openvswitch" => self.datapath = if yes { "system" } else { "netdev" }.to_owned(),
            "selinux" => self.selinux = value.to_ascii_lowercase(),
            "clock" => self.clock_adjustable = yes,
            "boot_id" => self.boot_id = text(),
            "machine_id" => self.machine_id = text(),
            "hostname" => self.hostname = text(),
            "now" => self.clock = value.parse().unwrap_or_default(),
            "root_free_kib" => self.root_free_mib = value.parse().unwrap_or(0u64) / 1024,
            "link" => self.link(value),
            "address" => {
                if let Some((nic, address)) = value.split_once(' ') {
                    self.nics
                        .entry(nic.to_owned())
                        .or_default()
                        .addresses
                        .push(address.to_owned());
                }
            }
            "route" => {
                let mut words = value.split(' ');
                self.gateway = words
                    .next()
                    .filter(|word| !word.is_empty())
                    .map(str::to_owned);
                self.gateway_nic = words.next().map(str::to_owned);
            }
            _ => {}
        }
    }

    fn link(&mut self, value: &str) {
        let words: Vec<_> = value.split(' ').collect();
        let [name, mac, mtu, state] = words[..] else {
            return;
        };
        let nic = self.nics.entry(name.to_owned()).or_default();
        nic.mac = mac.to_owned();
        nic.mtu = mtu.parse().unwrap_or_default();
        nic.up = state == "up";
    }

    /// Fills in what depends on the answer file: which NIC and address serve which network.
    pub fn place(&mut self, cloud: &Cloud, host: &Host) {
        self.management_nic = self.nic_with(|net| net.addr() == host.address);
        self.provider_nic = host.provider_nic.as_ref().and_then(|nic| match nic {
            NicSelector::Name(name) => self.nics.contains_key(name).then(|| name.clone()),
            NicSelector::Mac(mac) => self.physical(|nic| nic.mac.eq_ignore_ascii_case(mac)),
            NicSelector::Cidr(cidr) => self.nic_with(|net| cidr.contains(&net.addr())),
        });
        let cidr = cloud.networks.tunnel.cidr;
        let own = self
            .nics
            .values()
            .flat_map(|nic| &nic.addresses)
            .find_map(|address| {
                let net: Ipv4Net = address.parse().ok()?;
                cidr.contains(&net.addr()).then(|| net.addr().to_string())
            });
        self.tunnel_address = host
            .tunnel
            .address
            .map(|address| address.to_string())
            .or(own);
    }

    fn nic_with(&self, wanted: impl Fn(&Ipv4Net) -> bool) -> Option<String> {
        let has = |nic: &Nic| {
            nic.addresses
                .iter()
                .any(|a| a.parse().is_ok_and(|net| wanted(&net)))
        };
        self.physical(has)
    }

    /// The NIC that `wanted` describes. A bridge that has taken over the address of its port has its hardware
    /// address too: the port is meant.
    fn physical(&self, wanted: impl Fn(&Nic) -> bool) -> Option<String> {
        let ours = |name: &str| name.starts_with("br-");
        let fits = |(_, nic): &(&String, &Nic)| wanted(nic);
        let (name, nic) = self
            .nics
            .iter()
            .filter(fits)
            .min_by_key(|(name, _)| ours(name))?;
        if !ours(name) {
            return Some(name.clone());
        }
        let port = self.nics.iter().find(|(other, port)| {
            !ours(other)
                && port.mac == nic.mac
                && !other.starts_with("tap")
                && !other.starts_with("q")
        });
        Some(port.map_or(name, |(port, _)| port).clone())
    }
}

/// A worker for each two processors, but no more than memory allows at 1 GiB each, and at least one.
fn workers(cpus: u32, memory_mib: u64) -> u32 {
    let by_memory = u32::try_from(memory_mib / 4096).unwrap_or(u32::MAX);
    (cpus.div_ceil(2)).min(by_memory).clamp(1, 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_answers() {
        let output = std::process::Command::new("sh")
            .arg("-c")
            .arg(SCRIPT)
            .output()
            .unwrap();
        let facts = HostFacts::parse(&String::from_utf8_lossy(&output.stdout));
        assert!(facts.cpus >= 1 && facts.memory_mib > 100, "{facts:?}");
        assert!(
            !facts.os.id.is_empty() && !facts.boot_id.is_empty(),
            "{facts:?}"
        );
        assert!(facts.nics.contains_key("lo"), "{facts:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    }

    #[test]
    fn a_bridge_with_the_address_of_its_port_stands_for_the_port() {
        let facts = HostFacts::parse(
            "link br-ex 02:00:00:00:00:01 1500 up\nlink ens3 02:00:00:00:00:01 1500 up\n\
             link lo 00:00:00:00:00:00 65536 up\naddress br-ex 10.0.0.100/24\n",
        );
        let network: Ipv4Net = "10.0.0.0/24".parse().unwrap();
        let nic = facts.nic_with(|net| network.contains(&net.addr()));
        assert_eq!(nic.as_deref(), Some("ens3"));
    }

    #[test]
    fn small_hosts_get_one_worker() {
        assert_eq!(workers(2, 6144), 1);
        assert_eq!(workers(8, 32768), 4);
        assert_eq!(workers(64, 262_144), 8);
        assert_eq!(workers(2, 1024), 1);
    }
}
