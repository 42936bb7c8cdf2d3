//! Reports of runs: made at the end of each, and again from its journal whenever someone asks.

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use super::args::ReportArgs;
use super::exit::Exit;
use super::places::CloudState;
use super::say;
use crate::drive::journal::{ReadError, Reader};
use crate::drive::run_directory::{RunDirectory, RunDirectoryError};
use crate::model::event::Envelope;
use crate::model::summary::Summary;
use crate::show::{html, junit, words};

/// Makes `report.html` of a run that has ended.
pub(crate) fn write(directory: &RunDirectory, run: &Summary) {
    let path = directory.report();
    match html::text(run) {
        Ok(page) => save(&path, &page),
        Err(error) => {
            say::error(Exit::Fault, "report", &error, None);
        }
    }
}

/// Writes the results as JUnit XML.
pub(crate) fn junit(file: &Path, run: &Summary) {
    save(file, &junit::text(run));
}

/// A run is over when its report is written; that it cannot be is no reason to call the run failed.
fn save(path: &Path, text: &str) {
    if let Err(error) = std::fs::write(path, text) {
        say::talk(&format!(
            "warning: `{}` cannot be written: {error}",
            path.display()
        ));
    }
}

/// `provision report`
pub(crate) fn report(args: &ReportArgs) -> ExitCode {
    let done = if args.list {
        list(&args.cloud)
    } else {
        again(args)
    };
    done.unwrap_or_else(|exit| exit).into()
}

/// Every run of a cloud, newest last, with what it was and how it ended.
fn list(cloud: &str) -> Result<Exit, Exit> {
    let state = CloudState::root();
    for id in RunDirectory::list(&state, cloud).map_err(|error| not_found(&error, cloud))? {
        let directory =
            RunDirectory::find(&state, cloud, &id).map_err(|error| not_found(&error, cloud))?;
        let what = match state_of(&directory) {
            Ok(run) => in_short(&run),
            Err(error) => error.to_string(),
        };
        say::data(&format!("{id}  {what}"));
    }
    Ok(Exit::Done)
}

fn in_short(run: &Summary) -> String {
    let Some(started) = &run.started else {
        return "never began".to_owned();
    };
    let (_, how) = words::run_outcome(run.finished.as_ref().map(|finished| finished.outcome));
    let took = words::duration(run.elapsed_ms());
    format!("{} {how} in {took}", words::mode(started.mode))
}

fn again(args: &ReportArgs) -> Result<Exit, Exit> {
    let directory = find(&args.cloud, &args.run)?;
    let run = state_of(&directory).map_err(|error| unreadable(&error))?;
    write(&directory, &run);
    let path = directory.report();
    say::data(&path.display().to_string());
    if args.open {
        open(&path)?;
    }
    Ok(Exit::Done)
}

/// The run that was asked for.
///
/// # Errors
/// Said already; what remains is the exit code.
pub(crate) fn find(cloud: &str, run: &str) -> Result<RunDirectory, Exit> {
    RunDirectory::find(&CloudState::root(), cloud, run).map_err(|error| not_found(&error, cloud))
}

fn not_found(error: &RunDirectoryError, cloud: &str) -> Exit {
    let help = format!("`provision report {cloud} --list` prints the runs of that cloud");
    say::error(Exit::Usage, "run::unknown", error, Some(&help))
}

/// Says why a journal cannot be read.
pub(crate) fn unreadable(error: &ReadError) -> Exit {
    let help = "the journal was damaged after the run; the hosts' logs beside it may still tell";
    say::error(Exit::Fault, "journal::unreadable", error, Some(help))
}

fn state_of(directory: &RunDirectory) -> Result<Summary, ReadError> {
    let mut run = Summary::default();
    for envelope in Reader::open(&directory.journal())? {
        let envelope: Envelope = envelope?;
        run.apply(&envelope);
    }
    Ok(run)
}

/// Hands the report to the desktop's browser, and does not wait for it.
fn open(path: &Path) -> Result<(), Exit> {
    let no_opener = |error: &dyn std::error::Error| {
        let help = "open the file in a browser yourself";
        say::error(Exit::Usage, "report::open", error, Some(help))
    };
    let opener = which::which("xdg-open").or_else(|_| which::which("open"));
    let opener = opener.map_err(|error| no_opener(&error))?;
    let quiet = || Stdio::null();
    let mut command = Command::new(opener);
    command
        .arg(path)
        .stdin(quiet())
        .stdout(quiet())
        .stderr(quiet());
    command.spawn().map(drop).map_err(|error| no_opener(&error))
}
