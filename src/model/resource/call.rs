//! Requests that are made when another request shows that they are needed.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Attributes, Diff, Op};
use crate::model::edit::Edit;
use crate::model::facts::ServiceFact;
use crate::model::refs;

/// One request to an OpenStack service.
///
/// `path` and every string in `body` may hold references, `@collection:name` for an object's id or
/// `@collection:name#attribute.path` for one of its attributes; see [`crate::model::refs`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The service, by its type in the catalog: `identity`, `compute`, `network`...
    pub service: String,
    /// HTTP method.
    #[serde(default = "get")]
    pub method: String,
    /// Path and query, below the service's root: `/v3/users`.
    pub path: String,
    /// The JSON body, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Value>,
    /// Further headers, such as a microversion.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Sent without a token (to ask for one, or for a service's version).
    #[serde(default)]
    pub anonymous: bool,
}

/// A request that is made when another request shows that it is needed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// The question.
    pub ask: Request,
    /// When the reply to it means "in sync".
    #[serde(default)]
    pub holds: Holds,
    /// What to do otherwise; empty for a question that only checks.
    #[serde(default)]
    pub act: Vec<Request>,
    /// What undoes it.
    #[serde(default)]
    pub undo: Vec<Request>,
    /// A few words for "in sync", shown as the reason.
    pub says: String,
    /// The reply must *not* be as `holds` says: how an undone call is looked at.
    #[serde(default)]
    #[schemars(skip)]
    pub negate: bool,
}

/// When a reply means "in sync": its status is one of `status`, and every `find` finds something.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Holds {
    /// Statuses.
    #[serde(default = "success")]
    pub status: Vec<u16>,
    /// Things in the reply's JSON.
    #[serde(default)]
    pub find: Vec<Find>,
}

/// Something in a JSON reply.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Find {
    /// Where: attribute names joined by dots; a list there is searched for one match.
    pub at: String,
    /// What it must have; a list's entry must have all of it. Empty: it is enough to be there.
    #[serde(default)]
    pub with: Attributes,
}

impl Default for Holds {
    fn default() -> Self {
        Self {
            status: success(),
            find: Vec::new(),
        }
    }
}

fn get() -> String {
    "GET".into()
}

fn success() -> Vec<u16> {
    vec![200, 201, 202, 204]
}

impl Holds {
    /// `None` when the reply means "in sync"; otherwise what it lacks.
    pub fn missing(&self, status: u16, body: &Value) -> Option<String> {
        if !self.status.contains(&status) {
            return Some(format!("the service answered with status {status}"));
        }
        self.find.iter().find_map(|find| find.missing(body))
    }
}

impl Find {
    fn missing(&self, body: &Value) -> Option<String> {
        let found = refs::at(body, &self.at);
        let matches = |value: &Value| {
            self.with
                .iter()
                .all(|(key, wanted)| refs::at(value, key) == Some(wanted))
        };
        let holds = match found {
            None | Some(Value::Null) => false,
            Some(Value::Array(list)) => list.iter().any(matches),
            Some(value) => matches(value),
        };
        let wanted: Vec<_> = self
            .with
            .iter()
            .map(|(key, value)| format!("{key} = {value}"))
            .collect();
        (!holds).then(|| match wanted.is_empty() {
            true => format!("`{}` is empty", self.at),
            false => format!("nothing in `{}` has {}", self.at, wanted.join(", ")),
        })
    }
}

impl Call {
    /// When the reply means "in sync", with every reference replaced by its value.
    fn resolved_holds(&self, values: &BTreeMap<String, String>) -> Holds {
        let mut holds = self.holds.clone();
        for find in &mut holds.find {
            find.with
                .values_mut()
                .for_each(|value| refs::replace_all(value, values));
        }
        holds
    }

    /// The call that undoes this one, where it is needed.
    pub fn undone(&self) -> Self {
        Self {
            act: self.undo.clone(),
            undo: Vec::new(),
            says: format!("no longer: {}", self.says),
            negate: !self.negate,
            ..self.clone()
        }
    }

    /// What the reply lacks; `None` when it means "in sync".
    pub fn lacks(
        &self,
        status: u16,
        body: &Value,
        values: &BTreeMap<String, String>,
    ) -> Option<String> {
        let missing = self.resolved_holds(values).missing(status, body);
        match (self.negate, missing) {
            (false, missing) => missing,
            (true, Some(_)) => None,
            (true, None) => Some("it is still so".into()),
        }
    }

    /// The references in everything that it may send or compare, each once.
    pub fn refs(&self) -> Vec<String> {
        let mut found = self.ask.refs();
        for request in &self.act {
            found.extend(request.refs());
        }
        for value in self.holds.find.iter().flat_map(|find| find.with.values()) {
            refs::find_all(value, &mut found);
        }
        found.sort();
        found.dedup();
        found
    }

    pub(super) fn diff(&self, fact: &ServiceFact) -> Diff {
        match fact {
            ServiceFact::Unknown(why) if self.negate => {
                Diff::in_sync(format!("what it belongs to is not there: {why}"))
            }
            ServiceFact::Unknown(why) => Diff::later(why),
            ServiceFact::Refused(why) => Diff::refused(why),
            ServiceFact::Answer { found: Some(_), .. } => Diff::in_sync(&self.says),
            ServiceFact::Answer { refs, said, .. } => {
                let said = said.clone().unwrap_or_else(|| "it is not so".into());
                let ops = self
                    .act
                    .iter()
                    .map(|request| Op::Request(request.resolved(refs)));
                Diff::change(
                    vec![Edit::attribute(&self.says, Some(said), None::<String>)],
                    ops.collect(),
                )
            }
        }
    }
}

impl Request {
    /// A request with a token and no further headers.
    pub fn new(service: &str, method: &str, path: String, body: Option<Value>) -> Self {
        Self {
            service: service.into(),
            method: method.into(),
            path,
            body,
            headers: BTreeMap::new(),
            anonymous: false,
        }
    }

    /// The same request with every reference replaced by its value.
    pub fn resolved(&self, values: &BTreeMap<String, String>) -> Self {
        let mut request = self.clone();
        request.path = refs::replace(&self.path, values);
        if let Some(body) = &mut request.body {
            refs::replace_all(body, values);
        }
        request
    }

    /// The references it holds, each once.
    pub fn refs(&self) -> Vec<String> {
        let mut found = refs::find(&self.path);
        if let Some(body) = &self.body {
            refs::find_all(body, &mut found);
        }
        found
    }
}
