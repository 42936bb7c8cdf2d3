//! A problem of the run on a terminal: what, where, why, the remote's last lines, and the way out.

use crate::model::event::Problem;
use crate::model::summary::Summary;
use crate::show::style::{Label, Look};
use crate::show::words;

/// The lines of one problem.
pub fn lines(problem: &Problem, run: &Summary, look: &Look) -> Vec<String> {
    let (label, word) = words::severity(problem.severity);
    let title = look.paint(label, format!("{word}[{}]", problem.code));
    let place = problem
        .host
        .as_deref()
        .map(|host| format!("{}: ", look.paint(Label::Host, host)));
    let message = look.paint(Label::Heading, words::visible(&problem.message));
    let mut lines = vec![format!("{title}: {}{message}", place.unwrap_or_default())];
    if let Some(id) = &problem.step {
        let name = run
            .step(id)
            .map(|s| format!(" ({})", s.step.name))
            .unwrap_or_default();
        lines.push(format!("  step: {id}{}", look.paint(Label::Muted, name)));
    }
    lines.extend(
        problem
            .causes
            .iter()
            .map(|cause| format!("  because: {}", words::visible(cause))),
    );
    let bar = look.either("│", "|");
    if !problem.tail.is_empty() {
        let from = problem
            .host
            .as_deref()
            .map(|h| format!(" of {h}"))
            .unwrap_or_default();
        let n = problem.tail.len();
        let title = if n == 1 {
            format!("the last line{from}:")
        } else {
            format!("the last {n} lines{from}:")
        };
        lines.push(format!("  {}", look.paint(Label::Muted, title)));
        lines.extend(
            problem
                .tail
                .iter()
                .map(|l| format!("  {} {}", look.paint(Label::Muted, bar), words::visible(l))),
        );
    }
    if let Some(help) = &problem.help {
        lines.push(format!("  {}: {help}", look.paint(Label::Command, "help")));
    }
    lines
}
