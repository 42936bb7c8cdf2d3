//! `provision init`: an answer file to start from. The presets are the shipped answer files, so what is
//! written here is what is tested.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use rust_embed::Embed;

use super::args::InitArgs;
use super::exit::Exit;
use super::say;

#[derive(Embed)]
#[folder = "answer-files/"]
struct Presets;

/// `provision init`
pub(crate) fn init(args: &InitArgs) -> ExitCode {
    let Some(name) = &args.preset else {
        list();
        return ExitCode::SUCCESS;
    };
    let Some(text) = preset(name) else {
        say::talk(&format!("error[usage]: there is no preset `{name}`"));
        say::talk("help: `provision init` lists them");
        return Exit::Usage.into();
    };
    let Some(path) = &args.output else {
        say::data(&text);
        return ExitCode::SUCCESS;
    };
    match write_new(path, &text) {
        Ok(()) => {
            let path = path.display();
            say::talk(&format!("{path} is written; look through it, then:"));
            say::talk(&format!("    provision validate --answer-file {path}"));
            ExitCode::SUCCESS
        }
        Err(error) => {
            say::talk(&format!("error[usage]: {}: {error}", path.display()));
            say::talk("help: an existing file is never overwritten; give another name");
            Exit::Usage.into()
        }
    }
}

fn list() {
    let mut names: Vec<String> = Presets::iter()
        .filter_map(|file| file.strip_suffix(".toml").map(str::to_owned))
        .collect();
    names.sort();
    let width = names.iter().map(String::len).max().unwrap_or_default();
    for name in names {
        let about = preset(&name).unwrap_or_default();
        let about = about
            .lines()
            .next()
            .unwrap_or_default()
            .trim_start_matches("# ");
        say::data(&format!("{name:width$}  {about}"));
    }
}

/// The text of a preset, without the line that ties it to the schema beside it.
fn preset(name: &str) -> Option<String> {
    let file = Presets::get(&format!("{name}.toml"))?;
    let text = String::from_utf8(file.data.into_owned()).ok()?;
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.starts_with("#:schema"))
        .collect();
    Some(lines.join("\n").trim_start().to_owned() + "\n")
}

fn write_new(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = std::fs::File::options()
        .write(true)
        .create_new(true)
        .open(path)?;
    file.write_all(text.as_bytes())
}
