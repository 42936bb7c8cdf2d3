//! What may follow what in a run: the rules that make a journal safe to replay.
//!
//! The [`Ledger`] remembers just enough to tell a legal event from nonsense: a run starts once and
//! ends once; a step is planned or started before it says anything, starts at most once, finishes at
//! most once, and says nothing afterwards. Writer and reader of the journal both ask it.

use std::collections::HashMap;

use crate::model::event::{Event, Outcome, StepId};

/// The rules of a run, and where it stands.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    run: Phase,
    steps: HashMap<StepId, StepPhase>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Before,
    During,
    After,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StepPhase {
    Planned,
    Running,
    Finished,
}

/// Why an event cannot have happened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum Illegal {
    #[error("the run has not started")]
    BeforeStart,
    #[error("the run has started before")]
    StartedTwice,
    #[error("the run is over")]
    AfterEnd,
    #[error("step `{0}` was neither planned nor started")]
    UnknownStep(StepId),
    #[error("step `{0}` is not running")]
    NotRunning(StepId),
    #[error("step `{0}` was started before")]
    StepStartedTwice(StepId),
    #[error("step `{0}` is planned again while it runs")]
    PlannedWhileRunning(StepId),
    #[error("step `{0}` is over")]
    StepIsOver(StepId),
    #[error("step `{0}` changed something without having started")]
    ChangedWithoutStart(StepId),
}

impl Ledger {
    /// Takes note of `event`, or says why it cannot follow what came before.
    ///
    /// # Errors
    /// The event is illegal; the ledger is as it was.
    pub fn admit(&mut self, event: &Event) -> Result<(), Illegal> {
        match (self.run, event) {
            (Phase::Before, Event::RunStarted(_)) => self.run = Phase::During,
            (_, Event::RunStarted(_)) => return Err(Illegal::StartedTwice),
            (_, Event::Unknown) | (Phase::After, Event::Artifact { .. }) => {}
            (Phase::Before, _) => return Err(Illegal::BeforeStart),
            (Phase::After, _) => return Err(Illegal::AfterEnd),
            (Phase::During, Event::RunFinished(_)) => self.run = Phase::After,
            (Phase::During, event) => self.admit_step(event)?,
        }
        Ok(())
    }

    fn admit_step(&mut self, event: &Event) -> Result<(), Illegal> {
        use StepPhase::{Finished, Planned, Running};
        match event {
            Event::StepPlanned { step, .. } => {
                match self.steps.get(&step.id) {
                    Some(Running) => return Err(Illegal::PlannedWhileRunning(step.id.clone())),
                    Some(Finished) => return Err(Illegal::StepIsOver(step.id.clone())),
                    None | Some(Planned) => {}
                }
                self.steps.insert(step.id.clone(), Planned);
            }
            Event::StepStarted { step } => {
                match self.steps.get(&step.id) {
                    Some(Running) => return Err(Illegal::StepStartedTwice(step.id.clone())),
                    Some(Finished) => return Err(Illegal::StepIsOver(step.id.clone())),
                    None | Some(Planned) => {}
                }
                self.steps.insert(step.id.clone(), Running);
            }
            Event::Output { step, .. }
            | Event::Progress { step, .. }
            | Event::StepRetrying { step, .. } => match self.known(step)? {
                Planned => return Err(Illegal::NotRunning(step.clone())),
                Finished => return Err(Illegal::StepIsOver(step.clone())),
                Running => {}
            },
            Event::StepFinished { step, outcome, .. } => {
                match (self.known(step)?, outcome) {
                    (Finished, _) => return Err(Illegal::StepIsOver(step.clone())),
                    (Planned, Outcome::Changed { .. }) => {
                        return Err(Illegal::ChangedWithoutStart(step.clone()));
                    }
                    (Planned | Running, _) => {}
                }
                self.steps.insert(step.clone(), Finished);
            }
            _ => {}
        }
        Ok(())
    }

