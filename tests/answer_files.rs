//! The shipped answer files, the schema and the cases keep their word.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

#[path = "answers/known.rs"]
mod known;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use provision::model::answers;
use provision::model::at::SourceFile;
use provision::model::cloud::Cloud;
use provision::show::{diagnostic, style::Look};
use serde_json::Value;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut open = vec![root().join(folder)];
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|e| e == ending) {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

fn load(name: &str, text: &str) -> Cloud {
    match answers::load(name, text, &known::known()) {
        Ok((cloud, warnings)) if warnings.is_empty() => cloud,
        Ok((_, found)) | Err(found) => {
            let source = SourceFile::new(name, text);
            panic!(
                "{}\n{text}",
                diagnostic::text(&found, &[source], &Look::plain())
            )
        }
    }
}

/// The cases' platforms are partly invented; these files must do with what is there.
#[test]
fn shipped_answer_files_are_right_for_the_shipped_playbooks() {
    let library = provision::cli::library::Library::load(None).unwrap();
    for path in files("answer-files", "toml") {
        let text = std::fs::read_to_string(&path).unwrap();
        let loaded = answers::load(&path.display().to_string(), &text, &library.known);
        let (_, warnings) = loaded.unwrap_or_else(|found| panic!("{}: {found:#?}", path.display()));
        assert!(warnings.is_empty(), "{warnings:#?}");
    }
}

/// A default that its own setting would refuse could never be written down.
#[test]
fn services_keep_to_their_own_rules() {
    let library = provision::cli::library::Library::load(None).unwrap();
    let known = library.known;
    let schema = answers::schema(&known);
    for (name, service) in &known.services {
        for need in &service.needs {
            assert!(known.services.contains_key(need), "{name} needs {need}");
        }
        for (key, setting) in &service.settings {
            let path = format!("{name}.{key}");
            let Some(own) = schema["properties"][name]["properties"].get(key) else {
                panic!("{path} is not in the schema");
            };
            if let Some(default) = &setting.default {
                assert!(jsonschema::is_valid(own, default), "{path}: {default}");
            }
            assert!(
                setting.about.contains("Default"),
                "{path} does not explain its default"
            );
        }
    }
}

/// `#key = 1` and `#[table]`, but not `# prose`.
fn is_default(line: &str) -> bool {
    let mut letters = line.chars();
    letters.next() == Some('#')
        && letters
            .next()
            .is_some_and(|c| c.is_ascii_lowercase() || c == '[')
        && !line.starts_with("#e.g.")
}

#[test]
fn what_answer_files_show_as_defaults_are_the_defaults() {
    for path in files("answer-files", "toml") {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(&path).unwrap();
        let written: String = text
            .lines()
            .map(|line| if is_default(line) { &line[1..] } else { line })
            .flat_map(|line| [line, "\n"])
            .collect();
        assert_ne!(written, text, "{name} shows no default");
        assert_eq!(load(&name, &written), load(&name, &text), "{name}");
    }
}

/// Each run of `#e.g.` lines by itself, in the place of the default of the same key.
#[test]
fn what_the_reference_shows_as_examples_can_be_written() {
    let path = root().join("answer-files/reference.toml");
    let text = std::fs::read_to_string(path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let mut examples = 0;
    let mut at = 0;
    while at < lines.len() {
        let run = lines[at..]
            .iter()
            .take_while(|line| line.starts_with("#e.g. "))
            .count();
        if run > 0 {
            let written: Vec<&str> = lines
                .iter()
                .enumerate()
                .map(|(n, line)| {
                    if (at..at + run).contains(&n) {
                        line.trim_start_matches("#e.g. ")
                    } else {
                        line
                    }
                })
                .collect();
            load("reference.toml", &written.join("\n"));
            examples += 1;
        }
        at += run.max(1);
    }
    assert!(examples > 10, "{examples} examples");
}

/// Every key of the schema, as `table.key`; what users name themselves is `*`.
fn keys(schema: &Value, path: &str, into: &mut BTreeSet<String>) {
    for (key, inner) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}{key}");
        keys(inner, &format!("{path}."), into);
        keys(&inner["additionalProperties"], &format!("{path}.*."), into);
        into.insert(path);
    }
}

#[test]
fn the_reference_names_every_key() {
    let text = std::fs::read_to_string(root().join("answer-files/reference.toml")).unwrap();
    let mut wanted = BTreeSet::new();
    let library = provision::cli::library::Library::load(None).unwrap();
    keys(&answers::schema(&library.known), "", &mut wanted);
    let mut table = String::new();
    let mut named = BTreeSet::new();
    for line in text.lines() {
        let line = line
            .trim_start_matches("#e.g. ")
            .trim_start_matches(['#', ' ']);
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            table = name.0.to_owned();
        } else if let Some((key, _)) = line.split_once(" = ") {
            named.insert(format!("{table}.{key}"));
        }
        let mut above = table.as_str();
        while !above.is_empty() {
            named.insert(above.to_owned());
            above = above.rsplit_once('.').map_or("", |(above, _)| above);
        }
    }
    let own = [
        "hosts.controller.",
        "hosts.compute1.",
        "flavors.tiny.",
        "secrets.admin_password.",
    ];
    let is_named = |key: &String| {
        let concrete = |own: &str| {
            let table = own.split('.').next().unwrap_or_default();
            key.replacen(&format!("{table}.*."), own, 1)
        };
        // `cpus` and `memory` of a host are those of the lab, `env` and `file` stand inline.
        let told = [
            "hosts.*.cpus",
            "hosts.*.memory",
            "secrets.*.env",
            "secrets.*.file",
        ];
        let shared = key
            .strip_prefix("hosts.*.")
            .filter(|rest| rest.starts_with("ssh."));
        named.contains(key)
            || own.iter().any(|own| named.contains(&concrete(own)))
            || told.contains(&key.as_str())
            || shared.is_some_and(|key| named.contains(key))
            || key == "ssh.host"
            // The empty tables of services without settings.
            || key == "rabbitmq"
            || key == "networks.provider.vlan"
    };
    let missing: Vec<&String> = wanted.iter().filter(|key| !is_named(key)).collect();
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn the_schema_beside_the_answer_files_is_current() {
    let path = root().join("answer-files/answer.schema.json");
    let library = provision::cli::library::Library::load(None).unwrap();
    let current = format!("{:#}\n", answers::schema(&library.known));
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        std::fs::write(&path, &current).unwrap();
    }
    let read = |text: &str| {
        let mut schema: Value = serde_json::from_str(text).unwrap();
        // Platforms come one by one; an editor's proposals may lag behind.
        schema["properties"]["cloud"]["properties"]["platform"]["examples"].take();
        schema
    };
    let written = read(&std::fs::read_to_string(&path).unwrap());
    assert!(
        written == read(&current),
        "UPDATE_EXPECTED=1 cargo test --test answer_files"
    );
}

