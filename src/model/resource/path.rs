//! Directories, links, and paths where nothing may be.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::access::Access;
use super::{Diff, Op};
use crate::model::edit::Edit;
use crate::model::facts::{Facts, PathFact};
use crate::model::probe::Probe;
use crate::model::quote::{word, words};

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
    /// Absolute paths of files or links; a directory or a device is an error, never removed.
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

    pub(super) fn diff(&self, facts: &Facts) -> Diff {
        let access = match Access::new(&self.owner, &self.group, &self.mode) {
            Ok(access) => access,
            Err(why) => return Diff::refused(format!("`{}`: {why}", self.path)),
        };
        let found = facts.paths.get(&self.path);
        let place = found.and_then(PathFact::resolved);
        if let Some(other) = place.or(found).filter(|fact| fact.kind != "directory") {
            return Diff::refused(format!(
                "`{}` is a {}{}, and a directory has to be there: move it away and run again",
                self.path,
                other.kind,
                if place.is_none() { " to nowhere" } else { "" },
            ));
        }
        let mut edits = access.edits(place, 0o755);
        let mut script = access.script(&self.path);
        if place.is_none() {
            edits.insert(
                0,
                Edit::attribute(&self.path, None::<&str>, Some("directory")),
            );
            script = format!("mkdir -p -- {} && {script}", word(&self.path));
        }
        if edits.is_empty() {
            return Diff::in_sync(format!("`{}` is as wanted", self.path));
        }
        Diff::change(edits, vec![Op::run(script)])
    }
}

impl Link {
    pub(super) fn probes(&self) -> Vec<Probe> {
        vec![Probe::Path {
            path: self.path.clone(),
            content: false,
        }]
    }

    pub(super) fn diff(&self, facts: &Facts) -> Diff {
        let before = match facts.paths.get(&self.path) {
            None => None,
            Some(PathFact {
                target: Some(target),
                ..
            }) if target == &self.target => {
                return Diff::in_sync(format!("`{}` points to `{target}`", self.path));
            }
            Some(PathFact {
                target: Some(target),
                ..
            }) => Some(target.as_str()),
            Some(other) => {
                return Diff::refused(format!(
                    "`{}` is a {}, and a link to `{}` has to be there: move it away and run again",
                    self.path, other.kind, self.target
                ));
            }
        };
        let edit = Edit::attribute(&self.path, before, Some(&self.target));
        Diff::change(vec![edit], vec![Op::run(self.script())])
    }

    /// Makes the link under another name and renames it, so that the old one never lacks.
    fn script(&self) -> String {
        let (folder, name) = self.path.rsplit_once('/').unwrap_or_default();
        let new = word(&format!("{folder}/.{name}.provision"));
        let folder = word(&format!("{folder}/"));
        format!(
            "mkdir -p -- {folder} && ln -s -n -f -- {} {new} && mv -f -T -- {new} {}\n",
            word(&self.target),
            word(&self.path)
        )
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

    pub(super) fn diff(&self, facts: &Facts) -> Diff {
        let mut edits = Vec::new();
        for path in &self.paths {
            let Some(fact) = facts.paths.get(path) else {
                continue;
            };
            let before = match &fact.target {
                Some(target) => format!("link to {target}"),
                None if fact.kind == "directory" || fact.kind.ends_with("special file") => {
                    return Diff::refused(format!(
                        "`{path}` is a {}, which is never removed: look what it is for, remove it \
                         yourself and run again",
                        fact.kind
                    ));
                }
                None => fact.kind.clone(),
            };
            edits.push(Edit::attribute(path, Some(before), None::<&str>));
        }
        if edits.is_empty() {
            return Diff::in_sync(match &self.paths[..] {
                [only] => format!("`{only}` is not there"),
                all => format!("none of {} paths is there", all.len()),
            });
        }
        let there = words(edits.iter().map(|edit| &edit.what));
        Diff::change(edits, vec![Op::run(format!("rm -f -- {there}\n"))])
    }
}
