//! `[services]` and the services' own tables.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::model::answers::findings::Findings;
use crate::model::answers::known::{self, Known, Presence, Setting, SettingType};
use crate::model::answers::nearest::listed;
use crate::model::answers::schema::AnswerFile;
use crate::model::answers::tables::ServiceTables;
use crate::model::answers::written::{Time, Written};
use crate::model::at::At;
use crate::model::cloud::Service;
use crate::model::diagnostic::Diagnostic;

/// All services that are known, on or off, with their settings.
pub(super) fn check(
    file: &AnswerFile,
    tables: &ServiceTables,
    known: &Known,
    findings: &mut Findings<'_>,
) -> BTreeMap<String, Service> {
    let services: BTreeMap<String, Service> = known
        .services
        .iter()
        .map(|(name, service)| {
            let switch = file.services.iter().find(|(key, _)| key.get() == name);
            let enabled = is_on(name, service, switch, findings);
            let written = tables.get(name);
            if let (false, Some(table)) = (enabled, written) {
                findings.add(
                    Diagnostic::warning(
                        "service::unused-settings",
                        format!("`[{name}]` has no effect: `{name}` is off"),
                    )
                    .at(findings.label(table.span(), "settings of a service that is off"))
                    .help(format!("write `{name} = true` in `[services]`")),
                );
            }
            let settings = service
                .settings
                .iter()
                .map(|(key, setting)| {
                    let path = format!("{name}.{key}");
                    let value = written.and_then(|table| table.get().get(key));
                    (key.clone(), setting_value(&path, setting, value, findings))
                })
                .collect();
            (name.clone(), Service { enabled, settings })
        })
        .collect();
    check_needs(file, known, &services, findings);
    services
}

fn is_on(
    name: &str,
    service: &known::Service,
    switch: Option<(&At<String>, &At<bool>)>,
    findings: &mut Findings<'_>,
) -> bool {
    let written = switch.map(|(_, value)| *value.get());
    match service.presence {
        Presence::Required => {
            if let Some((_, value)) = switch.filter(|_| written == Some(false)) {
                findings.add(
                    Diagnostic::error(
                        "service::required",
                        format!("`{name}` cannot be switched off"),
                    )
                    .at(findings.label(value.span(), "every cloud has it"))
                    .help("leave the line out"),
                );
            }
            true
        }
        Presence::On => written.unwrap_or(true),
        Presence::Off => written.unwrap_or(false),
        Presence::Planned => false,
    }
}

fn check_needs(
    file: &AnswerFile,
    known: &Known,
    services: &BTreeMap<String, Service>,
    findings: &mut Findings<'_>,
) {
    let is_on = |name: &str| services.get(name).is_some_and(|service| service.enabled);
    for (name, service) in known.services.iter().filter(|(name, _)| is_on(name)) {
        let missing: Vec<&str> = service
            .needs
            .iter()
            .map(String::as_str)
            .filter(|need| !is_on(need))
            .collect();
        if missing.is_empty() {
            continue;
        }
        let message = format!("`{name}` does not work without {}", listed(missing.clone()));
        let mut diagnostic = Diagnostic::error("service::needs", message);
        for key in file.services.keys() {
            if missing.contains(&key.get().as_str()) {
                diagnostic = diagnostic.at(findings.label(key.span(), "is off"));
            } else if key.get() == name {
                diagnostic = diagnostic.at(findings.label(key.span(), "needs it"));
            }
        }
        let help = format!(
            "switch on {} in `[services]`, or switch off `{name}`",
            listed(missing)
        );
        findings.add(diagnostic.help(help));
    }
}

/// What templates see of a setting. Its type has been checked with the shape of the file.
fn setting_value(
    path: &str,
    setting: &Setting,
    written: Option<&At<Value>>,
    findings: &mut Findings<'_>,
) -> Value {
    let value = match written {
        Some(written) => written.get(),
        None => setting.default.as_ref().unwrap_or(&Value::Null),
    };
    if let Some(written) = written.filter(|written| has_control(written.get())) {
        findings.add(
            Diagnostic::error("answer::bad-value", format!("`{path}` must be one line"))
                .at(findings.label(
                    written.span(),
                    "has a line break or another control character",
                ))
                .help("it goes into a configuration file, one line an option"),
        );
    }
    let Value::String(text) = value else {
        return value.clone();
    };
    if setting.kind != SettingType::Duration || setting.words.contains(text) {
        return value.clone();
    }
    let time = match written {
        Some(written) => findings.read(path, &written.with(text.clone())),
        None => Time::read(text).ok(),
    };
    time.map_or(Value::Null, |time| time.0.as_secs().into())
}

fn has_control(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains(char::is_control),
        Value::Array(items) => items.iter().any(has_control),
        _ => false,
    }
}
