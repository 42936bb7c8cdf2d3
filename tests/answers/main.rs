//! Answer files and what is said about them.
//!
//! `valid/*.toml` and all shipped answer files load without a word. `invalid/*.toml` give exactly what is
//! beside them in `.stderr`. After a change of wording: `UPDATE_EXPECTED=1 cargo test --test answers`,
//! and read the difference.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod known;

use std::path::Path;

use provision::model::answers::{self, Known};
use provision::model::at::SourceFile;
use provision::show::diagnostic;
use provision::show::style::Look;

fn rendered(name: &str, text: &str, known: &Known) -> String {
    let found = match answers::load(name, text, known) {
        Ok((_, warnings)) => warnings,
        Err(found) => found,
    };
    let look = Look {
        unicode: false,
        width: 140,
        ..Look::plain()
    };
    diagnostic::text(&found, &[SourceFile::new(name, text)], &look)
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

fn invalid(path: &Path) -> datatest_stable::Result<()> {
    let text = std::fs::read_to_string(path)?;
    let shown = rendered(&name_of(path), &text, &known::known());
    assert!(!shown.is_empty(), "nothing is wrong with it");
    let expected = path.with_extension("stderr");
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        std::fs::write(&expected, &shown)?;
    }
    let wanted = std::fs::read_to_string(&expected).unwrap_or_default();
    assert!(
        shown == wanted,
        "--- {}\n{wanted}\n--- instead of it\n{shown}",
        expected.display()
    );
    Ok(())
}

fn valid(path: &Path) -> datatest_stable::Result<()> {
    let text = std::fs::read_to_string(path)?;
    let known = known::known();
    let shown = rendered(&name_of(path), &text, &known);
    assert!(shown.is_empty(), "{shown}");
    let json = serde_json::to_value(toml::from_str::<toml::Table>(&text)?)?;
    let schema = jsonschema::validator_for(&answers::schema(&known))?;
    let wrong: Vec<String> = schema.iter_errors(&json).map(|e| e.to_string()).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    Ok(())
}

datatest_stable::harness! {
    { test = invalid, root = "tests/answers/invalid", pattern = r"\.toml$" },
    { test = valid, root = "tests/answers/valid", pattern = r"\.toml$" },
    { test = valid, root = "answer-files", pattern = r"\.toml$" },
}
