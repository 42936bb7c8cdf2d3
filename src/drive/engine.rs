//! The engine: carries a plan's questions and operations to where they belong.
//!
//! [`survey`] asks everything once and touches nothing. [`apply`] works through the plan: every step
//! starts as soon as what it needs is there, so lanes and hosts run at the same time. A step that the
//! survey found in sync is taken at its word as long as nothing has changed on its host since;
//! otherwise it is asked again just before its turn, and once more after it has changed something:
//! what did not take effect is a failure, whatever the command's status said.
//!
//! The engine makes no choices: what a difference is, and what is done about it, is decided in `model`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;

use super::act::{self, Failure};
use super::bus::Bus;
use super::world::World;
use crate::model::edit::Edit;
use crate::model::event::{Event, Outcome, StepId, Verdict};
use crate::model::facts::Facts;
use crate::model::plan::{Plan, Step};
use crate::model::probe::Probe;
use crate::model::resource::{Answer, Change, Diff, Question};

/// How long a step that cannot be decided yet is asked again: services need a moment after a start.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a run needs.
#[derive(Debug, Clone)]
pub struct Engine {
    /// What can be reached.
    pub world: World,
    /// Where everything that happens is said.
    pub bus: Bus,
    /// Cancelled: no further step is started.
    pub stop: CancellationToken,
    /// Cancelled: steps under way are ended.
    pub stop_now: CancellationToken,
}

/// How the steps of a plan ended, for whoever has to decide how it goes on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Something was changed.
    pub changed: u32,
    /// Not tried, because of others.
    pub skipped: u32,
    /// Failed.
    pub failed: u32,
    /// Those of the failed that a passed deadline has ended.
    pub late: u32,
    /// Stopped, or never begun because the run was stopped.
    pub cancelled: u32,
}

/// The verdict on each step, in the plan's order; none for steps of a host that gave no answer.
pub type Verdicts = Vec<Option<Diff>>;

/// Asks every question of the plan and compares. One round trip for each host.
pub async fn survey(engine: &Engine, plan: &Plan) -> Verdicts {
    let facts = probe_hosts(
        engine,
        plan.steps
            .iter()
            .map(|step| (step.host(), step.resource.question())),
    )
    .await;
    let mut asked = JoinSet::new();
    let mut verdicts: Verdicts = vec![None; plan.steps.len()];
    for (index, step) in plan.steps.iter().enumerate() {
        match step.resource.question() {
            Question::Host(_) => {
                let known = facts.get(step.host());
                verdicts[index] = known.map(|known| step.resource.diff(Answer::Host(known)));
            }
            Question::Hosts { other, .. } => {
                if let (Some(here), Some(there)) = (facts.get(step.host()), facts.get(other)) {
                    verdicts[index] = Some(step.resource.diff(Answer::Hosts { here, there }));
                }
            }
            _ => {
                let (world, step) = (engine.world.clone(), step.clone());
                asked.spawn(async move {
                    (index, world.verdict(step.host(), &step.resource).await.ok())
                });
            }
        }
    }
    while let Some(Ok((index, verdict))) = asked.join_next().await {
        verdicts[index] = verdict;
    }
    for (step, verdict) in plan.steps.iter().zip(&verdicts) {
        engine.bus.send(Event::StepPlanned {
            step: step.shown.clone(),
            verdict: verdict.as_ref().map_or_else(
                || Verdict::Later {
                    reason: "its host gave no answer".into(),
                },
                shown,
            ),
        });
    }
    verdicts
}

/// All host questions in one script a host, all hosts at once.
async fn probe_hosts<'a>(
    engine: &Engine,
    questions: impl Iterator<Item = (&'a str, Question<'a>)>,
) -> BTreeMap<String, Facts> {
    let mut by_host: BTreeMap<String, Vec<Probe>> = BTreeMap::new();
    let mut ask = |host: &str, probes: Vec<Probe>| {
        by_host.entry(host.to_owned()).or_default().extend(probes);
    };
    for (host, question) in questions {
        match question {
            Question::Host(probes) => ask(host, probes),
            Question::Hosts { here, other, there } => {
                ask(host, here);
                ask(other, there);
            }
            _ => {}
        }
    }
    let mut asked = JoinSet::new();
    for (host, probes) in by_host {
        let (world, bus) = (engine.world.clone(), engine.bus.clone());
        asked.spawn(async move {
            let facts = world.probe(&host, &probes).await;
            if let Err(error) = &facts {
                let problem = crate::model::event::Problem {
                    host: Some(host.clone()),
                    causes: vec![error.to_string()],
                    ..crate::model::event::Problem::error(
                        "host::probe",
                        "the host could not be asked",
                    )
                };
                bus.send(Event::HostFailed {
                    host: host.clone(),
                    problem,
                });
            }
            (host, facts)
        });
    }
    let mut known = BTreeMap::new();
    while let Some(Ok((host, facts))) = asked.join_next().await {
        if let Ok(facts) = facts {
            known.insert(host, facts);
        }
    }
    known
}

