//! The state of a run, as a pure fold over its events.
//!
//! Every display reads this instead of counting for itself, so no two of them can disagree. The fold
//! is lenient: what it is given twice it overwrites, what it does not know it leaves; whether an event
//! is legal is [`crate::model::ledger`]'s business. It keeps no output but each step's last line.

use std::collections::HashMap;

use jiff::Timestamp;

use crate::model::event::{
    Amount, CheckOutcome, Envelope, Event, HostPlace, HostSummary, Outcome, Problem, RunFinished,
    RunStarted, Step, StepId, Totals, Verdict,
};

/// All that is known of a run so far.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Who runs what; absent before the first event.
    pub started: Option<RunStarted>,
    /// When the run started.
    pub started_at: Option<Timestamp>,
    /// When the latest event happened.
    pub latest_at: Option<Timestamp>,
    /// The hosts, in the order of the answer file, then as they turn up.
    pub hosts: Vec<HostState>,
    /// The steps, in the order in which they were first heard of.
    pub steps: Vec<StepState>,
    /// The health questions, in the order of their answers; each only once, with its latest answer.
    pub checks: Vec<Check>,
    /// What was diagnosed beside the failures of hosts and steps.
    pub notes: Vec<Problem>,
    /// The files the run made: name and path.
    pub artifacts: Vec<(String, String)>,
    /// Whether the user asked to stop, and whether at once.
    pub stop: Option<bool>,
    /// How it ended; absent while it runs, and for a run that broke off.
    pub finished: Option<RunFinished>,
    by_id: HashMap<StepId, usize>,
}

/// A host in the run.
#[derive(Clone, Debug)]
pub struct HostState {
    /// Its name, address, roles and services.
    pub place: HostPlace,
    /// How it stands with our connection.
    pub link: Link,
    /// What kind of machine it is, once known.
    pub facts: Option<HostSummary>,
}

/// How it stands with the connection to a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Link {
    /// Not tried.
    None,
    /// Being made.
    Connecting,
    /// There, after this many milliseconds.
    Connected(u64),
    /// The host is out of this run.
    Failed(Problem),
}

/// A step in the run.
#[derive(Clone, Debug)]
pub struct StepState {
    /// Its name tag.
    pub step: Step,
    /// The plan's latest word on it.
    pub verdict: Option<Verdict>,
    /// Where it stands.
    pub phase: StepPhase,
    /// When it started, in milliseconds since the start of the run.
    pub began_ms: Option<u64>,
    /// Attempts that ended without success and were followed by another.
    pub retries: u32,
    /// The last line its command wrote, or why the last attempt was not good enough.
    pub last_line: Option<String>,
    /// How much of it is done, where it says so.
    pub amount: Option<Amount>,
}

/// Where a step stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepPhase {
    /// Its turn has not come.
    Waiting,
    /// It is under way.
    Running,
    /// It is over.
    Finished {
        /// What came of it.
        outcome: Outcome,
        /// How long it took.
        elapsed_ms: u64,
    },
}

/// A health question and its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// The service asked about.
    pub service: String,
    /// The question.
    pub check: String,
    /// The host asked; absent when it is about the cloud.
    pub host: Option<String>,
    /// The answer.
    pub outcome: CheckOutcome,
    /// How long the answer took.
    pub elapsed_ms: u64,
}

impl HostState {
    /// Whether the answer file names it; others turn up when something is done there, as on the
    /// machine that makes a lab.
    pub fn is_declared(&self) -> bool {
        !self.place.address.is_empty()
    }
}

impl StepState {
    /// What came of it, once it is over.
    pub fn outcome(&self) -> Option<&Outcome> {
        match &self.phase {
            StepPhase::Finished { outcome, .. } => Some(outcome),
            _ => None,
        }
    }

    /// How long it took, or has run until `now_ms` since the start of the run.
    pub fn elapsed_ms(&self, now_ms: u64) -> u64 {
        match self.phase {
            StepPhase::Finished { elapsed_ms, .. } => elapsed_ms,
            _ => self
                .began_ms
                .map_or(0, |began| now_ms.saturating_sub(began)),
        }
    }
}

