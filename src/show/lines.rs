//! Plain lines for where there is no terminal: no colour, no cursor, the same for the same run.
//!
//! `02:31 controller │ changed  Install the packages │ 41 packages installed, 38.4 s`; the time is minutes
//! and seconds since the start. A step that takes long says every half minute that it is alive.

use std::collections::HashMap;
use std::io::{self, Write};

use crate::model::event::{Envelope, Event, StepId};
use crate::model::sink::Sink;
use crate::model::summary::Summary;
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

    /// A line for a step that takes long, when it is time for one.
    fn sign_of_life(&mut self, envelope: &Envelope, run: &Summary) -> Option<Line> {
        let Event::Progress {
            step,
            host,
            elapsed_ms,
            amount,
        } = &envelope.event
        else {
            return None;
        };
        let spoke = self.spoke_ms.entry(step.clone()).or_default();
        if self.verbosity < Verbosity::Normal || *elapsed_ms < *spoke + SIGN_OF_LIFE_MS {
            return None;
        }
        *spoke = *elapsed_ms;
        let state = run.step(step)?;
        let far = amount
            .as_ref()
            .map(story::amount)
            .or_else(|| state.last_line.clone());
        Some(Line {
            host: Some(host.clone()),
            label: Label::Running,
            word: "running",
            text: state.step.name.clone(),
            aside: [Some(words::running(*elapsed_ms)), far]
                .into_iter()
                .flatten()
                .collect::<Vec<_>>()
                .join(", "),
        })
    }
}

impl<W: Write + Send> Sink for Lines<W> {
    fn name(&self) -> &'static str {
        "output"
    }

    fn event(&mut self, envelope: &Envelope, run: &Summary) -> io::Result<()> {
        let mut lines = story::lines(envelope, run, self.verbosity);
        lines.extend(self.sign_of_life(envelope, run));
        for line in &lines {
            writeln!(self.out, "{}", plain(line, run, run.millis(envelope.at)))?;
        }
        self.out.flush()
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