fn shown(verdict: &Diff) -> Verdict {
    match verdict {
        Diff::InSync(reason) => Verdict::InSync {
            reason: reason.clone(),
        },
        Diff::Change(change) => Verdict::Change {
            edits: change.edits.clone(),
        },
        Diff::Later(reason) | Diff::Refused(reason) => Verdict::Later {
            reason: reason.clone(),
        },
    }
}

/// How far a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Running,
    Good,
    /// Not so, for which the step at this place is to blame.
    Bad(usize),
}

/// Works through the plan, and counts how its steps ended.
pub async fn apply(engine: &Engine, plan: &Plan, verdicts: Verdicts) -> Tally {
    let changes = Arc::new(Changes::new(plan));
    let mut states = vec![State::Open; plan.steps.len()];
    let mut tally = Tally::default();
    let mut running = Running::default();
    announce(engine, plan, &verdicts);
    let mut verdicts = verdicts;
    loop {
        start_ready(
            engine,
            plan,
            &mut states,
            &mut verdicts,
            &changes,
            &mut running,
            &mut tally,
        );
        let finished = tokio::select! {
            finished = running.tasks.join_next_with_id() => finished,
            () = engine.stop_now.cancelled() => None,
        };
        let Some(finished) = finished else { break };
        let (index, outcome, elapsed) = match finished {
            Ok((_, finished)) => finished,
            Err(error) => match running.steps.get(&error.id()) {
                Some(index) => (*index, panicked(&plan.steps[*index]), Duration::ZERO),
                None => continue,
            },
        };
        states[index] = match outcome {
            Outcome::Unchanged { .. } | Outcome::Changed { .. } => State::Good,
            _ => State::Bad(index),
        };
        finish(engine, &plan.steps[index], outcome, elapsed, &mut tally);
    }
    running.tasks.shutdown().await;
    for (index, step) in plan.steps.iter().enumerate() {
        if matches!(states[index], State::Open | State::Running) {
            finish(engine, step, Outcome::Cancelled, Duration::ZERO, &mut tally);
        }
    }
    tally
}

/// Steps that no survey has spoken of are made known, so that what comes of them can be told.
fn announce(engine: &Engine, plan: &Plan, verdicts: &Verdicts) {
    let unknown = plan
        .steps
        .iter()
        .zip(verdicts)
        .filter(|(_, verdict)| verdict.is_none());
    for (step, _) in unknown {
        engine.bus.send(Event::StepPlanned {
            step: step.shown.clone(),
            verdict: Verdict::Later {
                reason: "asked when its turn comes".into(),
            },
        });
    }
}

fn finish(engine: &Engine, step: &Step, outcome: Outcome, elapsed: Duration, tally: &mut Tally) {
    match &outcome {
        Outcome::Unchanged { .. } => {}
        Outcome::Changed { .. } => tally.changed += 1,
        Outcome::Skipped { .. } => tally.skipped += 1,
        Outcome::Failed { problem } => {
            tally.failed += 1;
            tally.late += u32::from(problem.code.ends_with("deadline"));
        }
        Outcome::Cancelled => tally.cancelled += 1,
    }
    engine.bus.send(Event::StepFinished {
        step: step.id().clone(),
        host: step.host().to_owned(),
        outcome,
        elapsed_ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
    });
}

/// A fault of ours inside one step ends that step, and no other.
fn panicked(step: &Step) -> Outcome {
    let failed = Failure::new(step, "fault::panic", "a fault of provision itself");
    Outcome::Failed {
        problem: failed
            .help("report it, please, with the output of this run")
            .problem,
    }
}

type Finished = (usize, Outcome, Duration);

