//! `[config]` and `[secrets]`: names that others give meaning to.

use std::collections::BTreeMap;

use crate::model::answers::findings::Findings;
use crate::model::answers::known::Known;
use crate::model::answers::nearest::{listed, nearest};
use crate::model::answers::schema::{AnswerFile, ConfigEntry, ConfigTable};
use crate::model::at::At;
use crate::model::cloud::{ConfigOverrides, ConfigValue, PlatformChoice, SecretSource};
use crate::model::diagnostic::Diagnostic;

/// Checks options and gives them.
pub(super) fn config(
    path: &str,
    table: &ConfigTable,
    platform: &PlatformChoice,
    known: &Known,
    findings: &mut Findings<'_>,
) -> ConfigOverrides {
    for (file, entries) in table {
        known_file(path, file, platform, known, findings);
        for (name, entry) in entries {
            plain_name(name, findings);
            match entry.get() {
                ConfigEntry::Option(value) => one_line(&entry.with(value.clone()), findings),
                ConfigEntry::Section(options) => {
                    for (name, value) in options {
                        plain_name(name, findings);
                        one_line(value, findings);
                    }
                }
            }
        }
    }
    values(table)
}

/// The options, without their places.
pub(super) fn values(table: &ConfigTable) -> ConfigOverrides {
    let mut files = ConfigOverrides::new();
    for (file, entries) in table {
        let sections = files.entry(file.get().clone()).or_default();
        for (name, entry) in entries {
            match entry.get() {
                ConfigEntry::Option(value) => {
                    sections
                        .entry(String::new())
                        .or_default()
                        .insert(name.get().clone(), value.clone());
                }
                ConfigEntry::Section(options) => {
                    let options = options
                        .iter()
                        .map(|(key, value)| (key.get().clone(), value.get().clone()));
                    sections
                        .entry(name.get().clone())
                        .or_default()
                        .extend(options);
                }
            }
        }
    }
    files
}

fn known_file(
    path: &str,
    file: &At<String>,
    platform: &PlatformChoice,
    known: &Known,
    findings: &mut Findings<'_>,
) {
    let name = file.get();
    let PlatformChoice::Named(platform) = platform else {
        return;
    };
    let files = known
        .platforms
        .get(platform)
        .map(|p| p.config_files.as_slice())
        .unwrap_or_default();
    if name.starts_with('/') || files.is_empty() || files.contains(name) {
        return;
    }
    let mark = match nearest(name, files.iter().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "not known".to_owned(),
    };
    findings.add(
        Diagnostic::error(
            "config::unknown-file",
            format!("unknown configuration file `{name}` in `[{path}]`"),
        )
        .at(findings.label(file.span(), mark))
        .help(format!(
            "`{platform}` has {}",
            listed(files.iter().map(String::as_str))
        ))
        .help("any other file goes by its full path: `[config.\"/etc/nova/nova.conf\".libvirt]`"),
    );
}

fn plain_name(name: &At<String>, findings: &mut Findings<'_>) {
    let odd = |c: char| c.is_control() || "[]=".contains(c);
    if name.get().trim().is_empty() || name.get().contains(odd) {
        findings.add(
            Diagnostic::error(
                "config::bad-option",
                format!(
                    "{:?} cannot be the name of a section or an option",
                    name.get()
                ),
            )
            .at(findings.label(name.span(), "would break the file"))
            .help("write it as it stands in the file, without `[`, `]` and `=`"),
        );
    }
}

fn one_line(value: &At<ConfigValue>, findings: &mut Findings<'_>) {
    let lines = match value.get() {
        ConfigValue::One(text) => std::slice::from_ref(text),
        ConfigValue::Many(texts) => texts.as_slice(),
    };
    if lines.iter().any(|line| line.contains(char::is_control)) {
        findings.add(
            Diagnostic::error(
                "config::bad-option",
                "the value of an option must be one line",
            )
            .at(findings.label(
                value.span(),
                "has a line break or another control character",
            ))
            .help("for an option that is repeated, write a list: one line for each"),
        );
    }
}

/// Where the user's own secrets are.
pub(super) fn secrets(
    file: &AnswerFile,
    known: &Known,
    findings: &mut Findings<'_>,
) -> BTreeMap<String, SecretSource> {
    let mut sources = BTreeMap::new();
    for (name, table) in &file.secrets {
        if !known.secrets.is_empty() && !known.secrets.contains(name.get()) {
            let names = || known.secrets.iter().map(String::as_str);
            let mark = match nearest(name.get(), names()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "nothing uses it".to_owned(),
            };
            findings.add(
                Diagnostic::error(
                    "secret::unknown",
                    format!("unknown secret `{}`", name.get()),
                )
                .at(findings.label(name.span(), mark))
                .help(format!("it can be {}", listed(names()))),
            );
        }
        let source = match (&table.get().env, &table.get().file) {
            (Some(env), None) => findings
                .read::<super::super::written::Variable>(
                    &format!("secrets.{}.env", name.get()),
                    env,
                )
                .map(|variable| SecretSource::Env(variable.0)),
            (None, Some(file)) => Some(SecretSource::File(file.get().clone())),
            (None, None) if findings.is_unclear(&format!("secrets.{}", name.get())) => None,
            _ => {
                findings.add(
                    Diagnostic::error(
                        "secret::choice",
                        format!("secret `{}` must say one place", name.get()),
                    )
                    .at(findings.label(name.span(), "either `env` or `file`"))
                    .help(format!(
                        "write `{} = {{ env = \"NAME\" }}` or `{0} = {{ file = \"PATH\" }}`",
                        name.get()
                    )),
                );
                None
            }
        };
        if let Some(source) = source {
            sources.insert(name.get().clone(), source);
        }
    }
    sources
}
