//! Options in files with sections, as oslo.config, MariaDB and systemd read them.
//!
//! [`with_options`] changes options in a text and leaves everything else where it is: comments, order, blank
//! lines, and options it does not name.

use std::collections::BTreeMap;

/// Options by section and name; several values make a repeated option, none removes it.
pub type Options = BTreeMap<String, BTreeMap<String, Vec<String>>>;

/// `text` with `options` set. The section `""` is what stands before the first header. A missing
/// section is added at the end; a new option goes to the end of its section.
pub fn with_options(text: &str, options: &Options) -> String {
    let mut lines: Vec<Line> = read(text);
    for (section, wanted) in options {
        for (option, values) in wanted {
            set_one(&mut lines, section, option, values);
        }
    }
    let mut out = String::with_capacity(text.len());
    for line in &lines {
        out.push_str(&line.text);
        out.push('\n');
    }
    // A text that only lacks its last line break has nothing to change.
    let untouched = out.strip_suffix('\n') == Some(text);
    if untouched { text.to_owned() } else { out }
}

/// The lines of a text without their line breaks; a carriage return stays a part of its line.
pub(crate) fn lines_of(text: &str) -> impl Iterator<Item = &str> {
    text.strip_suffix('\n')
        .unwrap_or(text)
        .split('\n')
        .filter(move |_| !text.is_empty())
}

/// A line and what it belongs to.
#[derive(Debug)]
struct Line {
    text: String,
    section: String,
    /// The option that the line sets, or continues.
    option: Option<String>,
}

impl Line {
    /// What stands behind the separator; a continuation line is a value like no other.
    fn value(&self) -> &str {
        if self.text.starts_with([' ', '\t']) {
            return &self.text;
        }
        let value = self.text.split_once(['=', ':']);
        value.map_or(self.text.as_str(), |(_, value)| value.trim())
    }
}

fn read(text: &str) -> Vec<Line> {
    let mut section = String::new();
    let mut open: Option<String> = None;
    let mut lines = Vec::new();
    for line in lines_of(text) {
        let bare = line.trim();
        let indented = line.starts_with([' ', '\t']);
        let option = if bare.is_empty() || (!indented && bare.starts_with(['#', ';'])) {
            open = None;
            None
        } else if indented && open.is_some() {
            open.clone()
        } else if let Some(header) = bare
            .strip_prefix('[')
            .and_then(|rest| rest.split(']').next())
        {
            header.trim().clone_into(&mut section);
            open = None;
            None
        } else {
            let name = bare.split(['=', ':']).next().unwrap_or_default().trim();
            open = Some(name.to_owned());
            open.clone()
        };
        lines.push(Line {
            text: line.to_owned(),
            section: section.clone(),
            option,
        });
    }
    lines
}

fn set_one(lines: &mut Vec<Line>, section: &str, option: &str, values: &[String]) {
    let sets = |line: &Line| line.section == section && line.option.as_deref() == Some(option);
    let place = lines.iter().position(sets);
    let found: Vec<_> = lines
        .iter()
        .filter(|line| sets(line))
        .map(Line::value)
        .collect();
    if found == values {
        return;
    }
    lines.retain(|line| !sets(line));
    if values.is_empty() {
        return;
    }
    let place = place.unwrap_or_else(|| end_of(lines, section));
    let new = values.iter().map(|value| Line {
        text: format!("{option} = {}", value.replace('\n', "\n    ")),
        section: section.to_owned(),
        option: Some(option.to_owned()),
    });
    lines.splice(place..place, new);
}

/// Where a new option of `section` goes: behind its last line that is not blank. Adds the section
/// when there is none.
fn end_of(lines: &mut Vec<Line>, section: &str) -> usize {
    let last = lines
        .iter()
        .rposition(|line| line.section == section && !line.text.trim().is_empty());
    match last {
        Some(last) => last + 1,
        None if section.is_empty() => 0,
        None => {
            let line = |text: String| Line {
                text,
                section: section.to_owned(),
                option: None,
            };
            if lines.last().is_some_and(|last| !last.text.is_empty()) {
                lines.push(line(String::new()));
            }
            lines.push(line(format!("[{section}]")));
            lines.len()
        }
    }
}
