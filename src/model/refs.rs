//! References to objects of OpenStack's services, inside paths and bodies of requests.
//!
//! `@project:service` stands for the id of the project named `service`;
//! `@server:probe#addresses.private.0.addr` for an attribute of an object. The names of the
//! collections are those of `playbooks/apis.toml`. A reference ends at a character that a URL would
//! treat as a separator, so names in references hold none of `/ ? & # = "` and no white space.

use std::collections::BTreeMap;

use serde_json::Value;

/// A reference taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ref<'a> {
    /// Name of the collection.
    pub collection: &'a str,
    /// The object's name.
    pub name: &'a str,
    /// The attribute wanted; its id when empty.
    pub attribute: &'a str,
}

/// Takes `@collection:name#attribute` apart.
pub fn parse(reference: &str) -> Option<Ref<'_>> {
    let (collection, rest) = reference.strip_prefix('@')?.split_once(':')?;
    let (name, attribute) = rest.split_once('#').unwrap_or((rest, ""));
    (!collection.is_empty() && !name.is_empty()).then_some(Ref {
        collection,
        name,
        attribute,
    })
}

/// The references in `text`, each once.
pub fn find(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for (start, end) in spans(text) {
        if !found.iter().any(|known| known == &text[start..end]) {
            found.push(text[start..end].to_owned());
        }
    }
    found
}

/// Adds the references in all strings of `value` to `found`.
pub fn find_all(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) => {
            for reference in find(text) {
                if !found.contains(&reference) {
                    found.push(reference);
                }
            }
        }
        Value::Array(list) => list.iter().for_each(|item| find_all(item, found)),
        Value::Object(map) => map.values().for_each(|item| find_all(item, found)),
        _ => {}
    }
}

/// `text` with every known reference replaced by its value.
pub fn replace(text: &str, values: &BTreeMap<String, String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = 0;
    for (start, end) in spans(text) {
        out.push_str(&text[rest..start]);
        let reference = &text[start..end];
        out.push_str(values.get(reference).map_or(reference, String::as_str));
        rest = end;
    }
    out + &text[rest..]
}

/// Replaces the references in all strings of `value`.
pub fn replace_all(value: &mut Value, values: &BTreeMap<String, String>) {
    match value {
        Value::String(text) => *text = replace(text, values),
        Value::Array(list) => list.iter_mut().for_each(|item| replace_all(item, values)),
        Value::Object(map) => map.values_mut().for_each(|item| replace_all(item, values)),
        _ => {}
    }
}

/// What stands at a dotted path: attribute names, or indexes of a list. A name that itself holds
/// dots is looked up whole first.
pub fn at<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    if path.is_empty() {
        return Some(value);
    }
    if let Some(whole) = value.get(path) {
        return Some(whole);
    }
    let (first, rest) = path.split_once('.').unwrap_or((path, ""));
    let next = match value {
        Value::Array(list) => list.get(first.parse::<usize>().ok()?)?,
        other => other.get(first)?,
    };
    at(next, rest)
}

/// Where references stand in `text`, as byte ranges.
fn spans(text: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    for (start, _) in text.match_indices('@') {
        let body = &text[start + 1..];
        let word = body
            .find(|c: char| !(c.is_ascii_lowercase() || c == '_'))
            .unwrap_or(body.len());
        if word == 0 || !body[word..].starts_with(':') {
            continue;
        }
        let mut hash = false;
        let length = body[word + 1..]
            .find(|c: char| {
                let again = c == '#' && hash;
                hash |= c == '#';
                again || c.is_whitespace() || "/?&=\"'".contains(c)
            })
            .unwrap_or(body.len() - word - 1);
        if length > 0 {
            found.push((start, start + 1 + word + 1 + length));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn references_are_found_between_separators() {
        let path =
            "/v3/projects/@project:service/users/@user:glance/roles/@role:admin?x=@user:glance";
        assert_eq!(
            find(path),
            ["@project:service", "@user:glance", "@role:admin"]
        );
        assert_eq!(find("root@host:22 is not one... well"), ["@host:22"]);
        assert_eq!(find("a@b.c"), Vec::<String>::new());
        let reference = parse("@server:vm#addresses.net.0.addr").unwrap();
        assert_eq!(
            (reference.collection, reference.name, reference.attribute),
            ("server", "vm", "addresses.net.0.addr")
        );
    }

    #[test]
    fn known_references_are_replaced_everywhere() {
        let values = BTreeMap::from([("@net:a".to_owned(), "id-1".to_owned())]);
        let mut body = json!({"port": {"network_id": "@net:a", "tags": ["@net:b"]}});
        replace_all(&mut body, &values);
        assert_eq!(
            body,
            json!({"port": {"network_id": "id-1", "tags": ["@net:b"]}})
        );
    }

    #[test]
    fn dotted_paths_reach_into_lists() {
        let value = json!({"router:external": true, "a.b": 1, "list": [{"c": "d"}]});
        assert_eq!(at(&value, "list.0.c"), Some(&json!("d")));
        assert_eq!(at(&value, "a.b"), Some(&json!(1)));
        assert_eq!(at(&value, "list.7"), None);
    }
}
