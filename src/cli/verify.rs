//! `provision preflight`, `status` and `verify`: questions about hosts and services, and the proof.

use std::process::ExitCode;

use super::args::{CloudArgs, VerifyArgs};
use super::exit::Exit;
use super::image;
use super::run::{self, Ending, Ready, Run};
use crate::drive::engine::{self, Engine};
use crate::drive::health as checks;
use crate::model::event::{Mode, Problem};
use crate::model::playbook::Expanded;

/// How much more time services get after the hosts have come back.
const AFTER_REBOOT: u64 = 240;

/// Looks whether the hosts can become this cloud.
pub(crate) async fn preflight(args: CloudArgs) -> ExitCode {
    let look = async |run: &Run, _: &mut Ending| Ok(run.reach(image::planned(run)).await?.worst);
    run::over(&args, Mode::Preflight, look).await
}

/// Asks every service how it is.
pub(crate) async fn status(args: CloudArgs) -> ExitCode {
    run::over(&args, Mode::Status, async |run, _| {
        let Ready {
            engine,
            mut expanded,
            worst,
        } = run.reach(image::planned(run)).await?;
        expanded
            .checks
            .iter_mut()
            .for_each(|check| check.patience = 0);
        let bad = checks::check(&engine, &expanded.checks).await;
        Ok(if bad > 0 { Exit::VerifyFailed } else { worst })
    })
    .await
}

/// Asks every service how it is, and proves the cloud by an instance.
pub(crate) async fn verify(args: VerifyArgs) -> ExitCode {
    run::over(&args.cloud, Mode::Verify, async |run, ending| {
        ending.junit.clone_from(&args.junit);
        let Ready {
            engine,
            mut expanded,
            worst,
        } = run.reach(image::planned(run)).await?;
        if args.after_reboot {
            expanded
                .checks
                .iter_mut()
                .for_each(|check| check.patience += AFTER_REBOOT);
        }
        let (proof, keep) = (run.cloud.proof.enabled, args.keep || run.cloud.proof.keep);
        health(run, &engine, &expanded, proof, keep).await?;
        Ok(worst)
    })
    .await
}

/// The checks, and then the proof: made, and removed again whatever came of it.
///
/// # Errors
/// Something is not well.
pub(crate) async fn health(
    run: &Run,
    engine: &Engine,
    expanded: &Expanded,
    proof: bool,
    keep: bool,
) -> Result<Exit, Exit> {
    let bad = checks::check(engine, &expanded.checks).await;
    if run.is_stopped() {
        return Err(Exit::Stopped);
    }
    let mut failed = 0;
    if proof {
        let none = vec![None; expanded.proof.steps.len()];
        let tally = engine::apply(engine, &expanded.proof, none).await;
        failed = tally.failed + tally.skipped;
        if !keep {
            failed += engine::remove(engine, &expanded.proof).await.failed;
        }
        if run.is_stopped() {
            return Err(Exit::Stopped);
        }
    }
    if bad + failed as usize == 0 {
        return Ok(Exit::Done);
    }
    Err(run.problem(
        Exit::VerifyFailed,
        Problem {
            help: Some(format!(
                "`provision status --answer-file {}` asks again",
                run.answer_file.display()
            )),
            ..Problem::error(
                "verify",
                format!("{bad} checks and {failed} steps of the proof are not well"),
            )
        },
    ))
}
