//! Removes a lab, all of it; or takes its hosts back to how they were made.

use std::fs;

use super::base::remove_tree;
use super::error::LabError;
use super::forward::Forwarding;
use super::lock::Lock;
use super::places::{LabDir, Places};
use super::progress::{Happening, Progress};
use super::record::{self, Record};
use super::spec::{LabHost, LabSpec};
use super::{LabHosts, container, debs, firewall, host, needs, net, up};

/// Stops and removes a lab. What its hosts downloaded is kept for later labs. A lab that was removed half is
/// removed whole; a lab that does not exist is an error.
pub async fn down(lab: &str, places: &Places, progress: &dyn Progress) -> Result<(), LabError> {
    needs::root(
        "the lab's processes and mounts",
        &format!("sudo provision lab down {lab}"),
    )?;
    let (directory, record, lock) = open(lab, places)?;
    empty(places, &record, &directory, progress).await?;
    let removed = record.spec.hosts.iter().map(|host| async {
        remove_tree(&directory.host(&host.name).state).await?;
        progress.happened(Happening::Removed {
            host: host.name.clone(),
        });
        Ok(())
    });
    for result in super::join_all(removed).await {
        result?;
    }
    firewall::close(lab).await?;
    net::lower(&record.spec).await?;
    // The record goes last: until then, `down` can be run again.
    remove_tree(&directory.run).await?;
    remove_tree(&directory.state).await?;
    Forwarding::new(places).restore().await?;
    let _ = fs::remove_file(&directory.lock);
    drop(lock);
    Ok(())
}

/// Switches off all hosts of a lab at the same time, and keeps what they have downloaded.
async fn empty(
    places: &Places,
    record: &Record,
    directory: &LabDir,
    progress: &dyn Progress,
) -> Result<(), LabError> {
    let ended = record
        .spec
        .hosts
        .iter()
        .map(|host| switch_off(&record.spec, host, directory));
    for result in super::join_all(ended).await {
        result?;
    }
    keep_packages(places, record, directory, progress).await;
    Ok(())
}

/// Takes all hosts of a lab back to how they were made, with the same keys and addresses, and starts them.
pub async fn reset(
    lab: &str,
    places: &Places,
    progress: &dyn Progress,
) -> Result<LabHosts, LabError> {
    needs::root(
        "the lab's processes and mounts",
        &format!("sudo provision lab reset {lab}"),
    )?;
    let (directory, record, lock) = open(lab, places)?;
    empty(places, &record, &directory, progress).await?;
    for known in &record.spec.hosts {
        host::forget(&directory.host(&known.name)).await?;
    }
    drop(lock);
    up::up(&record.spec, places, progress).await
}

/// Keeps what the hosts of a lab have downloaded for later labs. The hosts may be running.
pub async fn harvest(lab: &str, places: &Places, progress: &dyn Progress) -> Result<(), LabError> {
    let (directory, record, _lock) = open(lab, places)?;
    keep_packages(places, &record, &directory, progress).await;
    Ok(())
}

fn open(lab: &str, places: &Places) -> Result<(LabDir, Record, Lock), LabError> {
    let directory = places.lab(lab);
    let record = Record::read(&directory)?.ok_or_else(|| LabError::NoSuchLab {
        lab: lab.to_owned(),
        labs: record::names(&places.state),
    })?;
    fs::create_dir_all(&directory.run).map_err(LabError::file("make", &directory.run))?;
    let lock = Lock::take(&directory.lock)?;
    let lock = lock.ok_or_else(|| LabError::Busy {
        lab: lab.to_owned(),
    })?;
    Ok((directory, record, lock))
}

/// Ends a host and takes its cables and its mount away; its files stay.
async fn switch_off(spec: &LabSpec, host: &LabHost, lab: &LabDir) -> Result<(), LabError> {
    let directory = lab.host(&host.name);
    container::end(&spec.name, &host.name, &directory).await?;
    net::unplug(spec, host).await?;
    host::unmount(&directory).await
}

/// A cache that cannot be filled is no reason to keep a lab.
async fn keep_packages(places: &Places, record: &Record, lab: &LabDir, progress: &dyn Progress) {
    if record.spec.base.is_some() {
        return;
    }
    let hosts = record.spec.hosts.iter().map(|host| lab.host(&host.name));
    if let Ok((packages, bytes)) = debs::harvest(places, record.spec.distro, hosts).await
        && packages > 0
    {
        progress.happened(Happening::Harvested { packages, bytes });
    }
}
