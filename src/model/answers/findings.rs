//! Where the readers of an answer file put what they find.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::model::at::{At, SourceFile};
use crate::model::diagnostic::{Diagnostic, Label};

use super::written::Written;

/// All that was found in one file so far.
#[derive(Debug)]
pub(super) struct Findings<'a> {
    file: &'a SourceFile,
    found: Vec<Diagnostic>,
    /// Keys that are written, but could not be read.
    unclear: BTreeSet<String>,
}

impl<'a> Findings<'a> {
    pub(super) fn new(file: &'a SourceFile) -> Self {
        Self {
            file,
            found: Vec::new(),
            unclear: BTreeSet::new(),
        }
    }

    pub(super) fn add(&mut self, diagnostic: Diagnostic) {
        self.found.push(diagnostic);
    }

    /// Remembers that a key is written, but could not be read.
    pub(super) fn set_unclear(&mut self, key: impl Into<String>) {
        self.unclear.insert(key.into());
    }

    /// Whether a key is written, but could not be read: then it was reported, and nothing follows from
    /// its absence.
    pub(super) fn is_unclear(&self, key: &str) -> bool {
        self.unclear.contains(key)
    }

    pub(super) fn label(&self, span: Range<usize>, text: impl Into<String>) -> Label {
        self.file.label(span, text)
    }

    /// Reads a text as a value, or says what is wrong with it.
    pub(super) fn read<T: Written>(&mut self, key: &str, at: &At<String>) -> Option<T> {
        match T::read(at.get()) {
            Ok(value) => Some(value),
            Err(why) => {
                self.set_unclear(key);
                let diagnostic = if T::may_be_secret(at.get()) {
                    let message = format!("`{key}` is not {}", T::WHAT);
                    let label = self.label(at.span(), why).masked();
                    Diagnostic::error("answer::bad-value", message).at(label)
                } else {
                    let message = format!("`{}` in `{key}` is not {}", at.get(), T::WHAT);
                    Diagnostic::error("answer::bad-value", message).at(self.label(at.span(), why))
                };
                self.add(diagnostic.help(T::HELP));
                None
            }
        }
    }

    /// As [`Self::read`], with the place.
    pub(super) fn read_at<T: Written>(&mut self, key: &str, at: &At<String>) -> Option<At<T>> {
        self.read(key, at).map(|value| at.with(value))
    }

    /// As [`Self::read`], where nothing may be written.
    pub(super) fn read_opt<T: Written>(&mut self, key: &str, at: Option<&At<String>>) -> Option<T> {
        at.and_then(|at| self.read(key, at))
    }

    /// As [`Self::read`], for a list; leaves out what cannot be read.
    pub(super) fn read_all<T: Written>(
        &mut self,
        key: &str,
        all: Option<&Vec<At<String>>>,
    ) -> Vec<T> {
        all.into_iter()
            .flatten()
            .filter_map(|at| self.read(key, at))
            .collect()
    }

    /// All findings, by their place in the file.
    pub(super) fn into_sorted(mut self) -> Vec<Diagnostic> {
        self.found
            .sort_by_key(|one| one.labels.first().map_or(0, |label| label.start));
        self.found
    }
}
