//! Doing: a step's operations, one after another, each with its deadline and its last words.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::bus::Bus;
use super::confirmed::Unconfirmed;
use super::openstack::with_causes;
use super::transport::{Command, ConnectError, RunError, Stream};
use super::world::{AskError, World};
use crate::model::edit::Edit;
use crate::model::event::{self, Amount, AmountUnit, Event, Problem, TAIL_LINES};
use crate::model::plan::Step;
use crate::model::resource::{Change, Diff, Op, Resource};

/// Pauses between two looks at something we wait for: short at first.
const PAUSES_MS: [u64; 6] = [100, 200, 300, 500, 700, 1000];

/// Why a step did not do what it was to do.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    /// What is shown.
    pub(super) problem: Problem,
    /// Whether the same might succeed a moment later.
    pub(super) passing: bool,
}

impl Failure {
    pub(super) fn new(step: &Step, code: &str, message: impl Into<String>) -> Self {
        // What a playbook calls the step, without its item and host.
        let id = step.id().as_str().split(['[', '@']).next();
        let alone = id.filter(|id| !id.contains(' ')).map(|id| {
            format!("`--only {id} -vv` runs this step alone and shows all that the host says")
        });
        let problem = Problem {
            host: Some(step.host().to_owned()),
            step: Some(step.id().clone()),
            help: alone,
            ..Problem::error(code, message)
        };
        Self {
            problem,
            passing: false,
        }
    }

    pub(super) fn asking(step: &Step, error: &AskError) -> Self {
        let mut failure = Self::new(step, "step::ask", "the host gave no answer");
        if let AskError::Run(RunError::Deadline { .. }) = error {
            failure.problem.code = "step::deadline".into();
        }
        failure.problem.causes = vec![error.to_string()];
        failure.passing = true;
        failure.help(format!(
            "see that {} can be reached and is not overloaded, and run the same command again: it \
             goes on from here",
            step.host()
        ))
    }

    pub(super) fn because(mut self, cause: impl Into<String>) -> Self {
        self.problem.causes.push(cause.into());
        self
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.problem.help = Some(help.into());
        self
    }
}

/// Carries out `change` on the step's host or in its service; returns what its last script wrote last.
///
/// # Errors
/// The first operation that fails.
pub(super) async fn carry_out(
    world: &World,
    bus: &Bus,
    step: &Step,
    change: &Change,
    until: Instant,
) -> Result<Vec<String>, Failure> {
    let mut said = Vec::new();
    for op in &change.ops {
        match op {
            Op::Run { script, stdin } => {
                said = run(world, bus, step, script, stdin, until).await?;
            }
            Op::Copy { from, read, write } => {
                let content = fetch(world, step, from, read, until).await?;
                said = run(world, bus, step, write, &content, until).await?;
            }
            Op::Confirmed { script, undo } => confirmed(world, step, script, undo).await?,
            Op::Request(request) => {
                let openstack = world
                    .openstack
                    .as_ref()
                    .ok_or_else(|| no_controller(step))?;
                let reply = openstack.send(request).await;
                let reply = reply.map_err(|error| {
                    let failed =
                        Failure::new(step, "service::unreachable", "the request was not answered");
                    let failed = failed.because(with_causes(&error)).help(
                        "`provision status` shows which services answer; run the same command again",
                    );
                    Failure {
                        passing: true,
                        ..failed
                    }
                })?;
                // Gone already is as good as removed.
                let gone = request.method == "DELETE" && reply.status == 404;
                if !reply.is_success() && !gone {
                    let what = format!("{} {} was refused", request.method, request.path);
                    let failed = Failure::new(step, "service::refused", what);
                    let passing = matches!(reply.status, 409 | 500..);
                    let cause = format!("status {}: {}", reply.status, reply.said());
                    let failed = failed.because(cause).help(
                        "the service's log under /var/log on the controller says more; run the same \
                         command again",
                    );
                    return Err(Failure { passing, ..failed });
                }
            }
            Op::Upload { image, id } => {
                let openstack = world
                    .openstack
                    .as_ref()
                    .ok_or_else(|| no_controller(step))?;
                openstack
                    .upload(image, id.as_deref())
                    .await
                    .map_err(|cause| {
                        Failure::new(step, "service::upload", "the image was not taken")
                            .because(cause)
                            .help(
                                "see /var/log/glance on the controller, and that its disk has room",
                            )
                    })?;
            }
            Op::Poll => poll(world, step, until).await?,
            Op::Reboot => reboot(world, step, until).await?,
        }
    }
    Ok(said)
}

