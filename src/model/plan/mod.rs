//! The plan: steps, bound to hosts, and what each of them needs. Making one touches nothing.

mod order;
mod select;

use serde::Serialize;

pub use order::{Circle, order};
pub use select::{Selection, SelectionError};

use crate::model::event::{self, StepId};
use crate::model::resource::Resource;

/// A resource bound to a host.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Step {
    /// Who it is, for people and for the journal.
    pub shown: event::Step,
    /// What is wanted.
    pub resource: Resource,
    /// The steps that must be so before, as indexes into [`Plan::steps`].
    pub needs: Vec<usize>,
    /// How long it may take, in seconds.
    pub deadline: u64,
    /// How often it is tried again after a failure.
    pub retries: u32,
}

/// A health question bound to a host.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Check {
    /// The service it is shown under.
    pub service: String,
    /// A short phrase.
    pub name: String,
    /// The host that is asked.
    pub host: String,
    /// The question.
    pub resource: Resource,
    /// How long to wait for it to become true, in seconds.
    pub patience: u64,
    /// What to do when it is not.
    pub help: String,
}

/// Steps and their edges. A step's needs always stand before it in the list.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Plan {
    /// All steps, in an order that satisfies all needs.
    pub steps: Vec<Step>,
}

impl Step {
    /// The step's id.
    pub fn id(&self) -> &StepId {
        &self.shown.id
    }

    /// The host it works on.
    pub fn host(&self) -> &str {
        &self.shown.host
    }
}

impl Plan {
    /// Numbers the steps of each host: `n of m`.
    pub fn number(&mut self) {
        let hosts: Vec<String> = self
            .steps
            .iter()
            .map(|step| step.host().to_owned())
            .collect();
        let count = |name: &str| hosts.iter().filter(|host| *host == name).count();
        let mut seen = std::collections::BTreeMap::<String, u32>::new();
        for step in &mut self.steps {
            let index = seen.entry(step.shown.host.clone()).or_default();
            *index += 1;
            step.shown.index = *index;
            step.shown.of = u32::try_from(count(&step.shown.host)).unwrap_or(u32::MAX);
        }
    }
}
