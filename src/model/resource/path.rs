//! Directories, links, and paths where nothing may be.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Diff;
use crate::model::facts::Facts;
use crate::model::probe::Probe;

/// A directory, its owner and mode.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Directory {
    /// Absolute path; parents are made too.
    pub path: String,
    /// Owner's name.
    #[serde(default = "root")]
    pub owner: String,
    /// Group's name.
    #[serde(default = "root")]
    pub group: String,
    /// Permission bits, in octal.
    #[serde(default = "enterable")]
    pub mode: String,
}

/// A symbolic link.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// Where the link is.
    pub path: String,
    /// Where it points.
    pub target: String,
}

/// Nothing may be at these paths.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Gone {
    /// Absolute paths of files or links; a directory is an error, never removed.
    pub paths: Vec<String>,
}

fn root() -> String {
    "root".into()
}

fn enterable() -> String {
    "0755".into()
}

impl Directory {
    pub(super) fn probes(&self) -> Vec<Probe> {
        vec![Probe::Path {
            path: self.path.clone(),
            content: false,
        }]
    }

    pub(super) fn diff(&self, _facts: &Facts) -> Diff {
        Diff::later("unfinished")
    }
}

impl Link {
    pub(super) fn probes(&self) -> Vec<Probe> {
        vec![Probe::Path {
            path: self.path.clone(),
            content: false,
        }]
    }

    pub(super) fn diff(&self, _facts: &Facts) -> Diff {
        Diff::later("unfinished")
    }
}

impl Gone {
    pub(super) fn probes(&self) -> Vec<Probe> {
        self.paths
            .iter()
            .map(|path| Probe::Path {
                path: path.clone(),
                content: false,
            })
            .collect()
    }

    pub(super) fn diff(&self, _facts: &Facts) -> Diff {
        Diff::later("unfinished")
    }
}