fn no_controller(step: &Step) -> Failure {
    Failure::new(
        step,
        "service::unreachable",
        "there is no connection to the controller",
    )
    .help("see why the controller was not reached, and run the same command again")
}

/// What a script prints on another host than the step's.
async fn fetch(
    world: &World,
    step: &Step,
    from: &str,
    script: &str,
    until: Instant,
) -> Result<Vec<u8>, Failure> {
    let session = world
        .session(from)
        .map_err(|error| Failure::asking(step, &error))?;
    let command = Command::new(script)
        .capture_all()
        .deadline(until.saturating_duration_since(Instant::now()));
    let output = session
        .run(command)
        .await
        .map_err(|error| not_to_its_end(step, &error))?;
    if output.success() {
        return Ok(output.stdout);
    }
    let message = format!("{from} did not hand it out: status {}", output.status);
    let mut failed = Failure::new(step, "step::status", message);
    failed.problem.tail = output.last_lines(TAIL_LINES);
    Err(failed.help(format!(
        "mend the cause on {from} and run the same command again: it goes on from here"
    )))
}

async fn run(
    world: &World,
    bus: &Bus,
    step: &Step,
    script: &str,
    stdin: &[u8],
    until: Instant,
) -> Result<Vec<String>, Failure> {
    let session = world
        .session(step.host())
        .map_err(|error| Failure::asking(step, &error))?;
    let (bus, id, host) = (bus.clone(), step.id().clone(), step.host().to_owned());
    let started = Instant::now();
    let sink = Arc::new(move |stream, line: &str| {
        let (step, host) = (id.clone(), host.clone());
        if let Some(amount) = progress(line) {
            let elapsed_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
            bus.send(Event::Progress {
                step,
                host,
                elapsed_ms,
                amount: Some(amount),
            });
            return;
        }
        let stream = match stream {
            Stream::Stdout => event::Stream::Stdout,
            Stream::Stderr => event::Stream::Stderr,
        };
        bus.send(Event::Output {
            step,
            host,
            stream,
            line: line.into(),
        });
    });
    let command = Command::new(script)
        .stdin(stdin.to_vec())
        .deadline(until.saturating_duration_since(Instant::now()))
        .on_line(sink);
    let output = session
        .run(command)
        .await
        .map_err(|error| not_to_its_end(step, &error))?;
    let mut tail = output.last_lines(TAIL_LINES);
    tail.retain(|line| progress(line).is_none());
    if output.success() {
        return Ok(tail);
    }
    let mut failed = Failure::new(
        step,
        "step::status",
        format!("the command ended with status {}", output.status),
    );
    failed.problem.tail = tail;
    Err(failed.help(format!(
        "mend the cause on {} and run the same command again: it goes on from here",
        step.host()
    )))
}

/// A line by which a script tells how far it is, and nothing else: `provision-progress 12 41 packages`.
fn progress(line: &str) -> Option<Amount> {
    let mut words = line.strip_prefix("provision-progress ")?.split(' ');
    let mut number = || words.next()?.parse::<u64>().ok();
    let (done, total) = (number()?, number()?);
    Some(Amount {
        done,
        total: (total > 0).then_some(total),
        unit: match words.next()? {
            "packages" => AmountUnit::Packages,
            "bytes" => AmountUnit::Bytes,
            _ => AmountUnit::Items,
        },
    })
}

/// The command was cut off, by its deadline or with the connection.
fn not_to_its_end(step: &Step, error: &RunError) -> Failure {
    let host = step.host();
    let (code, help) = match error {
        RunError::Deadline { .. } => (
            "step::deadline",
            format!("see what keeps {host} busy, and run the same command again: it goes on from here"),
        ),
        _ => (
            "step::run",
            error.help().unwrap_or_else(|| {
                format!("see that {host} can be reached, and run the same command again: it goes on from here")
            }),
        ),
    };
    let failed = Failure::new(step, code, "the command did not run to its end");
    let mut failed = failed.because(error.to_string()).help(help);
    if let RunError::Deadline { last_lines, .. } = error {
        failed.problem.tail.clone_from(last_lines);
    }
    failed.passing = error.is_lost();
    failed
}

