//! Packages: one transaction for the whole set.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Diff;
use crate::model::facts::Facts;
use crate::model::probe::{PackageManager, Probe};

/// A set of packages that is installed in one transaction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Packages {
    /// Names, without version or architecture. Usually `"{{packages.core}}"`: the union of what the
    /// playbooks of this cloud want on this host in that stage.
    pub names: Vec<String>,
    /// Which package manager: from the platform, when the playbook does not say.
    #[serde(default = "apt")]
    #[schemars(skip)]
    pub manager: PackageManager,
    /// Services that the packages bring are not started by the package manager (they are not
    /// configured yet).
    #[serde(default = "yes")]
    pub hold_services: bool,
    /// Python sources are not byte-compiled package by package; a later step of kind
    /// `byte_compile` does it at once and in parallel.
    #[serde(default)]
    pub defer_byte_compile: bool,
}

fn apt() -> PackageManager {
    PackageManager::Apt
}

fn yes() -> bool {
    true
}

impl Packages {
    pub(super) fn probes(&self) -> Vec<Probe> {
        self.names
            .iter()
            .map(|name| Probe::Package {
                manager: self.manager,
                name: name.clone(),
            })
            .collect()
    }

    pub(super) fn diff(&self, _facts: &Facts) -> Diff {
        Diff::later("unfinished")
    }
}
