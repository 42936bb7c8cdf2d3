//! What is made from the code and kept in the repository is current. `UPDATE_EXPECTED=1` makes it again.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

use std::path::Path;

use clap::{Arg, ArgAction, Command, CommandFactory};
use provision::cli::args::Cli;
use provision::cli::exit::Exit;
use provision::model::event::{Envelope, SCHEMA_VERSION};

/// Compares a file of the repository with what it has to be.
fn current(file: &str, wanted: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, wanted).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == wanted,
        "{file} is out of date: UPDATE_EXPECTED=1 cargo test --test generated"
    );
}

#[test]
fn the_schema_of_events() {
    let schema = schemars::schema_for!(Envelope).to_value();
    let wanted = format!("{schema:#}\n");
    current(
        &format!("docs/events.v{SCHEMA_VERSION}.schema.json"),
        &wanted,
    );
}

#[test]
fn the_reference_of_commands() {
    let mut program = Cli::command();
    program.build();
    let mut page = String::from(
        "# Commands\n\nMade from the program's own definition by `UPDATE_EXPECTED=1 cargo test --test generated`.\n",
    );
    section(&program, "provision", &mut page);
    page += "\n## Exit codes\n\n| code | meaning |\n|---|---|\n";
    for exit in Exit::ALL {
        page += &row(&[&exit.code().to_string(), exit.meaning()]);
    }
    current("docs/cli.md", &page);
}

fn section(command: &Command, name: &str, page: &mut String) {
    *page += &format!("\n## {name}\n\n{}.\n", about(command).trim_end_matches('.'));
    let visible = || command.get_subcommands().filter(|sub| !sub.is_hide_set());
    if visible().count() > 0 {
        *page += "\n| command | what it does |\n|---|---|\n";
        for sub in visible() {
            *page += &row(&[&format!("`{name} {}`", sub.get_name()), &about(sub)]);
        }
    }
    let own =
        |arg: &&Arg| !arg.is_hide_set() && !["help", "version"].contains(&arg.get_id().as_str());
    if command.get_arguments().filter(own).count() > 0 {
        *page += "\n| argument | meaning | default |\n|---|---|---|\n";
    }
    for arg in command.get_arguments().filter(own) {
        let defaults: Vec<_> = arg
            .get_default_values()
            .iter()
            .map(|it| it.to_string_lossy())
            .collect();
        let from = arg.get_env().map(|name| format!("`${}`", name.display()));
        let shown = match arg.get_action().takes_values() && !defaults.is_empty() {
            true => format!("`{}`", defaults.join(" ")),
            false => from.unwrap_or_default(),
        };
        *page += &row(&[&format!("`{}`", spelling(arg)), &help(arg), &shown]);
    }
    for sub in visible() {
        section(sub, &format!("{name} {}", sub.get_name()), page);
    }
}

fn about(command: &Command) -> String {
    command
        .get_about()
        .map(ToString::to_string)
        .unwrap_or_default()
}

fn help(arg: &Arg) -> String {
    let mut text = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let values = arg.get_possible_values();
    let is_switch = matches!(arg.get_action(), ArgAction::SetTrue | ArgAction::Count);
    if !values.is_empty() && !is_switch {
        let names: Vec<_> = values
            .iter()
            .map(|value| format!("`{}`", value.get_name()))
            .collect();
        text += &format!(": {}", names.join(", "));
    }
    text
}

fn spelling(arg: &Arg) -> String {
    let value = match arg.get_action().takes_values() {
        true => arg
            .get_value_names()
            .map_or_else(String::new, |names| names.join(" ")),
        false => String::new(),
    };
    let long = arg.get_long().map(|long| format!("--{long}"));
    let short = arg.get_short().map(|short| format!("-{short}"));
    let names: Vec<String> = short.into_iter().chain(long).collect();
    match (names.is_empty(), value.is_empty()) {
        (true, _) => format!("<{value}>"),
        (false, true) => names.join(", "),
        (false, false) => format!("{} <{value}>", names.join(", ")),
    }
}

/// One row of a table; a bar in a cell would end it.
fn row(cells: &[&str]) -> String {
    let cells: Vec<String> = cells
        .iter()
        .map(|cell| cell.replace('|', "\\|").replace('\n', " "))
        .collect();
    format!("| {} |\n", cells.join(" | "))
}
