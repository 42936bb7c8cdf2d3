//! What goes wrong while things run, as data: where, why, what the remote wrote last, the way out.
//!
//! Its relative for what is wrong in a file, with marked places, is [`crate::model::diagnostic`]. It is
//! part of events, so its JSON form is, too: fields are only ever added.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::event::StepId;

/// How bad it is.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Good to know.
    Note,
    /// The run goes on, with less than was asked for.
    Warning,
    /// Something that was asked for is not there.
    Error,
}

/// What went wrong, why, and the way out: a diagnostic of the running of things.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// A name to search for: `ssh::auth`, `step::no-effect`.
    pub code: String,
    /// The host, where it is one host's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The step, where it is one step's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<StepId>,
    /// What happened: lowercase, no final stop.
    pub message: String,
    /// Why, outermost first; each says its own part only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<String>,
    /// The last lines the remote wrote, oldest first, at most [`TAIL_LINES`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tail: Vec<String>,
    /// The way out; a command where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

/// How many of the remote's last lines a [`Problem`] carries.
pub const TAIL_LINES: usize = 20;

impl Problem {
    /// An error with nothing but its name and what happened; fill in the rest with struct update.
    pub fn error(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            code: code.into(),
            host: None,
            step: None,
            message: message.into(),
            causes: Vec::new(),
            tail: Vec::new(),
            help: None,
        }
    }
}
