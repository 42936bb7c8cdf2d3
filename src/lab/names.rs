//! The names that a lab has on this machine: pure, stable, and never those of another lab.

use std::net::Ipv4Addr;

use sha2::{Digest as _, Sha256};

use super::spec::{LabHost, LabNet, LabSpec};

/// The kernel's limit for the name of a network interface.
#[cfg(test)]
const INTERFACE_MAX: usize = 15;

/// One of the two networks of a lab.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nic {
    Management,
    Provider,
}

impl Nic {
    pub(crate) const BOTH: [Self; 2] = [Self::Management, Self::Provider];

    /// The interface's name inside the host.
    pub(crate) fn inside(self) -> &'static str {
        match self {
            Self::Management => "eth0",
            Self::Provider => "eth1",
        }
    }

    pub(crate) fn net(self, spec: &LabSpec) -> LabNet {
        match self {
            Self::Management => spec.management,
            Self::Provider => spec.provider,
        }
    }

    fn letter(self) -> char {
        match self {
            Self::Management => 'm',
            Self::Provider => 'p',
        }
    }
}

/// The bridge of a network: `pv-lab-m`.
pub(crate) fn bridge(lab: &str, nic: Nic) -> String {
    format!("pv-{}-{}", tag(lab), nic.letter())
}

/// This machine's end of a host's cable: `v100m-lab`. The number is the host's in its network.
pub(crate) fn cable(spec: &LabSpec, host: &LabHost, nic: Nic) -> String {
    let number = u32::from(host.address) - u32::from(spec.management.network.network());
    format!("v{number}{}-{}", nic.letter(), tag(&spec.name))
}

/// The host's network namespace: `lab.controller`.
pub(crate) fn namespace(lab: &str, host: &str) -> String {
    format!("{lab}.{host}")
}

/// The lab's own table of the packet filter.
pub(crate) fn table(lab: &str) -> String {
    format!("provision_lab_{}", lab.replace('-', "_"))
}

/// A hardware address that stays the same over reboots: locally administered, unicast.
pub(crate) fn mac(lab: &str, address: Ipv4Addr, nic: Nic) -> String {
    let hash = Sha256::digest(format!("{lab} {address} {}", nic.letter()));
    format!(
        "02:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}",
        hash[0], hash[1], hash[2], hash[3], hash[4]
    )
}

/// A lab's name in at most seven characters: itself, or its start and a digest.
fn tag(lab: &str) -> String {
    if lab.len() <= 7 {
        return lab.to_owned();
    }
    let hash = Sha256::digest(lab);
    format!("{}{:02x}{:02x}", &lab[..3], hash[0], hash[1])
}

#[cfg(test)]
mod tests {
    use super::super::spec::tests::spec;
    use super::*;

    #[test]
    fn short_names_are_readable() {
        let lab = spec();
        assert_eq!(bridge("lab", Nic::Management), "pv-lab-m");
        assert_eq!(bridge("lab", Nic::Provider), "pv-lab-p");
        assert_eq!(cable(&lab, &lab.hosts[0], Nic::Management), "v100m-lab");
        assert_eq!(cable(&lab, &lab.hosts[1], Nic::Provider), "v101p-lab");
        assert_eq!(namespace("lab", "compute1"), "lab.compute1");
        assert_eq!(table("my-lab"), "provision_lab_my_lab");
    }

    #[test]
    fn the_longest_names_still_fit_the_kernel() {
        let mut lab = spec();
        lab.name = "a-very-long-laboratory-name-here".to_owned();
        lab.management.network = "10.8.0.0/16".parse().unwrap();
        lab.hosts[0].address = [10, 8, 255, 254].into();
        for nic in Nic::BOTH {
            assert!(bridge(&lab.name, nic).len() <= INTERFACE_MAX);
            assert!(cable(&lab, &lab.hosts[0], nic).len() <= INTERFACE_MAX);
        }
    }

    #[test]
    fn labs_with_a_common_start_differ() {
        let names = |lab: &str| bridge(lab, Nic::Management);
        assert_ne!(names("laboratory-1"), names("laboratory-2"));
    }

    #[test]
    fn hardware_addresses_are_stable_local_and_different() {
        let mac = |nic| mac("lab", [10, 0, 0, 100].into(), nic);
        assert_eq!(mac(Nic::Management), mac(Nic::Management));
        assert_ne!(mac(Nic::Management), mac(Nic::Provider));
        assert!(mac(Nic::Provider).starts_with("02:"));
    }
}
