//! Rooms keep their doors: `model` imports none of the others, `drive` and `show` import `model` and never each
//! other, `lab` imports `model` and the transport of `drive`, `cli` imports all.

#![expect(clippy::unwrap_used, reason = "a test fails where it panics")]

use std::path::{Path, PathBuf};

fn files(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, into);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            into.push(path);
        }
    }
}

fn allowed(room: &str) -> &'static [&'static str] {
    match room {
        "model" => &["model"],
        "drive" => &["drive", "model"],
        "show" => &["show", "model"],
        "lab" => &["lab", "model", "drive::transport"],
        "cli" => &["cli", "drive", "lab", "model", "show"],
        other => panic!("src/{other} is no room; see the page of `lib.rs`"),
    }
}

#[test]
fn rooms_import_only_what_they_may() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut all = Vec::new();
    files(&src, &mut all);
    let mut seen = 0;
    let mut wrong = Vec::new();
    for path in all {
        let below = path.strip_prefix(&src).unwrap();
        let Some(room) = below
            .parent()
            .and_then(|p| p.iter().next())
            .and_then(|p| p.to_str())
        else {
            continue;
        };
        let text = std::fs::read_to_string(&path).unwrap();
        for (number, line) in text.lines().enumerate() {
            for import in line.split("crate::").skip(1) {
                seen += 1;
                if !allowed(room)
                    .iter()
                    .any(|prefix| import.starts_with(prefix))
                {
                    wrong.push(format!(
                        "{}:{}: {}",
                        below.display(),
                        number + 1,
                        line.trim()
                    ));
                }
            }
        }
    }
    assert!(
        seen > 100,
        "only {seen} imports were found: the test looks in the wrong place"
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_model_is_pure() {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/model");
    let mut all = Vec::new();
    files(&model, &mut all);
    let mut wrong = Vec::new();
    for path in all {
        let text = std::fs::read_to_string(&path).unwrap();
        let product = text.split("#[cfg(test)]").next().unwrap_or_default();
        for word in [
            "tokio::",
            "std::fs",
            "std::net::Tcp",
            "std::process",
            "SystemTime::now",
            "Instant::now",
            "async fn",
            "rand::",
            "std::env",
        ] {
            if product.contains(word) {
                wrong.push(format!("{}: {word}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
