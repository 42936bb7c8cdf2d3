//! Completions and the manual page, made from the command line's own definition.

use std::process::ExitCode;

use clap::CommandFactory;

use super::args::Cli;
use super::say;

/// `provision completions SHELL`
pub(crate) fn completions(shell: clap_complete::Shell) -> ExitCode {
    let mut out = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "provision", &mut out);
    say::data(&String::from_utf8_lossy(&out));
    ExitCode::SUCCESS
}

/// `provision man`
pub(crate) fn man() -> ExitCode {
    let mut out = Vec::new();
    if clap_mangen::Man::new(Cli::command())
        .render(&mut out)
        .is_err()
    {
        return ExitCode::FAILURE;
    }
    say::data(&String::from_utf8_lossy(&out));
    ExitCode::SUCCESS
}
