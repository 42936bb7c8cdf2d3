//! Options in a configuration file that a package brings, where the rest of the file is the package's affair.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::Digest;

use super::file::write;
use super::{Diff, Op};
use crate::model::edit::Edit;
use crate::model::facts::Facts;
use crate::model::ini;
use crate::model::probe::Probe;

/// Options in an existing file with sections; everything else in it stays as it is, owner and mode too.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Absolute path.
    pub path: String,
    /// Section, option, value; a list for an option that may be repeated.
    pub set: BTreeMap<String, BTreeMap<String, Value>>,
}

impl Options {
    pub(super) fn probes(&self) -> Vec<Probe> {
        vec![Probe::Path {
            path: self.path.clone(),
            content: true,
        }]
    }

    pub(super) fn diff(&self, facts: &Facts) -> Diff {
        let content = facts
            .paths
            .get(&self.path)
            .and_then(|fact| fact.content.as_ref());
        let Some(content) = content else {
            return Diff::later(format!("{} is not there yet", self.path));
        };
        let before = String::from_utf8_lossy(content);
        let after = ini::with_options(&before, &self.wanted());
        if before == after {
            return Diff::in_sync(format!("{} has these options", self.path));
        }
        let seen = data_encoding::HEXLOWER.encode(&sha2::Sha256::digest(content));
        let script = write(&self.path, after.len(), None, &seen);
        Diff::change(
            vec![Edit::file(
                &self.path,
                Some(before.into_owned()),
                Some(after.clone()),
            )],
            vec![Op::Run {
                script,
                stdin: after.into_bytes(),
            }],
        )
    }

    fn wanted(&self) -> BTreeMap<String, BTreeMap<String, Vec<String>>> {
        let lines = |value: &Value| match value {
            Value::Array(list) => list.iter().map(text).collect(),
            other => vec![text(other)],
        };
        let options = |(section, options): (&String, &BTreeMap<String, Value>)| {
            let options = options
                .iter()
                .map(|(option, value)| (option.clone(), lines(value)));
            (section.clone(), options.collect())
        };
        self.set.iter().map(options).collect()
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
