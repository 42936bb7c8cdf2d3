//! The tables of services. They are data, so no Rust type describes them: they are taken out of the file
//! before serde reads the rest, as JSON with places.

use std::collections::BTreeMap;

use serde_json::Value;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::findings::Findings;
use super::known::{Known, Presence};
use super::nearest::listed;
use crate::model::at::At;
use crate::model::diagnostic::Diagnostic;

/// Settings by service; each table and each setting with its place.
pub(super) type ServiceTables = BTreeMap<String, At<BTreeMap<String, At<Value>>>>;

/// Takes out what is about services that this build does not have yet, and says so. Switching one off is
/// fine: answer files are passed on between versions.
pub(super) fn take_planned(file: &mut DeTable<'_>, known: &Known, findings: &mut Findings<'_>) {
    let planned = |name: &str| {
        known
            .services
            .get(name)
            .is_some_and(|service| service.presence == Presence::Planned)
    };
    let names: Vec<&str> = known
        .services
        .iter()
        .filter(|(_, service)| matches!(service.presence, Presence::On | Presence::Off))
        .map(|(name, _)| name.as_str())
        .collect();
    let mut told = Vec::new();
    let mut report = |name: &str, span| {
        if told.iter().any(|one| one == name) {
            return;
        }
        told.push(name.to_owned());
        let title = known
            .services
            .get(name)
            .map_or("", |service| service.title.as_str());
        findings.add(
            Diagnostic::error(
                "service::planned",
                format!("`{name}` ({title}) is not available yet"),
            )
            .at(findings.label(span, "not in this version"))
            .help(format!(
                "leave it out; what can be switched is {}",
                listed(names.iter().copied())
            )),
        );
    };
    let entries: Vec<_> = std::mem::take(file).into_iter().collect();
    for (key, mut value) in entries {
        if planned(key.get_ref()) {
            report(key.get_ref(), key.span());
            continue;
        }
        if let ("services", DeValue::Table(switches)) = (key.get_ref().as_ref(), value.get_mut()) {
            let all: Vec<_> = std::mem::take(switches).into_iter().collect();
            for (name, switch) in all {
                match switch.get_ref() {
                    DeValue::Boolean(on) if planned(name.get_ref()) => {
                        if *on {
                            report(name.get_ref(), name.span());
                        }
                    }
                    _ => {
                        switches.insert(name, switch);
                    }
                }
            }
        }
        file.insert(key, value);
    }
}

/// Takes out the tables of all known services.
pub(super) fn take(file: &mut DeTable<'_>, known: &Known) -> ServiceTables {
    let mut tables = ServiceTables::new();
    let entries: Vec<_> = std::mem::take(file).into_iter().collect();
    for (key, value) in entries {
        let span = value.span();
        match value.into_inner() {
            DeValue::Table(settings) if known.services.contains_key(key.get_ref().as_ref()) => {
                let settings = settings
                    .into_iter()
                    .map(|(name, value)| {
                        (
                            name.get_ref().to_string(),
                            At::new(json(value.get_ref()), value.span()),
                        )
                    })
                    .collect();
                tables.insert(key.get_ref().to_string(), At::new(settings, span));
            }
            other => {
                file.insert(key, Spanned::new(span, other));
            }
        }
    }
    tables
}

fn json(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Integer(n) => i64::from_str_radix(&n.as_str().replace('_', ""), n.radix())
            .map_or(Value::Null, Value::from),
        DeValue::Float(n) => n
            .as_str()
            .replace('_', "")
            .parse::<f64>()
            .map_or(Value::Null, Value::from),
        DeValue::Boolean(b) => Value::Bool(*b),
        DeValue::Datetime(date) => Value::String(date.to_string()),
        DeValue::Array(items) => items.iter().map(|item| json(item.get_ref())).collect(),
        DeValue::Table(table) => table
            .iter()
            .map(|(key, value)| (key.get_ref().to_string(), json(value.get_ref())))
            .collect::<serde_json::Map<_, _>>()
            .into(),
    }
}
