//! The answer file as a JSON schema: for editors, and for [`super::shape`], which checks by it.
//!
//! Made from the types in [`super::schema`](mod@super::schema) and from what is [`Known`]: services and their settings are
//! data, so their tables are added here.

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::known::{Known, Presence, Service, Setting, SettingType};
use super::schema::AnswerFile;

/// What durations look like: `90s`, `1h30m`.
const DURATION: &str = "^([0-9]+(s|m|h))+$";

/// The JSON schema of an answer file that names what is known. Draft 2020-12, everything in line.
#[must_use]
pub fn schema(known: &Known) -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.inline_subschemas = true;
    let mut schema = settings
        .into_generator()
        .into_root_schema_for::<AnswerFile>()
        .to_value();
    tidy(&mut schema);
    if let Some(Value::Object(tables)) = schema.get_mut("properties") {
        let available = known
            .services
            .iter()
            .filter(|(_, s)| s.presence != Presence::Planned);
        let mut switches = Map::new();
        for (name, service) in available {
            switches.insert(name.clone(), switch(service));
            tables.insert(name.clone(), service_table(service));
        }
        if let Some(services) = tables.get_mut("services") {
            services["properties"] = Value::Object(switches);
            services["additionalProperties"] = false.into();
        }
        let mut platforms: Vec<&str> = known.platforms.keys().map(String::as_str).collect();
        platforms.push("auto");
        if let Some(platform) = tables
            .get_mut("cloud")
            .map(|t| &mut t["properties"]["platform"])
        {
            platform["examples"] = json!(platforms);
        }
    }
    schema
}

fn switch(service: &Service) -> Value {
    let (default, note) = match service.presence {
        Presence::Required => (true, "Every cloud has it."),
        Presence::On => (true, "Default: `true`."),
        Presence::Off | Presence::Planned => (false, "Default: `false`."),
    };
    json!({
        "description": format!("{}. {note}", service.title),
        "type": "boolean",
        "default": default,
    })
}

fn service_table(service: &Service) -> Value {
    let properties: Map<String, Value> = service
        .settings
        .iter()
        .map(|(name, setting)| (name.clone(), setting_schema(setting)))
        .collect();
    json!({
        "description": format!("{}: its settings.", service.title),
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
    })
}

fn setting_schema(setting: &Setting) -> Value {
    let mut value = match setting.kind {
        SettingType::Boolean => json!({ "type": "boolean" }),
        SettingType::Integer => json!({ "type": "integer" }),
        SettingType::Number => json!({ "type": "number" }),
        SettingType::Text => json!({ "type": "string" }),
        SettingType::List => json!({ "type": "array", "items": { "type": "string" } }),
        SettingType::Choice => json!({ "type": "string", "enum": setting.words }),
        SettingType::Duration => json!({ "type": "string", "pattern": DURATION }),
    };
    for (key, limit) in [("minimum", setting.min), ("maximum", setting.max)] {
        if let Some(limit) = limit {
            value[key] = limit.into();
        }
    }
    let words_beside = setting.kind != SettingType::Choice && !setting.words.is_empty();
    if words_beside {
        value = json!({ "anyOf": [value, { "type": "string", "enum": setting.words }] });
    }
    value["description"] = setting.about.clone().into();
    if let Some(default) = &setting.default {
        value["default"] = default.clone();
    }
    value
}

/// Takes out what Rust's types say and TOML's cannot: there is no null, and integer formats mean nothing
/// to editors.
fn tidy(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            if object.get("format").is_some_and(Value::is_string) {
                object.remove("format");
            }
            if object.get("default").is_some_and(is_empty) {
                object.remove("default");
            }
            drop_null(object);
            object.values_mut().for_each(tidy);
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        _ => {}
    }
}

fn is_empty(value: &Value) -> bool {
    value.is_null() || value.as_object().is_some_and(Map::is_empty)
}

fn drop_null(object: &mut Map<String, Value>) {
    if let Some(Value::Array(types)) = object.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            object["type"] = only.clone();
        }
    }
    if let Some(Value::Array(words)) = object.get_mut("enum") {
        words.retain(|word| !word.is_null());
    }
    let Some(Value::Array(branches)) = object.get_mut("anyOf") else {
        return;
    };
    branches.retain(|branch| branch["type"] != "null");
    if let [Value::Object(only)] = branches.as_slice() {
        let mut only = only.clone();
        object.remove("anyOf");
        // The field's own description is about this use of the type and wins over the type's.
        only.extend(std::mem::take(object));
        *object = only;
    }
}
