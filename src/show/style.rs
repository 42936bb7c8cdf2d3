//! What text means, and in one place how that looks.
//!
//! Renderers name meanings ([`Label`]); only this file knows colours and marks. Nothing may be told by
//! colour alone: each outcome has its word, and a mark of its own beside it.

use std::borrow::Cow;

/// What a piece of text means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Label {
    Heading,
    Host,
    Muted,
    Command,
    Running,
    Unchanged,
    Changed,
    Later,
    Skipped,
    Failed,
    Cancelled,
    Good,
    Warning,
    Note,
    Added,
    Removed,
}

impl Label {
    /// The class in the report's style sheet, which gives each meaning its colours there.
    pub fn class(self) -> &'static str {
        match self {
            Label::Heading => "heading",
            Label::Host => "host",
            Label::Muted => "muted",
            Label::Command => "command",
            Label::Running => "running",
            Label::Unchanged => "unchanged",
            Label::Changed => "changed",
            Label::Later => "later",
            Label::Skipped => "skipped",
            Label::Failed => "failed",
            Label::Cancelled => "cancelled",
            Label::Good => "good",
            Label::Warning => "warning",
            Label::Note => "note",
            Label::Added => "added",
            Label::Removed => "removed",
        }
    }
}

/// How much is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Problems and the end only.
    Quiet,
    /// What changes.
    #[default]
    Normal,
    /// Also what does not change, and why; starts and retries (`-v`).
    Verbose,
    /// Also all that the hosts write (`-vv`).
    Output,
}

/// How text looks on one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// Whether the stream shows colours.
    pub colour: bool,
    /// Whether the stream shows more than ASCII.
    pub unicode: bool,
    /// How many columns there are.
    pub width: usize,
    /// How much is said.
    pub verbosity: Verbosity,
}

impl Look {
    /// For files and pipes: no colour, 100 columns.
    pub fn plain() -> Self {
        Self {
            colour: false,
            unicode: true,
            width: 100,
            verbosity: Verbosity::Normal,
        }
    }

    /// For a stream, as the environment wants it; `variable` looks up an environment variable.
    ///
    /// `NO_COLOR` (not empty) and `TERM=dumb` take colours away, `CLICOLOR_FORCE` (neither empty nor
    /// `0`) gives them to a stream that is no terminal. The locale says what characters there are.
    pub fn detect(
        terminal_width: Option<usize>,
        verbosity: Verbosity,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Self {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let forced = set("CLICOLOR_FORCE").is_some_and(|value| value != "0");
        let dumb = set("TERM").is_some_and(|term| term == "dumb");
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set);
        let ascii = locale.is_some_and(|l| matches!(l.as_str(), "C" | "POSIX"));
        Self {
            colour: set("NO_COLOR").is_none() && (forced || (terminal_width.is_some() && !dumb)),
            unicode: !(ascii && terminal_width.is_some()),
            width: terminal_width.unwrap_or(100).max(20),
            verbosity,
        }
    }

    /// `text` in the colours of its meaning.
    pub fn paint<'t>(&self, label: Label, text: impl Into<Cow<'t, str>>) -> Cow<'t, str> {
        let text = text.into();
        if !self.colour || text.is_empty() {
            return text;
        }
        Cow::Owned(
            colours(label)
                .force_styling(true)
                .apply_to(text)
                .to_string(),
        )
    }

    /// One character for a meaning.
    pub fn mark(&self, label: Label) -> &'static str {
        let (unicode, ascii) = match label {
            Label::Good | Label::Changed => ("✓", "+"),
            Label::Unchanged => ("·", "."),
            Label::Later => ("◌", "?"),
            Label::Skipped => ("↷", ">"),
            Label::Failed => ("✗", "x"),
            Label::Cancelled => ("■", "#"),
            Label::Warning => ("▲", "!"),
            Label::Note => ("→", "-"),
            Label::Running => ("▸", "*"),
            Label::Added => ("+", "+"),
            Label::Removed => ("-", "-"),
            Label::Heading | Label::Host | Label::Muted | Label::Command => (" ", " "),
        };
        if self.unicode { unicode } else { ascii }
    }

    /// The mark of a meaning in its colours.
    pub fn painted_mark(&self, label: Label) -> Cow<'static, str> {
        self.paint(label, self.mark(label))
    }

    /// `unicode` where the stream can show it, otherwise `ascii`.
    pub fn either(&self, unicode: &'static str, ascii: &'static str) -> &'static str {
        if self.unicode { unicode } else { ascii }
    }
}

fn colours(label: Label) -> console::Style {
    let style = console::Style::new();
    match label {
        Label::Heading => style.bold(),
        Label::Host => style.blue().bold(),
        Label::Muted | Label::Unchanged | Label::Skipped => style.dim(),
        Label::Command => style.cyan().bold(),
        Label::Running | Label::Later => style.cyan(),
        Label::Changed | Label::Warning | Label::Cancelled => style.yellow(),
        Label::Good | Label::Added => style.green(),
        Label::Failed => style.red().bold(),
        Label::Removed => style.red(),
        Label::Note => style.blue(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(terminal: bool, variables: &[(&str, &str)]) -> Look {
        Look::detect(terminal.then_some(80), Verbosity::Normal, |name| {
            variables
                .iter()
                .find(|(n, _)| *n == name)
                .map(|(_, v)| (*v).to_owned())
        })
    }

    #[test]
    fn colours_are_for_terminals_that_want_them() {
        assert!(look(true, &[]).colour);
        assert!(!look(false, &[]).colour);
        assert!(!look(true, &[("NO_COLOR", "1")]).colour);
        assert!(look(true, &[("NO_COLOR", "")]).colour);
        assert!(!look(true, &[("TERM", "dumb")]).colour);
        assert!(look(false, &[("CLICOLOR_FORCE", "1")]).colour);
        assert!(!look(false, &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]).colour);
    }

    #[test]
    fn a_terminal_without_unicode_gets_ascii() {
        assert_eq!(look(true, &[("LC_ALL", "C")]).mark(Label::Failed), "x");
        assert_eq!(
            look(true, &[("LANG", "de_DE.UTF-8")]).mark(Label::Failed),
            "✗"
        );
    }

    #[test]
    fn without_colour_text_is_left_as_it_is() {
        assert_eq!(Look::plain().paint(Label::Failed, "no"), "no");
        assert_eq!(
            look(true, &[]).paint(Label::Removed, "no"),
            "\u{1b}[31mno\u{1b}[0m"
        );
    }
}
