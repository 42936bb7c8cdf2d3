//! Filling in templates: whole files, and the strings of a playbook.
//!
//! Strict: a variable that does not exist is an error, and nothing is escaped (these are
//! configuration files, not HTML).

use std::collections::BTreeMap;

use handlebars::{Handlebars, no_escape};
use serde_json::Value;

use super::helpers;
use crate::model::refs;

/// The templates, ready to be rendered.
#[derive(Debug)]
pub struct Templates {
    engine: Handlebars<'static>,
}

/// Why something could not be rendered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {cause}")]
pub struct RenderError {
    /// The template's name, or where the string stands.
    pub place: String,
    /// What is wrong.
    pub cause: String,
}

impl Templates {
    /// Takes in the files of `templates/`, by their path below it. Each can also be used as a
    /// partial, `{{> keystone/authtoken user="glance"}}`.
    pub fn new<'a>(
        files: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, RenderError> {
        let mut engine = Handlebars::new();
        engine.set_strict_mode(true);
        engine.register_escape_fn(no_escape);
        helpers::register(&mut engine);
        for (name, text) in files {
            engine
                .register_template_string(name, text)
                .map_err(|error| RenderError {
                    place: format!("templates/{name}"),
                    cause: error.to_string(),
                })?;
        }
        Ok(Self { engine })
    }

    /// Renders a file of `templates/`.
    pub fn file(&self, name: &str, context: &Value) -> Result<String, RenderError> {
        if self.engine.get_template(name).is_none() {
            return Err(RenderError {
                place: format!("templates/{name}"),
                cause: "there is no such template".into(),
            });
        }
        self.engine
            .render(name, context)
            .map_err(|error| RenderError {
                place: format!("templates/{name}"),
                cause: cause_of(&error),
            })
    }

    /// Renders a string. Nothing but one `{{path}}` gives the value itself, whatever its type.
    pub fn value(&self, text: &str, context: &Value) -> Result<Value, RenderError> {
        if !text.contains("{{") {
            return Ok(Value::String(text.to_owned()));
        }
        if let Some(path) = lone_path(text) {
            return refs::at(context, path).cloned().ok_or_else(|| RenderError {
                place: format!("`{text}`"),
                cause: format!("there is no `{path}` here"),
            });
        }
        self.text(text, context).map(Value::String)
    }

    /// Renders a string into text.
    pub fn text(&self, text: &str, context: &Value) -> Result<String, RenderError> {
        // Rendering costs a copy of the whole context, and most strings are what they are.
        if !text.contains("{{") {
            return Ok(text.to_owned());
        }
        self.engine
            .render_template(text, context)
            .map_err(|error| RenderError {
                place: format!("`{text}`"),
                cause: cause_of(&error),
            })
    }

    /// Whether an expression, as it would stand in `{{#if ...}}`, is true.
    pub fn holds(&self, expression: &str, context: &Value) -> Result<bool, RenderError> {
        // Handlebars takes a missing variable in a condition for false; a slip must not.
        for path in paths(expression) {
            if refs::at(context, path).is_none() {
                return Err(RenderError {
                    place: format!("when = \"{expression}\""),
                    cause: format!("there is no `{path}` here"),
                });
            }
        }
        let template = format!("{{{{#if {expression}}}}}true{{{{/if}}}}");
        self.text(&template, context)
            .map(|text| text == "true")
            .map_err(|error| RenderError {
                place: format!("when = \"{expression}\""),
                cause: error.cause,
            })
    }

    /// Renders every string in `value`; a list that comes from a string inside a list is joined
    /// into it.
    pub fn all(&self, value: &Value, context: &Value) -> Result<Value, RenderError> {
        Ok(match value {
            Value::String(text) => self.value(text, context)?,
            Value::Array(list) => {
                let mut out = Vec::with_capacity(list.len());
                for item in list {
                    match (item, self.all(item, context)?) {
                        (Value::String(_), Value::Array(inner)) => out.extend(inner),
                        (_, other) => out.push(other),
                    }
                }
                Value::Array(out)
            }
            Value::Object(map) => {
                let render = |(key, value): (&String, &Value)| {
                    Ok((self.text(key, context)?, self.all(value, context)?))
                };
                Value::Object(map.iter().map(render).collect::<Result<_, RenderError>>()?)
            }
            other => other.clone(),
        })
    }

    /// [`Self::all`] for a table.
    pub fn table(
        &self,
        table: &BTreeMap<String, Value>,
        context: &Value,
    ) -> Result<Value, RenderError> {
        let value = Value::Object(table.clone().into_iter().collect());
        self.all(&value, context)
    }
}

/// The path in a string that is nothing but `{{path}}`.
fn lone_path(text: &str) -> Option<&str> {
    let inner = text.strip_prefix("{{")?.strip_suffix("}}")?.trim();
    let simple = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    (!inner.is_empty() && inner.chars().all(simple)).then_some(inner)
}

/// The variables in an expression: words with a dot that are neither quoted nor numbers.
fn paths(expression: &str) -> impl Iterator<Item = &str> {
    expression
        .split(|c: char| c.is_whitespace() || "()".contains(c))
        .filter(|word| word.contains('.') && word.starts_with(|c: char| c.is_ascii_alphabetic()))
}

fn cause_of(error: &handlebars::RenderError) -> String {
    let place = match (error.line_no, error.column_no) {
        (Some(line), Some(column)) => format!("line {line}, column {column}: "),
        _ => String::new(),
    };
    format!("{place}{}", error.reason())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn templates() -> Templates {
        Templates::new([
            ("part", "user = {{user}}\n"),
            ("file", "{{> part user=\"x\"}}a = {{a.b}}\n"),
        ])
        .unwrap()
    }

    #[test]
    fn a_lone_path_keeps_its_type_and_lists_are_joined() {
        let context = json!({"names": ["a", "b"], "port": 5000});
        let value = json!({"names": ["{{names}}", "c"], "port": "{{port}}", "text": ":{{port}}", "line": "{{port}}\n"});
        assert_eq!(
            templates().all(&value, &context).unwrap(),
            json!({"names": ["a", "b", "c"], "port": 5000, "text": ":5000", "line": "5000\n"})
        );
    }

    #[test]
    fn a_missing_variable_is_an_error_that_names_it() {
        let error = templates().file("file", &json!({"a": {}})).unwrap_err();
        assert_eq!(error.place, "templates/file");
        assert!(error.cause.contains("a.b"), "{error}");
        let error = templates().value("{{no.such}}", &json!({})).unwrap_err();
        assert!(error.to_string().contains("no.such"), "{error}");
    }

    #[test]
    fn partials_and_expressions() {
        let context = json!({"a": {"b": "<&>"}, "kind": "ovs"});
        assert_eq!(
            templates().file("file", &context).unwrap(),
            "user = x\na = <&>\n"
        );
        assert!(templates().holds("(eq kind 'ovs')", &context).unwrap());
        assert!(!templates().holds("(eq kind 'lb')", &context).unwrap());
        assert!(templates().holds("no.such", &context).is_err());
    }
}
