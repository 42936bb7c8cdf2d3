//! Answer files: found, read and checked; their schema.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::json;

use super::args::ValidateArgs;
use super::exit::Exit;
use super::library::Library;
use super::say;
use crate::model::answers;
use crate::model::at::SourceFile;
use crate::model::cloud::Cloud;
use crate::model::diagnostic::Diagnostic;
use crate::show::diagnostic;
use crate::show::style::{Look, Verbosity};

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
            show_all(&warnings, &name, &text);
            Ok((path.to_owned(), cloud))
        }
        Err(problems) => {
            show_all(&problems, &name, &text);
            Err(Exit::Usage)
        }
    }
}

fn show_all(found: &[Diagnostic], name: &str, text: &str) {
    let width = std::io::stderr()
        .is_terminal()
        .then(|| usize::from(console::Term::stderr().size().1));
    let look = Look::detect(width, Verbosity::Normal, |name| std::env::var(name).ok());
    say::talk(&diagnostic::text(
        found,
        &[SourceFile::new(name, text)],
        &look,
    ));
}

/// `provision validate`
pub(crate) fn validate(args: &ValidateArgs) -> ExitCode {
    let library = match Library::load(args.library.as_deref()) {
        Ok(library) => library,
        Err(error) => return say::error(Exit::Usage, "library", &error, None).into(),
    };
    if args.json {
        return validate_as_json(&args.answer_file, &library);
    }
    match load(Some(&args.answer_file), &library) {
        Ok((path, cloud)) => {
            let names: Vec<&str> = cloud.hosts.iter().map(|host| host.name.as_str()).collect();
            say::talk(&format!(
                "{} describes the cloud `{}` on {}",
                path.display(),
                cloud.name,
                names.join(", ")
            ));
            ExitCode::SUCCESS
        }
        Err(exit) => exit.into(),
    }
}

/// One object: `file`, `valid`, and `diagnostics` in the order of the file.
fn validate_as_json(path: &Path, library: &Library) -> ExitCode {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => return say::error(Exit::Usage, "answer", &error, None).into(),
    };
    let name = path.display().to_string();
    let (valid, diagnostics) = match answers::load(&name, &text, &library.known) {
        Ok((_, warnings)) => (true, warnings),
        Err(problems) => (false, problems),
    };
    let all = json!({ "file": name, "valid": valid, "diagnostics": diagnostics });
    say::data(&format!("{all:#}"));
    if valid {
        ExitCode::SUCCESS
    } else {
        Exit::Usage.into()
    }
}

/// `provision schema`
pub(crate) fn schema() -> ExitCode {
    match Library::load(None) {
        Ok(library) => {
            say::data(&format!("{:#}", answers::schema(&library.known)));
            ExitCode::SUCCESS
        }
        Err(error) => say::error(Exit::Fault, "library", &error, None).into(),
    }
}
