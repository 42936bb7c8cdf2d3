//! What of a run is worth a line that stays: the same choice for every display.
//!
//! Pure: one event in, the lines it deserves out. How they look is the display's.

use crate::model::event::{
    Amount, AmountUnit, CheckOutcome, Edit, Envelope, Event, Outcome, Problem, Severity,
};
use crate::model::summary::Summary;
use crate::show::style::{Label, Verbosity};
use crate::show::words;

/// A line that stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The host it is about; none for the whole run.
    pub host: Option<String>,
    /// What it means.
    pub label: Label,
    /// The same in a word: `changed`, `failed`, `start`.
    pub word: &'static str,
    /// What happened.
    pub text: String,
    /// More about it, of less weight.
    pub aside: String,
}

impl Line {
    fn new(host: Option<&str>, label: Label, word: &'static str, text: impl Into<String>) -> Self {
        let (host, text) = (host.map(str::to_owned), words::visible(&text.into()));
        Self {
            host,
            label,
            word,
            text,
            aside: String::new(),
        }
    }

    fn aside(self, aside: impl Into<String>) -> Self {
        Self {
            aside: aside.into(),
            ..self
        }
    }
}

/// The lines that `envelope` deserves at `verbosity`; `run` already counts it.
pub fn lines(envelope: &Envelope, run: &Summary, verbosity: Verbosity) -> Vec<Line> {
    let event = &envelope.event;
    let host = event.host();
    let (normal, verbose) = (
        verbosity >= Verbosity::Normal,
        verbosity >= Verbosity::Verbose,
    );
    match event {
        Event::RunStarted(started) if normal => {
            let hosts = words::count(u32::try_from(started.hosts.len()).unwrap_or(0), "host");
            let text = format!(
                "{} of cloud {} on {hosts}",
                words::mode(started.mode),
                started.cloud
            );
            vec![Line::new(None, Label::Heading, "run", text).aside(format!("run {}", started.run))]
        }
        Event::HostConnected {
            host: name,
            elapsed_ms,
        } if normal => {
            let place = run.hosts.iter().find(|h| h.place.name == *name);
            let address = place.map_or(name.as_str(), |h| h.place.address.as_str());
            let took = words::duration(*elapsed_ms);
            vec![Line::new(host, Label::Note, "ssh", format!("connected to {address}")).aside(took)]
        }
        Event::HostFacts { facts, .. } if verbose => {
            let memory = words::mebibytes(facts.memory_mib);
            let text = format!("{}, {} CPUs, {memory}", facts.os, facts.cpus);
            vec![Line::new(host, Label::Note, "found", text).aside(facts.kernel.clone())]
        }
        Event::HostFailed { problem, .. } => vec![problem_line(problem, host)],
        Event::Diagnosed(problem) if normal || problem.severity == Severity::Error => {
            vec![problem_line(problem, host)]
        }
        Event::StepStarted { step } if verbose => {
            vec![Line::new(host, Label::Running, "start", &step.name)]
        }
        Event::Output { line, .. } if verbosity >= Verbosity::Output => {
            vec![Line::new(host, Label::Muted, "output", line)]
        }
        Event::StepRetrying {
            step,
            attempt,
            of,
            reason,
            wait_ms,
            ..
        } if verbose => {
            let of = of.map(|of| format!(" of {of}")).unwrap_or_default();
            let aside = format!(
                "attempt {attempt}{of}: {reason}; again in {}",
                words::duration(*wait_ms)
            );
            vec![Line::new(host, Label::Note, "retry", step_name(run, step)).aside(aside)]
        }
        Event::StepFinished {
            step,
            outcome,
            elapsed_ms,
            ..
        } => {
            let name = step_name(run, step);
            let elapsed_ms = run
                .step(step)
                .map_or(*elapsed_ms, |state| state.elapsed_ms(0));
            finished(host, name, outcome, elapsed_ms, verbosity)
                .into_iter()
                .collect()
        }
        Event::Checked {
            service,
            check,
            outcome,
            ..
        } => checked(host, service, check, outcome, verbosity)
            .into_iter()
            .collect(),
        Event::StopRequested { now } => {
            vec![Line::new(
                None,
                Label::Warning,
                "stop",
                words::stopping(*now),
            )]
        }
        _ => Vec::new(),
    }
}

fn step_name(run: &Summary, id: &crate::model::event::StepId) -> String {
    run.step(id)
        .map_or_else(|| id.to_string(), |state| state.step.name.clone())
}

fn problem_line(problem: &Problem, host: Option<&str>) -> Line {
    let (label, word) = words::severity(problem.severity);
    let causes = problem.causes.join(": ");
    Line::new(
        problem.host.as_deref().or(host),
        label,
        word,
        &problem.message,
    )
    .aside(causes)
}

fn finished(
    host: Option<&str>,
    name: String,
    outcome: &Outcome,
    elapsed_ms: u64,
    verbosity: Verbosity,
) -> Option<Line> {
    let (label, word) = words::outcome(outcome);
    let took = words::duration(elapsed_ms);
    let (least, aside) = match outcome {
        Outcome::Changed { edits, summary } => {
            let what = summary.clone().unwrap_or_else(|| edited(edits));
            let said = if what.is_empty() {
                took
            } else {
                format!("{what}, {took}")
            };
            (Verbosity::Normal, said)
        }
        Outcome::Failed { problem } => (Verbosity::Quiet, problem.message.clone()),
        Outcome::Unchanged { reason } | Outcome::Skipped { reason } => {
            (Verbosity::Verbose, reason.clone())
        }
        Outcome::Cancelled if elapsed_ms == 0 => (Verbosity::Verbose, "never begun".to_owned()),
        Outcome::Cancelled => (Verbosity::Normal, format!("after {took}")),
    };
    (verbosity >= least).then(|| Line::new(host, label, word, name).aside(aside))
}

/// What was edited, in a few words.
pub fn edited(edits: &[Edit]) -> String {
    match edits {
        [] => String::new(),
        [one] => one.what.clone(),
        [first, second] => format!("{}, {}", first.what, second.what),
        [first, rest @ ..] => format!("{} and {} more", first.what, rest.len()),
    }
}

fn checked(
    host: Option<&str>,
    service: &str,
    check: &str,
    outcome: &CheckOutcome,
    verbosity: Verbosity,
) -> Option<Line> {
    let (label, word) = words::check(outcome);
    let (least, aside) = match outcome {
        CheckOutcome::Ok { seen } => (Verbosity::Verbose, seen.clone().unwrap_or_default()),
        CheckOutcome::Bad { cause, .. } => (Verbosity::Quiet, cause.clone()),
        CheckOutcome::Unknown { reason } => (Verbosity::Normal, reason.clone()),
    };
    let text = format!("{service}: {check}");
    (verbosity >= least).then(|| Line::new(host, label, word, text).aside(aside))
}

/// How far a step is: `12 of 41 packages`, `3.4 MiB`.
pub fn amount(amount: &Amount) -> String {
    let say = |n: u64| match amount.unit {
        AmountUnit::Bytes => words::bytes(n),
        AmountUnit::Packages | AmountUnit::Items => n.to_string(),
    };
    let unit = match amount.unit {
        AmountUnit::Bytes => "",
        AmountUnit::Packages => " packages",
        AmountUnit::Items => " items",
    };
    match amount.total {
        Some(total) => format!("{} of {}{unit}", say(amount.done), say(total)),
        None => format!("{}{unit}", say(amount.done)),
    }
}
