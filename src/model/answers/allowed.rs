//! What a schema allows, asked and put into words: the part of JSON schema that [`super::describe`] makes.

use serde_json::Value;
use toml::de::DeValue;

/// A schema's description, as it goes on after a colon.
pub(super) fn about(schema: &Value) -> String {
    let text = schema["description"]
        .as_str()
        .unwrap_or_default()
        .replace('\n', " ");
    let mut letters = text.chars();
    let first = letters.next().map(|c| c.to_lowercase().to_string());
    first.unwrap_or_default() + letters.as_str().trim_end_matches('.')
}

/// What a schema allows, in words: ``a whole number or `auto` ``.
pub(super) fn wanted(schema: &Value) -> String {
    let branches = match schema["anyOf"].as_array() {
        Some(branches) => branches.iter().collect(),
        None => vec![schema],
    };
    let mut parts: Vec<String> = Vec::new();
    for branch in branches {
        let words = words_of(branch);
        let spoken = types_of(branch)
            .into_iter()
            .map(|name| spoken(name).to_owned());
        if words.is_empty() {
            parts.extend(spoken);
        } else {
            parts.extend(words.into_iter().map(|word| format!("`{word}`")));
        }
    }
    match parts.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => "left out".to_owned(),
    }
}

/// The part of a schema that speaks about values of this type.
pub(super) fn branch_for<'s>(value: &DeValue<'_>, schema: &'s Value) -> Option<&'s Value> {
    let own = type_of(value);
    let fits = |schema: &Value| {
        types_of(schema)
            .iter()
            .any(|name| *name == own || (*name == "number" && own == "integer"))
    };
    match schema["anyOf"].as_array() {
        Some(branches) => branches.iter().find(|branch| fits(branch)),
        None => fits(schema).then_some(schema),
    }
}

pub(super) fn types_of(schema: &Value) -> Vec<&str> {
    if let Some(branches) = schema["anyOf"].as_array() {
        let mut types: Vec<&str> = branches.iter().flat_map(types_of).collect();
        types.dedup();
        return types;
    }
    match &schema["type"] {
        Value::String(name) => vec![name],
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
        _ if words_of(schema).is_empty() => Vec::new(),
        _ => vec!["string"],
    }
}

/// The words that a closed set has; empty for everything else.
pub(super) fn words_of(schema: &Value) -> Vec<&str> {
    let plain = schema["enum"].as_array().into_iter().flatten();
    let described = schema["oneOf"].as_array().into_iter().flatten();
    plain
        .chain(described.map(|one| &one["const"]))
        .filter_map(Value::as_str)
        .collect()
}

pub(super) fn type_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "string",
        DeValue::Integer(_) => "integer",
        DeValue::Float(_) => "number",
        DeValue::Boolean(_) => "boolean",
        DeValue::Datetime(_) => "date",
        DeValue::Array(_) => "array",
        DeValue::Table(_) => "object",
    }
}

pub(super) fn spoken(name: &str) -> &str {
    match name {
        "string" => "text in quotes",
        "integer" => "a whole number",
        "number" => "a number",
        "boolean" => "`true` or `false`",
        "array" => "a list",
        "object" => "a table",
        "date" => "a date",
        other => other,
    }
}

pub(super) fn number_of(value: &DeValue<'_>) -> f64 {
    match value {
        DeValue::Integer(n) => i128::from_str_radix(&n.as_str().replace('_', ""), n.radix())
            .map_or(f64::MAX, |n| n as f64),
        DeValue::Float(n) => n.as_str().replace('_', "").parse().unwrap_or(f64::MAX),
        _ => 0.0,
    }
}

/// The same value, written in a type that is wanted, where that is clear.
pub(super) fn rewritten(value: &DeValue<'_>, schema: &Value) -> Option<String> {
    let types = types_of(schema);
    let scalar = match value {
        DeValue::String(text) => text.to_string(),
        DeValue::Integer(n) => n.as_str().to_owned(),
        DeValue::Float(n) => n.as_str().to_owned(),
        DeValue::Boolean(b) => b.to_string(),
        DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => return None,
    };
    let wants = |name| types.contains(&name);
    if (wants("integer") || wants("number")) && scalar.parse::<i64>().is_ok() {
        return Some(scalar);
    }
    if wants("boolean") {
        return match scalar.to_lowercase().as_str() {
            "true" | "yes" | "y" | "on" | "1" => Some("true".to_owned()),
            "false" | "no" | "n" | "off" | "0" => Some("false".to_owned()),
            _ => None,
        };
    }
    if wants("array") && types_of(&schema["items"]).contains(&"string") {
        return Some(format!("[{scalar:?}]"));
    }
    let is_time = schema["pattern"]
        .as_str()
        .is_some_and(|pattern| pattern.contains("s|m|h"));
    if is_time && scalar.parse::<u32>().is_ok() {
        return Some(format!("\"{scalar}s\""));
    }
    (types == ["string"] && words_of(schema).is_empty()).then(|| format!("{scalar:?}"))
}
