//! The plan on a terminal or in a pipe: per host, what would change, and why the rest is not known yet.

use crate::model::edit::{Edit, EditKind};
use crate::model::event::Verdict;
use crate::model::summary::{HostState, Link, StepState, Summary};
use crate::show::diff::{self, RowKind};
use crate::show::style::{Label, Look, Verbosity};
use crate::show::words;

/// Longer diffs and values are cut, unless everything is asked for.
const ROWS: usize = 40;
const VALUE: usize = 200;

/// The whole plan, ending with its totals.
pub fn text(run: &Summary, look: &Look) -> String {
    let mut lines = Vec::new();
    for host in run.declared_hosts() {
        host_lines(host, run, look, &mut lines);
    }
    lines.push(total_line(run, look));
    lines.join("\n") + "\n"
}

fn total_line(run: &Summary, look: &Look) -> String {
    let totals = run.totals();
    let hosts = words::count(
        u32::try_from(run.declared_hosts().count()).unwrap_or(0),
        "host",
    );
    let said = words::totals(&totals, true);
    let title = if totals.changed + totals.later == 0 {
        "No changes"
    } else {
        "Plan"
    };
    format!(
        "{}: {said}, on {hosts}. Nothing was touched.",
        look.paint(Label::Heading, title)
    )
}

fn host_lines(host: &HostState, run: &Summary, look: &Look, lines: &mut Vec<String>) {
    let name = &host.place.name;
    let about = format!("{} · {}", host.place.address, host.place.roles.join(", "));
    let about = if look.unicode {
        about
    } else {
        about.replace('·', "-")
    };
    lines.push(format!(
        "{}  {}",
        look.paint(Label::Host, name),
        look.paint(Label::Muted, about)
    ));
    if let Link::Failed(problem) = &host.link {
        let said = format!("{} {}", look.mark(Label::Failed), problem.message);
        lines.push(format!("  {}", look.paint(Label::Failed, said)));
    }
    let mut playbook = "";
    for state in run.steps_of(name).filter(|state| shown(state, look)) {
        if state.step.playbook != playbook {
            playbook = &state.step.playbook;
            lines.push(format!("  {}", look.paint(Label::Heading, playbook)));
        }
        step_lines(state, look, lines);
    }
    lines.push(format!("  {}", words::totals(&run.totals_of(name), true)));
    lines.push(String::new());
}

fn shown(state: &StepState, look: &Look) -> bool {
    look.verbosity >= Verbosity::Verbose || !matches!(state.verdict, Some(Verdict::InSync { .. }))
}

fn step_lines(state: &StepState, look: &Look, lines: &mut Vec<String>) {
    let Some(verdict) = &state.verdict else {
        return;
    };
    let label = words::verdict(verdict).0;
    let mark = match verdict {
        Verdict::Change { .. } => look.paint(label, "~"),
        _ => look.painted_mark(label),
    };
    let aside = match verdict {
        Verdict::InSync { reason } => format!("  in sync: {reason}"),
        Verdict::Later { reason } => format!("  decided later: {reason}"),
        Verdict::Change { .. } => String::new(),
    };
    lines.push(format!(
        "    {mark} {}{}",
        state.step.name,
        look.paint(Label::Muted, aside)
    ));
    if let Verdict::Change { edits } = verdict {
        edits.iter().for_each(|edit| edit_lines(edit, look, lines));
    }
}

fn edit_lines(edit: &Edit, look: &Look, lines: &mut Vec<String>) {
    const INDENT: &str = "        ";
    if edit.kind == EditKind::Attribute || (edit.before.is_none() && edit.after.is_none()) {
        lines.push(format!("{INDENT}{}", attribute(edit, look)));
        return;
    }
    let rows = diff::rows(edit);
    let (added, removed) = diff::counts(&rows);
    let what = match (&edit.before, &edit.after) {
        (None, _) => "new file",
        (_, None) => "file goes",
        _ => "file",
    };
    let aside = format!("{what}, +{added} -{removed}");
    lines.push(format!(
        "{INDENT}{}  {}",
        edit.what,
        look.paint(Label::Muted, aside)
    ));
    let limit = if look.verbosity >= Verbosity::Verbose {
        usize::MAX
    } else {
        ROWS
    };
    for row in rows.iter().take(limit) {
        let (label, mark) = match row.kind {
            RowKind::Context => (Label::Muted, " "),
            RowKind::Added => (Label::Added, "+"),
            RowKind::Removed => (Label::Removed, "-"),
            RowKind::Gap => (Label::Muted, look.either("⋯", "...")),
        };
        let text = format!("{mark}{}", row.text);
        lines.push(
            format!("{INDENT}{}", look.paint(label, text))
                .trim_end()
                .to_owned(),
        );
    }
    if rows.len() > limit {
        let more = format!("({} more lines; -v shows all)", rows.len() - limit);
        lines.push(format!("{INDENT}{}", look.paint(Label::Muted, more)));
    }
}

/// `+ what: new`, `- what: old`, `~ what: old → new`; a value that may not be shown is left out.
fn attribute(edit: &Edit, look: &Look) -> String {
    let value = |text: &str, label| look.paint(label, cut(text, look)).into_owned();
    let (what, arrow) = (&edit.what, look.either("→", "->"));
    match (&edit.before, &edit.after) {
        (None, None) => format!("~ {what} (not shown)"),
        (None, Some(new)) => format!("+ {what}: {}", value(new, Label::Added)),
        (Some(old), None) => format!("- {what}: {}", value(old, Label::Removed)),
        (Some(old), Some(new)) => format!(
            "~ {what}: {} {arrow} {}",
            value(old, Label::Removed),
            value(new, Label::Added)
        ),
    }
}

fn cut(text: &str, look: &Look) -> String {
    let text = text.replace('\n', " ");
    if look.verbosity >= Verbosity::Verbose || text.chars().count() <= VALUE {
        return text;
    }
    let kept: String = text.chars().take(VALUE).collect();
    format!("{kept}{}", look.either("…", "..."))
}
