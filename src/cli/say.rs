//! What is said before there is a run, or without one. The only place of this room that prints.

use std::error::Error;

use super::exit::Exit;

/// Talk, on standard error.
#[expect(clippy::print_stderr, reason = "this is where talk goes")]
pub(crate) fn talk(text: &str) {
    eprintln!("{}", text.trim_end());
}

/// Data, on standard output.
pub(crate) fn data(text: &str) {
    use std::io::Write;
    // A reader that went away (`| head`) is no error.
    let _ = writeln!(std::io::stdout(), "{}", text.trim_end());
}

/// An error with its causes and the way out; gives the exit code back.
pub(crate) fn error(exit: Exit, code: &str, error: &dyn Error, help: Option<&str>) -> Exit {
    talk(&format!("error[{code}]: {error}"));
    for cause in super::causes(error) {
        talk(&format!("  cause: {cause}"));
    }
    if let Some(help) = help {
        talk(&format!("help: {help}"));
    }
    exit
}
