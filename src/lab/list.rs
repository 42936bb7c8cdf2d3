//! What labs there are, and how to get into their hosts.

use std::ffi::OsString;
use std::net::Ipv4Addr;

use super::error::LabError;
use super::places::Places;
use super::record::{self, Record};
use super::spec::Distro;
use super::up::evidence;
use super::verdict::{Verdict, judge};

/// A lab of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabSummary {
    /// Its name.
    pub name: String,
    /// What its hosts run.
    pub distro: Distro,
    /// Its hosts.
    pub hosts: Vec<LabHostSummary>,
}

/// A host of a lab.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabHostSummary {
    /// Host name.
    pub name: String,
    /// Address in the management network.
    pub address: Ipv4Addr,
    /// Whether it runs.
    pub state: HostState,
}

/// Whether a host runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostState {
    /// It runs and is looked after.
    Up,
    /// Something of it is left; the next `up` repairs it.
    Broken,
    /// It does not run; the next `up` starts it with the files it has.
    Off,
}

/// All labs, by name. Reads only, and not as root sees nothing of root's.
pub fn list(places: &Places) -> Result<Vec<LabSummary>, LabError> {
    let mut labs = Vec::new();
    for name in record::names(&places.state) {
        let directory = places.lab(&name);
        let Some(Record { spec, .. }) = Record::read(&directory)? else {
            continue;
        };
        let summary = |host: &super::LabHost| LabHostSummary {
            name: host.name.clone(),
            address: host.address,
            state: match judge(evidence(&spec, host, &directory.host(&host.name))) {
                Verdict::Runs => HostState::Up,
                Verdict::Adopt | Verdict::Restart(_) => HostState::Broken,
                Verdict::Boot(_) => HostState::Off,
            },
        };
        let hosts = spec.hosts.iter().map(summary).collect();
        labs.push(LabSummary {
            name,
            distro: spec.distro,
            hosts,
        });
    }
    Ok(labs)
}

/// The command that opens a shell on a host: a program and its arguments. More arguments are a remote command.
pub fn ssh_command(lab: &str, host: &str, places: &Places) -> Result<Vec<OsString>, LabError> {
    let directory = places.lab(lab);
    let record = Record::read(&directory)?.ok_or_else(|| LabError::NoSuchLab {
        lab: lab.to_owned(),
        labs: record::names(&places.state),
    })?;
    let hosts = &record.spec.hosts;
    let known = hosts.iter().find(|known| known.name == host);
    let known = known.ok_or_else(|| LabError::NoSuchHost {
        lab: lab.to_owned(),
        host: host.to_owned(),
        hosts: hosts.iter().map(|known| known.name.clone()).collect(),
    })?;
    let option = |name: &str, value: &std::path::Path| {
        let mut option = OsString::from(format!("{name}="));
        option.push(value);
        option
    };
    Ok(vec![
        "ssh".into(),
        "-F".into(),
        "none".into(),
        "-i".into(),
        directory.key().into(),
        "-o".into(),
        "IdentitiesOnly=yes".into(),
        "-o".into(),
        option("UserKnownHostsFile", &directory.known_hosts()),
        "-o".into(),
        "StrictHostKeyChecking=yes".into(),
        format!("root@{}", known.address).into(),
    ])
}
