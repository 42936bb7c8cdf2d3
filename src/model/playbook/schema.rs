//! The shape of a playbook file.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One playbook file.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Playbook {
    /// What it brings, for people: `Image service`.
    pub title: String,
    /// The service of the answer file that switches it; absent: always on.
    #[serde(default)]
    pub service: Option<String>,
    /// The service that its checks and steps are shown under, when it is not its own name.
    #[serde(default)]
    pub row: Option<String>,
    /// Secrets that it uses.
    #[serde(default)]
    pub secrets: Vec<String>,
    /// Packages by transaction and role.
    #[serde(default)]
    pub packages: BTreeMap<String, BTreeMap<String, Vec<String>>>,
    /// What must be true.
    #[serde(default)]
    pub step: Vec<Step>,
    /// Health questions.
    #[serde(default)]
    pub check: Vec<Check>,
    /// What proves that it works, made and removed again.
    #[serde(default)]
    pub proof: Vec<Step>,
}

/// One thing that must be true, on each host of a role.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Unique within the playbook.
    pub id: String,
    /// A sentence: `Start the Nova API`.
    pub name: String,
    /// A role, or `all`.
    pub on: String,
    /// What has to be so before: `playbook/step`, or `playbook/step@here`.
    #[serde(default)]
    pub needs: Vec<String>,
    /// The queue it belongs to on its host; the playbook's own when absent.
    #[serde(default)]
    pub lane: Option<String>,
    /// An expression; the step is left out when it is false.
    #[serde(default)]
    pub when: Option<String>,
    /// A path to a list, or a list: one step for each item.
    #[serde(default)]
    pub for_each: Option<Value>,
    /// How long it may take.
    #[serde(default)]
    pub deadline: Seconds,
    /// How often it is tried again after a failure.
    #[serde(default)]
    pub retries: u32,
    /// The resource, spelled with its kind as the key.
    pub ensure: BTreeMap<String, Value>,
}

/// One health question.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// Unique within the playbook.
    pub id: String,
    /// A short phrase: `units active`.
    pub name: String,
    /// A role, or `all`.
    pub on: String,
    /// An expression; the check is left out when it is false.
    #[serde(default)]
    pub when: Option<String>,
    /// A path to a list, or a list: one check for each item.
    #[serde(default)]
    pub for_each: Option<Value>,
    /// How long to wait for it to become true, in seconds: agents need a while after a reboot.
    #[serde(default)]
    pub patience: u64,
    /// What to do when it is not.
    #[serde(default)]
    pub help: String,
    /// The resource that is asked, spelled with its kind as the key.
    pub expect: BTreeMap<String, Value>,
}

/// A time in whole seconds, or a template that becomes one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "a number of seconds, or a template that becomes one"
)]
pub enum Seconds {
    /// Written down.
    Number(u64),
    /// Asked for: `"{{cloud.proof.boot_timeout}}"`.
    Template(String),
}

impl Default for Seconds {
    fn default() -> Self {
        Self::Number(300)
    }
}