impl Summary {
    /// The state after all of `envelopes`.
    pub fn of<'e>(envelopes: impl IntoIterator<Item = &'e Envelope>) -> Self {
        let mut summary = Self::default();
        envelopes
            .into_iter()
            .for_each(|envelope| summary.apply(envelope));
        summary
    }

    /// Takes the next event into account.
    pub fn apply(&mut self, envelope: &Envelope) {
        self.latest_at = Some(envelope.at);
        match &envelope.event {
            Event::RunStarted(started) => self.start(started, envelope.at),
            Event::HostConnecting { host } => self.host_mut(host).link = Link::Connecting,
            Event::HostConnected { host, elapsed_ms } => {
                self.host_mut(host).link = Link::Connected(*elapsed_ms);
            }
            Event::HostFailed { host, problem } => {
                self.host_mut(host).link = Link::Failed(problem.clone());
            }
            Event::HostFacts { host, facts } => self.host_mut(host).facts = Some(facts.clone()),
            Event::Checked {
                service,
                check,
                host,
                outcome,
                elapsed_ms,
            } => self.check(Check {
                service: service.clone(),
                check: check.clone(),
                host: host.clone(),
                outcome: outcome.clone(),
                elapsed_ms: *elapsed_ms,
            }),
            Event::Diagnosed(problem) => self.notes.push(problem.clone()),
            Event::StopRequested { now } => self.stop = Some(*now),
            Event::Artifact { name, path } => self.artifacts.push((name.clone(), path.clone())),
            Event::RunFinished(finished) => self.finished = Some(finished.clone()),
            event => self.apply_step(event, self.millis(envelope.at)),
        }
    }

    fn apply_step(&mut self, event: &Event, now_ms: u64) {
        match event {
            Event::StepPlanned { step, verdict } => {
                self.step_mut(step).verdict = Some(verdict.clone());
            }
            Event::StepStarted { step } => {
                let state = self.step_mut(step);
                state.phase = StepPhase::Running;
                state.began_ms = Some(now_ms);
            }
            Event::Output { step, line, .. } => {
                if let Some(state) = self.known_mut(step) {
                    state.last_line = Some(line.clone());
                }
            }
            Event::StepRetrying { step, reason, .. } => {
                if let Some(state) = self.known_mut(step) {
                    state.retries += 1;
                    state.last_line = Some(reason.clone());
                }
            }
            Event::Progress { step, amount, .. } => {
                if let Some(state) = self.known_mut(step) {
                    state.amount = amount.or(state.amount);
                }
            }
            Event::StepFinished {
                step,
                outcome,
                elapsed_ms,
                ..
            } => {
                if let Some(state) = self.known_mut(step) {
                    // A step that was cut off is reported without its time, which we know.
                    let elapsed_ms = match *elapsed_ms {
                        0 => state.elapsed_ms(now_ms),
                        elapsed_ms => elapsed_ms,
                    };
                    let outcome = outcome.clone();
                    state.phase = StepPhase::Finished {
                        outcome,
                        elapsed_ms,
                    };
                }
            }
            _ => {}
        }
    }

    fn start(&mut self, started: &RunStarted, at: Timestamp) {
        self.started_at = Some(at);
        for place in &started.hosts {
            self.host_mut(&place.name).place = place.clone();
        }
        self.started = Some(started.clone());
    }

    fn check(&mut self, check: Check) {
        let same = |c: &&mut Check| {
            c.service == check.service && c.check == check.check && c.host == check.host
        };
        match self.checks.iter_mut().find(same) {
            Some(earlier) => *earlier = check,
            None => self.checks.push(check),
        }
    }

    fn host_mut(&mut self, name: &str) -> &mut HostState {
        let at = self
            .hosts
            .iter()
            .position(|h| h.place.name == name)
            .unwrap_or_else(|| {
                self.hosts.push(HostState {
                    place: HostPlace {
                        name: name.to_owned(),
                        address: String::new(),
                        roles: Vec::new(),
                        services: Vec::new(),
                    },
                    link: Link::None,
                    facts: None,
                });
                self.hosts.len() - 1
            });
        &mut self.hosts[at]
    }

    fn step_mut(&mut self, step: &Step) -> &mut StepState {
        self.host_mut(&step.host);
        let at = *self.by_id.entry(step.id.clone()).or_insert_with(|| {
            self.steps.push(StepState {
                step: step.clone(),
                verdict: None,
                phase: StepPhase::Waiting,
                began_ms: None,
                retries: 0,
                last_line: None,
                amount: None,
            });
            self.steps.len() - 1
        });
        self.steps[at].step = step.clone();
        &mut self.steps[at]
    }

    fn known_mut(&mut self, id: &StepId) -> Option<&mut StepState> {
        self.by_id.get(id).map(|&at| &mut self.steps[at])
    }

    /// The hosts that the answer file names.
    pub fn declared_hosts(&self) -> impl Iterator<Item = &HostState> {
        self.hosts.iter().filter(|host| host.is_declared())
    }

    /// A step by its id.
    pub fn step(&self, id: &StepId) -> Option<&StepState> {
        self.by_id.get(id).map(|&at| &self.steps[at])
    }

    /// A host's steps, in the order in which they were first heard of.
    pub fn steps_of<'s>(&'s self, host: &'s str) -> impl Iterator<Item = &'s StepState> {
        self.steps.iter().filter(move |s| s.step.host == host)
    }

    /// Milliseconds from the start of the run to `at`; 0 for anything earlier.
    pub fn millis(&self, at: Timestamp) -> u64 {
        let from = self.started_at.unwrap_or(at);
        u64::try_from(at.as_millisecond() - from.as_millisecond()).unwrap_or(0)
    }

    /// How long the run took, or has run when its latest event happened, in milliseconds.
    pub fn elapsed_ms(&self) -> u64 {
        match (&self.finished, self.latest_at) {
            (Some(finished), _) => finished.elapsed_ms,
            (None, Some(at)) => self.millis(at),
            (None, None) => 0,
        }
    }

    /// Whether anything was done or tried, as against only planned or asked.
    pub fn acted(&self) -> bool {
        self.steps.iter().any(|s| s.phase != StepPhase::Waiting)
    }

    /// The steps counted by what came of them so far or, where none was tried, by the plan's word.
    pub fn totals(&self) -> Totals {
        Self::count(self.steps.iter(), self.acted())
    }

    /// The totals of one host.
    pub fn totals_of(&self, host: &str) -> Totals {
        Self::count(self.steps_of(host), self.acted())
    }

    fn count<'s>(steps: impl Iterator<Item = &'s StepState>, acted: bool) -> Totals {
        let mut t = Totals::default();
        for state in steps {
            t.steps += 1;
            let counter = match (state.outcome(), &state.verdict) {
                (Some(Outcome::Unchanged { .. }), _) => &mut t.unchanged,
                (Some(Outcome::Changed { .. }), _) => &mut t.changed,
                (Some(Outcome::Skipped { .. }), _) => &mut t.skipped,
                (Some(Outcome::Failed { .. }), _) => &mut t.failed,
                (Some(Outcome::Cancelled), _) => &mut t.cancelled,
                (None, _) if acted => continue,
                (None, Some(Verdict::InSync { .. })) => &mut t.unchanged,
                (None, Some(Verdict::Change { .. })) => &mut t.changed,
                (None, Some(Verdict::Later { .. }) | None) => &mut t.later,
            };
            *counter += 1;
        }
        t
    }

    /// The finished steps that took longest, longest first; only those of a tenth of a second or more.
    pub fn slowest(&self, how_many: usize) -> Vec<&StepState> {
        let mut finished: Vec<_> = self
            .steps
            .iter()
            .filter(|s| s.outcome().is_some() && s.elapsed_ms(0) >= 100)
            .collect();
        finished.sort_by_key(|s| std::cmp::Reverse(s.elapsed_ms(0)));
        finished.truncate(how_many);
        finished
    }

    /// Everything that went wrong: hosts, then steps, then the rest; nothing twice.
    pub fn problems(&self) -> Vec<&Problem> {
        let hosts = self.hosts.iter().filter_map(|h| match &h.link {
            Link::Failed(problem) => Some(problem),
            _ => None,
        });
        let steps = self.steps.iter().filter_map(|s| match s.outcome() {
            Some(Outcome::Failed { problem }) => Some(problem),
            _ => None,
        });
        let mut problems: Vec<&Problem> = Vec::new();
        for problem in hosts.chain(steps).chain(&self.notes) {
            if !problems.contains(&problem) {
                problems.push(problem);
            }
        }
        problems
    }

    /// The services that were asked about, in the order of the first answers.
    pub fn checked_services(&self) -> Vec<&str> {
        let mut services: Vec<&str> = Vec::new();
        for check in &self.checks {
            if !services.contains(&check.service.as_str()) {
                services.push(&check.service);
            }
        }
        services
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::Stream;

    fn after(events: impl IntoIterator<Item = Event>) -> Summary {
        let mut summary = Summary {
            started_at: Some(Timestamp::UNIX_EPOCH),
            ..Summary::default()
        };
        for (n, event) in (0..).zip(events) {
            let at = Timestamp::from_millisecond(n * 1000).unwrap();
            summary.apply(&Envelope {
                version: 1,
                seq: n.unsigned_abs() + 1,
                at,
                event,
            });
        }
        summary
    }

    fn step() -> Step {
        Step {
            id: StepId::new("nova", "api", None, "c"),
            name: "Start the Nova API".into(),
            playbook: "nova".into(),
            host: "c".into(),
            index: 1,
            of: 1,
            lane: "nova".into(),
        }
    }

    fn finished(outcome: Outcome, elapsed_ms: u64) -> Event {
        Event::StepFinished {
            step: step().id,
            host: "c".into(),
            outcome,
            elapsed_ms,
        }
    }

    fn checked(outcome: CheckOutcome) -> Event {
        Event::Checked {
            service: "nova".into(),
            check: "units active".into(),
            host: Some("c".into()),
            outcome,
            elapsed_ms: 1,
        }
    }

    #[test]
    fn only_the_latest_answer_to_a_question_counts() {
        let bad = CheckOutcome::Bad {
            cause: "down".into(),
            help: String::new(),
        };
        let run = after([checked(bad), checked(CheckOutcome::Ok { seen: None })]);
        assert_eq!(run.checks.len(), 1);
        assert_eq!(run.checks[0].outcome, CheckOutcome::Ok { seen: None });
    }

    #[test]
    fn a_problem_that_is_told_twice_is_one() {
        let problem = Problem::error("step::failed", "no");
        let failed = Outcome::Failed {
            problem: problem.clone(),
        };
        let begun = Event::StepStarted { step: step() };
        let run = after([
            begun,
            finished(failed, 5),
            Event::Diagnosed(problem.clone()),
        ]);
        assert_eq!(run.problems(), [&problem]);
    }

    #[test]
    fn a_plan_is_counted_by_verdicts_and_a_run_by_outcomes() {
        let verdict = Verdict::Change { edits: vec![] };
        let planned = Event::StepPlanned {
            step: step(),
            verdict,
        };
        let begun = Event::StepStarted { step: step() };
        assert_eq!(after([planned.clone()]).totals().changed, 1);
        let run = after([planned.clone(), begun.clone()]);
        assert_eq!((run.totals().steps, run.totals().changed), (1, 0));
        let skipped = finished(
            Outcome::Unchanged {
                reason: "so".into(),
            },
            5,
        );
        assert_eq!(after([planned, begun, skipped]).totals().unchanged, 1);
    }

    #[test]
    fn a_step_that_was_cut_off_has_the_time_since_it_began() {
        let run = after([
            Event::StopRequested { now: false },
            Event::StepStarted { step: step() },
            Event::StopRequested { now: true },
            finished(Outcome::Cancelled, 0),
        ]);
        assert_eq!(run.steps[0].elapsed_ms(0), 2000);
    }

    #[test]
    fn what_is_not_known_is_passed_over() {
        let (id, line) = (step().id, "x".to_owned());
        let stray = Event::Output {
            step: id,
            host: "c".into(),
            stream: Stream::Stdout,
            line,
        };
        let run = after([stray, Event::Unknown]);
        assert!(run.steps.is_empty() && run.hosts.is_empty());
    }
}
