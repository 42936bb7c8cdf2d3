//! Case files: what is wanted and what is known go in; what would change comes out.
//!
//! `tests/cases/<kind>/*.toml` each hold `ensure` (as a playbook spells it), what the host or the
//! service answered, and what is expected. See [`Case`].
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::path::Path;

use provision::model::edit::Edit;
use provision::model::facts::{Facts, PathFact, ScriptFact, ServiceFact, UnitFact};
use provision::model::probe::{Probe, script_key};
use provision::model::resource::{Answer, Diff, Op, Question, Request, Resource};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    /// What the case shows, in a sentence.
    #[expect(dead_code, reason = "for the reader of the file")]
    about: String,
    ensure: Resource,
    /// What the host answered.
    #[serde(default)]
    host: Host,
    /// What the other host answered, for kinds that ask two.
    #[serde(default)]
    other: Host,
    /// What a service answered.
    service: Option<Service>,
    expect: Expect,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Host {
    packages: BTreeMap<String, String>,
    units: BTreeMap<String, UnitFact>,
    paths: BTreeMap<String, Place>,
    /// The answer to the resource's one script.
    script: Option<ScriptFact>,
}

/// A [`PathFact`] whose content is text.
#[derive(Deserialize)]
struct Place {
    text: Option<String>,
    /// In octal, as people write it.
    mode: Option<String>,
    fact: Option<PathFact>,
    owner: Option<String>,
    group: Option<String>,
    kind: Option<String>,
    target: Option<String>,
    changed: Option<f64>,
    behind: Option<Box<Place>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
enum Service {
    #[serde(rename = "unknown")]
    Unknown(String),
    #[serde(rename = "refused")]
    Refused(String),
    #[serde(rename = "answer")]
    Answer {
        #[serde(default)]
        refs: BTreeMap<String, String>,
        found: Option<serde_json::Value>,
        said: Option<String>,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
enum Expect {
    InSync(String),
    Later(String),
    Refused(String),
    Change {
        /// `what: before -> after`; files as `what: text`, or a unified-diff-like pair.
        edits: Vec<String>,
        #[serde(default)]
        ops: Vec<ExpectedOp>,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
enum ExpectedOp {
    /// A script that has all of these, in this order, and none of those in `lacks`.
    Run {
        has: Vec<String>,
        #[serde(default)]
        lacks: Vec<String>,
        stdin: Option<String>,
    },
    Copy {
        from: String,
        read: String,
        /// As `run.has`.
        has: Vec<String>,
    },
    Confirmed {
        has: String,
        undo: String,
    },
    Request(Request),
    Upload {
        id: Option<String>,
    },
    Poll {},
    Reboot {},
}

impl From<Place> for PathFact {
    fn from(place: Place) -> Self {
        let mut fact = place.fact.unwrap_or_else(|| Self {
            kind: "regular file".into(),
            owner: "root".into(),
            group: "root".into(),
            mode: 0o644,
            ..Self::default()
        });
        fact.kind = place.kind.unwrap_or(fact.kind);
        fact.owner = place.owner.unwrap_or(fact.owner);
        fact.group = place.group.unwrap_or(fact.group);
        fact.changed = place.changed.unwrap_or(fact.changed);
        if let Some(mode) = place.mode {
            fact.mode = u32::from_str_radix(&mode, 8).unwrap();
        }
        fact.content = place.text.map(String::into_bytes);
        fact.behind = place.behind.map(|behind| Box::new((*behind).into()));
        if place.target.is_some() {
            fact.kind = "symbolic link".into();
        }
        fact.target = place.target;
        fact
    }
}

impl Case {
    fn facts(host: Host, asked: Vec<Probe>) -> Facts {
        let mut facts = Facts {
            packages: host.packages,
            units: host.units,
            paths: host
                .paths
                .into_iter()
                .map(|(path, place)| (path, place.into()))
                .collect(),
            ..Facts::default()
        };
        for probe in asked {
            if let (Probe::Script(script), Some(answer)) = (probe, &host.script) {
                facts.scripts.insert(script_key(&script), answer.clone());
            }
        }
        facts
    }
}

fn check(path: &Path, text: String) -> datatest_stable::Result<()> {
    let case: Case = toml::from_str(&text)?;
    let folder = path.parent().and_then(Path::file_name).unwrap();
    assert_eq!(
        folder.to_str(),
        Some(case.ensure.kind()),
        "the case is in the wrong folder"
    );
    let (asked, asked_there) = match case.ensure.question() {
        Question::Host(probes) => (probes, Vec::new()),
        Question::Hosts { here, there, .. } => (here, there),
        _ => (Vec::new(), Vec::new()),
    };
    let asks_two = matches!(case.ensure.question(), Question::Hosts { .. });
    let (here, there) = (
        Case::facts(case.host, asked),
        Case::facts(case.other, asked_there),
    );
    let fact = case.service.map(|service| match service {
        Service::Unknown(why) => ServiceFact::Unknown(why),
        Service::Refused(why) => ServiceFact::Refused(why),
        Service::Answer { refs, found, said } => ServiceFact::Answer { refs, found, said },
    });
    let answer = match &fact {
        Some(fact) => Answer::Service(fact),
        None if asks_two => Answer::Hosts {
            here: &here,
            there: &there,
        },
        None => Answer::Host(&here),
    };
    compare(case.ensure.diff(answer), case.expect);
    Ok(())
}

fn compare(diff: Diff, expect: Expect) {
    match (diff, expect) {
        (Diff::InSync(said), Expect::InSync(wanted))
        | (Diff::Later(said), Expect::Later(wanted))
        | (Diff::Refused(said), Expect::Refused(wanted)) => assert_eq!(said, wanted),
        (Diff::Change(change), Expect::Change { edits, ops }) => {
            let shown: Vec<_> = change.edits.iter().map(show).collect();
            assert_eq!(shown, edits, "edits");
            assert!(!edits.is_empty(), "a change always has something to show");
            assert_eq!(change.ops.len(), ops.len(), "operations: {:#?}", change.ops);
            for (op, wanted) in change.ops.iter().zip(&ops) {
                compare_op(op, wanted);
            }
        }
        (diff, _) => panic!("another kind of answer: {diff:#?}"),
    }
}

fn show(edit: &Edit) -> String {
    let nothing = || "-".to_owned();
    format!(
        "{}: {} -> {}",
        edit.what,
        edit.before.clone().unwrap_or_else(nothing),
        edit.after.clone().unwrap_or_else(nothing)
    )
}

fn compare_op(op: &Op, wanted: &ExpectedOp) {
    match (op, wanted) {
        (
            Op::Run { script, stdin },
            ExpectedOp::Run {
                has,
                lacks,
                stdin: input,
            },
        ) => {
            has_in_order(script, has);
            for piece in lacks {
                assert!(
                    !script.contains(piece.as_str()),
                    "`{piece}` is in\n{script}"
                );
            }
            assert_eq!(
                std::str::from_utf8(stdin).unwrap(),
                input.as_deref().unwrap_or_default()
            );
        }
        (Op::Request(request), ExpectedOp::Request(wanted)) => assert_eq!(request, wanted),
        (Op::Upload { id, .. }, ExpectedOp::Upload { id: wanted }) => assert_eq!(id, wanted),
        (
            Op::Copy { from, read, write },
            ExpectedOp::Copy {
                from: wanted,
                read: reading,
                has,
            },
        ) => {
            assert_eq!((from, read), (wanted, reading));
            has_in_order(write, has);
        }
        (Op::Confirmed { script, undo }, ExpectedOp::Confirmed { has, undo: back }) => {
            assert!(script.contains(has.as_str()), "`{has}` is not in\n{script}");
            assert_eq!(undo, back);
        }
        (Op::Poll, ExpectedOp::Poll {}) | (Op::Reboot, ExpectedOp::Reboot {}) => {}
        (op, _) => panic!("another operation: {op:#?}"),
    }
}

fn has_in_order(script: &str, pieces: &[String]) {
    let mut rest = script;
    for piece in pieces {
        let found = rest.find(piece.as_str());
        let at = found.unwrap_or_else(|| panic!("`{piece}` does not come next in\n{script}"));
        rest = &rest[at + piece.len()..];
    }
}

/// What a host printed, and what is understood of it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reading {
    #[expect(dead_code, reason = "for the reader of the file")]
    about: String,
    output: String,
    #[serde(default)]
    host: Host,
    /// Answers of scripts by their key.
    #[serde(default)]
    scripts: BTreeMap<String, ScriptFact>,
    /// The error, when the output is not complete.
    incomplete: Option<String>,
}

fn read(_path: &Path, text: String) -> datatest_stable::Result<()> {
    let reading: Reading = toml::from_str(&text)?;
    match (Facts::parse(&reading.output), reading.incomplete) {
        (Ok(facts), None) => {
            let wanted = Facts {
                scripts: reading.scripts,
                ..Case::facts(reading.host, Vec::new())
            };
            assert_eq!(facts, wanted);
        }
        (Err(why), Some(wanted)) => assert_eq!(why.to_string(), wanted),
        (found, wanted) => panic!("{found:#?}, not {wanted:?}"),
    }
    Ok(())
}

/// A kind without cases is a kind nobody has looked at.
fn every_kind_has_cases(path: &Path, source: String) -> datatest_stable::Result<()> {
    let kinds = source.lines().filter_map(|line| {
        let (_, kind) = line.split_once("(_) => \"")?;
        kind.strip_suffix("\",")
    });
    let kinds: Vec<_> = kinds.collect();
    assert!(kinds.len() > 15, "{} names only {kinds:?}", path.display());
    for kind in kinds {
        let folder = Path::new("tests/cases").join(kind);
        let cases = std::fs::read_dir(&folder).map_or(0, Iterator::count);
        assert!(cases > 1, "{} holds {cases} cases", folder.display());
    }
    Ok(())
}

datatest_stable::harness! {
    { test = check, root = "tests/cases", pattern = r"\.toml$" },
    { test = read, root = "tests/facts", pattern = r"\.toml$" },
    { test = every_kind_has_cases, root = "src/model/resource", pattern = r"^mod\.rs$" },
}
