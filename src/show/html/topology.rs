//! The cloud as a picture: hosts with their services, and the networks that join them.
//!
//! Management networks run above the hosts and all others below, each as one line across; where a network
//! enters a host through a bridge, the bridge is drawn into the host. Pure geometry, as in
//! [`super::timeline`].

use serde::Serialize;

use super::Badge;
use crate::model::event::NetworkPlace;
use crate::model::summary::{HostState, Summary};
use crate::show::words;

const MARGIN: f64 = 16.0;
/// Where the networks' names stand, left of everything.
const NAMES: f64 = 180.0;
const CARD: f64 = 290.0;
const GAP: f64 = 44.0;
const PAD: f64 = 14.0;
const BUS: f64 = 44.0;
const DROP: f64 = 40.0;
const CHIP: f64 = 20.0;
const CHIP_GAP: f64 = 6.0;
const BRIDGE: f64 = 24.0;

#[derive(Serialize)]
pub(super) struct Topology {
    width: f64,
    height: f64,
    buses: Vec<Bus>,
    cards: Vec<Card>,
    says: String,
}

#[derive(Serialize)]
struct Bus {
    class: String,
    x: f64,
    end: f64,
    y: f64,
    text_x: f64,
    text_y: f64,
    about_y: f64,
    name: String,
    about: String,
    drops: Vec<Drop>,
}

#[derive(Serialize)]
struct Drop {
    x: f64,
    from: f64,
    to: f64,
    text_x: f64,
    text_y: f64,
    label: String,
    bridge: Option<Bridge>,
}

#[derive(Serialize)]
struct Bridge {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
    text_x: f64,
    text_y: f64,
    name: String,
}

#[derive(Serialize)]
struct Card {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
    badge: Badge,
    badge_x: f64,
    text_x: f64,
    name_y: f64,
    name: String,
    lines: Vec<Text>,
    chips: Vec<Chip>,
}

#[derive(Serialize)]
struct Text {
    y: f64,
    class: &'static str,
    text: String,
}

#[derive(Serialize)]
struct Chip {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
    text_x: f64,
    text_y: f64,
    class: &'static str,
    text: String,
}

/// The drawing; none when there are no hosts.
pub(super) fn draw(run: &Summary) -> Option<Topology> {
    let hosts: Vec<&HostState> = run.declared_hosts().collect();
    if hosts.is_empty() {
        return None;
    }
    let networks = run
        .started
        .as_ref()
        .map_or(&[][..], |s| s.networks.as_slice());
    let (above, below): (Vec<&NetworkPlace>, Vec<&NetworkPlace>) = networks
        .iter()
        .partition(|network| network.role == "management");
    let n = count(hosts.len());
    let width = NAMES + MARGIN * 2.0 + n * CARD + (n - 1.0) * GAP;
    let top = MARGIN
        + if above.is_empty() {
            0.0
        } else {
            count(above.len()) * BUS + DROP - 16.0
        };
    let mut cards: Vec<Card> = hosts
        .iter()
        .enumerate()
        .map(|(n, host)| card(host, run, card_x(n), top))
        .collect();
    let room = if below
        .iter()
        .any(|n| n.members.iter().any(|m| m.bridge.is_some()))
    {
        BRIDGE + PAD
    } else {
        0.0
    };
    let height = cards.iter().map(|card| card.height).fold(0.0, f64::max) + room;
    cards.iter_mut().for_each(|card| card.height = height);
    let bottom = top + height;
    let mut buses = Vec::new();
    for (k, network) in above.iter().enumerate() {
        let y = MARGIN + BUS * count(k) + 26.0;
        let share = count(k + 1) / count(above.len() + 1);
        let drop = |host: usize, label: &str| top_drop(card_x(host) + CARD * share, y, top, label);
        buses.push(bus(network, &hosts, width, y, |host, _, label| {
            drop(host, label)
        }));
    }
    for (k, network) in below.iter().enumerate() {
        let y = bottom + DROP + BUS * count(k);
        let share = count(k + 1) / count(below.len() + 1);
        buses.push(bus(network, &hosts, width, y, |host, bridge, label| {
            bottom_drop(card_x(host) + CARD * share, bottom, y, bridge, label)
        }));
    }
    let height = bottom
        + if below.is_empty() {
            MARGIN
        } else {
            DROP + BUS * (count(below.len()) - 1.0) + 30.0
        };
    Some(Topology {
        width,
        height,
        buses,
        cards,
        says: says(run, networks),
    })
}

/// The picture in words, for those who cannot see it.
fn says(run: &Summary, networks: &[NetworkPlace]) -> String {
    let hosts: Vec<&str> = run
        .declared_hosts()
        .map(|h| h.place.name.as_str())
        .collect();
    let networks: Vec<&str> = networks.iter().map(|n| n.name.as_str()).collect();
    format!(
        "Hosts {} on networks {}",
        hosts.join(", "),
        networks.join(", ")
    )
}

