//! Recorded runs, shown by every display. The runs in `runs/` are the test input; what each display
//! makes of them is in `snapshots/`, to be read by eye.

#![expect(clippy::unwrap_used, reason = "a test says what it needs by failing")]

mod commands;
mod report;
mod terminal;

use std::path::Path;

use provision::drive::journal::Reader;
use provision::model::event::Envelope;
use provision::model::sink::Sink;
use provision::model::summary::Summary;
use provision::show::json::Json;
use provision::show::lines::Lines;
use provision::show::style::{Look, Verbosity};
use provision::show::{junit, matrix, plan, summary};

/// The events of a recorded run.
fn recorded(name: &str) -> Vec<Envelope> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/show/runs/{name}.jsonl"));
    Reader::open(&path)
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap()
}

/// The state of a recorded run after its last event.
fn state(name: &str) -> Summary {
    Summary::of(&recorded(name))
}

/// Feeds a recorded run to a display.
fn play(name: &str, sink: &mut dyn Sink) -> Summary {
    let mut run = Summary::default();
    for envelope in recorded(name) {
        run.apply(&envelope);
        sink.event(&envelope, &run).unwrap();
    }
    sink.finish(&run).unwrap();
    run
}

fn lines(name: &str, verbosity: Verbosity) -> String {
    let mut out = Vec::new();
    play(name, &mut Lines::new(&mut out, verbosity));
    String::from_utf8(out).unwrap()
}

fn look(verbosity: Verbosity) -> Look {
    Look {
        verbosity,
        ..Look::plain()
    }
}

#[test]
fn lines_of_each_run() {
    for name in ["success", "failure", "verify", "stopped"] {
        insta::assert_snapshot!(format!("lines-{name}"), lines(name, Verbosity::Normal));
    }
}

#[test]
fn lines_say_more_and_less() {
    insta::assert_snapshot!("lines-success-output", lines("success", Verbosity::Output));
    insta::assert_snapshot!("lines-failure-quiet", lines("failure", Verbosity::Quiet));
}

#[test]
fn ends_of_each_run() {
    for name in ["success", "failure", "plan", "verify", "stopped"] {
        let text = summary::text(&state(name), &look(Verbosity::Normal));
        insta::assert_snapshot!(format!("summary-{name}"), text);
    }
}

#[test]
fn a_run_that_broke_off_says_so() {
    let events = recorded("success");
    let text = summary::text(&Summary::of(&events[..34]), &look(Verbosity::Normal));
    insta::assert_snapshot!("summary-broken-off", text);
}

#[test]
fn plans() {
    insta::assert_snapshot!("plan", plan::text(&state("plan"), &look(Verbosity::Normal)));
    insta::assert_snapshot!(
        "plan-verbose",
        plan::text(&state("plan"), &look(Verbosity::Verbose))
    );
}

#[test]
fn health() {
    insta::assert_snapshot!(
        "matrix",
        matrix::text(&state("verify"), &look(Verbosity::Normal))
    );
    let ascii = Look {
        unicode: false,
        ..Look::plain()
    };
    insta::assert_snapshot!("matrix-ascii", matrix::text(&state("verify"), &ascii));
    assert_eq!(matrix::text(&state("plan"), &Look::plain()), "");
}

#[test]
fn for_ci_systems() {
    for name in ["failure", "verify"] {
        insta::assert_snapshot!(format!("junit-{name}"), junit::text(&state(name)));
    }
}

#[test]
fn json_is_what_the_journal_holds() {
    let mut out = Vec::new();
    play("failure", &mut Json::new(&mut out));
    let back: Vec<Envelope> = String::from_utf8(out)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(back, recorded("failure"));
}

#[test]
fn what_the_engine_counted_is_what_the_displays_count() {
    for name in ["success", "failure", "plan", "verify", "stopped", "install"] {
        let run = state(name);
        assert_eq!(
            run.totals(),
            run.finished.as_ref().unwrap().totals,
            "{name}"
        );
    }
}
