//! The end of a run on a terminal: where the time went, what went wrong, where to go next.

use std::collections::BTreeMap;

use crate::model::event::{Mode, Outcome, RunFinished};
use crate::model::summary::Summary;
use crate::show::style::{Label, Look, Verbosity};
use crate::show::{matrix, problem, words};

/// How many of the slowest steps are named.
const SLOWEST: usize = 5;

/// All that is said when a run is over, after what is said while it runs.
pub fn text(run: &Summary, look: &Look) -> String {
    let mut parts = Vec::new();
    if run.acted() && look.verbosity >= Verbosity::Normal {
        parts.push(slowest(run, look));
    }
    parts.push(skipped(run, look));
    for problem in run.problems() {
        parts.push(problem::lines(problem, run, look));
    }
    parts.push(verdict(run, look));
    parts.retain(|part| !part.is_empty());
    parts
        .iter()
        .map(|part| format!("\n{}\n", part.join("\n")))
        .collect()
}

fn slowest(run: &Summary, look: &Look) -> Vec<String> {
    let slowest = run.slowest(SLOWEST);
    if slowest.is_empty() {
        return Vec::new();
    }
    let took: Vec<String> = slowest
        .iter()
        .map(|s| words::duration(s.elapsed_ms(0)))
        .collect();
    let width = took.iter().map(|t| t.chars().count()).max().unwrap_or(0);
    let hosts = slowest
        .iter()
        .map(|s| s.step.host.chars().count())
        .max()
        .unwrap_or(0);
    let mut lines = vec![look.paint(Label::Heading, "Slowest steps").into_owned()];
    for (state, took) in slowest.iter().zip(took) {
        let host = look.paint(Label::Host, format!("{:hosts$}", state.step.host));
        lines.push(format!("  {took:>width$}  {host}  {}", state.step.name));
    }
    lines
}

/// Skipped steps by reason: one failure skips many, and only the reason is news.
fn skipped(run: &Summary, look: &Look) -> Vec<String> {
    let mut reasons: BTreeMap<&str, u32> = BTreeMap::new();
    for state in &run.steps {
        if let Some(Outcome::Skipped { reason }) = state.outcome() {
            *reasons.entry(reason).or_default() += 1;
        }
    }
    let mark = look.painted_mark(Label::Skipped);
    let line = |(reason, n): (&&str, &u32)| {
        format!("{mark} {} skipped: {reason}", words::count(*n, "step"))
    };
    reasons.iter().map(line).collect()
}

fn verdict(run: &Summary, look: &Look) -> Vec<String> {
    let finished = run.finished.as_ref();
    let (label, word) = words::run_outcome(finished.map(|f| f.outcome));
    let started = run.started.as_ref();
    let what = started.map_or("run", |s| words::mode(s.mode));
    let title = format!("{} {what} {word}", look.mark(label));
    let mut said = Vec::new();
    if !run.steps.is_empty() {
        let planned = started.is_some_and(|s| s.mode == Mode::Plan);
        said.push(words::totals(&run.totals(), planned));
    }
    said.extend(Some(matrix::said(run)).filter(|said| !said.is_empty()));
    let said = if said.is_empty() {
        String::new()
    } else {
        format!(": {}", said.join("; "))
    };
    let took = words::duration(run.elapsed_ms());
    let mut lines = vec![format!("{} in {took}{said}", look.paint(label, title))];
    let mut places: Vec<(&str, &str)> = Vec::new();
    if let Some(finished) = finished {
        places.extend(
            finished
                .urls
                .iter()
                .map(|u| (u.name.as_str(), u.url.as_str())),
        );
        places.extend(
            finished
                .credentials
                .iter()
                .map(|path| ("credentials", path.as_str())),
        );
    }
    places.extend(
        run.artifacts
            .iter()
            .map(|(name, path)| (name.as_str(), path.as_str())),
    );
    let width = places
        .iter()
        .map(|(name, _)| name.chars().count())
        .max()
        .unwrap_or(0);
    lines.extend(
        places
            .iter()
            .map(|(name, place)| format!("  {name:width$}  {place}")),
    );
    lines.extend(next(finished, look));
    lines
}

fn next(finished: Option<&RunFinished>, look: &Look) -> Option<String> {
    let command = finished?.next_command.as_deref()?;
    Some(format!("  next: {}", look.paint(Label::Command, command)))
}
