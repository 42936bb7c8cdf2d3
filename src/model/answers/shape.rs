//! The shape of an answer file: are the keys known, have the values the right type?
//!
//! serde stops at the first such problem. This walks the whole file beside its JSON schema, reports
//! everything, and takes out what is wrong, so that the rest can still be read and checked for meaning.
//! It understands the part of JSON schema that [`super::describe`] makes, and no more.

use std::ops::Range;

use serde_json::{Map, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::allowed::{
    about, branch_for, number_of, rewritten, spoken, type_of, types_of, wanted, words_of,
};
use super::findings::Findings;
use super::nearest::{listed, nearest};
use crate::model::diagnostic::Diagnostic;

/// Checks a whole file. What is wrong is reported, and gone from the table afterwards.
pub(super) fn check(file: &mut Spanned<DeTable<'_>>, schema: &Value, findings: &mut Findings<'_>) {
    let span = file.span();
    let mut walk = Walk {
        findings,
        root: schema,
    };
    walk.table(file.get_mut(), schema, &Path(String::new()), span);
}

/// Where we are, as a user would write it: `hosts.controller`.
struct Path(String);

impl Path {
    fn join(&self, key: &str) -> Self {
        let bare = key
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
        let quoted = if bare && !key.is_empty() {
            key.to_owned()
        } else {
            format!("{key:?}")
        };
        if self.0.is_empty() {
            Self(quoted)
        } else {
            Self(format!("{}.{quoted}", self.0))
        }
    }

    fn table(&self) -> String {
        if self.0.is_empty() {
            "the answer file".to_owned()
        } else {
            format!("`[{}]`", self.0)
        }
    }

    /// Whether what is written there may be a secret, put where only its source belongs.
    fn is_private(&self) -> bool {
        self.0.starts_with("secrets.") || self.0.contains("password")
    }
}

struct Walk<'w, 'f> {
    findings: &'w mut Findings<'f>,
    root: &'w Value,
}

impl Walk<'_, '_> {
    fn table(&mut self, table: &mut DeTable<'_>, schema: &Value, path: &Path, span: Range<usize>) {
        let none = Map::new();
        let known = schema["properties"].as_object().unwrap_or(&none);
        let other = schema
            .get("additionalProperties")
            .filter(|other| other.is_object());
        let entries: Vec<_> = std::mem::take(table).into_iter().collect();
        self.count(entries.len(), schema, path, span.clone());
        let mut seen = Vec::new();
        for (key, mut value) in entries {
            let name = key.get_ref().to_string();
            let Some(schema) = known.get(&name).or(other) else {
                // What was meant is not missing as well.
                seen.extend(self.unknown_key(&name, key.span(), known, path));
                continue;
            };
            let keep = self.value(&mut value, schema, &path.join(&name));
            seen.push(name);
            if keep {
                table.insert(key, value);
            }
        }
        let required = schema["required"].as_array().into_iter().flatten();
        for name in required.filter_map(Value::as_str) {
            if !seen.iter().any(|key| key == name) {
                self.missing_key(name, &known[name], path, span.clone());
            }
        }
    }

    /// Whether the value can stay.
    fn value(&mut self, value: &mut Spanned<DeValue<'_>>, schema: &Value, path: &Path) -> bool {
        let span = value.span();
        let Some(branch) = branch_for(value.get_ref(), schema) else {
            self.wrong_type(value, schema, path);
            self.findings.set_unclear(&path.0);
            return false;
        };
        let keep = match value.get_mut() {
            DeValue::Table(table) => {
                self.table(table, branch, path, span);
                true
            }
            DeValue::Array(items) => {
                let element = &branch["items"];
                let enough = self.count(items.len(), branch, path, span);
                items
                    .iter_mut()
                    .fold(enough, |all, item| self.value(item, element, path) && all)
            }
            DeValue::String(text) => self.word(text, schema, branch, path, span),
            DeValue::Integer(_) | DeValue::Float(_) => self.number(value, branch, path),
            DeValue::Boolean(_) | DeValue::Datetime(_) => true,
        };
        if !keep {
            self.findings.set_unclear(&path.0);
        }
        keep
    }

    fn count(&mut self, len: usize, schema: &Value, path: &Path, span: Range<usize>) -> bool {
        let least = schema["minProperties"]
            .as_u64()
            .or(schema["minItems"].as_u64());
        if least.is_none_or(|least| len as u64 >= least) {
            return true;
        }
        let message = format!("`{}` is empty", path.0);
        let label = self.findings.label(span, "at least one is needed");
        let help = format!("`{}`: {}", path.0, about(schema));
        self.findings.add(
            Diagnostic::error("answer::empty", message)
                .at(label)
                .help(help),
        );
        false
    }

    fn word(
        &mut self,
        text: &str,
        schema: &Value,
        branch: &Value,
        path: &Path,
        span: Range<usize>,
    ) -> bool {
        let words = words_of(branch);
        if words.is_empty() || words.contains(&text) {
            return true;
        }
        let mark = match nearest(text, words.iter().copied()) {
            Some(word) => format!("did you mean `{word}`?"),
            None => "not one of the values".to_owned(),
        };
        let message = format!("`{text}` is not a value of `{}`", path.0);
        self.findings.add(
            Diagnostic::error("answer::bad-value", message)
                .at(self.findings.label(span, mark))
                .help(format!("it can be {}", wanted(schema))),
        );
        false
    }

    fn number(&mut self, value: &Spanned<DeValue<'_>>, branch: &Value, path: &Path) -> bool {
        let number = number_of(value.get_ref());
        let low = branch["minimum"].as_f64().filter(|low| number < *low);
        let high = branch["maximum"].as_f64().filter(|high| number > *high);
        let Some((word, limit)) = low
            .map(|l| ("at least", l))
            .or(high.map(|h| ("at most", h)))
        else {
            return true;
        };
        let message = format!("`{}` must be {word} {limit}", path.0);
        let label = self
            .findings
            .label(value.span(), format!("{number} is not"));
        let range = match (branch["minimum"].as_f64(), branch["maximum"].as_f64()) {
            (Some(low), Some(high)) => format!("write a number from {low} to {high}"),
            _ => format!("write a number of {word} {limit}"),
        };
        self.findings.add(
            Diagnostic::error("answer::bad-value", message)
                .at(label)
                .help(range),
        );
        false
    }

    /// Gives the key that was probably meant.
    fn unknown_key(
        &mut self,
        name: &str,
        span: Range<usize>,
        known: &Map<String, Value>,
        path: &Path,
    ) -> Option<String> {
        let near = nearest(name, known.keys().map(String::as_str));
        let mark = match near {
            Some(near) => format!("did you mean `{near}`?"),
            None => "not known here".to_owned(),
        };
        let message = format!("unknown key `{name}` in {}", path.table());
        let mut diagnostic =
            Diagnostic::error("answer::unknown-key", message).at(self.findings.label(span, mark));
        if near.is_none() {
            for home in homes_of(name, self.root) {
                diagnostic = diagnostic.help(format!("`{name}` is a key of `[{home}]`"));
            }
            if name.starts_with("CONFIG_") {
                let way = "this is a key of Packstack, whose answer files look different: begin with `provision init`";
                diagnostic = diagnostic.help(way);
            }
        }
        let all = listed(known.keys().map(String::as_str));
        self.findings
            .add(diagnostic.help(format!("{} can have {all}", path.table())));
        self.findings.set_unclear(&path.0);
        if let Some(near) = near {
            self.findings.set_unclear(path.join(near).0);
        }
        near.map(str::to_owned)
    }

    fn missing_key(&mut self, name: &str, schema: &Value, path: &Path, span: Range<usize>) {
        let inner = path.join(name);
        let about = schema["description"]
            .as_str()
            .unwrap_or_default()
            .replace('\n', " ");
        let place = if path.0.is_empty() { 0..0 } else { span };
        let label = self.findings.label(place, format!("has no `{name}`"));
        let diagnostic = if types_of(schema) == ["object"] {
            let keys = schema["required"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str);
            let with = listed(keys);
            let table = if with.is_empty() {
                "one".to_owned()
            } else {
                format!("it, with {with}")
            };
            Diagnostic::error(
                "answer::missing-key",
                format!("there is no `[{}]`", inner.0),
            )
            .help(format!("write {table}: {}", about))
        } else {
            Diagnostic::error(
                "answer::missing-key",
                format!("{} needs `{name}`", path.table()),
            )
            .help(format!("`{name}`: {}", about))
        };
        self.findings.add(diagnostic.at(label));
    }

    fn wrong_type(&mut self, value: &Spanned<DeValue<'_>>, schema: &Value, path: &Path) {
        let message = format!("`{}` must be {}", path.0, wanted(schema));
        let mark = format!("this is {}", spoken(type_of(value.get_ref())));
        let label = self.findings.label(value.span(), mark);
        let key = path.0.rsplit('.').next().unwrap_or_default();
        let diagnostic = Diagnostic::error("answer::wrong-type", message);
        let diagnostic = if path.0.starts_with("secrets.") {
            diagnostic.at(label.masked()).help(format!(
                "never write a secret here; say where it is: `{key} = {{ env = \"NAME\" }}` or `{key} = {{ file = \"PATH\" }}`"
            ))
        } else if path.is_private() {
            diagnostic.at(label.masked())
        } else if let Some(way) = rewritten(value.get_ref(), schema) {
            diagnostic.at(label).help(format!("write `{way}`"))
        } else {
            diagnostic.at(label)
        };
        self.findings.add(diagnostic);
    }
}

/// The tables that have a key of this name, at most two: more would not help.
fn homes_of(name: &str, root: &Value) -> Vec<String> {
    fn look(name: &str, schema: &Value, path: &str, homes: &mut Vec<String>) {
        let Some(known) = schema["properties"].as_object() else {
            return;
        };
        if known.contains_key(name) && !path.is_empty() {
            homes.push(path.to_owned());
        }
        for (key, inner) in known {
            let path = if path.is_empty() {
                key.clone()
            } else {
                format!("{path}.{key}")
            };
            look(name, inner, &path, homes);
            look(
                name,
                &inner["additionalProperties"],
                &format!("{path}.<name>"),
                homes,
            );
        }
    }
    let mut homes = Vec::new();
    look(name, root, "", &mut homes);
    if homes.len() > 2 { Vec::new() } else { homes }
}
