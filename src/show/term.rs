//! A run on a terminal: what is done scrolls away above, what is under way stays below.
//!
//! Only here is indicatif spoken to. What the lines say is decided elsewhere, purely:
//! [`crate::show::story`] for those that stay, [`crate::show::live`] for those that move.

use std::io;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::Timestamp;

use crate::model::event::Envelope;
use crate::model::sink::Sink;
use crate::model::summary::Summary;
use crate::show::live;
use crate::show::story::{self, Line};
use crate::show::style::{Label, Look};

/// Draws a run on a terminal.
#[derive(Debug)]
pub struct Term {
    screen: MultiProgress,
    bars: Vec<ProgressBar>,
    look: Look,
    /// The terminal's width, asked again at every tick, since people resize windows.
    width: fn() -> Option<usize>,
}

impl Term {
    /// Draws on standard error.
    pub fn stderr(look: Look) -> Self {
        let width = || {
            console::Term::stderr()
                .size_checked()
                .map(|(_, columns)| columns.into())
        };
        Self::new(ProgressDrawTarget::stderr(), look, width)
    }

    /// Draws on `target`; `width` tells its columns, or nothing for those of `look`.
    pub fn new(target: ProgressDrawTarget, look: Look, width: fn() -> Option<usize>) -> Self {
        Self {
            screen: MultiProgress::with_draw_target(target),
            bars: Vec::new(),
            look,
            width,
        }
    }

    fn draw(&mut self, now: Timestamp, run: &Summary) {
        if let Some(width) = (self.width)() {
            self.look.width = width.max(20);
        }
        let lines = match (&run.started, &run.finished) {
            (Some(_), None) => live::frame(run, run.millis(now), &self.look),
            _ => Vec::new(),
        };
        while self.bars.len() > lines.len() {
            if let Some(bar) = self.bars.pop() {
                bar.finish_and_clear();
                self.screen.remove(&bar);
            }
        }
        for (n, line) in lines.into_iter().enumerate() {
            if n == self.bars.len() {
                let bar = ProgressBar::no_length().with_style(message_only());
                self.bars.push(self.screen.add(bar));
            }
            if self.bars[n].message() != line {
                self.bars[n].set_message(line);
            }
        }
    }
}

fn message_only() -> ProgressStyle {
    ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_spinner())
}

impl Sink for Term {
    fn name(&self) -> &'static str {
        "terminal"
    }

    fn event(&mut self, envelope: &Envelope, run: &Summary) -> io::Result<()> {
        for line in story::lines(envelope, run, self.look.verbosity) {
            self.screen.println(permanent(&line, run, &self.look))?;
        }
        if run.finished.is_some() {
            self.draw(envelope.at, run);
        }
        Ok(())
    }

    fn tick(&mut self, now: Timestamp, run: &Summary) -> io::Result<()> {
        self.draw(now, run);
        Ok(())
    }

    fn finish(&mut self, _: &Summary) -> io::Result<()> {
        for bar in self.bars.drain(..) {
            bar.finish_and_clear();
        }
        self.screen.clear()
    }
}

/// A line that stays: mark, host, what happened, and more about it.
pub fn permanent(line: &Line, run: &Summary, look: &Look) -> String {
    let width = run
        .hosts
        .iter()
        .map(|h| h.place.name.chars().count())
        .max()
        .unwrap_or(0);
    let host = format!("{:width$}", line.host.as_deref().unwrap_or_default());
    let word = match line.label {
        Label::Changed
        | Label::Unchanged
        | Label::Running
        | Label::Muted
        | Label::Heading
        | Label::Note => String::new(),
        label => format!("{}: ", look.paint(label, line.word)),
    };
    let mut text = format!(
        "{} {}  {word}{}",
        look.painted_mark(line.label),
        look.paint(Label::Host, host),
        line.text
    );
    if !line.aside.is_empty() {
        text += &look.paint(Label::Muted, format!("  {}", line.aside));
    }
    text
}
