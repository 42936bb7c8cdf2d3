//! What is said when a run is over: the plan or the health to standard output, since that is what
//! was asked for, and the rest as talk.

use std::io::IsTerminal;

use super::args::{Format, OutputArgs};
use super::{run, say};
use crate::model::event::Mode;
use crate::model::summary::Summary;
use crate::show::style::Look;
use crate::show::{matrix, plan, summary};

/// Says it, unless another program reads the events.
pub(crate) fn say(state: &Summary, output: &OutputArgs) {
    if output.format == Format::Json {
        return;
    }
    let mode = state.started.as_ref().map(|started| started.mode);
    let out = run::stdout_look(output);
    match mode {
        Some(Mode::Plan) if !state.steps.is_empty() => say::data(&plan::text(state, &out)),
        Some(Mode::Status | Mode::Verify | Mode::Preflight) if !state.checks.is_empty() => {
            say::data(&matrix::text(state, &out));
        }
        _ => {}
    }
    say::talk(&summary::text(state, &stderr_look(output)));
}

/// How talk looks.
pub(crate) fn stderr_look(output: &OutputArgs) -> Look {
    let stderr = console::Term::stderr();
    let width = std::io::stderr()
        .is_terminal()
        .then(|| usize::from(stderr.size().1));
    Look::detect(width, run::verbosity(output), |name| {
        std::env::var(name).ok()
    })
}
