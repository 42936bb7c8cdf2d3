//! What templates and playbooks see of a cloud: one JSON object, the same for every renderer.
//!
//! ```text
//! cloud.name .region .platform .admin_email
//! cloud.controller           the controller, as `host` below
//! cloud.hosts[]              all hosts, as `host` below, in the order of the answer file
//! cloud.with.<role>[]        the hosts with a role; an empty list where nobody has it
//! cloud.image .flavors .proof .time .repositories .prepare
//! host.name .address .roles[] .tunnel_address .tunnel_on .cpus .memory_mib
//! host.is.<role>             true or false, for every role
//! host.provider_nic          {"name": ..} or {"mac": ..} or {"cidr": ..} or null
//! network.management         cidr, address, prefix, netmask, gateway, dns[]
//! network.provider           cidr, ..., name, physical_network, type, vlan, floating.first, floating.last
//! network.tunnel             type, cidr, ..., mtu
//! network.private            name, cidr, ..., gateway, dns[]
//! service.<name>.enabled     true or false, for every service that this build knows
//! service.<name>.<setting>   every setting of a service, defaults filled in
//! ```
//!
//! A key is always there; what was not given is `null`. Durations are whole seconds. `secret.*`,
//! `platform.*` and `host.facts.*` are added by those who know them.

use ipnet::Ipv4Net;
use serde_json::{Map, Value, json};

use super::{Cloud, Host};
use crate::model::name::Role;

impl Cloud {
    /// `cloud`, `network` and `service`: what is the same for all hosts.
    #[must_use]
    pub fn context(&self) -> Value {
        let hosts: Vec<Value> = self.hosts.iter().map(Host::context).collect();
        let with: Map<String, Value> = Role::ALL
            .into_iter()
            .map(|role| {
                let having = self.with_role(role).map(Host::context).collect();
                (role.as_str().to_owned(), Value::Array(having))
            })
            .collect();
        let controller = self.with_role(Role::Controller).next().map(Host::context);
        json!({
            "cloud": {
                "name": self.name,
                "region": self.region,
                "platform": self.platform,
                "admin_email": self.admin_email,
                "controller": controller,
                "hosts": hosts,
                "with": with,
                "image": self.image,
                "flavors": self.flavors,
                "proof": self.proof,
                "time": self.time,
                "repositories": self.repositories,
                "prepare": self.prepare,
            },
            "network": self.network_context(),
            "service": self.service_context(),
        })
    }

    fn network_context(&self) -> Value {
        let networks = &self.networks;
        let provider = &networks.provider;
        let kind = if provider.vlan.is_some() {
            "vlan"
        } else {
            "flat"
        };
        json!({
            "management": with_mask(json!(networks.management), networks.management.cidr),
            "provider": merged(with_mask(json!(provider), provider.cidr), json!({ "type": kind })),
            "tunnel": with_mask(json!(networks.tunnel), networks.tunnel.cidr),
            "private": with_mask(json!(networks.private), networks.private.cidr),
        })
    }

    fn service_context(&self) -> Value {
        self.services
            .iter()
            .map(|(name, service)| {
                let own = json!({ "enabled": service.enabled });
                (name.clone(), merged(json!(service.settings), own))
            })
            .collect::<Map<_, _>>()
            .into()
    }
}

impl Host {
    /// `host`: what is different on each host. Facts are added by those who have asked it.
    #[must_use]
    pub fn context(&self) -> Value {
        let is: Map<String, Value> = Role::ALL
            .map(|role| (role.as_str().to_owned(), self.has(role).into()))
            .into_iter()
            .collect();
        json!({
            "name": self.name,
            "address": self.address,
            "roles": self.roles,
            "is": is,
            "provider_nic": self.provider_nic,
            "tunnel_address": self.tunnel.address,
            "tunnel_on": self.tunnel.on,
            "cpus": self.cpus,
            "memory_mib": self.memory_mib,
        })
    }
}

/// Adds the parts of a CIDR, for configuration files that want them apart.
fn with_mask(network: Value, cidr: Ipv4Net) -> Value {
    let parts = json!({
        "address": cidr.network(),
        "prefix": cidr.prefix_len(),
        "netmask": cidr.netmask(),
    });
    merged(network, parts)
}

/// The keys of both objects; the second wins.
fn merged(mut base: Value, over: Value) -> Value {
    if let (Value::Object(base), Value::Object(over)) = (&mut base, over) {
        base.extend(over);
    }
    base
}
