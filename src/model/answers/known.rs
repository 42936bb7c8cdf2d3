//! What an answer file can name: platforms and services. It is an input, because both are data.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::name::Role;

/// All that an answer file can name.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Known {
    /// Platforms, by name.
    #[serde(default)]
    pub platforms: BTreeMap<String, Platform>,
    /// Services, by name; also planned ones, so that asking for them gets a good answer.
    #[serde(default)]
    pub services: BTreeMap<String, Service>,
    /// Secrets that playbooks use. Empty: any is taken.
    #[serde(default)]
    pub secrets: Vec<String>,
}

/// A platform, as far as answer files care.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Platform {
    /// For people: `Debian 13 with OpenStack 2025.1 Epoxy`.
    pub title: String,
    /// The configuration files that `[config]` can call by a short name. Empty: any is taken.
    #[serde(default)]
    pub config_files: Vec<String>,
}

/// A service, as far as answer files care.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// For people, a few words: `Identity`.
    pub title: String,
    /// Whether it can be had, and switched off.
    #[serde(default)]
    pub presence: Presence,
    /// Services that must be on for this one.
    #[serde(default)]
    pub needs: Vec<String>,
    /// Roles that some host must have.
    #[serde(default)]
    pub roles: Vec<Role>,
    /// Its table in the answer file: settings, by name.
    #[serde(default)]
    pub settings: BTreeMap<String, Setting>,
}

/// Whether a service can be had.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Presence {
    /// Always on: nothing works without it.
    Required,
    /// On, unless it is switched off.
    On,
    /// Off, unless it is switched on.
    #[default]
    Off,
    /// Not in this build.
    Planned,
}

/// One setting of a service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setting {
    /// What it is, what its default does and why; a sentence or two. Editors show it.
    pub about: String,
    /// What may be written.
    #[serde(rename = "type")]
    pub kind: SettingType,
    /// The value where nothing is written; none: `null` in templates.
    #[serde(default)]
    pub default: Option<serde_json::Value>,
    /// The words that may be written; for `choice` all of them, for others beside the usual values
    /// (`workers = "auto"`).
    #[serde(default)]
    pub words: Vec<String>,
    /// The least number.
    #[serde(default)]
    pub min: Option<i64>,
    /// The greatest number.
    #[serde(default)]
    pub max: Option<i64>,
}

/// What may be written for a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SettingType {
    /// `true` or `false`.
    Boolean,
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// Any text.
    Text,
    /// Texts.
    List,
    /// One of `words`.
    Choice,
    /// A time such as `"30s"`; whole seconds for templates.
    Duration,
}
