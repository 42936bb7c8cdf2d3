//! Health as a matrix of services by hosts, and below it what is bad, why, and the way out.

use crate::model::event::CheckOutcome;
use crate::model::summary::{Check, Summary};
use crate::show::style::{Label, Look, Verbosity};
use crate::show::words;

/// The column of questions that are about no single host.
pub const CLOUD: &str = "cloud";

/// The answers of one service on one host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    /// As expected.
    pub ok: u32,
    /// Not as expected.
    pub bad: u32,
    /// Without an answer.
    pub unknown: u32,
}

impl Cell {
    /// The worst of its answers; none when nothing was asked.
    pub fn label(self) -> Option<Label> {
        match self {
            Cell { bad: 1.., .. } => Some(Label::Failed),
            Cell { unknown: 1.., .. } => Some(Label::Later),
            Cell { ok: 1.., .. } => Some(Label::Good),
            _ => None,
        }
    }

    /// `ok`, `1 of 4 bad`, `2 of 4 unknown`, or nothing.
    pub fn words(self) -> String {
        let all = self.ok + self.bad + self.unknown;
        match self.label() {
            Some(Label::Failed) => format!("{} of {all} bad", self.bad),
            Some(Label::Later) => format!("{} of {all} unknown", self.unknown),
            Some(_) => "ok".to_owned(),
            None => String::new(),
        }
    }
}

/// The columns: the hosts, and the cloud where there are questions about it.
pub fn columns(run: &Summary) -> Vec<String> {
    let asked = |name: &str| run.checks.iter().any(|c| c.host.as_deref() == Some(name));
    let hosts = run
        .hosts
        .iter()
        .filter(|h| h.is_declared() || asked(&h.place.name));
    let hosts = hosts.map(|h| h.place.name.clone());
    let cloud = run
        .checks
        .iter()
        .any(|c| c.host.is_none())
        .then(|| CLOUD.to_owned());
    hosts.chain(cloud).collect()
}

/// The answers of `service` in `column`.
pub fn cell(run: &Summary, service: &str, column: &str) -> Cell {
    let mut cell = Cell::default();
    for check in run
        .checks
        .iter()
        .filter(|c| c.service == service && column_of(c) == column)
    {
        match check.outcome {
            CheckOutcome::Ok { .. } => cell.ok += 1,
            CheckOutcome::Bad { .. } => cell.bad += 1,
            CheckOutcome::Unknown { .. } => cell.unknown += 1,
        }
    }
    cell
}

fn column_of(check: &Check) -> &str {
    check.host.as_deref().unwrap_or(CLOUD)
}

/// The matrix and what is below it; empty when nothing was asked.
pub fn text(run: &Summary, look: &Look) -> String {
    if run.checks.is_empty() {
        return String::new();
    }
    let services = run.checked_services();
    let columns = columns(run);
    let first = widest(services.iter().copied());
    let cells = |column: &str| -> Vec<(Cell, String)> {
        let cells = services.iter().map(|service| cell(run, service, column));
        cells.map(|cell| (cell, cell_text(cell, look))).collect()
    };
    let mut lines = vec![" ".repeat(first)];
    lines.extend(services.iter().map(|service| format!("{service:first$}")));
    for column in &columns {
        let cells = cells(column);
        let width = widest(
            cells
                .iter()
                .map(|(_, text)| text.as_str())
                .chain([column.as_str()]),
        );
        lines[0].extend([
            "  ".into(),
            look.paint(Label::Host, format!("{column:width$}")),
        ]);
        for (line, (cell, text)) in lines[1..].iter_mut().zip(cells) {
            let label = cell.label().unwrap_or(Label::Muted);
            line.extend(["  ".into(), look.paint(label, format!("{text:width$}"))]);
        }
    }
    let mut lines: Vec<String> = lines
        .iter()
        .map(|line| line.trim_end().to_owned())
        .collect();
    for check in run.checks.iter().filter(|check| detailed(check, look)) {
        lines.push(String::new());
        lines.extend(detail(check, look));
    }
    lines.extend([String::new(), total(run, look), String::new()]);
    lines.join("\n")
}

fn cell_text(cell: Cell, look: &Look) -> String {
    match cell.label() {
        Some(label) => format!("{} {}", look.mark(label), cell.words()),
        None => look.either("–", "-").to_owned(),
    }
}

fn widest<'t>(texts: impl Iterator<Item = &'t str>) -> usize {
    texts.map(|text| text.chars().count()).max().unwrap_or(0)
}

fn detailed(check: &Check, look: &Look) -> bool {
    look.verbosity >= Verbosity::Verbose || !matches!(check.outcome, CheckOutcome::Ok { .. })
}

fn detail(check: &Check, look: &Look) -> Vec<String> {
    let (label, word) = words::check(&check.outcome);
    let place = look.paint(Label::Host, column_of(check));
    let title = look.paint(label, format!("{} {word}", look.mark(label)));
    let mut lines = vec![format!(
        "{title} {place}: {}: {}",
        check.service, check.check
    )];
    match &check.outcome {
        CheckOutcome::Ok { seen } => lines.extend(seen.iter().map(|s| format!("  seen: {s}"))),
        CheckOutcome::Bad { cause, help } => {
            lines.push(format!("  because: {}", words::visible(cause)));
            if !help.is_empty() {
                lines.push(format!("  {}: {help}", look.paint(Label::Command, "help")));
            }
        }
        CheckOutcome::Unknown { reason } => {
            lines.push(format!("  because: {}", words::visible(reason)));
        }
    }
    lines
}

fn total(run: &Summary, look: &Look) -> String {
    format!("{}: {}.", look.paint(Label::Heading, "Health"), said(run))
}

/// How the checks came out, in a few words; empty when nothing was asked.
pub fn said(run: &Summary) -> String {
    let count = |wanted: fn(&CheckOutcome) -> bool| {
        run.checks
            .iter()
            .filter(|check| wanted(&check.outcome))
            .count()
    };
    let bad = count(|outcome| matches!(outcome, CheckOutcome::Bad { .. }));
    let unknown = count(|outcome| matches!(outcome, CheckOutcome::Unknown { .. }));
    let all = run.checks.len();
    match (all, bad, unknown) {
        (0, ..) => String::new(),
        (1, 0, 0) => "the check is good".to_owned(),
        (_, 0, 0) => format!("all {all} checks are good"),
        (_, _, 0) => format!("{bad} of {all} checks bad"),
        (_, 0, _) => format!("{unknown} of {all} checks without answer"),
        _ => format!("{bad} of {all} checks bad, {unknown} without answer"),
    }
}
