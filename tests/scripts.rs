//! Runs the scripts of path-like resources for real, in a temporary directory, as the current user:
//! ask, apply, ask again. After one application nothing may be left to do.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use proptest::prelude::*;
use provision::model::facts::Facts;
use provision::model::ini::{self, Options};
use provision::model::probe::ProbeSet;
use provision::model::quote::words;
use provision::model::resource::{Answer, Diff, Op, Question, Resource};

fn sh(script: &str, stdin: &[u8]) -> Output {
    let mut child = Command::new("sh")
        .arg("-c")
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(stdin).ok();
    child.wait_with_output().unwrap()
}

fn ask(resource: &Resource) -> Facts {
    let Question::Host(probes) = resource.question() else {
        panic!("not a question to a host")
    };
    let mut set = ProbeSet::new();
    set.extend(probes);
    let output = sh(&set.script(), b"");
    Facts::parse(&String::from_utf8(output.stdout).unwrap()).unwrap()
}

fn diff(resource: &Resource) -> Diff {
    resource.diff(Answer::Host(&ask(resource)))
}

/// Asks, applies, asks again; the second answer has to be "in sync".
fn converge(resource: &Resource) {
    let Diff::Change(change) = diff(resource) else {
        panic!("nothing to do: {:?}", diff(resource));
    };
    for op in &change.ops {
        let Op::Run { script, stdin } = op else {
            panic!("no script: {op:?}");
        };
        let output = sh(script, stdin);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}\n{script}");
        assert_eq!(said, "", "a script that succeeds is silent");
    }
    let after = diff(resource);
    assert!(matches!(after, Diff::InSync(_)), "{after:#?}");
}

/// A temporary directory with a name that needs quoting.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        std::fs::create_dir(place.path("")).unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join("it's a $(place)").join(name)
    }

    fn put(&self, name: &str, content: &str, mode: u32) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        path
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().mode() & 0o7777
}

/// A resource of this kind, with the current user as its owner.
fn resource(kind: &str, fields: serde_json::Value, owned: bool) -> Resource {
    let mut fields = fields;
    if owned {
        let id = |flag| String::from_utf8(sh(&format!("id {flag}"), b"").stdout).unwrap();
        fields["owner"] = id("-un").trim().into();
        fields["group"] = id("-gn").trim().into();
    }
    serde_json::from_value(serde_json::json!({ kind: fields })).unwrap()
}

fn file(path: &Path, content: &str, mode: &str) -> Resource {
    let fields = serde_json::json!({ "path": path, "content": content, "mode": mode });
    resource("file", fields, true)
}

#[test]
fn a_file_is_made_with_its_directory_and_nothing_else() {
    let place = Place::new();
    let path = place.path("a/b/c.conf");
    converge(&file(&path, "line\n", "0640"));
    assert_eq!(place.read("a/b/c.conf"), "line\n");
    assert_eq!(mode(&path), 0o640);
    let beside = std::fs::read_dir(path.parent().unwrap()).unwrap().count();
    assert_eq!(beside, 1, "no temporary file is left");
}

#[test]
fn a_file_changes_through_a_link_and_the_link_stays() {
    let place = Place::new();
    place.put("real", "old", 0o600);
    std::os::unix::fs::symlink("real", place.path("link")).unwrap();
    converge(&file(&place.path("link"), "new", "0644"));
    assert_eq!(place.read("real"), "new");
    assert!(place.path("link").is_symlink());
    std::os::unix::fs::symlink("nowhere yet", place.path("dangling")).unwrap();
    converge(&file(&place.path("dangling"), "new", "0644"));
    assert_eq!(place.read("nowhere yet"), "new");
}

#[test]
fn attributes_alone_leave_the_content_where_it_is() {
    let place = Place::new();
    let path = place.put("file", "same", 0o666);
    let before = path.metadata().unwrap().ino();
    converge(&file(&path, "same", "0600"));
    assert_eq!(path.metadata().unwrap().ino(), before);
}

#[test]
fn a_content_that_does_not_arrive_whole_changes_nothing() {
    let place = Place::new();
    let path = place.put("file", "old", 0o644);
    let Diff::Change(change) = diff(&file(&path, "a longer content", "0644")) else {
        panic!("nothing to do");
    };
    let Op::Run { script, .. } = &change.ops[0] else {
        panic!("no script");
    };
    let output = sh(script, b"a longer con");
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("did not arrive whole"));
    assert_eq!(place.read("file"), "old");
    assert_eq!(std::fs::read_dir(place.path("")).unwrap().count(), 1);
}

#[test]
fn a_block_comes_changes_and_goes() {
    let place = Place::new();
    let path = place.put("hosts", "127.0.0.1 localhost", 0o604);
    let block = |content: &str| {
        let fields = serde_json::json!({ "path": path, "name": "hosts", "content": content });
        resource("block", fields, false)
    };
    converge(&block("10.0.0.1 a\n"));
    assert_eq!(mode(&path), 0o604, "the file stays its owner's");
    converge(&block("10.0.0.1 a\n10.0.0.2 b"));
    converge(&block(""));
    assert_eq!(place.read("hosts"), "127.0.0.1 localhost\n");
}

#[test]
fn a_block_never_overwrites_what_somebody_wrote_in_the_meantime() {
    let place = Place::new();
    let path = place.put("hosts", "one\n", 0o644);
    let fields = serde_json::json!({ "path": path, "name": "x", "content": "y" });
    let Diff::Change(change) = diff(&resource("block", fields, false)) else {
        panic!("nothing to do");
    };
    place.put("hosts", "one\ntwo\n", 0o644);
    let Op::Run { script, stdin } = &change.ops[0] else {
        panic!("no script");
    };
    let output = sh(script, stdin);
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("somebody else"));
    assert_eq!(place.read("hosts"), "one\ntwo\n");
}

