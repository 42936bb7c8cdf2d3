//! Takes secrets out of text that people or files will keep.
//!
//! The [`Redactor`] knows the cloud's secrets by value and replaces every occurrence by
//! `‹secret name›`: as it is, and as it looks in JSON, in a URL, in a shell's single quotes and in
//! base64 (also when it is only a part of what was encoded). It sees one text at a time, so a secret
//! that someone splits over two lines is found only where its own lines are long enough to tell.
//! It is a net, not a licence: code that handles a secret still must not print it.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use data_encoding::{BASE64, BASE64_NOPAD, BASE64URL_NOPAD};

use crate::model::edit::Edit;
use crate::model::event::{CheckOutcome, Event, Outcome, Problem, Verdict};

/// Shorter values cannot be told from ordinary text.
const SHORTEST: usize = 3;
/// Values shorter than this are replaced only where they stand as a word of their own.
const SHORTEST_INSIDE_WORDS: usize = 8;
/// Encoded forms shorter than this would match too much.
const SHORTEST_ENCODED: usize = 6;
/// Lines of a many-line secret (a private key) that are at least this long are secrets too.
const SHORTEST_LINE: usize = 16;

/// Replaces known secrets in texts and events.
#[derive(Clone, Default)]
pub struct Redactor {
    needles: Vec<Needle>,
    /// Which needles begin with these bytes, longest first.
    starts: HashMap<[u8; SHORTEST], Vec<usize>>,
    /// One bit for each hash of a beginning: lets text without secrets pass quickly.
    filter: Vec<u64>,
}

#[derive(Clone)]
struct Needle {
    text: String,
    mark: String,
    whole_word: bool,
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Redactor({} forms)", self.needles.len())
    }
}

impl Redactor {
    /// Knows `secrets` as pairs of name and value. Values under three bytes are left alone.
    pub fn new(secrets: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut redactor = Self {
            filter: vec![0; 1024],
            ..Self::default()
        };
        for (name, value) in secrets {
            let mark = format!("‹secret {name}›");
            for (text, whole_word) in forms(&value) {
                redactor.add(Needle {
                    text,
                    mark: mark.clone(),
                    whole_word,
                });
            }
        }
        let needles = &redactor.needles;
        for start in redactor.starts.values_mut() {
            start.sort_by_key(|&n| std::cmp::Reverse(needles[n].text.len()));
        }
        redactor
    }

    fn add(&mut self, needle: Needle) {
        let Some(start) = needle.text.as_bytes().first_chunk::<SHORTEST>().copied() else {
            return;
        };
        if self.needles.iter().any(|n| n.text == needle.text) {
            return;
        }
        let bit = hash(start);
        self.filter[bit / 64] |= 1 << (bit % 64);
        self.starts
            .entry(start)
            .or_default()
            .push(self.needles.len());
        self.needles.push(needle);
    }

    /// `text` with its secrets replaced; borrowed when there are none.
    pub fn text<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if self.needles.is_empty() {
            return Cow::Borrowed(text);
        }
        let mut clean = String::new();
        let (mut copied, mut at) = (0, 0);
        while at + SHORTEST <= text.len() {
            match self.found_at(text, at) {
                Some(needle) => {
                    clean.push_str(&text[copied..at]);
                    clean.push_str(&needle.mark);
                    at += needle.text.len();
                    copied = at;
                }
                None => at += 1,
            }
        }
        if copied == 0 {
            return Cow::Borrowed(text);
        }
        clean.push_str(&text[copied..]);
        Cow::Owned(clean)
    }

    fn found_at(&self, text: &str, at: usize) -> Option<&Needle> {
        let start = *text.as_bytes()[at..].first_chunk::<SHORTEST>()?;
        let bit = hash(start);
        if self.filter[bit / 64] & (1 << (bit % 64)) == 0 {
            return None;
        }
        let candidates = self.starts.get(&start)?.iter().map(|&n| &self.needles[n]);
        candidates.into_iter().find(|needle| {
            text.as_bytes()[at..].starts_with(needle.text.as_bytes())
                && (!needle.whole_word || is_word(text, at, at + needle.text.len()))
        })
    }

    /// Replaces the secrets in everything an event says; names and ids stay as they are.
    pub fn event(&self, event: &mut Event) {
        each_text(event, &mut |text| {
            if let Cow::Owned(clean) = self.text(text) {
                *text = clean;
            }
        });
    }

    /// Replaces the secrets in what an edit shows.
    pub fn edit(&self, edit: &mut Edit) {
        for text in [&mut edit.before, &mut edit.after].into_iter().flatten() {
            if let Cow::Owned(clean) = self.text(text) {
                *text = clean;
            }
        }
    }
}

