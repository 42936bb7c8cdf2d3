//! The way out of a lab through this machine: its own table of the packet filter, and leave from a filter of
//! others that forwards nothing by itself, as Docker's does.

use super::error::LabError;
use super::names::{self, Nic};
use super::program::{Program, ProgramError, is_installed};
use super::spec::LabSpec;

const HELP: &str = "see whether nftables works on this machine: `nft list ruleset`";

/// Lets the lab's hosts out; does nothing where they are out already.
pub(crate) async fn open(spec: &LabSpec) -> Result<(), LabError> {
    let step = "let the lab's hosts out through this machine";
    if !has_table(&spec.name).await? {
        let load = Program::new("nft").args(["-f", "-"]).input(rules(spec));
        load.run().await.map_err(LabError::step(step, HELP))?;
    }
    if is_installed("iptables") && forwards_nothing().await {
        for rule in leave(&spec.name) {
            if iptables("-C", &rule).await.is_err() {
                iptables("-I", &rule)
                    .await
                    .map_err(LabError::step(step, HELP))?;
            }
        }
    }
    Ok(())
}

/// Removes what [`open`] made.
pub(crate) async fn close(lab: &str) -> Result<(), LabError> {
    let step = "remove the lab's packet filter rules";
    if has_table(lab).await? {
        let delete = Program::new("nft").args(["delete", "table", "ip", &names::table(lab)]);
        delete.run().await.map_err(LabError::step(step, HELP))?;
    }
    if is_installed("iptables") {
        for rule in leave(lab) {
            if iptables("-C", &rule).await.is_ok() {
                iptables("-D", &rule)
                    .await
                    .map_err(LabError::step(step, HELP))?;
            }
        }
    }
    Ok(())
}

async fn has_table(lab: &str) -> Result<bool, LabError> {
    let list = Program::new("nft").args(["list", "table", "ip", &names::table(lab)]);
    let step = "look for the lab's packet filter table";
    list.succeeds().await.map_err(LabError::step(step, HELP))
}

/// The lab's own table: whoever leaves it does so under this machine's address.
fn rules(spec: &LabSpec) -> String {
    let table = names::table(&spec.name);
    let [management, provider] = Nic::BOTH.map(|nic| names::bridge(&spec.name, nic));
    let (a, b) = (spec.management.network, spec.provider.network);
    format!(
        "table ip {table} {{\n\
         \tchain out {{\n\
         \t\ttype nat hook postrouting priority srcnat;\n\
         \t\tip saddr {{ {a}, {b} }} oifname != {{ {management}, {provider} }} masquerade\n\
         \t}}\n\
         }}\n"
    )
}

/// Rules for the others' table, both ways over both bridges.
fn leave(lab: &str) -> Vec<[String; 4]> {
    let both_ways = |nic| {
        let bridge = names::bridge(lab, nic);
        ["-i", "-o"].map(|way| [way, &bridge, "-j", "ACCEPT"].map(str::to_owned))
    };
    Nic::BOTH.into_iter().flat_map(both_ways).collect()
}

async fn forwards_nothing() -> bool {
    let policy = Program::new("iptables")
        .args(["-w", "-S", "FORWARD"])
        .run()
        .await;
    policy.is_ok_and(|rules| drops(&rules))
}

fn drops(rules: &str) -> bool {
    rules.lines().any(|line| line.trim() == "-P FORWARD DROP")
}

async fn iptables(action: &str, rule: &[String]) -> Result<String, ProgramError> {
    Program::new("iptables")
        .args(["-w", action, "FORWARD"])
        .args(rule)
        .run()
        .await
}

#[cfg(test)]
mod tests {
    use super::super::spec::tests::spec;
    use super::*;

    #[test]
    fn traffic_between_the_labs_own_networks_keeps_its_address() {
        let rules = rules(&spec());
        assert!(rules.contains("table ip provision_lab_lab {"));
        assert!(rules.contains(
            "ip saddr { 10.0.0.0/24, 10.0.1.0/24 } oifname != { pv-lab-m, pv-lab-p } masquerade"
        ));
    }

    #[test]
    fn leave_is_asked_for_where_nothing_is_forwarded() {
        assert!(drops("-P FORWARD DROP\n-A FORWARD -j DOCKER-USER\n"));
        assert!(!drops("-P FORWARD ACCEPT\n-A FORWARD -j DROP\n"));
        let rules: Vec<_> = leave("lab").iter().map(|rule| rule.join(" ")).collect();
        assert_eq!(
            rules,
            [
                "-i pv-lab-m -j ACCEPT",
                "-o pv-lab-m -j ACCEPT",
                "-i pv-lab-p -j ACCEPT",
                "-o pv-lab-p -j ACCEPT"
            ]
        );
    }
}