fn bus(
    network: &NetworkPlace,
    hosts: &[&HostState],
    width: f64,
    y: f64,
    drop: impl Fn(usize, Option<&str>, &str) -> Drop,
) -> Bus {
    let drops = network.members.iter().filter_map(|member| {
        let host = hosts.iter().position(|h| h.place.name == member.host)?;
        let own = member.address.as_deref() == Some(hosts[host].place.address.as_str());
        let address = member.address.as_deref().filter(|_| !own);
        let label = member.interface.as_deref().or(address).unwrap_or_default();
        Some(drop(host, member.bridge.as_deref(), label))
    });
    let known = ["management", "provider", "tunnel", "storage"];
    let role = known
        .into_iter()
        .find(|role| *role == network.role)
        .unwrap_or("other");
    let mut about = vec![network.role.as_str()];
    about.retain(|role| *role != network.name);
    about.extend(network.cidr.as_deref());
    Bus {
        class: role.to_owned(),
        x: NAMES,
        end: width - MARGIN,
        y,
        text_x: NAMES - 14.0,
        text_y: y - 1.0,
        about_y: y + 14.0,
        name: network.name.clone(),
        about: about.join(" · "),
        drops: drops.collect(),
    }
}

fn top_drop(x: f64, bus_y: f64, card_y: f64, label: &str) -> Drop {
    let text_y = bus_y + (card_y - bus_y) / 2.0 + 5.0;
    let label = label.to_owned();
    Drop {
        x,
        from: bus_y,
        to: card_y,
        text_x: x + 7.0,
        text_y,
        label,
        bridge: None,
    }
}

fn bottom_drop(x: f64, card_y: f64, bus_y: f64, bridge: Option<&str>, label: &str) -> Drop {
    let width = bridge.map_or(0.0, |name| text_width(name, 6.8) + 20.0);
    let y = card_y - BRIDGE - PAD + 4.0;
    let bridge = bridge.map(|name| Bridge {
        x: x - width / 2.0,
        y,
        width,
        height: BRIDGE,
        text_x: x,
        text_y: y + 16.0,
        name: name.to_owned(),
    });
    let from = if bridge.is_some() { y + BRIDGE } else { card_y };
    let (text_x, text_y) = (x + 7.0, card_y + 18.0);
    Drop {
        x,
        from,
        to: bus_y,
        text_x,
        text_y,
        label: label.to_owned(),
        bridge,
    }
}

fn card(host: &HostState, run: &Summary, x: f64, y: f64) -> Card {
    let text_x = x + PAD;
    let mut at = y + 46.0;
    let mut lines = Vec::new();
    let mut line = |class, text: String| {
        if !text.is_empty() {
            lines.push(Text { y: at, class, text });
            at += 17.0;
        }
    };
    line("address", host.place.address.clone());
    if let Some(facts) = &host.facts {
        line("fact", facts.os.replace("GNU/Linux ", ""));
        let cpus = words::count(facts.cpus, "CPU");
        line(
            "fact",
            format!("{cpus} · {}", words::mebibytes(facts.memory_mib)),
        );
        let virt = Some(facts.virt.clone()).filter(|virt| !virt.is_empty() && virt != "none");
        let instances = facts
            .hypervisor
            .as_ref()
            .map(|by| format!("instances by {by}"));
        let kinds: Vec<String> = virt.into_iter().chain(instances).collect();
        line("fact", kinds.join(" · "));
    }
    let mut chips = Vec::new();
    let top = flow(&host.place.roles, "role", x, at - 4.0, &mut chips);
    let bottom = flow(&host.place.services, "service", x, top + 4.0, &mut chips);
    Card {
        x,
        y,
        width: CARD,
        height: bottom - y + PAD - CHIP_GAP,
        badge: super::standing(host, run),
        badge_x: x + CARD - PAD,
        text_x,
        name_y: y + 26.0,
        name: host.place.name.clone(),
        lines,
        chips,
    }
}

/// Sets `texts` as chips, line after line, and says where the next line would begin.
fn flow(texts: &[String], class: &'static str, x: f64, top: f64, chips: &mut Vec<Chip>) -> f64 {
    if texts.is_empty() {
        return top;
    }
    let (from, end) = (x + PAD, x + CARD - PAD);
    let (mut at, mut y) = (from, top);
    for text in texts {
        let each = if class == "role" { 7.6 } else { 7.0 };
        let width = text_width(text, each) + 16.0;
        if at > from && at + width > end {
            (at, y) = (from, y + CHIP + CHIP_GAP);
        }
        chips.push(Chip {
            x: at,
            y,
            width,
            height: CHIP,
            text_x: at + width / 2.0,
            text_y: y + 14.0,
            class,
            text: text.clone(),
        });
        at += width + CHIP_GAP;
    }
    y + CHIP + CHIP_GAP
}

fn card_x(n: usize) -> f64 {
    NAMES + MARGIN + (CARD + GAP) * count(n)
}

/// About how wide `text` is at `each` a character.
fn text_width(text: &str, each: f64) -> f64 {
    (count(text.chars().count()) * each).round()
}

fn count(n: usize) -> f64 {
    u32::try_from(n).map_or(f64::MAX, f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chips_stay_inside_their_card() {
        let texts: Vec<String> = (5..25).map(|n| "x".repeat(n)).collect();
        let mut chips = Vec::new();
        let bottom = flow(&texts, "service", 100.0, 10.0, &mut chips);
        assert_eq!(chips.len(), 20);
        for chip in &chips {
            assert!(chip.x >= 100.0 + PAD && chip.x + chip.width <= 100.0 + CARD - PAD);
            assert!(chip.y + chip.height <= bottom);
        }
    }
}
