//! The meaning of an answer file: does it describe a cloud? Fills in the defaults on the way.
//!
//! Every problem is reported, and reading goes on with what is left. One file a part of the answer file;
//! each takes its raw tables and gives the part of the cloud, as far as it could be understood.

mod addresses;
mod hosts;
mod networks;
mod options;
mod services;
mod ssh;
mod workload;

use super::findings::Findings;
use super::known::Known;
use super::nearest::{listed, nearest};
use super::schema::{AnswerFile, PrepareTable, RepositoriesTable, TimeTable};
use super::tables::ServiceTables;
use super::written::{Email, Url, Word, Zone};
use crate::model::at::At;
use crate::model::cloud::choice::{KeepOrOff, Reboot, Selinux};
use crate::model::cloud::{Cloud, Lab, PlatformChoice, Prepare, Repositories, Time};
use crate::model::diagnostic::Diagnostic;
use crate::model::name::CloudName;

/// The cloud, unless something that it cannot do without could not be read; then it was reported.
pub(super) fn check(
    file: &AnswerFile,
    tables: &ServiceTables,
    known: &Known,
    findings: &mut Findings<'_>,
) -> Option<Cloud> {
    let cloud = file.cloud.as_ref().map(At::get);
    let name: Option<CloudName> =
        cloud.and_then(|table| findings.read_opt("cloud.name", table.name.as_ref()));
    let region: Option<Word> =
        cloud.and_then(|table| findings.read_opt("cloud.region", table.region.as_ref()));
    let email: Option<Email> =
        cloud.and_then(|table| findings.read_opt("cloud.admin_email", table.admin_email.as_ref()));
    let platform = platform(file, known, findings);
    let networks = networks::read(file, findings);
    let hosts = hosts::read(file, &networks, findings);
    let services = services::check(file, tables, known, findings);
    hosts::check_roles(file, &hosts, &services, known, findings);
    addresses::check(&networks, &hosts, file.lab.is_some(), findings);
    let (flavors, proof) = workload::proof(file, findings);
    let image = workload::image(file, findings);
    let time = time(file.time.as_ref(), findings);
    let repositories = repositories(file.repositories.as_ref(), findings);
    let config = options::config("config", &file.config, &platform, known, findings);
    for (name, host) in file.hosts.iter().flat_map(At::get) {
        let path = format!("hosts.{}.config", name.get());
        options::config(&path, &host.get().config, &platform, known, findings);
    }
    let secrets = options::secrets(file, known, findings);
    let hosts = hosts::finish(hosts, &networks)?;
    Some(Cloud {
        name: name?,
        region: region.map_or_else(|| "RegionOne".to_owned(), |region| region.0),
        platform,
        admin_email: email.map(|email| email.0),
        lab: file.lab.as_ref().map(|lab| Lab {
            backend: lab
                .get()
                .backend
                .unwrap_or(crate::model::cloud::choice::Backend::Nspawn),
        }),
        networks: networks::finish(networks, &hosts)?,
        hosts,
        time,
        repositories,
        prepare: prepare(file.prepare.as_ref()),
        services,
        image: image?,
        flavors,
        proof: proof?,
        config,
        secrets,
    })
}

fn platform(file: &AnswerFile, known: &Known, findings: &mut Findings<'_>) -> PlatformChoice {
    let cloud = file.cloud.as_ref();
    let names = || known.platforms.keys().map(String::as_str);
    let written = cloud.and_then(|table| table.get().platform.as_ref());
    if let Some(written) = written.filter(|name| name.get() != "auto") {
        let name = written.get();
        if !known.platforms.contains_key(name) {
            let mark = match nearest(name, names()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "not known".to_owned(),
            };
            findings.add(
                Diagnostic::error(
                    "cloud::unknown-platform",
                    format!("unknown platform `{name}`"),
                )
                .at(findings.label(written.span(), mark))
                .help(format!(
                    "it can be {}; `auto` looks at each host",
                    listed(names().chain(["auto"]))
                )),
            );
        }
        return PlatformChoice::Named(name.clone());
    }
    if let (Some(_), Some(cloud)) = (&file.lab, cloud) {
        let place = written.map_or(cloud.span(), At::span);
        findings.add(
            Diagnostic::error("cloud::no-platform", "a lab needs to know its platform")
                .at(findings.label(place, "`auto` looks at the hosts, and there are none yet"))
                .help(format!(
                    "write `platform = ...` in `[cloud]`: {}",
                    listed(names())
                )),
        );
    }
    PlatformChoice::Auto
}

fn time(table: Option<&TimeTable>, findings: &mut Findings<'_>) -> Time {
    let servers: Vec<Word> = findings.read_all(
        "time.servers",
        table.and_then(|table| table.servers.as_ref()),
    );
    let zone: Option<Zone> = findings.read_opt(
        "time.timezone",
        table.and_then(|table| table.timezone.as_ref()),
    );
    Time {
        servers: servers.into_iter().map(|server| server.0).collect(),
        timezone: zone.map(|zone| zone.0),
    }
}

fn repositories(table: Option<&RepositoriesTable>, findings: &mut Findings<'_>) -> Repositories {
    let mirror: Option<Url> = findings.read_opt(
        "repositories.mirror",
        table.and_then(|table| table.mirror.as_ref()),
    );
    let proxy: Option<Url> = findings.read_opt(
        "repositories.proxy",
        table.and_then(|table| table.proxy.as_ref()),
    );
    Repositories {
        mirror: mirror.map(|url| url.0),
        proxy: proxy.map(|url| url.0),
    }
}

fn prepare(table: Option<&PrepareTable>) -> Prepare {
    let none = PrepareTable::default();
    let table = table.unwrap_or(&none);
    Prepare {
        firewalld: table.firewalld.unwrap_or(KeepOrOff::Off),
        network_manager: table.network_manager.unwrap_or(KeepOrOff::Off),
        selinux: table.selinux.unwrap_or(Selinux::Keep),
        upgrade: table.upgrade.unwrap_or(false),
        reboot: table.reboot.unwrap_or(Reboot::WhenNeeded),
    }
}
