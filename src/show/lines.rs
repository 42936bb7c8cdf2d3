//! Plain lines for where there is no terminal: no colour, no cursor, the same for the same run.
//!
//! `02:31 controller │ changed  Install the packages │ 41 packages installed, 38.4 s`; the time is minutes
//! and seconds since the start. A step that takes long says every half minute that it is alive.

use std::collections::HashMap;
use std::io::{self, Write};

use jiff::Timestamp;

use crate::model::event::{Envelope, StepId};
use crate::model::sink::Sink;
use crate::model::summary::{StepPhase, Summary};
use crate::show::story::{self, Line};
use crate::show::style::{Label, Verbosity};
use crate::show::words;

/// A step says that it is alive after this long, and again after as long.
const SIGN_OF_LIFE_MS: u64 = 30_000;

/// Writes a run as plain lines.
#[derive(Debug)]
pub struct Lines<W> {
    out: W,
    verbosity: Verbosity,
    /// When each step last said something, in milliseconds since its start.
    spoke_ms: HashMap<StepId, u64>,
}

impl<W: Write> Lines<W> {
    /// Writes to `out`.
    pub fn new(out: W, verbosity: Verbosity) -> Self {
        Self {
            out,
            verbosity,
            spoke_ms: HashMap::new(),
        }
    }

    /// A line for every step that has been silent for long, `now_ms` after the start of the run.
    fn signs_of_life(&mut self, now_ms: u64, run: &Summary) -> Vec<Line> {
        if self.verbosity < Verbosity::Normal {
            return Vec::new();
        }
        let mut lines = Vec::new();
        for state in run
            .steps
            .iter()
            .filter(|state| state.phase == StepPhase::Running)
        {
            let elapsed = state.elapsed_ms(now_ms);
            let spoke = self.spoke_ms.entry(state.step.id.clone()).or_default();
            if elapsed < *spoke + SIGN_OF_LIFE_MS {
                continue;
            }
            *spoke = elapsed;
            let far = state
                .amount
                .as_ref()
                .map(story::amount)
                .or_else(|| state.last_line.clone());
            let asides: Vec<String> = std::iter::once(words::running(elapsed))
                .chain(far.as_deref().map(words::visible))
                .collect();
            lines.push(Line {
                host: Some(state.step.host.clone()),
                label: Label::Running,
                word: "running",
                text: state.step.name.clone(),
                aside: asides.join(", "),
            });
        }
        lines
    }

    fn write(&mut self, lines: &[Line], at_ms: u64, run: &Summary) -> io::Result<()> {
        for line in lines {
            writeln!(self.out, "{}", plain(line, run, at_ms))?;
        }
        if lines.is_empty() {
            Ok(())
        } else {
            self.out.flush()
        }
    }
}

impl<W: Write + Send> Sink for Lines<W> {
    fn name(&self) -> &'static str {
        "output"
    }

    fn event(&mut self, envelope: &Envelope, run: &Summary) -> io::Result<()> {
        let at_ms = run.millis(envelope.at);
        let mut lines = self.signs_of_life(at_ms, run);
        lines.extend(story::lines(envelope, run, self.verbosity));
        self.write(&lines, at_ms, run)
    }

    fn tick(&mut self, now: Timestamp, run: &Summary) -> io::Result<()> {
        if run.started.is_none() {
            return Ok(());
        }
        let lines = self.signs_of_life(run.millis(now), run);
        self.write(&lines, run.millis(now), run)
    }
}

/// One line as plain text; hosts are padded to the longest.
fn plain(line: &Line, run: &Summary, at_ms: u64) -> String {
    let seconds = at_ms / 1000;
    let host = line.host.as_deref().unwrap_or("-");
    let width = run
        .hosts
        .iter()
        .map(|h| h.place.name.chars().count())
        .max()
        .unwrap_or(1);
    let aside = if line.aside.is_empty() {
        String::new()
    } else {
        format!(" │ {}", line.aside)
    };
    format!(
        "{:02}:{:02} {host:width$} │ {:9} {}{aside}",
        seconds / 60,
        seconds % 60,
        line.word,
        line.text
    )
}
