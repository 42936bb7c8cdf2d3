//! `[networks]`: each network by itself. How they go together with the hosts is `addresses`' part.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::hosts::nic;
use crate::model::answers::findings::Findings;
use crate::model::answers::schema::{AnswerFile, NetworksTable, ProviderTable, ProviderType};
use crate::model::answers::written::{Word, Written};
use crate::model::at::At;
use crate::model::cloud::choice::TunnelType;
use crate::model::cloud::{
    AddressRange, Host, Management, Networks, NicSelector, Private, Provider, Tunnel, TunnelOn,
};
use crate::model::diagnostic::Diagnostic;

/// The first project network, where nobody says otherwise.
const PRIVATE: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(192, 168, 100, 0), 24);
/// The NIC that labs give to the provider network.
const LAB_NIC: &str = "eth1";

/// The networks, as far as they could be read; with places, for what follows.
#[derive(Debug)]
pub(super) struct Nets {
    pub(super) management: Option<At<Ipv4Net>>,
    pub(super) management_gateway: Option<At<Ipv4Addr>>,
    management_dns: Vec<Ipv4Addr>,
    pub(super) provider: Option<At<Ipv4Net>>,
    pub(super) provider_gateway: Option<At<Ipv4Addr>>,
    pub(super) floating: Option<At<AddressRange>>,
    /// Of hosts that do not name their own.
    pub(super) nic: Option<NicSelector>,
    provider_dns: Vec<Ipv4Addr>,
    provider_name: String,
    physical_network: String,
    vlan: Option<u16>,
    tunnel_type: TunnelType,
    /// None: not written.
    pub(super) tunnel: Option<At<Ipv4Net>>,
    tunnel_mtu: u16,
    private_name: String,
    /// The place is empty where it was not written.
    pub(super) private: At<Ipv4Net>,
    private_dns: Option<Vec<Ipv4Addr>>,
}

/// Reads all networks.
pub(super) fn read(file: &AnswerFile, findings: &mut Findings<'_>) -> Nets {
    let none = NetworksTable::default();
    let table = file.networks.as_ref().unwrap_or(&none);
    let lab = file.lab.is_some();
    let m = table.management.as_ref().map(At::get);
    let p = table.provider.as_ref().map(At::get);
    let t = table.tunnel.as_ref();
    let v = table.private.as_ref();
    let management = at(
        findings,
        "networks.management.cidr",
        m.and_then(|m| m.cidr.as_ref()),
    );
    let gateway = at(
        findings,
        "networks.management.gateway",
        m.and_then(|m| m.gateway.as_ref()),
    );
    let first = |net: &At<Ipv4Net>| net.get().hosts().next().map(|address| net.with(address));
    let private = at(
        findings,
        "networks.private.cidr",
        v.and_then(|v| v.cidr.as_ref()),
    );
    let provider_nic = p.and_then(|p| p.nic.as_ref());
    let lab_nic = || NicSelector::Name(LAB_NIC.to_owned());
    Nets {
        management_gateway: gateway.or_else(|| management.as_ref().filter(|_| lab).and_then(first)),
        management,
        management_dns: findings
            .read_all("networks.management.dns", m.and_then(|m| m.dns.as_ref())),
        provider: at(
            findings,
            "networks.provider.cidr",
            p.and_then(|p| p.cidr.as_ref()),
        ),
        provider_gateway: at(
            findings,
            "networks.provider.gateway",
            p.and_then(|p| p.gateway.as_ref()),
        ),
        floating: at(
            findings,
            "networks.provider.floating",
            p.and_then(|p| p.floating.as_ref()),
        ),
        nic: provider_nic
            .and_then(|written| nic(findings, "networks.provider.nic", written))
            .or_else(|| lab.then(lab_nic)),
        provider_dns: findings.read_all("networks.provider.dns", p.and_then(|p| p.dns.as_ref())),
        provider_name: word(
            findings,
            "networks.provider.name",
            p.and_then(|p| p.name.as_ref()),
            "public",
        ),
        physical_network: word(
            findings,
            "networks.provider.physical_network",
            p.and_then(|p| p.physical_network.as_ref()),
            "external",
        ),
        vlan: p.and_then(|p| vlan(p, findings)),
        tunnel_type: t.and_then(|t| t.kind).unwrap_or(TunnelType::Vxlan),
        tunnel: at(
            findings,
            "networks.tunnel.cidr",
            t.and_then(|t| t.cidr.as_ref()),
        ),
        tunnel_mtu: t.and_then(|t| t.mtu).unwrap_or(1500),
        private_name: word(
            findings,
            "networks.private.name",
            v.and_then(|v| v.name.as_ref()),
            "private",
        ),
        private: private.unwrap_or_else(|| At::new(PRIVATE, 0..0)),
        private_dns: v
            .and_then(|v| v.dns.as_ref())
            .map(|dns| findings.read_all("networks.private.dns", Some(dns))),
    }
}

