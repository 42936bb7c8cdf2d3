//! Files: whole ones, and blocks of lines inside files of others.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Diff;
use crate::model::facts::Facts;
use crate::model::probe::Probe;

/// A file's whole content, owner and mode.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Absolute path.
    pub path: String,
    /// The template under `templates/` that the content is rendered from; exclusive with `content`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// The content itself. Filled in from `template` when the plan is made.
    #[serde(default)]
    pub content: String,
    /// Owner's name.
    #[serde(default = "root")]
    pub owner: String,
    /// Group's name.
    #[serde(default = "root")]
    pub group: String,
    /// Permission bits, in octal.
    #[serde(default = "readable")]
    pub mode: String,
    /// How the content is structured; found from the path's ending when not given. Options of the
    /// answer file's `[config]` are merged into `ini` files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
    /// The answer file's `[config]` for this file: section, option, value. Filled in when the plan
    /// is made.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(skip)]
    pub options: BTreeMap<String, BTreeMap<String, Vec<String>>>,
    /// The content is not shown: an edit says only that it differs.
    #[serde(default)]
    pub secret: bool,
    /// An existing file is left as it is, whatever it holds (keys that are made once, say).
    #[serde(default)]
    pub once: bool,
}

/// How a file is structured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Sections in brackets, `option = value` lines: oslo.config, MariaDB, systemd.
    Ini,
    /// Anything else.
    Text,
}

/// Lines that we own inside a file that others own, between two marker lines.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Block {
    /// Absolute path of the file; it is made when it does not exist.
    pub path: String,
    /// Names the block within the file.
    pub name: String,
    /// The lines; empty to remove the block.
    pub content: String,
    /// What starts a comment in this file.
    #[serde(default = "hash")]
    pub comment: String,
    /// Lines outside the block that contradict it: extended regular expressions. They go.
    #[serde(default)]
    pub drop: Vec<String>,
}

fn root() -> String {
    "root".into()
}

fn readable() -> String {
    "0644".into()
}

fn hash() -> String {
    "#".into()
}

impl File {
    pub(super) fn probes(&self) -> Vec<Probe> {
        vec![Probe::Path {
            path: self.path.clone(),
            content: true,
        }]
    }

    pub(super) fn diff(&self, _facts: &Facts) -> Diff {
        Diff::later("unfinished")
    }
}

impl Block {
    pub(super) fn probes(&self) -> Vec<Probe> {
        vec![Probe::Path {
            path: self.path.clone(),
            content: true,
        }]
    }

    pub(super) fn diff(&self, _facts: &Facts) -> Diff {
        Diff::later("unfinished")
    }
}