fn hash(start: [u8; SHORTEST]) -> usize {
    let [a, b, c] = start.map(u32::from);
    ((a.wrapping_mul(0x9e37) ^ b.wrapping_mul(0x85eb) ^ c.wrapping_mul(0x01f3)) & 0xffff) as usize
}

fn is_word(text: &str, from: usize, to: usize) -> bool {
    let inside = |c: char| c.is_alphanumeric() || c == '_';
    !text[..from].chars().next_back().is_some_and(inside)
        && !text[to..].chars().next().is_some_and(inside)
}

/// Every way `value` may be written, with whether it counts only as a word of its own.
fn forms(value: &str) -> Vec<(String, bool)> {
    let value = value.trim_end_matches('\n');
    if value.len() < SHORTEST {
        return Vec::new();
    }
    let mut forms = vec![(value.to_owned(), value.len() < SHORTEST_INSIDE_WORDS)];
    let long_lines = value.lines().filter(|line| line.len() >= SHORTEST_LINE);
    forms.extend(long_lines.map(|line| (line.to_owned(), false)));
    let encoded = encodings(value)
        .into_iter()
        .filter(|e| e.len() >= SHORTEST_ENCODED);
    forms.extend(encoded.filter(|e| e != value).map(|e| (e, false)));
    forms
}

fn encodings(value: &str) -> Vec<String> {
    let json = serde_json::Value::from(value).to_string();
    let mut encodings = vec![
        json[1..json.len() - 1].to_owned(),
        percent_encoded(value),
        percent_encoded(value).replace("%20", "+"),
        value.replace('\'', r"'\''"),
        BASE64.encode(value.as_bytes()),
    ];
    for encoding in [BASE64_NOPAD, BASE64URL_NOPAD] {
        for before in 0..3 {
            encodings.push(inside_base64(value, before, &encoding));
        }
    }
    encodings
}

/// The characters of base64 that depend on `value` alone when `before` bytes (modulo 3) precede it.
fn inside_base64(value: &str, before: usize, encoding: &data_encoding::Encoding) -> String {
    let mut bytes = vec![0; before];
    bytes.extend_from_slice(value.as_bytes());
    let encoded = encoding.encode(&bytes);
    let from = (before * 8).div_ceil(6);
    let to = bytes.len() * 8 / 6;
    encoded.get(from..to).unwrap_or_default().to_owned()
}

fn percent_encoded(value: &str) -> String {
    let mut encoded = String::with_capacity(value.len());
    for byte in value.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            _ => encoded.extend(['%', hex_digit(byte >> 4), hex_digit(byte & 15)]),
        }
    }
    encoded
}

fn hex_digit(digit: u8) -> char {
    char::from(b"0123456789ABCDEF"[usize::from(digit)])
}

/// Calls `each` for every free text of `event`. No `_` arm: a new event must be thought about here.
fn each_text(event: &mut Event, each: &mut dyn FnMut(&mut String)) {
    match event {
        Event::HostFailed { problem, .. } | Event::Diagnosed(problem) => {
            problem_texts(problem, each)
        }
        Event::StepPlanned { step, verdict } => {
            each(&mut step.name);
            match verdict {
                Verdict::InSync { reason } | Verdict::Later { reason } => each(reason),
                Verdict::Change { edits } => edit_texts(edits, each),
            }
        }
        Event::StepStarted { step } => each(&mut step.name),
        Event::Output { line, .. } => each(line),
        Event::StepRetrying { reason, .. } => each(reason),
        Event::StepFinished { outcome, .. } => match outcome {
            Outcome::Unchanged { reason } | Outcome::Skipped { reason } => each(reason),
            Outcome::Changed { edits, summary } => {
                edit_texts(edits, each);
                summary.iter_mut().for_each(each);
            }
            Outcome::Failed { problem } => problem_texts(problem, each),
            Outcome::Cancelled => {}
        },
        Event::Checked { outcome, .. } => match outcome {
            CheckOutcome::Ok { seen } => seen.iter_mut().for_each(each),
            CheckOutcome::Bad { cause, help } => {
                each(cause);
                each(help);
            }
            CheckOutcome::Unknown { reason } => each(reason),
        },
        Event::RunFinished(finished) => finished.next_command.iter_mut().for_each(each),
        Event::RunStarted(_)
        | Event::HostConnecting { .. }
        | Event::HostConnected { .. }
        | Event::HostFacts { .. }
        | Event::Progress { .. }
        | Event::StopRequested { .. }
        | Event::Artifact { .. }
        | Event::Unknown => {}
    }
}

fn problem_texts(problem: &mut Problem, each: &mut dyn FnMut(&mut String)) {
    each(&mut problem.message);
    problem.causes.iter_mut().for_each(&mut *each);
    problem.tail.iter_mut().for_each(&mut *each);
    problem.help.iter_mut().for_each(each);
}

