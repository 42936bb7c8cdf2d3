//! Objects in the APIs of OpenStack's services.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Attributes, Diff, Op, Request};
use crate::model::edit::Edit;
use crate::model::facts::ServiceFact;
use crate::model::refs;

/// An object in a collection of a service: found by its name, made when it is absent, updated when
/// attributes differ.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Api {
    /// Name of the collection, as `playbooks/apis.toml` describes it: `project`, `network`...
    pub collection: String,
    /// The object's name (the collection says in which attribute it is kept).
    pub name: String,
    /// Further attributes that tell the object from others of its name. Sent at creation too.
    #[serde(default)]
    pub key: Attributes,
    /// Attributes that are compared, and updated where the collection can be updated.
    #[serde(default)]
    pub set: Attributes,
    /// Attributes that are only sent at creation and never compared.
    #[serde(default)]
    pub create: Attributes,
    /// False: the object must not be there.
    #[serde(default = "yes")]
    pub present: bool,
    /// When a new object is ready (an instance that has to become active).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled: Option<Settled>,
    /// How the collection is spoken to. Filled in from `playbooks/apis.toml`.
    #[serde(default)]
    #[schemars(skip)]
    pub via: Collection,
}

/// When an object is ready.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settled {
    /// The attribute that tells.
    pub attribute: String,
    /// Values that mean "ready".
    pub ready: Vec<String>,
    /// Values that mean it never will be.
    #[serde(default)]
    pub broken: Vec<String>,
    /// Where in the object the reason for a broken one stands.
    #[serde(default)]
    pub reason: String,
}

/// A collection of objects: how a service's API lists, makes, changes and removes them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Collection {
    /// The service, by its type in the catalog.
    pub service: String,
    /// Path of the collection, below the service's root: `/v3/projects`.
    pub path: String,
    /// Path of the list where it is not `path`: some services tell details only there.
    #[serde(default)]
    pub list: Option<String>,
    /// The key around one object in requests and replies; empty for none.
    pub one: String,
    /// The key around the list in replies; empty for none.
    pub many: String,
    /// The attribute that holds the name.
    #[serde(default = "name")]
    pub name: String,
    /// The attribute that holds the id.
    #[serde(default = "id")]
    pub id: String,
    /// Attributes of `name` and `key` that the list can be asked by (`?name=...`).
    #[serde(default)]
    pub query: Vec<String>,
    /// The method that changes an object; absent when it cannot be changed.
    #[serde(default)]
    pub update: Option<String>,
    /// Further headers, such as a microversion.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// A query that is always there, such as `all_tenants=1`.
    #[serde(default)]
    pub fixed_query: String,
}

/// All collections, by name.
pub type Collections = BTreeMap<String, Collection>;

fn yes() -> bool {
    true
}

fn name() -> String {
    "name".into()
}

fn id() -> String {
    "id".into()
}

impl Collection {
    /// The request that lists the objects which may be the one of this name.
    pub fn list(&self, name: &str, key: &Attributes) -> Request {
        let mut query = vec![self.fixed_query.clone()];
        for attribute in &self.query {
            let value = match (attribute == &self.name, key.get(attribute)) {
                (true, _) => name.to_owned(),
                (false, Some(Value::String(text))) => text.clone(),
                (false, Some(other)) => other.to_string(),
                (false, None) => continue,
            };
            query.push(format!("{attribute}={}", escape(&value)));
        }
        query.retain(|part| !part.is_empty());
        let separator = if query.is_empty() { "" } else { "?" };
        self.request(
            "GET",
            format!(
                "{}{separator}{}",
                self.list.as_ref().unwrap_or(&self.path),
                query.join("&")
            ),
            None,
        )
    }

    /// The object of this name in a reply to [`Self::list`].
    pub fn pick<'a>(&self, reply: &'a Value, name: &str, key: &Attributes) -> Option<&'a Value> {
        let list = if self.many.is_empty() {
            reply
        } else {
            reply.get(&self.many)?
        };
        list.as_array()?.iter().find(|object| {
            object.get(&self.name).and_then(Value::as_str) == Some(name)
                && key
                    .iter()
                    .all(|(attribute, value)| object.get(attribute) == Some(value))
        })
    }

    fn request(&self, method: &str, path: String, body: Option<Value>) -> Request {
        let mut request = Request::new(&self.service, method, path, body);
        request.headers = self.headers.clone();
        request
    }

    fn wrap(&self, attributes: Map<String, Value>) -> Value {
        if self.one.is_empty() {
            return Value::Object(attributes);
        }
        Value::Object(Map::from_iter([(
            self.one.clone(),
            Value::Object(attributes),
        )]))
    }
}

/// A value as part of a query. References stay as they are: they are replaced before sending.
fn escape(text: &str) -> String {
    if text.starts_with('@') {
        return text.to_owned();
    }
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b':' => {
                out.push(char::from(byte));
            }
            other => out.extend(["%", &data_encoding::HEXUPPER.encode(&[other])]),
        }
    }
    out
}

impl Api {
    /// The request that lists the objects which may be this one.
    pub fn list(&self) -> Request {
        self.via.list(&self.name, &self.key)
    }

    /// The references in everything it may send, each once.
    pub fn refs(&self) -> Vec<String> {
        let mut found = refs::find(&self.via.path);
        for attributes in [&self.key, &self.set, &self.create] {
            attributes
                .values()
                .for_each(|value| refs::find_all(value, &mut found));
        }
        found
    }

