//! What a change looks like to a person: before and after, one entry per attribute or file.
//!
//! An edit is shown, stored and sent to strangers, so it must never hold a secret: whoever makes
//! one passes the values through [`crate::model::redact`] first. It is not what gets executed;
//! the engine's operations live beside the resource kinds.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One difference between a host and what is wanted of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Edit {
    /// The attribute (`mode`, `packages`, `running`) or, for a file's content, its path.
    pub what: String,
    /// The value found; absent where there was none, or where it may not be shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// The value wanted; absent where the thing is to go, or where it may not be shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// How to read `before` and `after`.
    #[serde(default)]
    pub kind: EditKind,
}

/// How to read an [`Edit`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EditKind {
    /// Two short values: shown as `what: before → after`.
    #[default]
    Attribute,
    /// Two whole texts: shown as a unified diff of the file at `what`.
    File,
}

impl Edit {
    /// An attribute that goes from `before` to `after`.
    pub fn attribute(
        what: impl Into<String>,
        before: Option<impl Into<String>>,
        after: Option<impl Into<String>>,
    ) -> Self {
        Self {
            what: what.into(),
            before: before.map(Into::into),
            after: after.map(Into::into),
            kind: EditKind::Attribute,
        }
    }

    /// What is so instead of what is wanted, in a few words.
    pub fn unmet(&self) -> String {
        match (self.kind, &self.before, &self.after) {
            (EditKind::File, _, _) => format!("{} differs", self.what),
            (_, Some(before), Some(after)) => {
                format!("{}: {before} instead of {after}", self.what)
            }
            (_, Some(before), None) => format!("not so: {}: {before}", self.what),
            (_, None, Some(after)) => format!("{} is not {after}", self.what),
            (_, None, None) => self.what.clone(),
        }
    }

    /// The content of the file at `path`; `before` is absent when there is no such file yet.
    pub fn file(path: impl Into<String>, before: Option<String>, after: Option<String>) -> Self {
        Self {
            what: path.into(),
            before,
            after,
            kind: EditKind::File,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Option<&str> = None;

    #[test]
    fn what_is_unmet_is_said_whatever_is_known() {
        let said = |edit: Edit| edit.unmet();
        assert_eq!(
            said(Edit::attribute("mode", Some("0600"), Some("0644"))),
            "mode: 0600 instead of 0644"
        );
        assert_eq!(
            said(Edit::attribute("it answers", Some("refused"), NONE)),
            "not so: it answers: refused"
        );
        assert_eq!(
            said(Edit::attribute("running", NONE, Some("yes"))),
            "running is not yes"
        );
        assert_eq!(
            said(Edit::file("/etc/x", None, Some("a\n".into()))),
            "/etc/x differs"
        );
    }
}