    fn known(&self, step: &StepId) -> Result<StepPhase, Illegal> {
        self.steps
            .get(step)
            .copied()
            .ok_or_else(|| Illegal::UnknownStep(step.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::{
        Mode, RunFinished, RunOutcome, RunStarted, Step, Stream, Totals, Verdict,
    };

    fn id() -> StepId {
        StepId::new("nova", "api", None, "c")
    }

    fn step() -> Step {
        Step {
            id: id(),
            name: "Start the Nova API".into(),
            playbook: "nova".into(),
            host: "c".into(),
            index: 1,
            of: 1,
            lane: "nova".into(),
        }
    }

    fn begin() -> Event {
        Event::RunStarted(RunStarted {
            run: "r".into(),
            cloud: "c".into(),
            mode: Mode::Apply,
            tool: "0".into(),
            platform: None,
            hosts: vec![],
            networks: vec![],
            answer_file: None,
        })
    }

    fn end() -> Event {
        Event::RunFinished(RunFinished {
            outcome: RunOutcome::Done,
            exit_code: 0,
            totals: Totals::default(),
            elapsed_ms: 0,
            next_command: None,
            urls: vec![],
            credentials: None,
        })
    }

    fn planned() -> Event {
        Event::StepPlanned {
            step: step(),
            verdict: Verdict::Later { reason: "r".into() },
        }
    }

    fn started() -> Event {
        Event::StepStarted { step: step() }
    }

    fn output() -> Event {
        Event::Output {
            step: id(),
            host: "c".into(),
            stream: Stream::Stdout,
            line: "x".into(),
        }
    }

    fn finished(outcome: Outcome) -> Event {
        Event::StepFinished {
            step: id(),
            host: "c".into(),
            outcome,
            elapsed_ms: 1,
        }
    }

    fn changed() -> Event {
        finished(Outcome::Changed {
            edits: vec![],
            summary: None,
        })
    }

    fn skipped() -> Event {
        finished(Outcome::Skipped { reason: "r".into() })
    }

    fn admit(events: impl IntoIterator<Item = Event>) -> Result<(), Illegal> {
        let mut ledger = Ledger::default();
        events
            .into_iter()
            .try_for_each(|event| ledger.admit(&event))
    }

    #[test]
    fn the_usual_courses_are_legal() {
        for steps in [
            vec![],
            vec![planned(), planned(), started(), output(), changed()],
            vec![started(), finished(Outcome::Cancelled)],
            vec![planned(), skipped()],
        ] {
            let all = std::iter::once(begin()).chain(steps).chain([end()]);
            assert_eq!(admit(all), Ok(()));
        }
    }

    #[test]
    fn a_file_may_be_announced_after_the_end() {
        let report = Event::Artifact {
            name: "report".into(),
            path: "/x".into(),
        };
        assert_eq!(admit([begin(), end(), report]), Ok(()));
    }

    #[test]
    fn nonsense_is_refused() {
        let cases = [
            (vec![end()], Illegal::BeforeStart),
            (vec![begin(), begin()], Illegal::StartedTwice),
            (vec![begin(), end(), end()], Illegal::AfterEnd),
            (vec![begin(), end(), started()], Illegal::AfterEnd),
            (vec![begin(), output()], Illegal::UnknownStep(id())),
            (vec![begin(), skipped()], Illegal::UnknownStep(id())),
            (
                vec![begin(), planned(), output()],
                Illegal::NotRunning(id()),
            ),
            (
                vec![begin(), planned(), changed()],
                Illegal::ChangedWithoutStart(id()),
            ),
            (
                vec![begin(), started(), started()],
                Illegal::StepStartedTwice(id()),
            ),
            (
                vec![begin(), started(), planned()],
                Illegal::PlannedWhileRunning(id()),
            ),
            (
                vec![begin(), started(), changed(), changed()],
                Illegal::StepIsOver(id()),
            ),
            (
                vec![begin(), started(), changed(), output()],
                Illegal::StepIsOver(id()),
            ),
            (
                vec![begin(), started(), changed(), started()],
                Illegal::StepIsOver(id()),
            ),
            (
                vec![begin(), started(), changed(), planned()],
                Illegal::StepIsOver(id()),
            ),
        ];
        for (events, why) in cases {
            assert_eq!(admit(events.clone()), Err(why), "{events:?}");
        }
    }
}
