//! What was done, or would be, on each host: by playbook, with the edits of each step.

use serde::Serialize;

use super::Badge;
use crate::model::edit::{Edit, EditKind};
use crate::model::event::{Outcome, Verdict};
use crate::model::summary::{StepState, Summary};
use crate::show::diff::{self, RowKind};
use crate::show::style::Label;
use crate::show::{story, words};

/// Diffs beyond this are cut in the report: it must stay a page.
const ROWS: usize = 400;

#[derive(Serialize)]
pub(super) struct HostSteps {
    host: String,
    said: String,
    playbooks: Vec<Playbook>,
}

#[derive(Serialize)]
struct Playbook {
    name: String,
    steps: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    id: String,
    name: String,
    badge: Badge,
    aside: String,
    took: String,
    retries: Option<String>,
    attributes: Vec<Attribute>,
    files: Vec<File>,
    opens: bool,
}

#[derive(Serialize)]
struct Attribute {
    what: String,
    before: Option<String>,
    after: Option<String>,
    hidden: bool,
}

#[derive(Serialize)]
struct File {
    path: String,
    kind: &'static str,
    added: usize,
    removed: usize,
    rows: Vec<DiffRow>,
    cut: Option<String>,
}

#[derive(Serialize)]
struct DiffRow {
    class: &'static str,
    old: Option<usize>,
    new: Option<usize>,
    mark: &'static str,
    text: String,
}

/// The steps of every host that has any.
pub(super) fn by_host(run: &Summary) -> Vec<HostSteps> {
    let planned = super::is_plan(run);
    let hosts = run.hosts.iter().map(|host| HostSteps {
        said: words::totals(&run.totals_of(&host.place.name), planned),
        playbooks: playbooks(run, &host.place.name),
        host: host.place.name.clone(),
    });
    hosts.filter(|host| !host.playbooks.is_empty()).collect()
}

fn playbooks(run: &Summary, host: &str) -> Vec<Playbook> {
    let mut playbooks: Vec<Playbook> = Vec::new();
    for state in run.steps_of(host) {
        let row = row(state);
        match playbooks.iter_mut().find(|p| p.name == state.step.playbook) {
            Some(playbook) => playbook.steps.push(row),
            None => {
                let name = state.step.playbook.clone();
                playbooks.push(Playbook {
                    name,
                    steps: vec![row],
                });
            }
        }
    }
    playbooks
}

fn row(state: &StepState) -> Row {
    let (badge, aside, edits) = come_of(state);
    let took = match state.elapsed_ms(0) {
        0 => String::new(),
        ms => words::duration(ms),
    };
    let (files, attributes): (Vec<&Edit>, Vec<&Edit>) =
        edits.iter().partition(|edit| edit.kind == EditKind::File);
    Row {
        id: state.step.id.to_string(),
        name: state.step.name.clone(),
        badge,
        aside: words::visible(&aside),
        took,
        retries: (state.retries > 0).then(|| match state.retries {
            1 => "1 retry".to_owned(),
            n => format!("{n} retries"),
        }),
        opens: !edits.is_empty(),
        attributes: attributes.into_iter().map(attribute).collect(),
        files: files.into_iter().map(file).collect(),
    }
}

/// What came of a step, or the plan's word on it: badge, reason, edits.
fn come_of(state: &StepState) -> (Badge, String, &[Edit]) {
    if let Some(outcome) = state.outcome() {
        let (label, word) = words::outcome(outcome);
        let planned: &[Edit] = match &state.verdict {
            Some(Verdict::Change { edits }) => edits,
            _ => &[],
        };
        let (aside, edits) = match outcome {
            Outcome::Unchanged { reason } | Outcome::Skipped { reason } => {
                (reason.clone(), &[][..])
            }
            Outcome::Changed { edits, summary } => {
                let what = summary.clone().unwrap_or_else(|| story::edited(edits));
                (what, edits.as_slice())
            }
            Outcome::Failed { problem } => (problem.message.clone(), planned),
            Outcome::Cancelled => ("the run was stopped".to_owned(), planned),
        };
        return (Badge::new(label, word), aside, edits);
    }
    match &state.verdict {
        Some(verdict) => {
            let (label, word) = words::verdict(verdict);
            let (aside, edits) = match verdict {
                Verdict::InSync { reason } | Verdict::Later { reason } => (reason.clone(), &[][..]),
                Verdict::Change { edits } => (story::edited(edits), edits.as_slice()),
            };
            let badge = Badge::new(label, word);
            // A tick would say that it is done.
            let mark = if label == Label::Changed {
                "~"
            } else {
                badge.mark
            };
            (Badge { mark, ..badge }, aside, edits)
        }
        None => (
            Badge::new(Label::Running, "not finished"),
            String::new(),
            &[],
        ),
    }
}

fn attribute(edit: &Edit) -> Attribute {
    Attribute {
        what: edit.what.clone(),
        hidden: edit.before.is_none() && edit.after.is_none(),
        before: edit.before.clone(),
        after: edit.after.clone(),
    }
}

fn file(edit: &Edit) -> File {
    let rows = diff::rows(edit);
    let (added, removed) = diff::counts(&rows);
    let cut = rows.len().saturating_sub(ROWS);
    File {
        path: edit.what.clone(),
        kind: match (&edit.before, &edit.after) {
            (None, None) => "content not shown",
            (None, _) => "new file",
            (_, None) => "file goes",
            _ => "file",
        },
        added,
        removed,
        rows: rows.into_iter().take(ROWS).map(diff_row).collect(),
        cut: (cut > 0).then(|| format!("{cut} more lines are not shown")),
    }
}

fn diff_row(row: diff::Row) -> DiffRow {
    let (label, mark) = match row.kind {
        RowKind::Context => (Label::Muted, " "),
        RowKind::Added => (Label::Added, "+"),
        RowKind::Removed => (Label::Removed, "-"),
        RowKind::Gap => (Label::Heading, "⋯"),
    };
    let class = if row.kind == RowKind::Context {
        "context"
    } else {
        label.class()
    };
    DiffRow {
        class,
        old: row.old,
        new: row.new,
        mark,
        text: row.text,
    }
}
