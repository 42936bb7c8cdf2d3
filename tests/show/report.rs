//! The report: that it is whole, alone and safe. How it looks is looked at.

use provision::show::html;

use super::{recorded, state};
use provision::model::event::{Event, Problem};
use provision::model::summary::Summary;

const RUNS: [&str; 6] = ["success", "failure", "plan", "verify", "stopped", "install"];

fn report(name: &str) -> String {
    html::text(&state(name)).unwrap()
}

/// The page without what is not markup: style, script, and the declaration.
fn markup(page: &str) -> String {
    let mut rest = page.trim_start_matches("<!doctype html>").to_owned();
    for tag in ["style", "script"] {
        let from = rest.find(&format!("<{tag}>")).unwrap();
        let to = rest.find(&format!("</{tag}>")).unwrap();
        rest.replace_range(from..to + tag.len() + 3, "");
    }
    rest
}

#[test]
fn every_element_is_closed_in_its_place() {
    const VOID: [&str; 2] = ["meta", "input"];
    for name in RUNS {
        let page = markup(&report(name));
        let mut open: Vec<&str> = Vec::new();
        for piece in page.split('<').skip(1) {
            let (tag, text) = piece
                .split_once('>')
                .unwrap_or_else(|| panic!("{name}: <{piece}"));
            assert!(!text.contains('>'), "{name}: {piece}");
            let word = tag
                .split(|c: char| c.is_whitespace() || c == '/')
                .find(|w| !w.is_empty());
            let word = word.unwrap();
            if tag.starts_with('/') {
                assert_eq!(open.pop(), Some(word), "{name}: </{word}> after {open:?}");
            } else if !tag.ends_with('/') && !VOID.contains(&word) {
                open.push(word);
            }
        }
        assert!(open.is_empty(), "{name}: {open:?}");
    }
}

#[test]
fn nothing_is_loaded_from_elsewhere() {
    for name in RUNS {
        let page = report(name);
        for loader in [
            "src=", "<link", "@import", "url(", "fetch(", "<iframe", "<object",
        ] {
            assert!(!page.contains(loader), "{name} contains {loader}");
        }
        assert!(page.contains("default-src 'none'"));
    }
}

#[test]
fn each_step_has_a_bar_and_a_row() {
    let page = report("install");
    let run = state("install");
    let ran = run.steps.iter().filter(|s| s.began_ms.is_some()).count();
    assert_eq!(page.matches("<g class=\"bar ").count(), ran);
    for step in &run.steps {
        let id = step.step.id.as_str();
        assert_eq!(page.matches(&format!(" id=\"{id}\"")).count(), 1, "{id}");
    }
}

#[test]
fn each_kind_of_run_has_its_sections() {
    let sections = |name: &str| {
        let page = report(name);
        let all = ["problems", "topology", "timeline", "checks", "steps"];
        all.into_iter()
            .filter(|id| page.contains(&format!("<section id=\"{id}\">")))
            .collect::<Vec<_>>()
    };
    assert_eq!(sections("plan"), ["topology", "steps"]);
    assert_eq!(sections("stopped"), ["topology", "timeline", "steps"]);
    assert_eq!(
        sections("verify"),
        ["problems", "topology", "timeline", "checks", "steps"]
    );
}

#[test]
fn a_run_that_broke_off_or_never_began_still_has_a_report() {
    let events = recorded("success");
    for n in 0..events.len() {
        html::text(&Summary::of(&events[..n])).unwrap();
    }
}

#[test]
fn what_a_host_says_is_text_and_nothing_else() {
    let mut events = recorded("failure");
    let evil = r#"</pre><script>alert("x")</script><img onerror='y'>"#.to_owned();
    for envelope in &mut events {
        match &mut envelope.event {
            Event::StepStarted { step } | Event::StepPlanned { step, .. } => {
                step.name.clone_from(&evil);
                step.lane.clone_from(&evil);
            }
            Event::HostFailed { problem, .. } => {
                let tail = vec![evil.clone()];
                *problem = Problem {
                    tail,
                    help: Some(evil.clone()),
                    ..Problem::error(&evil, &evil)
                };
            }
            _ => {}
        }
    }
    let page = markup(&html::text(&Summary::of(&events)).unwrap());
    assert!(!page.contains("<script") && !page.contains("<img") && !page.contains("\"x\""));
    assert!(page.contains("&lt;script&gt;"));
}