fn edit_texts(edits: &mut [Edit], each: &mut dyn FnMut(&mut String)) {
    for edit in edits {
        edit.before.iter_mut().for_each(&mut *each);
        edit.after.iter_mut().for_each(&mut *each);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redactor(value: &str) -> Redactor {
        Redactor::new([("nova".to_owned(), value.to_owned())])
    }

    #[test]
    fn text_without_secrets_is_not_copied() {
        let text = redactor("p4ssw0rd-of-nova");
        assert!(matches!(
            text.text("Unpacking nova-api (2:31.0.0)"),
            Cow::Borrowed(_)
        ));
    }

    #[test]
    fn every_occurrence_is_replaced_and_the_rest_is_kept() {
        let r = redactor("s3cr3t-word");
        assert_eq!(r.text("s3cr3t-word"), "‹secret nova›");
        assert_eq!(
            r.text("mysql://nova:s3cr3t-word@db/ü s3cr3t-word."),
            "mysql://nova:‹secret nova›@db/ü ‹secret nova›."
        );
    }

    #[test]
    fn escaped_forms_are_found() {
        let r = redactor(r#"a"b\c 'd/é"#);
        for form in [
            r#"{"password":"a\"b\\c 'd/é"}"#,
            "https://u:a%22b%5Cc%20%27d%2F%C3%A9@host/",
            "password=a%22b%5Cc+%27d%2F%C3%A9&x=1",
            r#"printf %s 'a"b\c '\''d/é'"#,
        ] {
            let clean = r.text(form);
            assert!(clean.contains("‹secret nova›"), "{form} became {clean}");
        }
    }

    #[test]
    fn base64_is_found_wherever_the_secret_lies_in_what_was_encoded() {
        let r = redactor("s3cr3t-word");
        for before in ["", "a", "ab", "abc", "nova:"] {
            for after in ["", "x", "xy", "xyz"] {
                let all = BASE64.encode(format!("{before}s3cr3t-word{after}").as_bytes());
                let clean = r.text(&all).into_owned();
                assert!(clean.contains("‹secret nova›"), "{before}…{after}: {clean}");
            }
        }
    }

    #[test]
    fn a_short_secret_is_replaced_only_as_a_word() {
        let r = redactor("nova");
        assert_eq!(
            r.text("the novas use nova:nova"),
            "the novas use ‹secret nova›:‹secret nova›"
        );
        assert_eq!(redactor("ab").text("ab"), "ab");
        assert_eq!(redactor("").text("anything"), "anything");
    }

    #[test]
    fn the_longer_of_two_secrets_wins() {
        let r = Redactor::new([
            ("short".to_owned(), "password".to_owned()),
            ("long".to_owned(), "password-of-glance".to_owned()),
        ]);
        assert_eq!(
            r.text("password-of-glance password"),
            "‹secret long› ‹secret short›"
        );
    }

    #[test]
    fn each_line_of_a_key_is_a_secret() {
        let r = redactor("-----BEGIN-----\nQUJDREVGR0hJSktMTU5PUFFSU1RVVldY\nQUJD\n");
        assert_eq!(r.text("QUJDREVGR0hJSktMTU5PUFFSU1RVVldY"), "‹secret nova›");
    }

    #[test]
    fn what_an_event_says_is_cleaned_and_its_names_are_not() {
        let r = redactor("keystone");
        let mut event = Event::HostFailed {
            host: "keystone".into(),
            problem: Problem {
                tail: vec!["Access denied (using keystone)".into()],
                ..Problem::error("database::refused", "the database refuses `keystone`")
            },
        };
        r.event(&mut event);
        let Event::HostFailed { host, problem } = event else {
            panic!()
        };
        assert_eq!(host, "keystone");
        assert_eq!(problem.message, "the database refuses `‹secret nova›`");
        assert_eq!(problem.tail, ["Access denied (using ‹secret nova›)"]);
    }

    proptest::proptest! {
        #[test]
        fn nothing_of_a_secret_is_left_in_any_spelling(
            secret in "[ -~]{8,24}", before in "[ -~é]{0,12}", after in "[ -~é]{0,12}",
        ) {
            let r = Redactor::new([("x".to_owned(), secret.clone())]);
            let all = format!("{before}{secret}{after}");
            for spelling in [
                all.clone(),
                serde_json::Value::from(all.as_str()).to_string(),
                percent_encoded(&all),
                format!("'{}'", all.replace('\'', r"'\''")),
                BASE64.encode(all.as_bytes()),
            ] {
                let clean = r.text(&spelling);
                proptest::prop_assert!(clean.contains("‹secret x›"), "{} became {}", spelling, clean);
                proptest::prop_assert!(!clean.contains(&secret));
            }
        }
    }

    #[test]
    fn it_does_not_tell_its_secrets_when_printed() {
        assert!(!format!("{:?}", redactor("s3cr3t-word")).contains("s3cr3t"));
    }
}
