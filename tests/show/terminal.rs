//! The terminal without a terminal: the moving lines as text, and what indicatif is made to draw.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex};

use indicatif::{ProgressDrawTarget, TermLike};
use provision::model::sink::Sink;
use provision::model::summary::Summary;
use provision::show::live;
use provision::show::style::{Look, Verbosity};
use provision::show::term::Term;

use super::{play, recorded};

/// The moving lines `at_ms` after the start of a recorded run.
fn frame(name: &str, at_ms: u64, look: &Look) -> String {
    let events = recorded(name);
    let begun = events[0].at.as_millisecond();
    let past = |at: i64| u64::try_from(at - begun).unwrap() <= at_ms;
    let run = Summary::of(events.iter().take_while(|e| past(e.at.as_millisecond())));
    live::frame(&run, at_ms, look).join("\n")
}

#[test]
fn what_moves_while_a_run_is_under_way() {
    let look = Look::plain();
    let frames: Vec<String> = [50, 300, 1_500, 45_000, 64_000, 88_000]
        .map(|at| format!("{at} ms\n{}\n", frame("success", at, &look)))
        .into();
    insta::assert_snapshot!("frames-success", frames.join("\n"));
    let frames: Vec<String> = [2_000, 20_000]
        .map(|at| format!("{at} ms\n{}\n", frame("failure", at, &look)))
        .into();
    insta::assert_snapshot!("frames-failure", frames.join("\n"));
    insta::assert_snapshot!("frames-stopped", frame("stopped", 32_000, &look));
    insta::assert_snapshot!("frames-install", frame("install", 73_000, &look));
}

#[test]
fn no_line_is_wider_than_the_terminal() {
    for width in [20, 40, 80, 200] {
        for colour in [false, true] {
            let look = Look {
                width,
                colour,
                ..Look::plain()
            };
            for at in (0..130_000).step_by(15_000) {
                for line in frame("install", at, &look).lines() {
                    assert!(console::measure_text_width(line) < width, "{width}: {line}");
                }
            }
        }
    }
}

/// A terminal that keeps what is written on it.
#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<String>>>);

impl fmt::Debug for Paper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Paper")
    }
}

impl TermLike for Paper {
    fn width(&self) -> u16 {
        100
    }

    fn height(&self) -> u16 {
        30
    }

    fn move_cursor_up(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_down(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_right(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_left(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn write_line(&self, line: &str) -> io::Result<()> {
        self.0.lock().unwrap().push(line.to_owned());
        Ok(())
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.0.lock().unwrap().push(text.to_owned());
        Ok(())
    }

    fn clear_line(&self) -> io::Result<()> {
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}

fn term(paper: &Paper) -> Term {
    let look = Look {
        verbosity: Verbosity::Normal,
        ..Look::plain()
    };
    Term::new(
        ProgressDrawTarget::term_like(Box::new(paper.clone())),
        look,
        || None,
    )
}

#[test]
fn what_is_done_scrolls_away_above() {
    let paper = Paper::default();
    play("failure", &mut term(&paper));
    let written = paper.0.lock().unwrap().join("\n");
    insta::assert_snapshot!("terminal-failure", written);
}

#[test]
fn what_is_under_way_is_drawn_at_each_tick() {
    let paper = Paper::default();
    let mut term = term(&paper);
    let events = recorded("success");
    let mut run = Summary::default();
    for envelope in &events[..30] {
        run.apply(envelope);
    }
    term.tick(events[29].at, &run).unwrap();
    let written = paper.0.lock().unwrap().concat();
    let moving = live::frame(&run, run.millis(events[29].at), &Look::plain());
    for line in moving {
        assert!(written.contains(line.trim()), "{line} is not in {written}");
    }
}