/// The steps under way.
#[derive(Debug, Default)]
struct Running {
    tasks: JoinSet<Finished>,
    /// Which step a task is for, since one that panics does not say so.
    steps: BTreeMap<Id, usize>,
}

/// Starts every step whose needs are met; skips those whose needs have failed.
fn start_ready(
    engine: &Engine,
    plan: &Plan,
    states: &mut [State],
    verdicts: &mut Verdicts,
    changes: &Arc<Changes>,
    running: &mut Running,
    tally: &mut Tally,
) {
    // Needs stand before what needs them, so one pass settles everything that follows from a failure.
    for (index, step) in plan.steps.iter().enumerate() {
        if states[index] != State::Open {
            continue;
        }
        let blame = step.needs.iter().find_map(|need| match states[*need] {
            State::Bad(blame) => Some(blame),
            _ => None,
        });
        let reached = |step: &Step| engine.world.sessions.contains_key(step.host());
        let mut skip = |reason: String| {
            let outcome = Outcome::Skipped { reason };
            finish(engine, step, outcome, Duration::ZERO, tally);
        };
        if let Some(blame) = blame {
            states[index] = State::Bad(blame);
            let needed = &plan.steps[blame];
            let how = match reached(needed) {
                true => "which failed",
                false => "whose host was not reached",
            };
            skip(format!("it needs {}, {how}", needed.id()));
        } else if !reached(step) {
            states[index] = State::Bad(index);
            skip("its host was not reached".into());
        } else if !engine.stop.is_cancelled()
            && step.needs.iter().all(|need| states[*need] == State::Good)
        {
            states[index] = State::Running;
            engine.bus.send(Event::StepStarted {
                step: step.shown.clone(),
            });
            let (engine, step, changes) = (engine.clone(), step.clone(), Arc::clone(changes));
            let verdict = verdicts[index].take();
            let task = running.tasks.spawn(async move {
                let started = Instant::now();
                let outcome = work(&engine, &step, verdict, &changes).await;
                (index, outcome, started.elapsed())
            });
            running.steps.insert(task.id(), index);
        }
    }
}

/// Counts what has changed since the survey, by host and in all.
#[derive(Debug)]
struct Changes {
    by_host: BTreeMap<String, AtomicU64>,
    all: AtomicU64,
}

impl Changes {
    fn new(plan: &Plan) -> Self {
        let by_host = plan
            .steps
            .iter()
            .map(|s| (s.host().to_owned(), AtomicU64::new(0)))
            .collect();
        Self {
            by_host,
            all: AtomicU64::new(0),
        }
    }

