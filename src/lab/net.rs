//! The cables of a lab: two bridges, and a namespace and two cables a host.
//!
//! Everything is made only where it is missing, so the same calls make, repair and confirm.

use std::path::Path;

use ipnet::Ipv4Net;

use super::error::LabError;
use super::names::{self, Nic};
use super::program::Program;
use super::spec::{LabHost, LabSpec};

const HELP: &str =
    "a lab needs network namespaces and bridges; see whether this machine allows them";

/// Makes the bridges that the lab's hosts share.
pub(crate) async fn raise(spec: &LabSpec) -> Result<(), LabError> {
    if bridges_are_there(spec) {
        return Ok(());
    }
    ip(&bridge_commands(spec)).await
}

/// Removes the bridges.
pub(crate) async fn lower(spec: &LabSpec) -> Result<(), LabError> {
    delete(&Nic::BOTH.map(|nic| names::bridge(&spec.name, nic))).await
}

/// Gives a host a fresh network: nothing of an earlier boot is left in it, as after a restart of a real machine.
pub(crate) async fn plug(spec: &LabSpec, host: &LabHost) -> Result<(), LabError> {
    unplug(spec, host).await?;
    let namespace = names::namespace(&spec.name, &host.name);
    ip_words(&["netns", "add", &namespace]).await?;
    ip(&cable_commands(spec, host)).await?;
    // What the bridge hands on must be whole packets with their checksums: a switch in user space takes no other.
    let cable = names::cable(spec, host, Nic::Provider);
    let offloads = [
        "tx", "off", "rx", "off", "tso", "off", "gso", "off", "gro", "off",
    ];
    let ethtool = Program::new("ethtool").args(["-K", &cable]).args(offloads);
    let step = format!("turn off the offloads of `{cable}`");
    ethtool
        .run()
        .await
        .map_err(LabError::step(step, HELP))
        .map(drop)
}

/// Takes a host's network away.
pub(crate) async fn unplug(spec: &LabSpec, host: &LabHost) -> Result<(), LabError> {
    delete(&Nic::BOTH.map(|nic| names::cable(spec, host, nic))).await?;
    let namespace = names::namespace(&spec.name, &host.name);
    if namespace_file(&namespace).exists() {
        ip_words(&["netns", "del", &namespace]).await?;
    }
    Ok(())
}

/// Whether a host's cables hang in the lab's bridges.
pub(crate) fn is_plugged(spec: &LabSpec, host: &LabHost) -> bool {
    let namespace = names::namespace(&spec.name, &host.name);
    namespace_file(&namespace).exists()
        && Nic::BOTH.into_iter().all(|nic| {
            let cable = names::cable(spec, host, nic);
            let bridge = names::bridge(&spec.name, nic);
            Path::new(&format!("/sys/class/net/{bridge}/brif/{cable}")).exists()
        })
}

pub(crate) fn bridges_are_there(spec: &LabSpec) -> bool {
    Nic::BOTH
        .into_iter()
        .all(|nic| interface(&names::bridge(&spec.name, nic)))
}

/// Where a namespace of this name is.
pub(crate) fn namespace_file(namespace: &str) -> std::path::PathBuf {
    Path::new("/run/netns").join(namespace)
}

fn interface(name: &str) -> bool {
    Path::new("/sys/class/net").join(name).exists()
}

/// Removes those interfaces that are there.
async fn delete(interfaces: &[String]) -> Result<(), LabError> {
    let there = interfaces.iter().filter(|name| interface(name));
    ip(&there
        .map(|name| format!("link del {name}\n"))
        .collect::<String>())
    .await
}

fn bridge_commands(spec: &LabSpec) -> String {
    let commands = Nic::BOTH.map(|nic| {
        let (name, net) = (names::bridge(&spec.name, nic), nic.net(spec));
        let address = format!("{}/{}", net.gateway, net.network.prefix_len());
        let add = if interface(&name) {
            String::new()
        } else {
            format!("link add {name} type bridge\n")
        };
        format!("{add}address replace {address} dev {name}\nlink set {name} up\n")
    });
    commands.concat()
}

