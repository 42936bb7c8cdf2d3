//! Bad input ends with exit code 2 before anything is touched: the program says where, what, why, and the way out.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

use std::path::Path;

use assert_cmd::Command;
use provision::cli::exit::Exit;
use tempfile::TempDir;

/// A shipped answer file with one text replaced by another.
fn spoilt(from: &str, to: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("answer-files/lab.toml");
    let text = std::fs::read_to_string(path).unwrap();
    assert_eq!(text.matches(from).count(), 1, "{from}");
    text.replace(from, to)
}

struct Answer {
    code: Option<i32>,
    said: String,
    state: TempDir,
}

/// What every command that takes an answer file says to this one.
fn answer(command: &[&str], text: &str) -> Answer {
    let state = tempfile::tempdir().unwrap();
    let file = state.path().join("answer.toml");
    std::fs::write(&file, text).unwrap();
    let output = Command::cargo_bin("provision")
        .unwrap()
        .args(command)
        .arg("--answer-file")
        .arg(&file)
        .env("XDG_STATE_HOME", state.path())
        .output()
        .unwrap();
    Answer {
        code: output.status.code(),
        said: String::from_utf8_lossy(&output.stderr).into_owned(),
        state,
    }
}

/// Every command refuses the file, says these texts, and leaves nothing behind.
fn refused(text: &str, texts: &[&str]) {
    for command in [
        &[] as &[&str],
        &["plan"],
        &["validate"],
        &["status"],
        &["lab", "up"],
    ] {
        let answer = answer(command, text);
        assert_eq!(
            answer.code,
            Some(Exit::Usage.code().into()),
            "{command:?}: {}",
            answer.said
        );
        for text in texts.iter().chain(&["answer.toml:", "help"]) {
            assert!(
                answer.said.contains(text),
                "{command:?} does not say `{text}`:\n{}",
                answer.said
            );
        }
        let left = std::fs::read_dir(answer.state.path()).unwrap().count();
        assert_eq!(left, 1, "{command:?} left something in the state directory");
    }
}

#[test]
fn an_unknown_key_names_the_nearest_known_one() {
    let text = spoilt("gateway = \"10.0.1.1\"", "gatway = \"10.0.1.1\"");
    refused(&text, &["gatway", "gateway"]);
}

#[test]
fn a_wrong_type_is_shown_in_its_place() {
    let text = spoilt("roles = [\"compute\"]", "roles = 7");
    refused(&text, &["roles = 7", "list"]);
}

#[test]
fn two_hosts_with_one_address_are_both_named() {
    let text = spoilt("\"10.0.0.101\"", "\"10.0.0.100\"");
    refused(&text, &["controller", "compute1", "10.0.0.100"]);
}

#[test]
fn a_role_that_nobody_has_is_missed() {
    let text = spoilt("roles = [\"compute\"]", "roles = [\"network\"]");
    refused(&text, &["compute"]);
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let output = Command::cargo_bin("provision")
        .unwrap()
        .args(["plan", "--answer-file", "/nowhere/answer.toml"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(
        output.status.code(),
        Some(Exit::Usage.code().into()),
        "{said}"
    );
    for text in ["/nowhere/answer.toml", "No such file", "provision init"] {
        assert!(said.contains(text), "{said}");
    }
}

#[test]
fn an_unknown_command_is_a_usage_error() {
    for args in [
        &["aply"] as &[&str],
        &["plan", "--limt", "x"],
        &["lab", "ssh"],
    ] {
        let output = Command::cargo_bin("provision")
            .unwrap()
            .args(args)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(Exit::Usage.code().into()));
    }
}
