//! What templates can call beside Handlebars' own helpers.

use handlebars::{Handlebars, handlebars_helper};
use serde_json::Value;

handlebars_helper!(join: |list: array, separator: str| {
    list.iter().map(text_of).collect::<Vec<_>>().join(separator)
});
handlebars_helper!(default: |value: Json, other: Json| {
    if value.is_null() || value == "" { other.clone() } else { value.clone() }
});
handlebars_helper!(min: |a: i64, b: i64| a.min(b));
handlebars_helper!(max: |a: i64, b: i64| a.max(b));
handlebars_helper!(contains: |list: Json, item: Json| match list {
    Value::Array(list) => list.contains(item),
    Value::Object(map) => item.as_str().is_some_and(|key| map.contains_key(key)),
    Value::String(text) => item.as_str().is_some_and(|part| text.contains(part)),
    _ => false,
});
handlebars_helper!(json: |value: Json| value.to_string());

/// Adds `{{join list ", "}}`, `{{default value other}}` (for null and empty values), `{{min a b}}`,
/// `{{max a b}}`, `(contains list item)` (lists, keys of objects, parts of texts) and `{{json value}}`.
pub(super) fn register(engine: &mut Handlebars<'_>) {
    engine.register_helper("join", Box::new(join));
    engine.register_helper("default", Box::new(default));
    engine.register_helper("min", Box::new(min));
    engine.register_helper("max", Box::new(max));
    engine.register_helper("contains", Box::new(contains));
    engine.register_helper("json", Box::new(json));
}

fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
