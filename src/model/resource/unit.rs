//! Systemd units.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Diff;
use crate::model::facts::Facts;
use crate::model::probe::Probe;

/// Systemd units: running or not, enabled or not, restarted when what they read has changed.
///
/// A unit is restarted when a file in `reads` changed after the unit was started. The question is
/// asked of the host each time, so a run that was cut between the change and the restart is
/// finished by the next one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Unit {
    /// Full unit names (`nova-api.service`); they are started together, in one transaction.
    pub names: Vec<String>,
    /// Wanted state.
    #[serde(default)]
    pub state: UnitState,
    /// Whether the units come up with the host; not looked at when absent.
    #[serde(default = "enabled")]
    pub enabled: Option<bool>,
    /// Files (or directories) the units read at their start.
    #[serde(default)]
    pub reads: Vec<String>,
    /// A reload is enough when something in `reads` has changed.
    #[serde(default)]
    pub reload: bool,
    /// A unit that does not exist is fine (only sensible with `state = "stopped"`).
    #[serde(default)]
    pub optional: bool,
    /// A unit whose `Condition...=` is not met here counts as running (chrony in a container).
    #[serde(default)]
    pub conditional: bool,
}

/// Wanted state of a unit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UnitState {
    /// Active, and not in a loop of restarts.
    #[default]
    Running,
    /// Not active.
    Stopped,
    /// Whatever it is now.
    Any,
}

#[expect(clippy::unnecessary_wraps, reason = "serde wants the field's own type")]
fn enabled() -> Option<bool> {
    Some(true)
}

impl Unit {
    pub(super) fn probes(&self) -> Vec<Probe> {
        let units = self.names.iter().map(|name| Probe::Unit(name.clone()));
        let paths = self.reads.iter().map(|path| Probe::Path {
            path: path.clone(),
            content: false,
        });
        units.chain(paths).collect()
    }

    pub(super) fn diff(&self, _facts: &Facts) -> Diff {
        Diff::later("unfinished")
    }
}