    /// The same object with every reference replaced by its value.
    pub fn resolved(&self, values: &BTreeMap<String, String>) -> Self {
        let mut api = self.clone();
        api.via.path = refs::replace(&self.via.path, values);
        for attributes in [&mut api.key, &mut api.set, &mut api.create] {
            attributes
                .values_mut()
                .for_each(|value| refs::replace_all(value, values));
        }
        api
    }

    /// The object that must not be there, or must again.
    pub fn absent(&self) -> Self {
        Self {
            present: false,
            settled: None,
            ..self.clone()
        }
    }

    pub(super) fn diff(&self, fact: &ServiceFact) -> Diff {
        match fact {
            ServiceFact::Unknown(why) if !self.present => {
                Diff::in_sync(format!("what it belongs to is not there: {why}"))
            }
            ServiceFact::Unknown(why) => Diff::later(why),
            ServiceFact::Refused(why) => Diff::refused(why),
            ServiceFact::Answer { refs, found, .. } => {
                let wanted = self.resolved(refs);
                match (found, self.present) {
                    (None, true) => wanted.creation(),
                    (Some(object), true) => wanted.comparison(object),
                    (None, false) => Diff::in_sync(format!("{} is not there", self.label())),
                    (Some(object), false) => wanted.removal(object),
                }
            }
        }
    }

    fn label(&self) -> String {
        format!("{} `{}`", self.collection.replace('_', " "), self.name)
    }

    fn creation(&self) -> Diff {
        let mut body = Map::new();
        body.insert(self.via.name.clone(), Value::String(self.name.clone()));
        for (attribute, value) in self.key.iter().chain(&self.set).chain(&self.create) {
            body.insert(attribute.clone(), value.clone());
        }
        let edits = self.key.iter().chain(&self.set).map(|(attribute, value)| {
            Edit::attribute(attribute, None::<String>, Some(shown(value)))
        });
        let mut all = vec![Edit::attribute(
            self.label(),
            None::<String>,
            Some("created"),
        )];
        all.extend(edits);
        let request = self
            .via
            .request("POST", self.via.path.clone(), Some(self.via.wrap(body)));
        Diff::change(all, self.and_settle(vec![Op::Request(request)]))
    }

    fn comparison(&self, object: &Value) -> Diff {
        let differs = |(attribute, wanted): &(&String, &Value)| {
            !covers(
                object.get(attribute.as_str()).unwrap_or(&Value::Null),
                wanted,
            )
        };
        let changed: Vec<_> = self.set.iter().filter(differs).collect();
        if changed.is_empty() {
            return self.settledness(object);
        }
        let edits = changed.iter().map(|(attribute, wanted)| {
            let before = object.get(attribute.as_str()).map(shown);
            Edit::attribute(
                format!("{} {attribute}", self.label()),
                before,
                Some(shown(wanted)),
            )
        });
        let edits = edits.collect();
        let Some(method) = &self.via.update else {
            let names: Vec<_> = changed
                .iter()
                .map(|(attribute, _)| attribute.as_str())
                .collect();
            return Diff::refused(format!(
                "{} exists with another {}, which its service cannot change: remove the object, \
                 or give it that value in the answer file",
                self.label(),
                names.join(" and ")
            ));
        };
        let body = changed
            .iter()
            .map(|(name, value)| ((*name).clone(), (*value).clone()))
            .collect();
        let request = self
            .via
            .request(method, self.path_of(object), Some(self.via.wrap(body)));
        Diff::change(edits, self.and_settle(vec![Op::Request(request)]))
    }

    fn settledness(&self, object: &Value) -> Diff {
        let Some(settled) = &self.settled else {
            return Diff::in_sync(format!("{} is as wanted", self.label()));
        };
        let value = refs::at(object, &settled.attribute)
            .map(shown)
            .unwrap_or_default();
        if settled.ready.contains(&value) {
            return Diff::in_sync(format!("{} is {value}", self.label()));
        }
        let why = refs::at(object, &settled.reason).filter(|_| !settled.reason.is_empty());
        if settled.broken.contains(&value) {
            let why = why
                .map(|why| format!(": {}", shown(why)))
                .unwrap_or_default();
            return Diff::refused(format!(
                "{} is {value}{why}: remove it, and the next run makes it anew",
                self.label()
            ));
        }
        Diff::change(
            vec![Edit::attribute(
                format!("{} {}", self.label(), settled.attribute),
                Some(value),
                Some(settled.ready.join(" or ")),
            )],
            vec![Op::Poll],
        )
    }

    fn removal(&self, object: &Value) -> Diff {
        let request = self.via.request("DELETE", self.path_of(object), None);
        Diff::change(
            vec![Edit::attribute(
                self.label(),
                Some("exists"),
                None::<String>,
            )],
            vec![Op::Request(request), Op::Poll],
        )
    }

    fn and_settle(&self, mut ops: Vec<Op>) -> Vec<Op> {
        if self.settled.is_some() {
            ops.push(Op::Poll);
        }
        ops
    }

    fn path_of(&self, object: &Value) -> String {
        let id = object.get(&self.via.id).map(shown).unwrap_or_default();
        let (path, _) = self
            .via
            .path
            .split_once('?')
            .unwrap_or((&self.via.path, ""));
        // A collection's list may be a view of its own (`/flavors/detail`, `/servers/detail`).
        format!("{}/{id}", path.trim_end_matches("/detail"))
    }
}

/// Whether what is found has all that is wanted: an object may have further attributes.
fn covers(found: &Value, wanted: &Value) -> bool {
    match (found, wanted) {
        (Value::Object(found), Value::Object(wanted)) => wanted
            .iter()
            .all(|(name, value)| found.get(name).is_some_and(|found| covers(found, value))),
        (found, wanted) => found == wanted,
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
