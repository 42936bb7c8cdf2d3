//! `[config]`: options of configuration files. Any file, any section, any key, so all that is known here
//! is how deep they lie.

use std::collections::BTreeMap;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};

use crate::model::at::At;
use crate::model::cloud::ConfigValue;

/// Files, and in them sections or options.
pub(in crate::model::answers) type ConfigTable =
    BTreeMap<At<String>, BTreeMap<At<String>, At<ConfigEntry>>>;

/// What stands directly in a file.
#[derive(Debug)]
pub(in crate::model::answers) enum ConfigEntry {
    /// A section with its options.
    Section(BTreeMap<At<String>, At<ConfigValue>>),
    /// An option of a file that has no sections.
    Option(ConfigValue),
}

/// A number, text, or truth value, as the text that goes into the file.
struct Scalar(String);

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        match ConfigValue::deserialize(from)? {
            ConfigValue::One(text) => Ok(Self(text)),
            ConfigValue::Many(_) => Err(serde::de::Error::custom("a list in a list")),
        }
    }
}

struct Entry;

impl<'de> Visitor<'de> for Entry {
    type Value = ConfigEntry;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a section, or text, a number, true, false or a list of them")
    }

    fn visit_bool<E>(self, value: bool) -> Result<ConfigEntry, E> {
        Ok(option(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<ConfigEntry, E> {
        Ok(option(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<ConfigEntry, E> {
        Ok(option(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<ConfigEntry, E> {
        Ok(option(format!("{value:?}")))
    }

    fn visit_str<E>(self, value: &str) -> Result<ConfigEntry, E> {
        Ok(option(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<ConfigEntry, A::Error> {
        let mut many = Vec::new();
        while let Some(Scalar(text)) = seq.next_element()? {
            many.push(text);
        }
        Ok(ConfigEntry::Option(ConfigValue::Many(many)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ConfigEntry, A::Error> {
        let mut section = BTreeMap::new();
        while let Some((key, value)) = map.next_entry()? {
            section.insert(key, value);
        }
        Ok(ConfigEntry::Section(section))
    }
}

fn option(text: String) -> ConfigEntry {
    ConfigEntry::Option(ConfigValue::One(text))
}

impl<'de> Deserialize<'de> for ConfigEntry {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Entry)
    }
}

impl<'de> Deserialize<'de> for ConfigValue {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        match from.deserialize_any(Entry)? {
            ConfigEntry::Option(value) => Ok(value),
            ConfigEntry::Section(_) => Err(serde::de::Error::custom("a table in a section")),
        }
    }
}

impl JsonSchema for ConfigEntry {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ConfigEntry".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let option = json_schema!({
            "type": ["string", "integer", "number", "boolean", "array"],
            "items": { "type": ["string", "integer", "number", "boolean"] },
        });
        json_schema!({
            "anyOf": [
                { "type": "object", "additionalProperties": option.clone() },
                option,
            ]
        })
    }
}
