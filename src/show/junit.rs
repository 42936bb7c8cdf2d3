//! Checks and steps as JUnit XML, which every CI system reads.
//!
//! One test suite a service for its checks, and one a host and playbook for what was done there.

use crate::model::event::{CheckOutcome, Outcome, Problem};
use crate::model::summary::{Link, StepPhase, Summary};
use crate::show::matrix::CLOUD;

struct Suite {
    name: String,
    cases: Vec<Case>,
}

struct Case {
    name: String,
    class: String,
    elapsed_ms: u64,
    result: Result,
}

enum Result {
    Passed,
    Skipped(String),
    Failed {
        message: String,
        details: String,
    },
    /// No answer, which CI systems keep apart from a wrong one.
    Error(String),
}

/// The whole document.
pub fn text(run: &Summary) -> String {
    let suites: Vec<Suite> = hosts(run)
        .into_iter()
        .chain(steps(run))
        .chain(checks(run))
        .collect();
    let cloud = escape(
        run.started
            .as_ref()
            .map_or("provision", |s| s.cloud.as_str()),
    );
    let numbers = counts(suites.iter().flat_map(|s| &s.cases), run.elapsed_ms());
    let mut lines = vec![
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>".to_owned(),
        format!("<testsuites name=\"{cloud}\" {numbers}>"),
    ];
    for suite in &suites {
        let took = suite.cases.iter().map(|c| c.elapsed_ms).sum();
        let (name, numbers) = (escape(&suite.name), counts(&suite.cases, took));
        lines.push(format!("  <testsuite name=\"{name}\" {numbers}>"));
        lines.extend(suite.cases.iter().map(case_xml));
        lines.push("  </testsuite>".to_owned());
    }
    lines.push("</testsuites>\n".to_owned());
    lines.join("\n")
}

fn hosts(run: &Summary) -> Option<Suite> {
    let cases = run.hosts.iter().filter_map(|host| {
        let (elapsed_ms, result) = match &host.link {
            Link::None | Link::Connecting => return None,
            Link::Connected(elapsed_ms) => (*elapsed_ms, Result::Passed),
            Link::Failed(problem) => (0, failed(problem)),
        };
        let class = host.place.name.clone();
        Some(Case {
            name: "can be reached".to_owned(),
            class,
            elapsed_ms,
            result,
        })
    });
    let cases: Vec<Case> = cases.collect();
    (!cases.is_empty()).then(|| Suite {
        name: "hosts".to_owned(),
        cases,
    })
}

fn steps(run: &Summary) -> Vec<Suite> {
    let mut suites: Vec<Suite> = Vec::new();
    for state in &run.steps {
        let StepPhase::Finished {
            outcome,
            elapsed_ms,
        } = &state.phase
        else {
            continue;
        };
        let name = format!("{} on {}", state.step.playbook, state.step.host);
        let case = Case {
            name: state.step.name.clone(),
            class: state.step.id.to_string(),
            elapsed_ms: *elapsed_ms,
            result: match outcome {
                Outcome::Unchanged { .. } | Outcome::Changed { .. } => Result::Passed,
                Outcome::Skipped { reason } => Result::Skipped(reason.clone()),
                Outcome::Failed { problem } => failed(problem),
                Outcome::Cancelled => Result::Skipped("the run was stopped".to_owned()),
            },
        };
        add(&mut suites, name, case);
    }
    suites
}

fn checks(run: &Summary) -> Vec<Suite> {
    let mut suites: Vec<Suite> = Vec::new();
    for check in &run.checks {
        let host = check.host.as_deref().unwrap_or(CLOUD);
        let case = Case {
            name: check.check.clone(),
            class: format!("{}.{host}", check.service),
            elapsed_ms: check.elapsed_ms,
            result: match &check.outcome {
                CheckOutcome::Ok { .. } => Result::Passed,
                CheckOutcome::Bad { cause, help } => Result::Failed {
                    message: cause.clone(),
                    details: help.clone(),
                },
                CheckOutcome::Unknown { reason } => Result::Error(reason.clone()),
            },
        };
        add(&mut suites, check.service.clone(), case);
    }
    suites
}

fn add(suites: &mut Vec<Suite>, name: String, case: Case) {
    match suites.iter_mut().find(|suite| suite.name == name) {
        Some(suite) => suite.cases.push(case),
        None => suites.push(Suite {
            name,
            cases: vec![case],
        }),
    }
}

fn failed(problem: &Problem) -> Result {
    let parts = problem
        .causes
        .iter()
        .chain(&problem.tail)
        .chain(&problem.help);
    let details = parts.map(String::as_str).collect::<Vec<_>>().join("\n");
    Result::Failed {
        message: format!("{}: {}", problem.code, problem.message),
        details,
    }
}

fn counts<'c>(cases: impl IntoIterator<Item = &'c Case>, took_ms: u64) -> String {
    let (mut tests, mut failures, mut errors, mut skipped) = (0, 0, 0, 0);
    for case in cases {
        tests += 1;
        match case.result {
            Result::Passed => {}
            Result::Skipped(_) => skipped += 1,
            Result::Failed { .. } => failures += 1,
            Result::Error(_) => errors += 1,
        }
    }
    let time = seconds(took_ms);
    format!(
        "tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\" \
         skipped=\"{skipped}\" time=\"{time}\""
    )
}

fn case_xml(case: &Case) -> String {
    let inside = match &case.result {
        Result::Passed => String::new(),
        Result::Skipped(why) => format!("<skipped message=\"{}\"/>", escape(why)),
        Result::Error(why) => format!("<error message=\"{}\"/>", escape(why)),
        Result::Failed { message, details } => {
            format!(
                "<failure message=\"{}\">{}</failure>",
                escape(message),
                escape(details)
            )
        }
    };
    format!(
        "    <testcase name=\"{}\" classname=\"{}\" time=\"{}\">{inside}</testcase>",
        escape(&case.name),
        escape(&case.class),
        seconds(case.elapsed_ms)
    )
}

fn seconds(ms: u64) -> String {
    format!("{}.{:03}", ms / 1000, ms % 1000)
}

/// For text and for attributes; characters that XML cannot hold at all are replaced.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' => escaped.push_str("&#10;"),
            '\t' => escaped.push('\t'),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}
