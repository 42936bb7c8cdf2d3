//! Reboots.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Diff, Op};
use crate::model::edit::Edit;
use crate::model::facts::Facts;
use crate::model::probe::Probe;

/// A reboot of the host, when it is needed, and the wait until it is back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reboot {
    /// POSIX shell that reads only. Status 0: a reboot is needed, and its last line says why.
    pub when: String,
    /// False: the need is only reported.
    pub allowed: bool,
}

impl Reboot {
    pub(super) fn probes(&self) -> Vec<Probe> {
        vec![Probe::Script(self.when.clone())]
    }

    pub(super) fn diff(&self, facts: &Facts) -> Diff {
        match facts.script(&self.when) {
            None => Diff::later("the host has not been asked"),
            Some(fact) if fact.status != 0 => Diff::in_sync("no reboot is pending"),
            Some(fact) if !self.allowed => Diff::in_sync(format!(
                "a reboot is pending ({}) and the answer file does not allow it",
                fact.last_line()
            )),
            Some(fact) => Diff::change(
                vec![Edit::attribute(
                    "reboot",
                    None::<String>,
                    Some(fact.last_line()),
                )],
                vec![Op::Reboot],
            ),
        }
    }
}