fn cable_commands(spec: &LabSpec, host: &LabHost) -> String {
    let namespace = names::namespace(&spec.name, &host.name);
    let commands = Nic::BOTH.map(|nic| {
        let (outside, inside) = (names::cable(spec, host, nic), nic.inside());
        let bridge = names::bridge(&spec.name, nic);
        let mac = names::mac(&spec.name, host.address, nic);
        format!(
            "link add {outside} type veth peer name {inside} address {mac} netns {namespace}\n\
             link set {outside} master {bridge} up\n"
        )
    });
    commands.concat()
}

/// Refuses an address range that something else on this machine uses.
pub(crate) async fn vacant(spec: &LabSpec) -> Result<(), LabError> {
    let list = Program::new("ip")
        .args(["-brief", "-4", "address"])
        .run()
        .await;
    let list = list.map_err(LabError::step("list this machine's addresses", HELP))?;
    let own = Nic::BOTH.map(|nic| names::bridge(&spec.name, nic));
    for nic in Nic::BOTH {
        let network = nic.net(spec).network;
        if let Some(by) = occupant(&list, network, &own) {
            return Err(LabError::Occupied {
                lab: spec.name.clone(),
                network,
                by,
            });
        }
    }
    Ok(())
}

/// The interface, in the output of `ip -brief -4 address`, that has an address overlapping this network.
fn occupant(list: &str, network: Ipv4Net, own: &[String]) -> Option<String> {
    for line in list.lines() {
        let mut words = line.split_whitespace();
        let name = words.next()?.split('@').next()?;
        if own.iter().any(|known| known == name) {
            continue;
        }
        for address in words
            .skip(1)
            .filter_map(|word| word.parse::<Ipv4Net>().ok())
        {
            let theirs = address.trunc();
            if theirs.contains(&network) || network.contains(&theirs) {
                return Some(format!("`{name}` ({address})"));
            }
        }
    }
    None
}

async fn ip(commands: &str) -> Result<(), LabError> {
    if commands.is_empty() {
        return Ok(());
    }
    let step = format!(
        "change this machine's network:\n    {}",
        commands.trim_end().replace('\n', "\n    ")
    );
    let batch = Program::new("ip").args(["-batch", "-"]).input(commands);
    batch
        .run()
        .await
        .map_err(LabError::step(step, HELP))
        .map(drop)
}

async fn ip_words(words: &[&str]) -> Result<(), LabError> {
    let run = Program::new("ip").args(words).run().await;
    run.map_err(LabError::step("change this machine's network", HELP))
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::super::spec::tests::spec;
    use super::*;

    #[test]
    fn a_host_gets_two_cables_of_stable_hardware_addresses() {
        let lab = spec();
        let commands = cable_commands(&lab, &lab.hosts[0]);
        let lines: Vec<_> = commands.lines().collect();
        assert_eq!(lines.len(), 4);
        assert!(lines[0].starts_with("link add v100m-lab type veth peer name eth0 address 02:"));
        assert!(lines[0].ends_with(" netns lab.controller"));
        assert_eq!(lines[3], "link set v100p-lab master pv-lab-p up");
    }

    #[test]
    fn another_user_of_the_addresses_is_named() {
        let list = "\
lo               UNKNOWN        127.0.0.1/8
eth0             UP             192.0.2.2/24
pv-lab-m         UP             10.0.0.1/24
docker0@if3      DOWN           10.0.0.0/16
";
        let own = ["pv-lab-m".to_owned()];
        let network = "10.0.0.0/24".parse().unwrap();
        assert_eq!(
            occupant(list, network, &own),
            Some("`docker0` (10.0.0.0/16)".to_owned())
        );
        assert_eq!(occupant(list, "10.9.0.0/24".parse().unwrap(), &own), None);
        assert_eq!(occupant("", network, &own), None);
    }
}