fn at<T: Written>(
    findings: &mut Findings<'_>,
    key: &str,
    written: Option<&At<String>>,
) -> Option<At<T>> {
    written.and_then(|written| findings.read_at(key, written))
}

fn word(
    findings: &mut Findings<'_>,
    key: &str,
    written: Option<&At<String>>,
    default: &str,
) -> String {
    findings
        .read_opt(key, written)
        .map_or_else(|| default.to_owned(), |word: Word| word.0)
}

/// The id, where type and id agree.
fn vlan(provider: &ProviderTable, findings: &mut Findings<'_>) -> Option<u16> {
    let kind = provider.kind.as_ref();
    match (kind.map(At::get), &provider.vlan) {
        (Some(ProviderType::Vlan), Some(id)) => Some(*id.get()),
        (Some(ProviderType::Vlan), None) => {
            let place = kind.map_or(0..0, At::span);
            findings.add(
                Diagnostic::error(
                    "network::vlan",
                    "a provider network of type `vlan` has no VLAN id",
                )
                .at(findings.label(place, "which one?"))
                .help("write `vlan = 100` in `[networks.provider]`, or leave out `type`"),
            );
            None
        }
        (_, Some(id)) => {
            findings.add(
                Diagnostic::error("network::vlan", "a VLAN id on an untagged provider network")
                    .at(findings.label(id.span(), "would have no effect"))
                    .help("write `type = \"vlan\"` in `[networks.provider]`, or leave out `vlan`"),
            );
            None
        }
        _ => None,
    }
}

/// The networks of the cloud, unless a part is missing.
pub(super) fn finish(nets: Nets, hosts: &[Host]) -> Option<Networks> {
    let management = nets.management?.into_inner();
    let provider = nets.provider?.into_inner();
    let on_bridge = hosts
        .iter()
        .any(|host| host.tunnel.on == TunnelOn::Provider);
    let private = nets.private.into_inner();
    Some(Networks {
        management: Management {
            cidr: management,
            gateway: nets.management_gateway.map(At::into_inner),
            dns: nets.management_dns.clone(),
        },
        provider: Provider {
            name: nets.provider_name,
            physical_network: nets.physical_network,
            vlan: nets.vlan,
            cidr: provider,
            gateway: nets.provider_gateway?.into_inner(),
            floating: nets.floating?.into_inner(),
            dns: nets.provider_dns,
        },
        tunnel: Tunnel {
            kind: nets.tunnel_type,
            cidr: match nets.tunnel {
                Some(written) => written.into_inner(),
                None if on_bridge => provider,
                None => management,
            },
            mtu: nets.tunnel_mtu,
        },
        private: Private {
            name: nets.private_name,
            cidr: private,
            gateway: private.hosts().next()?,
            dns: nets.private_dns.unwrap_or(nets.management_dns),
        },
    })
}
