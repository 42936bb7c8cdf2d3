//! The answer file: what the user wants, checked, and turned into a [`Cloud`].
//!
//! ```text
//! text ─► table with places ─► shape ─► schema ─► check ─► cloud
//!              syntax         keys, types   serde   meaning, defaults
//! ```
//!
//! All problems of a file are found in one go, each with its place: what is wrong in shape is reported
//! and taken out, and the meaning of the rest is checked all the same. Only a syntax error ends the
//! reading. Nothing here reads files, asks the network or looks at the environment: text in, cloud or
//! diagnostics out.
//!
//! Which of several values wins is told in [`crate::model::cloud`].

mod allowed;
mod check;
mod describe;
mod findings;
pub mod known;
mod nearest;
mod schema;
mod shape;
mod tables;
mod written;

use serde::Deserialize;
use toml::de::DeTable;

pub use self::describe::schema;
pub use self::known::Known;

use self::findings::Findings;
use self::schema::AnswerFile;
use super::at::SourceFile;
use super::cloud::Cloud;
use super::diagnostic::Diagnostic;

/// Reads an answer file. `name` is what messages call it. Beside the cloud come the warnings.
///
/// # Errors
/// Everything that is wrong with it, warnings included, in the order of the file.
pub fn load(
    name: &str,
    text: &str,
    known: &Known,
) -> Result<(Cloud, Vec<Diagnostic>), Vec<Diagnostic>> {
    let file = SourceFile::new(name, text);
    let mut findings = Findings::new(&file);
    let cloud = read(text, known, &mut findings);
    let found = findings.into_sorted();
    match cloud {
        Some(cloud) if !found.iter().any(Diagnostic::is_error) => Ok((cloud, found)),
        _ => Err(found),
    }
}

fn read(text: &str, known: &Known, findings: &mut Findings<'_>) -> Option<Cloud> {
    let (mut table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        syntax(text, &errors, findings);
        return None;
    }
    tables::take_planned(table.get_mut(), known, findings);
    shape::check(&mut table, &describe::schema(known), findings);
    let tables = tables::take(table.get_mut(), known);
    match AnswerFile::deserialize(toml::de::Deserializer::from(table)) {
        Ok(answers) => check::check(&answers, &tables, known, findings),
        // The shape is right by now, so this is for what the schema cannot say.
        Err(error) => {
            let label = findings.label(error.span().unwrap_or(0..0), "here");
            let message = error.message().to_owned();
            findings.add(Diagnostic::error("answer::wrong-type", message).at(label));
            None
        }
    }
}

/// One report a line: after a slip, the rest of its line makes no sense either.
fn syntax(text: &str, errors: &[toml::de::Error], findings: &mut Findings<'_>) {
    let mut last_line = 0;
    for error in errors {
        let span = error.span().unwrap_or(0..0);
        // What is missing has no length; its line has.
        let span = if span.is_empty() {
            line_around(text, span.start)
        } else {
            span
        };
        let label = findings.label(span, "here");
        if label.line == last_line {
            continue;
        }
        last_line = label.line;
        let message = format!("not TOML: {}", error.message());
        findings.add(
            Diagnostic::error("answer::syntax", message)
                .at(label)
                .help("text goes in quotes, tables in brackets, one `key = value` a line; see https://toml.io"),
        );
    }
}

fn line_around(text: &str, at: usize) -> std::ops::Range<usize> {
    let before = text.get(..at).unwrap_or(text);
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let end = text[start..]
        .find('\n')
        .map_or(text.len(), |newline| start + newline);
    start..end
}
