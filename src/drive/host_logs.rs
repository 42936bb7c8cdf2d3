//! One plain log a host, in the run's directory: what each step there did and everything it wrote.
//!
//! For people with `less` and `grep`: every line begins with the time and the step.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;

use crate::drive::run_directory::RunDirectory;
use crate::model::event::{Envelope, Event, Outcome, Problem, Stream};
use crate::model::sink::Sink;
use crate::model::summary::Summary;

/// Writes the logs of all hosts of a run.
#[derive(Debug)]
pub struct HostLogs {
    directory: RunDirectory,
    open: HashMap<String, File>,
}

impl HostLogs {
    /// Logs into `directory`; a host's file is made with its first line.
    pub fn new(directory: RunDirectory) -> Self {
        Self {
            directory,
            open: HashMap::new(),
        }
    }

    fn file(&mut self, host: &str) -> io::Result<&mut File> {
        if !self.open.contains_key(host) {
            let mut options = OpenOptions::new();
            let path = self.directory.log(host);
            let file = options.append(true).create(true).mode(0o600).open(path)?;
            self.open.insert(host.to_owned(), file);
        }
        self.open
            .get_mut(host)
            .ok_or_else(|| io::Error::other("the log was not kept"))
    }
}

impl Sink for HostLogs {
    fn name(&self) -> &'static str {
        "hosts' log"
    }

    fn event(&mut self, envelope: &Envelope, _: &Summary) -> io::Result<()> {
        let (Some(host), Some((subject, lines))) =
            (envelope.event.host(), log_lines(&envelope.event))
        else {
            return Ok(());
        };
        let at = envelope.at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ");
        let text: String = lines
            .iter()
            .map(|line| format!("{at} {subject} {line}\n"))
            .collect();
        self.file(host)?.write_all(text.as_bytes())
    }
}

/// What an event adds to its host's log: whose lines they are, and the lines.
fn log_lines(event: &Event) -> Option<(&str, Vec<String>)> {
    Some(match event {
        Event::HostConnecting { .. } => ("ssh", vec!["connecting".to_owned()]),
        Event::HostConnected { elapsed_ms, .. } => {
            ("ssh", vec![format!("connected in {elapsed_ms} ms")])
        }
        Event::HostFailed { problem, .. } | Event::Diagnosed(problem) => {
            (problem.code.as_str(), problem_lines(problem))
        }
        Event::StepStarted { step } => (step.id.as_str(), vec![format!("start: {}", step.name)]),
        Event::Output {
            step, stream, line, ..
        } => {
            let mark = if *stream == Stream::Stderr { "!" } else { "|" };
            (step.as_str(), vec![format!("{mark} {line}")])
        }
        Event::StepRetrying {
            step,
            attempt,
            reason,
            wait_ms,
            ..
        } => (
            step.as_str(),
            vec![format!(
                "attempt {attempt}: {reason}; again in {wait_ms} ms"
            )],
        ),
        Event::StepFinished {
            step,
            outcome,
            elapsed_ms,
            ..
        } => {
            let lines = match outcome {
                Outcome::Unchanged { reason } => vec![format!("unchanged: {reason}")],
                Outcome::Changed { edits, summary } => {
                    let what = edits
                        .iter()
                        .map(|edit| edit.what.clone())
                        .collect::<Vec<_>>();
                    let what = summary.clone().unwrap_or_else(|| what.join(", "));
                    vec![format!("changed in {elapsed_ms} ms: {what}")]
                }
                Outcome::Skipped { reason } => vec![format!("skipped: {reason}")],
                Outcome::Failed { problem } => problem_lines(problem),
                Outcome::Cancelled => vec!["cancelled".to_owned()],
            };
            (step.as_str(), lines)
        }
        _ => return None,
    })
}

fn problem_lines(problem: &Problem) -> Vec<String> {
    let mut lines = vec![format!("{}: {}", problem.code, problem.message)];
    lines.extend(
        problem
            .causes
            .iter()
            .map(|cause| format!("  because {cause}")),
    );
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::{Edit, StepId};

    #[test]
    fn a_step_can_be_followed_with_grep() {
        let state = tempfile::tempdir().unwrap();
        let directory = RunDirectory::create(state.path(), "lab", "run").unwrap();
        let mut logs = HostLogs::new(directory.clone());
        let step = StepId::new("nova", "api", None, "c");
        let events = [
            Event::Output {
                step: step.clone(),
                host: "c".into(),
                stream: Stream::Stderr,
                line: "warning: slow".into(),
            },
            Event::StepFinished {
                step,
                host: "c".into(),
                outcome: Outcome::Changed {
                    edits: vec![Edit::attribute("running", Some("no"), Some("yes"))],
                    summary: None,
                },
                elapsed_ms: 812,
            },
            Event::StopRequested { now: false },
        ];
        for event in events {
            let at = "2026-11-23T06:50:52.12Z".parse().unwrap();
            let envelope = Envelope {
                version: 1,
                seq: 1,
                at,
                event,
            };
            logs.event(&envelope, &Summary::default()).unwrap();
        }
        assert_eq!(
            std::fs::read_to_string(directory.log("c")).unwrap(),
            "2026-11-23T06:50:52.120Z nova/api@c ! warning: slow\n\
             2026-11-23T06:50:52.120Z nova/api@c changed in 812 ms: running\n"
        );
    }
}