#[test]
fn every_key_of_the_schema_is_described() {
    fn look(schema: &Value, path: &str, bare: &mut Vec<String>) {
        for (key, inner) in schema["properties"].as_object().into_iter().flatten() {
            let path = format!("{path}.{key}");
            if inner["description"]
                .as_str()
                .is_none_or(|text| text.len() < 10)
            {
                bare.push(path.clone());
            }
            look(inner, &path, bare);
            look(&inner["additionalProperties"], &path, bare);
        }
    }
    let mut bare = Vec::new();
    look(&answers::schema(&known::known()), "", &mut bare);
    assert!(bare.is_empty(), "{bare:#?}");
}

#[test]
fn every_code_has_a_case() {
    let mut codes = BTreeSet::new();
    for path in files("src/model/answers", "rs") {
        let text = std::fs::read_to_string(path).unwrap();
        let literals = text.split('"').skip(1).step_by(2);
        let is_code = |text: &&str| {
            let parts: Vec<&str> = text.split("::").collect();
            let plain = |part: &&str| {
                !part.is_empty() && part.chars().all(|c| c.is_ascii_lowercase() || c == '-')
            };
            parts.len() == 2 && parts.iter().all(plain)
        };
        codes.extend(literals.filter(is_code).map(str::to_owned));
    }
    assert!(codes.len() > 20, "{codes:?}");
    let shown: String = files("tests/answers/invalid", "stderr")
        .iter()
        .map(|path| std::fs::read_to_string(path).unwrap())
        .collect();
    let missing: Vec<&String> = codes
        .iter()
        .filter(|code| !shown.contains(&format!("[{code}]")))
        .collect();
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn templates_see_the_documented_context() {
    let text = std::fs::read_to_string(root().join("tests/answers/valid/everything.toml")).unwrap();
    insta::assert_json_snapshot!(load("everything.toml", &text).context());
}

#[test]
fn each_host_has_its_own_way_in() {
    let text = std::fs::read_to_string(root().join("tests/answers/valid/everything.toml")).unwrap();
    let ways: Vec<_> = load("everything.toml", &text)
        .hosts
        .into_iter()
        .map(|host| host.ssh)
        .collect();
    insta::assert_debug_snapshot!(ways);
}

#[test]
fn a_hosts_own_options_win() {
    let text = std::fs::read_to_string(root().join("answer-files/existing-hosts.toml")).unwrap();
    let text = text
        + "\n[config.\"nova.conf\".libvirt]\ncpu_mode = \"none\"\nhw_disk_discard = \"unmap\"\n";
    let cloud = load("existing-hosts.toml", &text);
    let of = |host: &str| {
        let config = cloud.config_for(cloud.host(host).unwrap());
        serde_json::to_value(&config["nova.conf"]["libvirt"]).unwrap()
    };
    assert_eq!(
        of("compute1"),
        serde_json::json!({ "cpu_mode": "none", "hw_disk_discard": "unmap" })
    );
    assert_eq!(
        of("compute2"),
        serde_json::json!({ "cpu_mode": "host-passthrough", "hw_disk_discard": "unmap" })
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Whatever is cut out or put in: an answer with marks that can be shown, never a panic.
    #[test]
    fn a_damaged_file_is_answered(
        from in 0..4000usize,
        length in 0..60usize,
        put in prop_oneof![
            Just(String::new()), Just("\"".to_owned()), Just("[".to_owned()), Just("= {".to_owned()),
            Just("é\n".to_owned()), Just("[[x]]\n".to_owned()), "[a-z_.=\\[\\]\" 0-9-]{0,12}",
        ],
    ) {
        let path = root().join("tests/answers/valid/everything.toml");
        let text = std::fs::read_to_string(path).unwrap();
        let letters: Vec<char> = text.chars().collect();
        let from = from.min(letters.len());
        let to = (from + length).min(letters.len());
        let damaged: String = letters[..from].iter().copied().chain(put.chars()).chain(letters[to..].iter().copied()).collect();
        let found = match answers::load("damaged.toml", &damaged, &known::known()) {
            Ok((_, warnings)) => warnings,
            Err(found) => {
                prop_assert!(found.iter().any(|one| one.is_error()), "refused without a reason");
                found
            }
        };
        for label in found.iter().flat_map(|one| &one.labels) {
            prop_assert!(damaged.get(label.start..label.end).is_some(), "{label:?}");
        }
        let shown = diagnostic::text(&found, &[SourceFile::new("damaged.toml", damaged)], &Look::plain());
        prop_assert_eq!(shown.is_empty(), found.is_empty());
    }
}
