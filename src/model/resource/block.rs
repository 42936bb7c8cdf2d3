//! Lines that we own inside a file that others own too.
//!
//! The lines stand between two marker lines. Everything outside the markers belongs to others and
//! stays, save the lines that [`Block::drop`] names.

use regex_lite::Regex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::Digest;

use super::file::{content_of, place_of, write};
use super::{Diff, Op};
use crate::model::edit::Edit;
use crate::model::facts::Facts;
use crate::model::ini::lines_of;
use crate::model::probe::Probe;

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

fn hash() -> String {
    "#".into()
}

impl Block {
    pub(super) fn probes(&self) -> Vec<Probe> {
        vec![Probe::Path {
            path: self.path.clone(),
            content: true,
        }]
    }

    pub(super) fn diff(&self, facts: &Facts) -> Diff {
        self.try_diff(facts).unwrap_or_else(Diff::Refused)
    }

    fn try_diff(&self, facts: &Facts) -> Result<Diff, String> {
        let place = place_of(&self.path, facts)?;
        let bytes = content_of(&self.path, facts).unwrap_or_default();
        let before = std::str::from_utf8(bytes).map_err(|_| {
            format!(
                "`{}` is not text, so no lines can be added to it",
                self.path
            )
        })?;
        let after = self.worked_into(before)?;
        if after == before && (place.is_some() || self.content.is_empty()) {
            return Ok(Diff::in_sync(match self.content.is_empty() {
                true => format!("`{}` has no block `{}`", self.path, self.name),
                false => format!("`{}` has the block `{}`", self.path, self.name),
            }));
        }
        let seen = place.map(|_| data_encoding::HEXLOWER.encode(&sha2::Sha256::digest(bytes)));
        let script = write(&self.path, after.len(), None, &seen.unwrap_or_default());
        let edit = Edit::file(
            &self.path,
            place.map(|_| before.to_owned()),
            Some(after.clone()),
        );
        let stdin = after.into_bytes();
        Ok(Diff::change(vec![edit], vec![Op::Run { script, stdin }]))
    }

    /// The text with the block in it, at its place if it has one, otherwise at the end.
    fn worked_into(&self, text: &str) -> Result<String, String> {
        let drop = self
            .drop
            .iter()
            .map(|pattern| Regex::new(pattern).map_err(|why| format!("`{pattern}`: {why}")))
            .collect::<Result<Vec<_>, _>>()?;
        let begin = format!("{} provision: begin ", self.comment);
        let end = format!("{} provision: end ", self.comment);
        let mut out = String::with_capacity(text.len() + self.content.len());
        let mut inside: Option<&str> = None;
        let mut placed = false;
        for line in lines_of(text) {
            let bare = line.trim();
            match (inside, bare.strip_prefix(&begin), bare.strip_prefix(&end)) {
                (None, Some(name), _) => {
                    inside = Some(name);
                    if name == self.name {
                        if !placed {
                            self.append_to(&mut out);
                        }
                        placed = true;
                        continue;
                    }
                }
                (Some(open), _, Some(name)) if open == name => {
                    inside = None;
                    if name == self.name {
                        continue;
                    }
                }
                (_, Some(name), _) | (_, _, Some(name)) => return Err(self.broken(name)),
                (None, None, None) if drop.iter().any(|pattern| pattern.is_match(line)) => continue,
                (Some(open), ..) if open == self.name => continue,
                _ => {}
            }
            out.push_str(line);
            out.push('\n');
        }
        if let Some(name) = inside {
            return Err(self.broken(name));
        }
        if !placed {
            self.append_to(&mut out);
        }
        let untouched = out.strip_suffix('\n') == Some(text);
        Ok(if untouched { text.to_owned() } else { out })
    }

    fn append_to(&self, out: &mut String) {
        if self.content.is_empty() {
            return;
        }
        let Self { comment, name, .. } = self;
        let content = self.content.trim_end_matches('\n');
        let block = format!(
            "{comment} provision: begin {name}\n{content}\n{comment} provision: end {name}\n"
        );
        out.push_str(&block);
    }

    fn broken(&self, name: &str) -> String {
        format!(
            "`{}`: the marker lines of the block `{name}` do not pair, so its lines cannot be told \
             from those of others: remove the lone `{} provision: ...` line and run again",
            self.path, self.comment
        )
    }
}
