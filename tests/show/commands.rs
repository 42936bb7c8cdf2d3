//! `provision report` and `provision replay` over recorded runs, as a user gives them.

use std::fs;
use std::path::Path;

use assert_cmd::Command;
use tempfile::TempDir;

/// A state directory in which cloud `lab` has these runs.
fn state(runs: &[(&str, &str)]) -> TempDir {
    let state = tempfile::tempdir().unwrap();
    for (id, name) in runs {
        let run = state.path().join("provision/lab/runs").join(id);
        fs::create_dir_all(&run).unwrap();
        let recorded = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/show/runs");
        fs::copy(
            recorded.join(format!("{name}.jsonl")),
            run.join("journal.jsonl"),
        )
        .unwrap();
    }
    state
}

/// Standard output, standard error and exit code.
fn provision(state: &TempDir, words: &[&str]) -> (String, String, i32) {
    let mut command = Command::cargo_bin("provision").unwrap();
    command
        .args(words)
        .env("XDG_STATE_HOME", state.path())
        .env_remove("CLICOLOR_FORCE");
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        text(output.stdout),
        text(output.stderr),
        output.status.code().unwrap(),
    )
}

#[test]
fn a_report_is_made_again_from_the_journal() {
    let state = state(&[
        ("20261123T071000Z-aaaa", "failure"),
        ("20261123T072000Z-bbbb", "plan"),
    ]);
    let (out, err, code) = provision(&state, &["report", "lab"]);
    assert_eq!((err.as_str(), code), ("", 0));
    let path = Path::new(out.trim_end());
    assert!(
        path.ends_with("provision/lab/runs/20261123T072000Z-bbbb/report.html"),
        "{out}"
    );
    assert!(fs::read_to_string(path).unwrap().contains("<h1>lab</h1>"));
    let (out, _, _) = provision(&state, &["report", "lab", "20261123T071"]);
    assert!(out.contains("20261123T071000Z-aaaa/report.html"), "{out}");
}

#[test]
fn runs_are_listed_with_what_came_of_them() {
    let state = state(&[
        ("20261123T071000Z-aaaa", "failure"),
        ("20261123T072000Z-bbbb", "plan"),
    ]);
    let (out, _, _) = provision(&state, &["report", "lab", "--list"]);
    assert_eq!(
        out,
        "20261123T071000Z-aaaa  apply failed in 43.6 s\n\
         20261123T072000Z-bbbb  plan done in 1.4 s\n"
    );
}

#[test]
fn what_is_not_there_is_named_with_the_way_out() {
    let (out, err, code) = provision(&state(&[]), &["report", "lab"]);
    assert_eq!((out.as_str(), code), ("", 2));
    assert!(err.contains("there is no run yet in"), "{err}");
    assert!(err.contains("`provision report lab --list`"), "{err}");
}

#[test]
fn a_replay_says_what_the_run_said() {
    let state = state(&[("20261123T071000Z-aaaa", "verify")]);
    let (out, err, code) = provision(&state, &["replay", "lab"]);
    assert_eq!(code, 0);
    insta::assert_snapshot!("replay-verify", format!("{out}---\n{err}"));
    let (out, err, _) = provision(&state, &["replay", "lab", "--format", "json"]);
    assert_eq!((out.lines().count(), err.as_str()), (24, ""));
}

#[test]
fn a_damaged_journal_is_refused() {
    let state = state(&[("20261123T071000Z-aaaa", "verify")]);
    let path = state
        .path()
        .join("provision/lab/runs/20261123T071000Z-aaaa/journal.jsonl");
    let text = fs::read_to_string(&path)
        .unwrap()
        .replacen("\"seq\":3,", "\"seq\":1,", 1);
    fs::write(&path, text).unwrap();
    let (_, err, code) = provision(&state, &["report", "lab"]);
    assert_eq!(code, 1);
    assert!(
        err.contains("journal.jsonl:3: event 1 comes after event 2"),
        "{err}"
    );
}
