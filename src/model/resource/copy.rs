//! Files that another host has: brought from there through us, and compared by their content.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::access::Access;
use super::file::{place_of, write};
use super::{Diff, Op};
use crate::model::edit::Edit;
use crate::model::facts::Facts;
use crate::model::probe::Probe;
use crate::model::quote::word;

/// The same file as on another host: a ring, a key that one host has made for all.
///
/// The content passes through us and is never kept, shown or written down; both hosts are asked for its
/// digest. On the host that has the file, only owner and mode are looked after.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Copy {
    /// Absolute path on the step's host.
    pub path: String,
    /// The name of the host that has the file.
    pub from: String,
    /// The path there; the same one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Owner's name.
    #[serde(default = "root")]
    pub owner: String,
    /// Group's name.
    #[serde(default = "root")]
    pub group: String,
    /// Permission bits, in octal.
    #[serde(default = "readable")]
    pub mode: String,
}

fn root() -> String {
    "root".into()
}

fn readable() -> String {
    "0644".into()
}

impl Copy {
    /// The path on the host that has the file.
    pub fn source(&self) -> &str {
        self.source.as_deref().unwrap_or(&self.path)
    }

    pub(super) fn probes(&self) -> Vec<Probe> {
        vec![
            Probe::Script(digest(&self.path)),
            Probe::Path {
                path: self.path.clone(),
                content: false,
            },
        ]
    }

    /// What the host that has the file is asked.
    pub(super) fn source_probes(&self) -> Vec<Probe> {
        vec![
            Probe::Script(digest(self.source())),
            Probe::Path {
                path: self.source().to_owned(),
                content: false,
            },
        ]
    }

    pub(super) fn diff(&self, here: &Facts, there: &Facts) -> Diff {
        self.try_diff(here, there).unwrap_or_else(Diff::Refused)
    }

    fn try_diff(&self, here: &Facts, there: &Facts) -> Result<Diff, String> {
        let access = Access::new(&self.owner, &self.group, &self.mode)
            .map_err(|why| format!("`{}`: {why}", self.path))?;
        let source = self.source();
        let (Some(original), Some(size)) = (content(source, there), size(source, there)) else {
            return Ok(Diff::later(format!("{} has no `{source}` yet", self.from)));
        };
        let place = place_of(&self.path, here)?;
        let own = content(&self.path, here);
        let mut edits = access.edits(place, 0o644);
        if own == Some(original) {
            return Ok(match edits.is_empty() {
                true => Diff::in_sync(format!("`{}` is as on {}", self.path, self.from)),
                false => Diff::change(edits, vec![Op::run(access.script(&self.path))]),
            });
        }
        let short = |digest: &str| format!("SHA-256 {}", digest.get(..12).unwrap_or(digest));
        let edit = Edit::attribute(&self.path, own.map(short), Some(short(original)));
        edits.insert(0, edit);
        let op = Op::Copy {
            from: self.from.clone(),
            read: format!("cat < {}", word(source)),
            write: write(&self.path, size, Some(access), ""),
        };
        Ok(Diff::change(edits, vec![op]))
    }
}

/// Prints what tells one content from another. Fails where there is no file.
fn digest(path: &str) -> String {
    format!("sha256sum < {}", word(path))
}

fn content<'a>(path: &str, facts: &'a Facts) -> Option<&'a str> {
    let answer = facts.script(&digest(path))?;
    let digest = answer.output.split_whitespace().next()?;
    (answer.status == 0).then_some(digest)
}

fn size(path: &str, facts: &Facts) -> Option<usize> {
    usize::try_from(facts.paths.get(path)?.resolved()?.size).ok()
}
