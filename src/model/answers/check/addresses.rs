//! How addresses go together: who has which, what lies in what, what overlaps.

use std::net::Ipv4Addr;
use std::ops::Range;

use ipnet::Ipv4Net;

use super::hosts::ReadHost;
use super::networks::Nets;
use crate::model::answers::findings::Findings;
use crate::model::at::At;
use crate::model::cloud::TunnelOn;
use crate::model::diagnostic::Diagnostic;
use crate::model::name::Role;

/// An address that somebody has.
struct Taken {
    address: Ipv4Addr,
    place: Range<usize>,
    /// Who: ``the address of `compute1` ``.
    what: String,
}

/// Everything about addresses that takes more than one of them to see.
pub(super) fn check(nets: &Nets, hosts: &[ReadHost], lab: bool, findings: &mut Findings<'_>) {
    let taken = taken(nets, hosts);
    duplicates(&taken, findings);
    gateways(nets, findings);
    overlaps(nets, findings);
    floating(nets, &taken, findings);
    for host in hosts {
        management(nets, host, lab, findings);
        tunnel(nets, host, findings);
        nic(nets, hosts, host, findings);
    }
    mixed_tunnels(nets, hosts, findings);
}

fn taken(nets: &Nets, hosts: &[ReadHost]) -> Vec<Taken> {
    let gateways = [
        ("the management network", &nets.management_gateway),
        ("the provider network", &nets.provider_gateway),
    ];
    let gateways = gateways.into_iter().filter_map(|(net, gateway)| {
        let gateway = gateway.as_ref()?;
        Some(Taken {
            address: *gateway.get(),
            place: gateway.span(),
            what: format!("the gateway of {net}"),
        })
    });
    let addresses = hosts.iter().flat_map(|host| {
        let own = host.address.as_ref().map(|address| ("address", address));
        let tunnel = host
            .tunnel
            .as_ref()
            .filter(|tunnel| Some(*tunnel) != host.address.as_ref());
        own.into_iter()
            .chain(tunnel.map(|address| ("tunnel address", address)))
            .map(|(what, address)| Taken {
                address: *address.get(),
                place: address.span(),
                what: format!("the {what} of `{}`", host.written),
            })
    });
    gateways.chain(addresses).collect()
}

fn duplicates(taken: &[Taken], findings: &mut Findings<'_>) {
    for (at, second) in taken.iter().enumerate() {
        let Some(first) = taken[..at]
            .iter()
            .find(|first| first.address == second.address)
        else {
            continue;
        };
        // One router may serve both networks, where both are the same.
        if first.what.contains("gateway") && second.what.contains("gateway") {
            continue;
        }
        let message = format!(
            "`{}` is both {} and {}",
            second.address, first.what, second.what
        );
        findings.add(
            Diagnostic::error("host::duplicate-address", message)
                .at(findings.label(second.place.clone(), second.what.clone()))
                .at(findings.label(first.place.clone(), first.what.clone()))
                .help("give one of them another address"),
        );
    }
}

/// The addresses of a network that no machine can have.
fn is_reserved(net: &Ipv4Net, address: Ipv4Addr) -> Option<&'static str> {
    if address == net.network() {
        Some("the network's own address")
    } else if address == net.broadcast() {
        Some("the broadcast address")
    } else {
        None
    }
}

fn gateways(nets: &Nets, findings: &mut Findings<'_>) {
    let pairs = [
        ("management", &nets.management, &nets.management_gateway),
        ("provider", &nets.provider, &nets.provider_gateway),
    ];
    for (name, net, gateway) in pairs {
        let (Some(net), Some(gateway)) = (net, gateway) else {
            continue;
        };
        let address = *gateway.get();
        let why = if net.get().contains(&address) {
            is_reserved(net.get(), address)
        } else {
            Some("outside the network")
        };
        if let Some(why) = why {
            findings.add(
                Diagnostic::error(
                    "network::gateway-outside",
                    format!("the gateway of `networks.{name}` cannot be `{address}`"),
                )
                .at(findings.label(gateway.span(), why))
                .at(findings.label(net.span(), "the network"))
                .help(format!("write an address of `{}`", net.get())),
            );
        }
    }
}

