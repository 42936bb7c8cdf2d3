//! Where things were written: [`At`] keeps a value's place in its file, [`SourceFile`] turns places into
//! lines and columns for people.
//!
//! Schemas use [`At`] and never `toml::Spanned`, whose name would spread over every file. Spans are lost
//! inside `serde(flatten)`, `untagged` and internally tagged enums: schemas avoid these.

use std::ops::Range;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

use super::diagnostic::Label;

/// A value and the bytes of the file that it was written in.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
#[serde(bound = "T: serde::de::Deserialize<'de>")]
pub struct At<T>(toml::Spanned<T>);

impl<T> At<T> {
    /// Puts a value at a place; for values read by other means than serde.
    pub fn new(value: T, span: Range<usize>) -> Self {
        Self(toml::Spanned::new(span, value))
    }

    /// The bytes it was written in.
    #[must_use]
    pub fn span(&self) -> Range<usize> {
        self.0.span()
    }

    /// The value.
    #[must_use]
    pub fn get(&self) -> &T {
        self.0.get_ref()
    }

    /// Another value at the same place.
    pub fn with<U>(&self, value: U) -> At<U> {
        At::new(value, self.span())
    }

    /// The value, without its place.
    #[must_use]
    pub fn into_inner(self) -> T {
        self.0.into_inner()
    }
}

/// Two values are the same wherever they were written.
impl<T: PartialEq> PartialEq for At<T> {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl<T: Eq> Eq for At<T> {}

impl<T: Ord> PartialOrd for At<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T: Ord> Ord for At<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.get().cmp(other.get())
    }
}

impl<T: JsonSchema> JsonSchema for At<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> std::borrow::Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

/// A text and what it is called in messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceFile {
    /// The path, as the user gave it.
    pub name: String,
    /// All of it.
    pub text: String,
}

impl SourceFile {
    /// Takes a text under a name.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            text: text.into(),
        }
    }

    /// A marked place in this file, with the words that go beside it.
    #[must_use]
    pub fn label(&self, span: Range<usize>, text: impl Into<String>) -> Label {
        let end = span.end.min(self.text.len());
        let start = span.start.min(end);
        let before = self.text.get(..start).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Label {
            file: self.name.clone(),
            start,
            end,
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            text: text.into(),
            masked: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_count_from_one_and_in_characters() {
        let file = SourceFile::new("a.toml", "x = 1\né = \"ö\"\n");
        let label = file.label(11..15, "");
        assert_eq!((label.line, label.column), (2, 5));
        assert_eq!(&file.text[label.start..label.end], "\"ö\"");
    }

    #[test]
    fn a_place_behind_the_end_is_the_end() {
        let label = SourceFile::new("a.toml", "x\n").label(90..95, "");
        assert_eq!((label.start, label.end, label.line), (2, 2, 2));
    }
}
