//! Health: every check is asked, those that are not well again and again until their patience ends.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::engine::Engine;
use super::world::{AskError, World};
use crate::model::edit::Edit;
use crate::model::event::{CheckOutcome, Event};
use crate::model::facts::Facts;
use crate::model::plan::Check;
use crate::model::probe::Probe;
use crate::model::resource::{Answer, Diff, Question};

const PAUSE: Duration = Duration::from_secs(1);

/// Asks all checks; each is reported once, as soon as it is well or its patience is over. Returns
/// how many are not well.
pub async fn check(engine: &Engine, checks: &[Check]) -> usize {
    let started = Instant::now();
    let mut open: Vec<&Check> = checks.iter().collect();
    let mut bad = 0;
    loop {
        if let Some(openstack) = &engine.world.openstack {
            openstack.forget();
        }
        let outcomes = round(&engine.world, &open).await;
        let elapsed = started.elapsed();
        let mut again = Vec::new();
        for (check, outcome) in open.into_iter().zip(outcomes) {
            let well = matches!(outcome, CheckOutcome::Ok { .. });
            let over = elapsed + PAUSE >= Duration::from_secs(check.patience);
            if !well && !over && !engine.stop.is_cancelled() {
                again.push(check);
                continue;
            }
            bad += usize::from(!well);
            engine.bus.send(Event::Checked {
                service: check.service.clone(),
                check: check.name.clone(),
                host: Some(check.host.clone()),
                outcome,
                elapsed_ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
            });
        }
        if again.is_empty() {
            return bad;
        }
        open = again;
        tokio::time::sleep(PAUSE).await;
    }
}

/// One answer for each check; the hosts' own questions in one round trip a host.
async fn round(world: &World, checks: &[&Check]) -> Vec<CheckOutcome> {
    let facts = probe_hosts(world, checks).await;
    let mut asked = JoinSet::new();
    let mut outcomes = Vec::with_capacity(checks.len());
    for (index, check) in checks.iter().enumerate() {
        let seen = |host: &str| facts.get(host).map(Result::as_ref);
        let judged = |verdict| outcome(&check.help, verdict);
        outcomes.push(match (check.resource.question(), seen(&check.host)) {
            (Question::Host(_), Some(Ok(here))) => {
                judged(Ok(check.resource.diff(Answer::Host(here))))
            }
            (Question::Hosts { other, .. }, Some(Ok(here))) => match seen(other) {
                Some(Ok(there)) => judged(Ok(check.resource.diff(Answer::Hosts { here, there }))),
                Some(Err(error)) => judged(Err(error.clone())),
                None => judged(Err(AskError::NoSession(other.to_owned()))),
            },
            (Question::Host(_) | Question::Hosts { .. }, Some(Err(error))) => {
                judged(Err(error.clone()))
            }
            _ => {
                let (world, check) = (world.clone(), (*check).clone());
                asked.spawn(async move {
                    let verdict = world.verdict(&check.host, &check.resource).await;
                    (index, outcome(&check.help, verdict))
                });
                CheckOutcome::Unknown {
                    reason: "it gave no answer".into(),
                }
            }
        });
    }
    while let Some(Ok((index, outcome))) = asked.join_next().await {
        outcomes[index] = outcome;
    }
    outcomes
}

/// All hosts at once, each in one round trip.
async fn probe_hosts(
    world: &World,
    checks: &[&Check],
) -> BTreeMap<String, Result<Facts, AskError>> {
    let mut probes: BTreeMap<String, Vec<Probe>> = BTreeMap::new();
    let mut ask = |host: &str, own: Vec<Probe>| {
        probes.entry(host.to_owned()).or_default().extend(own);
    };
    for check in checks {
        match check.resource.question() {
            Question::Host(own) => ask(&check.host, own),
            Question::Hosts { here, other, there } => {
                ask(&check.host, here);
                ask(other, there);
            }
            _ => {}
        }
    }
    let mut asked = JoinSet::new();
    for (host, own) in probes {
        let world = world.clone();
        asked.spawn(async move {
            let facts = world.probe(&host, &own).await;
            (host, facts)
        });
    }
    asked.join_all().await.into_iter().collect()
}

fn outcome(help: &str, verdict: Result<Diff, AskError>) -> CheckOutcome {
    let bad = |cause: String| CheckOutcome::Bad {
        cause,
        help: help.to_owned(),
    };
    match verdict {
        Ok(Diff::InSync(seen)) => CheckOutcome::Ok { seen: Some(seen) },
        Ok(Diff::Later(why) | Diff::Refused(why)) => bad(why),
        Ok(Diff::Change(change)) => bad(change.edits.first().map(Edit::unmet).unwrap_or_default()),
        Err(error) => CheckOutcome::Unknown {
            reason: error.to_string(),
        },
    }
}
