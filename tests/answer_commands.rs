//! `validate`, `schema` and `init`, as they are typed.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

use std::path::Path;
use std::process::Output;

use assert_cmd::Command;
use serde_json::Value;

fn provision(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::cargo_bin("provision").unwrap();
    command
        .env_clear()
        .current_dir(folder)
        .args(args)
        .output()
        .unwrap()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn validate_says_what_is_wrong_and_ends_with_2() {
    let out = provision(
        root(),
        &[
            "validate",
            "--answer-file",
            "tests/answers/invalid/no-nic.toml",
        ],
    );
    assert_eq!(out.status.code(), Some(2));
    let said = text(&out.stderr);
    assert!(said.contains("error[host::no-nic]"), "{said}");
    assert!(
        said.contains("tests/answers/invalid/no-nic.toml:6:8"),
        "{said}"
    );
    assert!(out.stdout.is_empty());
}

#[test]
fn validate_gives_diagnostics_to_programs() {
    let args = [
        "validate",
        "--json",
        "--answer-file",
        "tests/answers/invalid/no-nic.toml",
    ];
    let out = provision(root(), &args);
    assert_eq!(out.status.code(), Some(2));
    let said: Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!(said["valid"], false);
    assert_eq!(said["diagnostics"][0]["code"], "host::no-nic");
    assert_eq!(said["diagnostics"][0]["labels"][0]["line"], 6);
}

#[test]
fn a_file_that_is_not_there_ends_with_2() {
    let out = provision(root(), &["validate", "--answer-file", "no-such-file.toml"]);
    assert_eq!(out.status.code(), Some(2));
    assert!(text(&out.stderr).contains("no-such-file.toml"));
}

#[test]
fn schema_is_a_schema() {
    let out = provision(root(), &["schema"]);
    assert_eq!(out.status.code(), Some(0));
    let schema: Value = serde_json::from_slice(&out.stdout).unwrap();
    jsonschema::meta::validate(&schema).unwrap();
}

#[test]
fn init_lists_presets_writes_one_and_overwrites_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let listed = text(&provision(folder.path(), &["init"]).stdout);
    assert!(
        listed.lines().any(|line| line.starts_with("lab ")),
        "{listed}"
    );

    let write = ["init", "lab", "--output", "answer.toml"];
    assert_eq!(provision(folder.path(), &write).status.code(), Some(0));
    let written = std::fs::read_to_string(folder.path().join("answer.toml")).unwrap();
    let shipped = std::fs::read_to_string(root().join("answer-files/lab.toml")).unwrap();
    assert!(!written.contains("#:schema"), "the schema is not beside it");
    assert_eq!(written.lines().count() + 1, shipped.lines().count());

    std::fs::write(folder.path().join("answer.toml"), "mine").unwrap();
    assert_eq!(provision(folder.path(), &write).status.code(), Some(2));
    assert_eq!(
        std::fs::read_to_string(folder.path().join("answer.toml")).unwrap(),
        "mine"
    );

    let unknown = provision(folder.path(), &["init", "labb"]);
    assert_eq!(unknown.status.code(), Some(2));
}
