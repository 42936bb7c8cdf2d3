//! How the networks of a cloud enter its hosts, for the drawing in the report.

use crate::model::cloud::choice::TunnelType;
use crate::model::cloud::{Cloud, Host, NicSelector, TunnelOn};
use crate::model::event::{NetworkMember, NetworkPlace};
use crate::model::name::Role;

/// The management, provider and tunnel networks with their ends.
pub(crate) fn networks(cloud: &Cloud) -> Vec<NetworkPlace> {
    let all = |member: fn(&Host) -> Option<NetworkMember>| cloud.hosts.iter().filter_map(member);
    let networks = &cloud.networks;
    let place =
        |name: &str, role: &str, cidr: ipnet::Ipv4Net, members: Vec<NetworkMember>| NetworkPlace {
            name: name.to_owned(),
            role: role.to_owned(),
            cidr: Some(cidr.to_string()),
            members,
        };
    let mut places = vec![place(
        "management",
        "management",
        networks.management.cidr,
        all(|host| Some(end(host, Some(host.address.to_string()), None))).collect(),
    )];
    if !cloud.has_service("neutron") {
        return places;
    }
    let provider = all(provider_end).collect();
    places.push(place(
        &networks.provider.name,
        "provider",
        networks.provider.cidr,
        provider,
    ));
    let tunnel = match networks.tunnel.kind {
        TunnelType::Vxlan => "vxlan",
        TunnelType::Geneve => "geneve",
    };
    places.push(place(
        tunnel,
        "tunnel",
        networks.tunnel.cidr,
        all(tunnel_end).collect(),
    ));
    places
}

fn end(host: &Host, address: Option<String>, bridge: Option<&str>) -> NetworkMember {
    NetworkMember {
        host: host.name.to_string(),
        interface: None,
        bridge: bridge.map(str::to_owned),
        address,
    }
}

fn carries_instances(host: &Host) -> bool {
    host.roles
        .iter()
        .any(|role| matches!(role, Role::Network | Role::Compute))
}

fn provider_end(host: &Host) -> Option<NetworkMember> {
    let bridged = host.roles.contains(&Role::Network) || host.tunnel.on == TunnelOn::Provider;
    let interface = host.provider_nic.as_ref().map(|nic| match nic {
        NicSelector::Name(name) => name.clone(),
        NicSelector::Mac(mac) => mac.clone(),
        NicSelector::Cidr(cidr) => cidr.to_string(),
    });
    bridged.then(|| NetworkMember {
        interface,
        ..end(host, None, Some("br-ex"))
    })
}

fn tunnel_end(host: &Host) -> Option<NetworkMember> {
    let address = match host.tunnel.on {
        TunnelOn::Management => Some(host.address.to_string()),
        _ => host.tunnel.address.map(|address| address.to_string()),
    };
    carries_instances(host).then(|| end(host, address, Some("br-tun")))
}
