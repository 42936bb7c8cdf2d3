//! `provision apply`, the default: make it so, check it, prove it.

use std::process::ExitCode;

use super::args::ApplyArgs;
use super::exit::Exit;
use super::run::{self, Ending, Ready, Run};
use super::{credentials, image, plan, verify};
use crate::drive::engine;
use crate::model::event::{Mode, NamedUrl};
use crate::model::plan::Selection;

/// Makes it so.
pub(crate) async fn apply(args: ApplyArgs) -> ExitCode {
    run::over(&args.cloud, Mode::Apply, async |run, ending| {
        work(run, &args, ending).await
    })
    .await
}

async fn work(run: &Run, args: &ApplyArgs, ending: &mut Ending) -> Result<Exit, Exit> {
    let Ready {
        engine,
        mut expanded,
        worst,
    } = run.reach(image::ready(run)).await?;
    let whole = Selection::from(&args.select) == Selection::default();
    expanded.plan = plan::select(run, expanded.plan, &args.select)?;
    if args.list_steps {
        plan::list(&expanded.plan);
        return Ok(Exit::Done);
    }
    let verdicts = engine::survey(&engine, &expanded.plan).await;
    let tally = engine::apply(&engine, &expanded.plan, verdicts).await;
    if run.is_stopped() || tally.cancelled > 0 {
        ending.next = Some(again(run));
        return Err(Exit::Stopped);
    }
    if tally.failed > 0 {
        ending.next = Some(again(run));
        return Err(if tally.late == tally.failed {
            Exit::Deadline
        } else {
            Exit::StepFailed
        });
    }
    if worst != Exit::Done {
        ending.next = Some(again(run));
        return Err(worst);
    }
    if !whole {
        ending.next = Some(again(run));
        return Ok(Exit::Done);
    }
    ending.urls = urls(run);
    ending.credentials = credentials::write(run);
    ending.next = Some(format!(
        "provision verify --answer-file {}",
        run.answer_file.display()
    ));
    if args.no_verify {
        return Ok(Exit::Done);
    }
    // Nothing was changed: a run that only confirms does not boot an instance again.
    let proof = run.cloud.proof.enabled && tally.changed > 0;
    verify::health(run, &engine, &expanded, proof, run.cloud.proof.keep).await
}

fn again(run: &Run) -> String {
    format!("provision --answer-file {}", run.answer_file.display())
}

fn urls(run: &Run) -> Vec<NamedUrl> {
    let Some(controller) = run
        .cloud
        .with_role(crate::model::name::Role::Controller)
        .next()
    else {
        return Vec::new();
    };
    let named = |name: &str, url: String| NamedUrl {
        name: name.to_owned(),
        url,
    };
    let mut urls = vec![named(
        "Identity",
        format!("http://{}:5000/v3", controller.address),
    )];
    if run.cloud.has_service("horizon") {
        urls.insert(
            0,
            named(
                "Dashboard",
                format!("http://{}/horizon/", controller.address),
            ),
        );
    }
    urls
}
