//! The difference between two texts as rows, for the plan and the report.

use similar::{ChangeTag, TextDiff};

use crate::model::edit::{Edit, EditKind};
use crate::show::words;

/// How many unchanged lines are shown around a change.
const CONTEXT: usize = 3;

/// One row of a unified diff.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// What it is.
    pub kind: RowKind,
    /// Its number in the old text, from 1.
    pub old: Option<usize>,
    /// Its number in the new text, from 1.
    pub new: Option<usize>,
    /// The line, without its ending.
    pub text: String,
}

/// What a row of a diff is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum RowKind {
    Context,
    Added,
    Removed,
    /// Lines were left out here.
    Gap,
}

/// The rows of a file's edit; none for an attribute, or where neither text may be shown.
pub fn rows(edit: &Edit) -> Vec<Row> {
    if edit.kind != EditKind::File {
        return Vec::new();
    }
    let before = edit.before.as_deref().unwrap_or_default();
    let after = edit.after.as_deref().unwrap_or_default();
    let diff = TextDiff::from_lines(before, after);
    let mut rows = Vec::new();
    for (n, group) in diff.grouped_ops(CONTEXT).iter().enumerate() {
        if n > 0 {
            rows.push(Row {
                kind: RowKind::Gap,
                old: None,
                new: None,
                text: String::new(),
            });
        }
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            rows.push(Row {
                kind: match change.tag() {
                    ChangeTag::Equal => RowKind::Context,
                    ChangeTag::Insert => RowKind::Added,
                    ChangeTag::Delete => RowKind::Removed,
                },
                old: change.old_index().map(|i| i + 1),
                new: change.new_index().map(|i| i + 1),
                text: words::pictured(change.value().strip_suffix('\n').unwrap_or(change.value())),
            });
        }
    }
    rows
}

/// How many lines come and go.
pub fn counts(rows: &[Row]) -> (usize, usize) {
    let of = |kind| rows.iter().filter(|row| row.kind == kind).count();
    (of(RowKind::Added), of(RowKind::Removed))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(before: Option<&str>, after: Option<&str>) -> String {
        let edit = Edit::file(
            "/etc/x",
            before.map(str::to_owned),
            after.map(str::to_owned),
        );
        let mark = |kind| match kind {
            RowKind::Context => ' ',
            RowKind::Added => '+',
            RowKind::Removed => '-',
            RowKind::Gap => '~',
        };
        rows(&edit)
            .iter()
            .map(|r| format!("{}{}|", mark(r.kind), r.text))
            .collect()
    }

    #[test]
    fn a_changed_line_stands_in_its_context() {
        assert_eq!(text(Some("a\nb\nc\n"), Some("a\nB\nc\n")), " a|-b|+B| c|");
    }

    #[test]
    fn a_new_file_is_all_added_and_a_lost_one_all_removed() {
        assert_eq!(text(None, Some("a\nb\n")), "+a|+b|");
        assert_eq!(text(Some("a\n"), None), "-a|");
    }

    #[test]
    fn far_changes_have_a_gap_between_them() {
        let before: String = (0..20).map(|n| format!("{n}\n")).collect();
        let after = before.replace("2\n", "x\n").replace("18\n", "y\n");
        let all = text(Some(&before), Some(&after));
        assert_eq!(all.matches('~').count(), 1, "{all}");
    }

    #[test]
    fn a_screen_cannot_be_rewritten_by_a_file() {
        assert_eq!(text(None, Some("a\u{1b}[2Jb\r\n")), "+a␛[2Jb␍|");
    }

    #[test]
    fn line_numbers_follow_both_texts() {
        let edit = Edit::file("/x", Some("a\nb\n".into()), Some("b\nc\n".into()));
        let numbers: Vec<_> = rows(&edit).iter().map(|r| (r.old, r.new)).collect();
        assert_eq!(
            numbers,
            [(Some(1), None), (Some(2), Some(1)), (None, Some(2))]
        );
        assert_eq!(counts(&rows(&edit)), (1, 1));
    }
}
