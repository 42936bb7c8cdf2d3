//! Files that are ours as a whole. For lines inside files of others see [`super::block`].

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::access::Access;
use super::{Diff, Op};
use crate::model::edit::Edit;
use crate::model::facts::{Facts, PathFact};
use crate::model::probe::Probe;
use crate::model::quote::word;

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
    /// The content of an existing file is left as it is (keys that are made once, say); owner, group
    /// and mode are looked after all the same.
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

fn root() -> String {
    "root".into()
}

fn readable() -> String {
    "0644".into()
}

impl File {
    pub(super) fn probes(&self) -> Vec<Probe> {
        vec![Probe::Path {
            path: self.path.clone(),
            content: !self.once,
        }]
    }

    pub(super) fn diff(&self, facts: &Facts) -> Diff {
        self.try_diff(facts).unwrap_or_else(Diff::Refused)
    }

    fn try_diff(&self, facts: &Facts) -> Result<Diff, String> {
        let access = Access::new(&self.owner, &self.group, &self.mode)
            .map_err(|why| format!("`{}`: {why}", self.path))?;
        let place = place_of(&self.path, facts)?;
        let mut edits = Vec::new();
        let mut script = String::new();
        let mut stdin = Vec::new();
        if place.is_none() || !self.once {
            let wanted = self.content.as_str();
            let before = content_of(&self.path, facts);
            if place.is_none() || before != Some(wanted.as_bytes()) {
                edits.push(self.content_edit(before, wanted));
                script = write(&self.path, wanted.len(), Some(access), "");
                stdin = wanted.as_bytes().to_vec();
            }
        }
        edits.extend(access.edits(place, 0o644));
        if edits.is_empty() {
            return Ok(Diff::in_sync(match self.once {
                true => format!("`{}` is there", self.path),
                false => format!("`{}` is as wanted", self.path),
            }));
        }
        if script.is_empty() {
            // The content stays untouched, so that nothing restarts that reads it at its start.
            script = access.script(&self.path);
        }
        Ok(Diff::change(edits, vec![Op::Run { script, stdin }]))
    }

    fn content_edit(&self, before: Option<&[u8]>, wanted: &str) -> Edit {
        if !self.secret {
            let before = before.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
            return Edit::file(&self.path, before, Some(wanted.to_owned()));
        }
        let before = before.map(|_| "another content, not shown");
        Edit::attribute(&self.path, before, Some("new content, not shown"))
    }
}

impl Format {
    /// The format that a path's ending tells.
    pub fn of(path: &str) -> Self {
        let (_, ending) = path.rsplit_once('.').unwrap_or_default();
        match ending {
            "conf" | "ini" | "cnf" | "cfg" | "repo" | "service" | "socket" | "timer"
            | "network" | "netdev" | "link" => Self::Ini,
            _ => Self::Text,
        }
    }
}

/// What stands at the path of a file, links followed; an error when no file can be there.
pub(super) fn place_of<'a>(path: &str, facts: &'a Facts) -> Result<Option<&'a PathFact>, String> {
    let place = facts.paths.get(path).and_then(PathFact::resolved);
    match place {
        Some(place) if !place.is_file() => Err(format!(
            "`{path}` is a {}, and a file has to be there: move it away and run again",
            place.kind
        )),
        place => Ok(place),
    }
}

pub(super) fn content_of<'a>(path: &str, facts: &'a Facts) -> Option<&'a [u8]> {
    facts.paths.get(path)?.content.as_deref()
}

/// The script that writes its standard input to `path`.
pub(super) fn write(path: &str, size: usize, access: Option<Access<'_>>, seen: &str) -> String {
    let (owner, mode) = access.map_or_else(Default::default, |a| (a.owners(), a.bits()));
    format!(
        "file={} size={size} owner={} mode={mode} seen={seen}\n{}",
        word(path),
        word(&owner),
        include_str!("write.sh")
    )
}
