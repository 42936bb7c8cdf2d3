//! A person's words in, an exit code out. One file a command; what they share is beside them.
//!
//! `run` opens and closes a run over a cloud, `reach` gets to its hosts, `library` holds what plans
//! are made of, `say` is for what is said before there is a run.

mod answer_file;
mod apply;
pub mod args;
mod credentials;
mod ending;
pub mod exit;
mod image;
mod init;
mod lab;
pub mod library;
mod manual;
mod places;
mod plan;
mod reach;
mod replay;
mod report;
mod run;
mod say;
mod target;
mod topology;
mod verify;

use std::process::ExitCode;

use args::{Cli, Command};

/// What has to come before even the runtime opens a file.
pub fn before_anything_opens(cli: &Cli) {
    if let Some(Command::Lab(args::LabCommand::Supervise { .. })) = cli.command {
        crate::lab::close_inherited_files();
    }
}

/// Does what the command line asks for.
pub async fn main(cli: Cli) -> ExitCode {
    match cli.command.unwrap_or(Command::Apply(cli.apply)) {
        Command::Apply(args) => apply::apply(args).await,
        Command::Plan(args) => plan::plan(args).await,
        Command::Preflight(args) => verify::preflight(args).await,
        Command::Status(args) => verify::status(args).await,
        Command::Verify(args) => verify::verify(args).await,
        Command::Lab(command) => lab::lab(command).await,
        Command::Init(args) => init::init(&args),
        Command::Validate(args) => answer_file::validate(&args),
        Command::Schema => answer_file::schema(),
        Command::Report(args) => report::report(&args),
        Command::Replay(args) => replay::replay(&args),
        Command::Completions { shell } => manual::completions(shell),
        Command::Man => manual::man(),
    }
}

/// The causes of an error, outermost first, without the error itself.
fn causes(error: &dyn std::error::Error) -> Vec<String> {
    let mut causes = Vec::new();
    let mut next = error.source();
    while let Some(cause) = next {
        causes.push(cause.to_string());
        next = cause.source();
    }
    causes
}
