//! `provision plan`: what would change on each host. Touches nothing.

use std::process::ExitCode;

use super::args::{PlanArgs, SelectArgs};
use super::exit::Exit;
use super::run::{self, Ending, Ready, Run};
use super::{image, say};
use crate::drive::engine;
use crate::model::event::{Mode, Problem};
use crate::model::plan::{Plan, Selection};
use crate::model::resource::Diff;

impl From<&SelectArgs> for Selection {
    fn from(args: &SelectArgs) -> Self {
        Self {
            limit: args.limit.clone(),
            only: args.only.clone(),
            skip: args.skip.clone(),
            until: args.until.clone(),
        }
    }
}

/// Shows what would change.
pub(crate) async fn plan(args: PlanArgs) -> ExitCode {
    run::over(&args.cloud, Mode::Plan, async |run, ending| {
        work(run, &args, ending).await
    })
    .await
}

async fn work(run: &Run, args: &PlanArgs, ending: &mut Ending) -> Result<Exit, Exit> {
    let Ready {
        engine,
        expanded,
        worst,
    } = run.reach(image::planned(run)).await?;
    let plan = select(run, expanded.plan, &args.select)?;
    let verdicts = engine::survey(&engine, &plan).await;
    ending.next = Some(format!(
        "provision --answer-file {}",
        run.answer_file.display()
    ));
    let pending = verdicts
        .iter()
        .flatten()
        .any(|verdict| !matches!(verdict, Diff::InSync(_)));
    match (worst, pending && args.detailed_exitcode) {
        (Exit::Done, true) => Ok(Exit::ChangesPending),
        (worst, _) => Ok(worst),
    }
}

/// The part of a plan that was asked for.
///
/// # Errors
/// Said already; what remains is the exit code.
pub(crate) fn select(run: &Run, plan: Plan, args: &SelectArgs) -> Result<Plan, Exit> {
    Selection::from(args).apply(plan).map_err(|error| {
        let help = "`provision --list-steps` prints all of them".to_owned();
        run.problem(
            Exit::Usage,
            Problem {
                help: Some(help),
                ..Problem::error("select", error.to_string())
            },
        )
    })
}

/// `--list-steps`
pub(crate) fn list(plan: &Plan) {
    for step in &plan.steps {
        say::data(&format!("{:<52} {}", step.id().as_str(), step.shown.name));
    }
}