/// A change that may cut our own way to the host.
async fn confirmed(world: &World, step: &Step, script: &str, undo: &str) -> Result<(), Failure> {
    let session = world
        .session(step.host())
        .map_err(|error| Failure::asking(step, &error))?;
    super::confirmed::run(session, script, undo)
        .await
        .map_err(|error| {
            let mut failed = Failure::new(step, "step::unconfirmed", error.to_string());
            if let Unconfirmed::Failed { tail, .. } = error {
                failed.problem.tail = tail;
            }
            failed.help(format!("{} is as it was before this step", step.host()))
        })
}

/// Looks again and again until the step is in sync.
async fn poll(world: &World, step: &Step, until: Instant) -> Result<(), Failure> {
    let started = Instant::now();
    for round in 0.. {
        if let Some(openstack) = &world.openstack {
            openstack.forget();
        }
        let verdict = world.verdict(step.host(), &step.resource).await;
        let why = match verdict.map_err(|error| Failure::asking(step, &error))? {
            Diff::InSync(_) => return Ok(()),
            Diff::Refused(why) => {
                return Err(Failure::new(step, "step::refused", why).help(refused(step)));
            }
            Diff::Later(why) => why,
            Diff::Change(change) => seen(&change),
        };
        give_up_on_failed_units(world, step).await?;
        let pause = Duration::from_millis(PAUSES_MS[round.min(PAUSES_MS.len() - 1)]);
        if Instant::now() + pause >= until {
            let waited = started.elapsed().as_secs();
            let failed = Failure::new(
                step,
                "step::deadline",
                format!("it is still not so after {waited} s"),
            );
            return Err(failed.because(why).help(format!(
                "`provision status` asks all services on {}; run the same command again to wait longer",
                step.host()
            )));
        }
        tokio::time::sleep(pause).await;
    }
    Ok(())
}

/// The way out where a resource says itself why it cannot be.
pub(super) fn refused(step: &Step) -> String {
    format!(
        "mend it on {} or in the answer file, and run the same command again",
        step.host()
    )
}

fn seen(change: &Change) -> String {
    change.edits.first().map(Edit::unmet).unwrap_or_default()
}

async fn give_up_on_failed_units(world: &World, step: &Step) -> Result<(), Failure> {
    let Resource::Wait(wait) = &step.resource else {
        return Ok(());
    };
    let lines = world.failed_units(step.host(), &wait.units).await;
    let lines = lines.map_err(|error| Failure::asking(step, &error))?;
    if lines.is_empty() {
        return Ok(());
    }
    let mut failed = Failure::new(step, "unit::failed", lines[0].clone());
    failed.problem.tail = lines[1..].to_vec();
    Err(failed.help(format!(
        "`journalctl -u {}` on {} says more",
        wait.units.join(" -u "),
        step.host()
    )))
}

async fn reboot(world: &World, step: &Step, until: Instant) -> Result<(), Failure> {
    let session = world
        .session(step.host())
        .map_err(|error| Failure::asking(step, &error))?;
    let failed = |cause: String| {
        Failure::new(
            step,
            "host::reboot",
            "the host did not come back from its reboot",
        )
        .because(cause)
    };
    let before = session
        .boot_id()
        .await
        .map_err(|error| failed(error.to_string()))?;
    // The connection dies with the host, so how this command ends says nothing.
    let _ = session
        .run(Command::new("systemctl reboot").deadline(Duration::from_secs(10)))
        .await;
    let left = until.saturating_duration_since(Instant::now());
    session
        .wait_for_reboot(&before, left)
        .await
        .map_err(|error| {
            let mut failed = failed(with_causes(&error));
            if let ConnectError::NotRebooted { .. } = error {
                failed.problem.code = "host::reboot-deadline".into();
            }
            failed.help(format!(
                "look at the console of {}; when it is back, run the same command again",
                step.host()
            ))
        })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_read_from_its_own_lines_only() {
        let packages = |done, total| Amount {
            done,
            total,
            unit: AmountUnit::Packages,
        };
        let read = |line| progress(line);
        assert_eq!(
            read("provision-progress 12 41 packages"),
            Some(packages(12, Some(41)))
        );
        assert_eq!(
            read("provision-progress 1 0 packages"),
            Some(packages(1, None))
        );
        for line in [
            "Setting up nova-api (2:31)",
            "provision-progress",
            "provision-progress 1 packages",
            "provision-progress 1 2",
            " provision-progress 1 2 packages",
        ] {
            assert_eq!(read(line), None, "{line}");
        }
    }
}
