//! Durations, sizes, counts, and the words for outcomes: each said in one way everywhere.

use crate::model::event::{CheckOutcome, Mode, Outcome, RunOutcome, Severity, Totals, Verdict};
use crate::show::style::Label;

/// `0.8 s`, `38.4 s`, `2 min 03 s`, `1 h 02 min`.
pub fn duration(ms: u64) -> String {
    if ms < 59_950 {
        let tenths = (ms + 50) / 100;
        return format!("{}.{} s", tenths / 10, tenths % 10);
    }
    clock((ms + 500) / 1000)
}

/// The same in whole seconds, for what is still running: `38 s`, `2 min 03 s`.
pub fn running(ms: u64) -> String {
    clock(ms / 1000)
}

fn clock(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// `512 MiB`, `7.8 GiB`.
pub fn mebibytes(mib: u64) -> String {
    if mib < 1024 {
        return format!("{mib} MiB");
    }
    let tenths = (mib * 10 + 512) / 1024;
    format!("{}.{} GiB", tenths / 10, tenths % 10)
}

/// `512 B`, `3.4 KiB`, `1.0 MiB`.
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut tenths = bytes * 10 / 1024;
    let mut unit = 0;
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        tenths /= 1024;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

/// `1 step`, `2 steps`.
pub fn count(n: u32, noun: &str) -> String {
    if n == 1 {
        format!("1 {noun}")
    } else {
        format!("{n} {noun}s")
    }
}

/// What to say when the user asked to stop.
pub fn stopping(now: bool) -> &'static str {
    if now {
        "stopping now; what was under way is left as it is, and the next run continues there"
    } else {
        "finishing the steps under way, then stopping; Ctrl-C again stops at once"
    }
}

/// An outcome in one word.
pub fn outcome(outcome: &Outcome) -> (Label, &'static str) {
    match outcome {
        Outcome::Unchanged { .. } => (Label::Unchanged, "unchanged"),
        Outcome::Changed { .. } => (Label::Changed, "changed"),
        Outcome::Skipped { .. } => (Label::Skipped, "skipped"),
        Outcome::Failed { .. } => (Label::Failed, "failed"),
        Outcome::Cancelled => (Label::Cancelled, "cancelled"),
    }
}

/// A verdict in one word or two.
pub fn verdict(verdict: &Verdict) -> (Label, &'static str) {
    match verdict {
        Verdict::InSync { .. } => (Label::Unchanged, "in sync"),
        Verdict::Change { .. } => (Label::Changed, "would change"),
        Verdict::Later { .. } => (Label::Later, "decided later"),
    }
}

/// The answer to a health question in one word.
pub fn check(outcome: &CheckOutcome) -> (Label, &'static str) {
    match outcome {
        CheckOutcome::Ok { .. } => (Label::Good, "ok"),
        CheckOutcome::Bad { .. } => (Label::Failed, "bad"),
        CheckOutcome::Unknown { .. } => (Label::Later, "unknown"),
    }
}

/// A severity in one word.
pub fn severity(severity: Severity) -> (Label, &'static str) {
    match severity {
        Severity::Note => (Label::Note, "note"),
        Severity::Warning => (Label::Warning, "warning"),
        Severity::Error => (Label::Failed, "error"),
    }
}

/// How a run ended, in one word; none for a run that broke off.
pub fn run_outcome(outcome: Option<RunOutcome>) -> (Label, &'static str) {
    match outcome {
        Some(RunOutcome::Done) => (Label::Good, "done"),
        Some(RunOutcome::Failed) => (Label::Failed, "failed"),
        Some(RunOutcome::Stopped) => (Label::Cancelled, "stopped"),
        Some(RunOutcome::TimedOut) => (Label::Failed, "out of time"),
        None => (Label::Failed, "broken off"),
    }
}

/// The command behind a mode.
pub fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Preflight => "preflight",
        Mode::Plan => "plan",
        Mode::Apply => "apply",
        Mode::Status => "status",
        Mode::Verify => "verify",
        Mode::Uninstall => "uninstall",
        Mode::Lab => "lab",
    }
}

/// `64 changed, 12 unchanged, 1 failed`: what there is none of is left out.
pub fn totals(t: &Totals, planned: bool) -> String {
    let counts = [
        (t.changed, if planned { "to change" } else { "changed" }),
        (
            t.later,
            if planned {
                "decided later"
            } else {
                "not decided"
            },
        ),
        (t.unchanged, if planned { "in sync" } else { "unchanged" }),
        (t.skipped, "skipped"),
        (t.cancelled, "cancelled"),
        (t.failed, "failed"),
    ];
    let said: Vec<String> = counts
        .iter()
        .filter(|(n, _)| *n > 0)
        .map(|(n, word)| format!("{n} {word}"))
        .collect();
    match (said.is_empty(), t.steps) {
        (false, _) => said.join(", "),
        (true, 0) => "nothing to do".to_owned(),
        (true, _) => "nothing done".to_owned(),
    }
}

/// A line as it may be put on a screen: colours stripped, only what follows the last carriage return,
/// and control characters (which could rewrite the screen) made visible.
pub fn visible(line: &str) -> String {
    let line = line.trim_end_matches(['\n', '\r']);
    let line = console::strip_ansi_codes(line.rsplit('\r').next().unwrap_or(line)).into_owned();
    pictured(&line)
}

/// `text` with its control characters, but for tabs, as pictures of them.
pub fn pictured(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\t' => c,
            '\u{7f}' => '␡',
            c if c.is_ascii_control() => char::from_u32(0x2400 + c as u32).unwrap_or('�'),
            c if c.is_control() => '�',
            c => c,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_people_say_them() {
        let said = [
            0, 49, 812, 9_960, 38_449, 59_949, 59_950, 123_000, 3_599_600, 3_720_000,
        ]
        .map(duration);
        assert_eq!(
            said,
            [
                "0.0 s",
                "0.0 s",
                "0.8 s",
                "10.0 s",
                "38.4 s",
                "59.9 s",
                "1 min 00 s",
                "2 min 03 s",
                "1 h 00 min",
                "1 h 02 min"
            ]
        );
        assert_eq!(running(59_999), "59 s");
    }

    #[test]
    fn sizes_have_one_place_after_the_point() {
        assert_eq!(
            [512, 1024, 7990].map(mebibytes),
            ["512 MiB", "1.0 GiB", "7.8 GiB"]
        );
        assert_eq!(
            [1, 1024, 3500, 1 << 20].map(bytes),
            ["1 B", "1.0 KiB", "3.4 KiB", "1.0 MiB"]
        );
    }

    #[test]
    fn one_is_not_many() {
        assert_eq!(count(1, "step"), "1 step");
        assert_eq!(count(0, "step"), "0 steps");
    }

    #[test]
    fn totals_leave_out_what_there_is_none_of() {
        let t = Totals {
            steps: 3,
            changed: 2,
            unchanged: 1,
            ..Totals::default()
        };
        assert_eq!(totals(&t, false), "2 changed, 1 unchanged");
        assert_eq!(totals(&t, true), "2 to change, 1 in sync");
        assert_eq!(totals(&Totals::default(), false), "nothing to do");
    }

    #[test]
    fn a_remote_line_cannot_rewrite_the_screen() {
        assert_eq!(visible("\u{1b}[32mok\u{1b}[0m\r\n"), "ok");
        assert_eq!(visible(" 10%\r 50%\r 99%"), " 99%");
        assert_eq!(visible("a\u{7}b\u{9b}c"), "a␇b");
    }
}