    fn note(&self, step: &Step) {
        self.all.fetch_add(1, Ordering::SeqCst);
        if let Some(count) = self.by_host.get(step.host()) {
            count.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Whether what the survey found for this step must still be so.
    fn none_for(&self, step: &Step) -> bool {
        let none_on = |host: &str| {
            let count = self.by_host.get(host);
            count.is_none_or(|count| count.load(Ordering::SeqCst) == 0)
        };
        match step.resource.question() {
            Question::Host(_) => none_on(step.host()),
            Question::Hosts { other, .. } => none_on(step.host()) && none_on(other),
            _ => self.all.load(Ordering::SeqCst) == 0,
        }
    }
}

/// One step, from its question to its outcome.
async fn work(engine: &Engine, step: &Step, surveyed: Option<Diff>, changes: &Changes) -> Outcome {
    let until = Instant::now() + Duration::from_secs(step.deadline);
    let mut surveyed = surveyed.filter(|_| changes.none_for(step));
    let mut attempt = 1;
    loop {
        let result = attempt_once(engine, step, surveyed.take(), changes, until).await;
        let failure = match result {
            Ok(outcome) => return outcome,
            Err(failure) => failure,
        };
        let again = failure.passing || attempt <= step.retries;
        let pause = Duration::from_secs(1 << attempt.min(4));
        if !again || attempt > step.retries.max(3) || Instant::now() + pause >= until {
            return Outcome::Failed {
                problem: failure.problem,
            };
        }
        engine.bus.send(Event::StepRetrying {
            step: step.id().clone(),
            host: step.host().to_owned(),
            attempt,
            of: None,
            reason: failure
                .problem
                .causes
                .first()
                .unwrap_or(&failure.problem.message)
                .clone(),
            wait_ms: u64::try_from(pause.as_millis()).unwrap_or(u64::MAX),
        });
        tokio::time::sleep(pause).await;
        reconnect(engine, step).await;
        attempt += 1;
    }
}

async fn reconnect(engine: &Engine, step: &Step) {
    if let Ok(session) = engine.world.session(step.host())
        && !session.is_alive()
    {
        // When this fails the step's next attempt says so.
        let _ = session.reconnect(Duration::from_secs(60)).await;
    }
}

async fn attempt_once(
    engine: &Engine,
    step: &Step,
    surveyed: Option<Diff>,
    changes: &Changes,
    until: Instant,
) -> Result<Outcome, Failure> {
    let verdict = match surveyed {
        Some(verdict @ (Diff::InSync(_) | Diff::Change(_))) => verdict,
        _ => decide(engine, step, until).await?,
    };
    let change = match verdict {
        Diff::InSync(reason) => return Ok(Outcome::Unchanged { reason }),
        Diff::Refused(why) => {
            return Err(Failure::new(step, "step::refused", why).help(act::refused(step)));
        }
        Diff::Later(why) => {
            let failed = Failure::new(step, "step::undecided", "it cannot be decided even now");
            return Err(failed.because(why).help(format!(
                "what it waits for comes from an earlier step: see why {} is not there yet, and run \
                 the same command again",
                step.host()
            )));
        }
        Diff::Change(change) => change,
    };
    let done = act::carry_out(&engine.world, &engine.bus, step, &change, until).await;
    changes.note(step);
    confirm(engine, step, change.edits, done?).await
}

/// Asks until the answer is more than "later", but not for long.
async fn decide(engine: &Engine, step: &Step, until: Instant) -> Result<Diff, Failure> {
    let patience = until.min(Instant::now() + PATIENCE);
    loop {
        if let Some(openstack) = &engine.world.openstack
            && !matches!(
                step.resource.question(),
                Question::Host(_) | Question::Hosts { .. }
            )
        {
            openstack.forget();
        }
        let verdict = engine.world.verdict(step.host(), &step.resource).await;
        let verdict = verdict.map_err(|error| Failure::asking(step, &error))?;
        let pause = Duration::from_millis(500);
        if !matches!(verdict, Diff::Later(_)) || Instant::now() + pause >= patience {
            return Ok(verdict);
        }
        tokio::time::sleep(pause).await;
    }
}

/// What was changed must be in sync now. `said` is what the change itself wrote last.
async fn confirm(
    engine: &Engine,
    step: &Step,
    edits: Vec<Edit>,
    said: Vec<String>,
) -> Result<Outcome, Failure> {
    let verdict = engine.world.verdict(step.host(), &step.resource).await;
    let left = match verdict.map_err(|error| Failure::asking(step, &error))? {
        Diff::InSync(_) => {
            return Ok(Outcome::Changed {
                edits,
                summary: None,
            });
        }
        Diff::Change(Change { edits, .. }) => edits.iter().map(Edit::unmet).collect(),
        Diff::Later(why) | Diff::Refused(why) => vec![why],
    };
    let mut failed = Failure::new(step, "step::no-effect", "the change did not take effect");
    failed.problem.causes = left;
    failed.problem.tail = said;
    Err(failed.help(format!(
        "something on {} undoes it or stands against it: find out what, and run the same command \
         again",
        step.host()
    )))
}

/// Removes what the plan's API steps have made, last first. Failures are reported and passed over; a
/// first request to stop does not keep it from cleaning up, a second one does.
pub async fn remove(engine: &Engine, plan: &Plan) -> Tally {
    let engine = &Engine {
        stop: engine.stop_now.clone(),
        ..engine.clone()
    };
    let mut reversed = Plan::default();
    for step in plan.steps.iter().rev() {
        let Some(resource) = step.resource.absent() else {
            continue;
        };
        let mut step = step.clone();
        step.resource = resource;
        step.shown.id = StepId::from_text(format!("remove {}", step.shown.id));
        step.shown.name = format!("Remove again: {}", step.shown.name);
        step.retries = step.retries.max(5);
        step.needs = reversed.steps.len().checked_sub(1).into_iter().collect();
        reversed.steps.push(step);
    }
    reversed.number();
    let none = vec![None; reversed.steps.len()];
    apply(engine, &reversed, none).await
}