fn overlaps(nets: &Nets, findings: &mut Findings<'_>) {
    let named = [
        ("management", nets.management.as_ref()),
        ("provider", nets.provider.as_ref()),
        ("tunnel", nets.tunnel.as_ref()),
        ("private", Some(&nets.private)),
    ];
    for (at, (second_name, second)) in named.iter().enumerate() {
        for (first_name, first) in &named[..at] {
            let (Some(first), Some(second)) = (first, second) else {
                continue;
            };
            let (a, b) = (first.get(), second.get());
            let shared = a == b && *second_name != "private";
            let overlap = a.contains(b) || b.contains(a);
            if shared || !overlap {
                continue;
            }
            let message = format!("`networks.{first_name}` and `networks.{second_name}` overlap");
            let written = |net: &At<Ipv4Net>| !net.span().is_empty();
            let mut diagnostic = Diagnostic::error("network::overlap", message);
            for net in [second, first].into_iter().filter(|net| written(net)) {
                diagnostic = diagnostic.at(findings.label(net.span(), "overlaps"));
            }
            let way = if *second_name == "private" {
                "instances could not tell them apart: write another `cidr` in `[networks.private]`"
            } else {
                "make them the same, or keep them apart"
            };
            findings.add(
                diagnostic
                    .help(way)
                    .cause(format!("`{a}` and `{b}` have addresses in common")),
            );
        }
    }
}

fn floating(nets: &Nets, taken: &[Taken], findings: &mut Findings<'_>) {
    let (Some(floating), Some(net)) = (&nets.floating, &nets.provider) else {
        return;
    };
    let range = floating.get();
    if let Some(outside) = [range.first, range.last]
        .into_iter()
        .find(|a| !net.get().contains(a))
    {
        findings.add(
            Diagnostic::error(
                "network::floating-outside",
                format!("floating address `{outside}` is outside the provider network"),
            )
            .at(findings.label(floating.span(), "reaches out of it"))
            .at(findings.label(net.span(), "the network"))
            .help(format!("write a range within `{}`", net.get())),
        );
        return;
    }
    if let Some(why) = [range.first, range.last]
        .into_iter()
        .find_map(|a| is_reserved(net.get(), a))
    {
        findings.add(
            Diagnostic::error(
                "network::floating-taken",
                format!("the floating range contains {why}"),
            )
            .at(findings.label(floating.span(), "one address too many"))
            .help("leave out the first and the last address of the network"),
        );
    }
    for one in taken.iter().filter(|one| range.contains(one.address)) {
        findings.add(
            Diagnostic::error(
                "network::floating-taken",
                format!(
                    "the floating range contains `{}`, {}",
                    one.address, one.what
                ),
            )
            .at(findings.label(floating.span(), "Neutron would give it away"))
            .at(findings.label(one.place.clone(), one.what.clone()))
            .help("begin the range after it, or give it another address"),
        );
    }
}

fn management(nets: &Nets, host: &ReadHost, lab: bool, findings: &mut Findings<'_>) {
    let (Some(net), Some(address)) = (&nets.management, &host.address) else {
        return;
    };
    let (name, own) = (&host.written, *address.get());
    if let Some(why) = is_reserved(net.get(), own) {
        findings.add(
            Diagnostic::error(
                "host::reserved-address",
                format!("`{name}` cannot have the address `{own}`"),
            )
            .at(findings.label(address.span(), why))
            .help(format!("take another address of `{}`", net.get())),
        );
    } else if !net.get().contains(&own) {
        let code = "host::outside-management";
        let message = format!("the address of `{name}` is outside the management network");
        let diagnostic = if lab {
            Diagnostic::error(code, message)
        } else {
            Diagnostic::warning(code, message)
        };
        let way = if lab {
            format!("give it an address of `{}`", net.get())
        } else {
            "right where the networks are routed; else correct one of the two".to_owned()
        };
        findings.add(
            diagnostic
                .at(findings.label(address.span(), "not in there"))
                .at(findings.label(net.span(), "the network"))
                .help(way),
        );
    }
}

