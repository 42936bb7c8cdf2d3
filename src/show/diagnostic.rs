//! Diagnostics on a terminal: the marked text in its file, what is wrong with it, and the way out.
//!
//! Text that may be a secret is covered before anything is laid out.

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Element, Level, Origin, Renderer, Snippet, Title};

use crate::model::at::SourceFile;
use crate::model::diagnostic::{Diagnostic, Severity};
use crate::show::style::Look;

/// All diagnostics, with an empty line between them, and how many there are. Empty for none.
///
/// `sources` are the files that labels name; a label of another file is shown by line and column.
#[must_use]
pub fn text(found: &[Diagnostic], sources: &[SourceFile], look: &Look) -> String {
    if found.is_empty() {
        return String::new();
    }
    let covered: Vec<SourceFile> = sources
        .iter()
        .map(|source| covered(source, found))
        .collect();
    let renderer = if look.colour {
        Renderer::styled()
    } else {
        Renderer::plain()
    };
    let decor = if look.unicode {
        DecorStyle::Unicode
    } else {
        DecorStyle::Ascii
    };
    let renderer = renderer.decor_style(decor).term_width(look.width);
    let mut text = String::new();
    for one in found {
        text.push_str(&render(one, &covered, &renderer));
        text.push_str("\n\n");
    }
    text + &count(found) + "\n"
}

/// `2 errors, 1 warning`.
#[must_use]
pub fn count(found: &[Diagnostic]) -> String {
    let errors = found.iter().filter(|one| one.is_error()).count();
    let parts = [("error", errors), ("warning", found.len() - errors)];
    let said: Vec<String> = parts
        .into_iter()
        .filter(|(_, n)| *n > 0)
        .map(|(word, n)| format!("{n} {word}{}", if n == 1 { "" } else { "s" }))
        .collect();
    said.join(", ")
}

fn render(one: &Diagnostic, sources: &[SourceFile], renderer: &Renderer) -> String {
    let level = match one.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title: Title<'_> = level.primary_title(message(one)).id(one.code.as_str());
    let mut elements: Vec<Element<'_>> = Vec::new();
    for (at, file) in files(one).into_iter().enumerate() {
        elements.push(place(one, file, sources, at == 0));
    }
    elements.extend(
        one.causes
            .iter()
            .map(|cause| Level::NOTE.message(cause.as_str()).into()),
    );
    elements.extend(
        one.help
            .iter()
            .map(|help| Level::HELP.message(help.as_str()).into()),
    );
    renderer.render(&[title.elements(elements)])
}

fn message(one: &Diagnostic) -> String {
    let place: Vec<&str> = [&one.host, &one.step]
        .into_iter()
        .flatten()
        .map(String::as_str)
        .collect();
    if place.is_empty() {
        one.message.clone()
    } else {
        format!("{}: {}", place.join(", "), one.message)
    }
}

/// The files that a diagnostic marks, each once, the first label's first.
fn files(one: &Diagnostic) -> Vec<&str> {
    let mut files: Vec<&str> = Vec::new();
    for label in &one.labels {
        if !files.contains(&label.file.as_str()) {
            files.push(&label.file);
        }
    }
    files
}

fn place<'a>(
    one: &'a Diagnostic,
    file: &'a str,
    sources: &'a [SourceFile],
    first: bool,
) -> Element<'a> {
    let labels: Vec<_> = one
        .labels
        .iter()
        .filter(|label| label.file == file)
        .collect();
    let marks = labels.iter().any(|label| label.end > label.start);
    let Some(source) = sources
        .iter()
        .find(|source| source.name == file)
        .filter(|_| marks)
    else {
        let origin = Origin::path(file);
        return match labels.first().filter(|label| label.end > label.start) {
            Some(label) => origin.line(label.line).char_column(label.column).into(),
            None => origin.into(),
        };
    };
    let marks = labels
        .into_iter()
        .filter(|label| label.end > label.start)
        .enumerate();
    Snippet::source(source.text.as_str())
        .path(file)
        .annotations(marks.map(|(at, label)| {
            let kind = if first && at == 0 {
                AnnotationKind::Primary
            } else {
                AnnotationKind::Context
            };
            let mark = kind.span(label.start..label.end);
            if label.text.is_empty() {
                mark
            } else {
                mark.label(label.text.as_str())
            }
        }))
        .into()
}

/// The file with everything covered that any diagnostic wants hidden; every byte keeps its place.
fn covered(source: &SourceFile, found: &[Diagnostic]) -> SourceFile {
    let mut text = source.text.clone();
    let hidden = found
        .iter()
        .flat_map(|one| &one.labels)
        .filter(|label| label.masked && label.file == source.name);
    for label in hidden {
        if let Some(secret) = text.get(label.start..label.end) {
            let stars: String = secret
                .bytes()
                .map(|b| if b == b'\n' { '\n' } else { '*' })
                .collect();
            text.replace_range(label.start..label.end, &stars);
        }
    }
    SourceFile::new(source.name.clone(), text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain() -> Look {
        Look {
            unicode: false,
            ..Look::plain()
        }
    }

    #[test]
    fn a_marked_text_a_cause_and_a_way_out() {
        let source = SourceFile::new("a.toml", "[cloud]\nnmae = \"lab\"\n");
        let one = Diagnostic::error("answer::unknown-key", "unknown key `nmae`")
            .at(source.label(8..12, "did you mean `name`?"))
            .cause("keys are closed")
            .help("rename it");
        let shown = text(&[one], &[source], &plain());
        let wanted = "\
error[answer::unknown-key]: unknown key `nmae`
 --> a.toml:2:1
  |
2 | nmae = \"lab\"
  | ^^^^ did you mean `name`?
  |
  = note: keys are closed
  = help: rename it

1 error
";
        assert_eq!(shown, wanted);
    }

    #[test]
    fn what_may_be_a_secret_is_covered_wherever_it_is_shown() {
        let source = SourceFile::new("a.toml", "p = \"hünter2\"\n");
        let secret = Diagnostic::error("a::b", "no").at(source.label(4..14, "here").masked());
        let other = Diagnostic::warning("a::c", "the same line").at(source.label(0..1, ""));
        let shown = text(&[other, secret], &[source], &plain());
        assert!(!shown.contains("nter2"), "{shown}");
        assert!(shown.contains("p = **********"), "{shown}");
    }

    #[test]
    fn a_file_that_is_not_at_hand_is_named_by_line_and_column() {
        let label = SourceFile::new("gone.toml", "x\nyy\n").label(2..4, "");
        let shown = text(&[Diagnostic::error("a::b", "no").at(label)], &[], &plain());
        assert!(shown.contains("gone.toml:2:1"), "{shown}");
    }

    #[test]
    fn a_host_and_a_step_stand_before_the_message() {
        let one = Diagnostic::error("a::b", "no")
            .on_host("compute1")
            .in_step("nova/start");
        assert!(text(&[one], &[], &plain()).starts_with("error[a::b]: compute1, nova/start: no"));
    }
}