#[test]
fn directories_links_and_empty_places_converge() {
    let place = Place::new();
    let folder = |name: &str, mode: &str| {
        let fields = serde_json::json!({ "path": place.path(name), "mode": mode });
        resource("directory", fields, true)
    };
    converge(&folder("d/e", "2750"));
    converge(&folder("d/e", "0700"));
    assert_eq!(mode(&place.path("d/e")), 0o700);

    let link = |target: &str| {
        let fields = serde_json::json!({ "path": place.path("l/link"), "target": target });
        resource("link", fields, false)
    };
    converge(&link("/some where"));
    converge(&link("../d"));
    converge(&link("/else where"));

    place.put("old", "", 0o644);
    let paths = [place.path("old"), place.path("l/link"), place.path("never")];
    let fields = serde_json::json!({ "paths": paths });
    converge(&resource("gone", fields, false));
    assert!(!place.path("old").exists());
}

/// Text that a shell, a regular expression or a here-document could trip over.
fn nasty() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("'".to_owned()),
        Just("\"$(id)`\\".to_owned()),
        Just("\n".to_owned()),
        Just("\r\n".to_owned()),
        Just(" -n --help ".to_owned()),
        "[ -~]{0,8}",
        "\\PC{0,4}",
    ];
    prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

fn options() -> impl Strategy<Value = Options> {
    let value = "([a-z%/][a-z =:#%/]{0,8}[a-z%/])?";
    let values = prop::collection::vec(value, 0..3);
    let section = prop_oneof![Just(String::new()), Just("DEFAULT".into()), "[a-z]{1,3}"];
    let section_options = prop::collection::btree_map("[a-c]{1,2}", values, 0..3);
    prop::collection::btree_map(section, section_options, 0..4)
}

fn ini_text() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        "\\[(DEFAULT|[a-z]{1,3})\\]",
        "[a-c]{1,2} ?[=:] ?[a-z ]{0,5}",
        "[#;] ?[a-c =]{0,6}",
        "  [a-z]{1,5}",
        Just(String::new()),
    ];
    prop::collection::vec(line, 0..12).prop_map(|lines| lines.join("\n"))
}

/// Reads as oslo.config does: the values of an option in the order of their lines.
fn values(text: &str, section: &str, option: &str) -> Vec<String> {
    let (mut found, mut current) = (Vec::new(), String::new());
    for line in text.lines() {
        if let Some(header) = line.strip_prefix('[') {
            current = header.trim_end_matches(']').to_owned();
        } else if !line.starts_with(['#', ';', ' ', '\t'])
            && let Some((name, value)) = line.split_once(['=', ':'])
            && current == section
            && name.trim() == option
        {
            found.push(value.trim().to_owned());
        }
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_words_survive_a_real_shell(texts in prop::collection::vec(nasty(), 1..5)) {
        let output = sh(&format!("printf '%s\\0' {}", words(&texts)), b"");
        let said = String::from_utf8(output.stdout).unwrap();
        let back: Vec<_> = said.split_terminator('\0').collect();
        let sent: Vec<_> = texts.iter().map(|text| text.replace('\0', "")).collect();
        prop_assert_eq!(back, sent);
    }

    #[test]
    fn any_file_is_in_sync_once_it_is_written(before in nasty(), after in nasty(), there: bool) {
        let place = Place::new();
        if there {
            place.put("file", &before, 0o600);
        }
        converge(&file(&place.path("file"), &after, "0640"));
        prop_assert_eq!(place.read("file"), after);
    }

    #[test]
    fn any_block_leaves_the_lines_of_others(before in nasty(), content in nasty()) {
        prop_assume!(!content.trim_end_matches('\n').is_empty());
        let place = Place::new();
        let path = place.put("file", &before, 0o644);
        let fields = serde_json::json!({ "path": path, "name": "b", "content": content });
        converge(&resource("block", fields, false));
        let after = place.read("file");
        let kept = after.starts_with(&before);
        prop_assert!(kept, "{:?} is not in {:?}", before, after);
    }

    #[test]
    fn options_are_set_once_and_for_all(text in ini_text(), options in options()) {
        let once = ini::with_options(&text, &options);
        for (section, wanted) in &options {
            for (option, lines) in wanted {
                prop_assert_eq!(&values(&once, section, option), lines, "[{}] {} in\n{}", section, option, once);
            }
        }
        prop_assert_eq!(ini::with_options(&once, &options), once.clone());
    }

    #[test]
    fn options_leave_comments_and_other_options(text in ini_text(), options in options()) {
        let after = ini::with_options(&text, &options);
        let comments = |text: &str| -> Vec<String> {
            text.lines().filter(|line| line.starts_with(['#', ';'])).map(str::to_owned).collect()
        };
        prop_assert_eq!(comments(&after), comments(&text));
        let mut section = String::new();
        for line in text.lines() {
            if let Some(header) = line.strip_prefix('[') {
                section = header.trim_end_matches(']').to_owned();
            } else if let Some((name, _)) = line.split_once(['=', ':'])
                && !line.starts_with(['#', ';', ' '])
                && !options.get(&section).is_some_and(|set| set.contains_key(name.trim()))
            {
                let name = name.trim();
                prop_assert_eq!(values(&after, &section, name), values(&text, &section, name));
            }
        }
    }
}