fn tunnel(nets: &Nets, host: &ReadHost, findings: &mut Findings<'_>) {
    let name = &host.written;
    match (&nets.tunnel, &host.tunnel) {
        (Some(net), Some(address)) if !net.get().contains(address.get()) => findings.add(
            Diagnostic::error(
                "host::tunnel-outside",
                format!("the tunnel address of `{name}` is outside the tunnel network"),
            )
            .at(findings.label(address.span(), "not in there"))
            .at(findings.label(net.span(), "the network"))
            .help(format!(
                "write an address of `{}`, or leave out `networks.tunnel.cidr`",
                net.get()
            )),
        ),
        // Nothing has an address there until we put one on `br-ex`, so there is nothing to find.
        (Some(net), None)
            if nets.provider.as_ref() == Some(net) && nets.management.as_ref() != Some(net) =>
        {
            findings.add(
                Diagnostic::error(
                    "host::no-tunnel-address",
                    format!("`{name}` needs a tunnel address"),
                )
                .at(findings.label(host.place.clone(), "has no `tunnel_address`"))
                .at(findings.label(net.span(), "tunnels end in the provider network"))
                .help(format!(
                    "write `tunnel_address = ...` in `[hosts.{name}]`: a free address of `{}`",
                    net.get()
                )),
            )
        }
        _ => {}
    }
}

fn nic(nets: &Nets, hosts: &[ReadHost], host: &ReadHost, findings: &mut Findings<'_>) {
    let nobody = !hosts.iter().any(|host| host.has(Role::Network));
    let routes = host.has(Role::Network) || (nobody && host.has(Role::Controller));
    let bridged = host.tunnel_on(nets) == TunnelOn::Provider;
    let unclear = findings.is_unclear("networks.provider.nic")
        || findings.is_unclear(&format!("hosts.{}.provider_nic", host.written));
    // Without a provider network there is a bigger problem, reported already.
    if host.nic.is_none() && nets.provider.is_some() && !unclear && (routes || bridged) {
        let name = &host.written;
        let why = if routes {
            "routes to the provider network"
        } else {
            "has its tunnel address there"
        };
        findings.add(
            Diagnostic::error("host::no-nic", format!("`{name}` needs a NIC on the provider network"))
                .at(findings.label(host.place.clone(), why))
                .help(format!("write `nic = \"...\"` in `[networks.provider]`, or `provider_nic = \"...\"` in `[hosts.{name}]`"))
                .help("it may be the NIC that you log in by: its address moves to the bridge"),
        );
    }
}

/// Tunnels from one network to another work only where somebody routes, which is rarely meant.
fn mixed_tunnels(nets: &Nets, hosts: &[ReadHost], findings: &mut Findings<'_>) {
    let with = hosts
        .iter()
        .find(|host| host.tunnel_on(nets) == TunnelOn::Provider);
    let without = hosts
        .iter()
        .find(|host| host.tunnel_on(nets) == TunnelOn::Management);
    let (Some(with), Some(without)) = (with, without) else {
        return;
    };
    let message = format!(
        "the tunnels of `{}` and `{}` end in different networks",
        with.written, without.written
    );
    findings.add(
        Diagnostic::warning("host::mixed-tunnels", message)
            .at(findings.label(without.place.clone(), "in the management network"))
            .at(findings.label(with.place.clone(), "in the provider network"))
            .help(format!(
                "write a `tunnel_address` for `{}` too, or for none",
                without.written
            )),
    );
}
