//! Where the time went: every step as a bar, a row for each lane of each host.
//!
//! Pure geometry in the units of the drawing's view box; times become widths, and nothing else does.

use serde::Serialize;

use crate::model::summary::{StepPhase, StepState, Summary};
use crate::show::style::{Label, Look};
use crate::show::words;

const GUTTER: f64 = 132.0;
const PLOT: f64 = 1000.0;
const EDGE: f64 = 18.0;
const TOP: f64 = 26.0;
const ROW: f64 = 21.0;
const BAR: f64 = 15.0;
const HOST: f64 = 30.0;
/// Shorter steps are drawn this wide, so that they can be seen and pointed at.
const THINNEST: f64 = 2.0;
/// How wide a character of a bar's label is, about.
const CHARACTER: f64 = 5.9;
const TICKS: u64 = 12;
/// Overlaps up to this are how long an event travels, not steps at the same time.
const UNSEEN_MS: u64 = 250;

#[derive(Serialize)]
pub(super) struct Timeline {
    width: f64,
    height: f64,
    plot_x: f64,
    plot_end: f64,
    axis_y: f64,
    ticks: Vec<Tick>,
    hosts: Vec<HostRows>,
    legend: Vec<super::Badge>,
}

#[derive(Serialize)]
struct Tick {
    x: f64,
    label: String,
}

#[derive(Serialize)]
struct HostRows {
    name: String,
    y: f64,
    line_y: f64,
    busy: String,
    lanes: Vec<Lane>,
}

#[derive(Serialize)]
struct Lane {
    name: String,
    y: f64,
    text_y: f64,
    height: f64,
    striped: bool,
    bars: Vec<Bar>,
}

#[derive(Serialize)]
struct Bar {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
    class: &'static str,
    label: Option<String>,
    text_x: f64,
    text_y: f64,
    name: String,
    /// Outcome, duration and time, for whoever points at the bar.
    says: String,
    id: String,
}

/// The drawing; none when no step ran.
pub(super) fn draw(run: &Summary) -> Option<Timeline> {
    let end_ms = run
        .latest_at
        .map_or(0, |at| run.millis(at))
        .max(run.elapsed_ms())
        .max(1);
    let mut y = TOP;
    let mut hosts = Vec::new();
    for host in &run.hosts {
        let name = &host.place.name;
        let steps: Vec<&StepState> = run
            .steps_of(name)
            .filter(|s| s.began_ms.is_some())
            .collect();
        if !steps.is_empty() {
            let (rows, next_y) = host_rows(name, &steps, y, end_ms);
            hosts.push(rows);
            y = next_y;
        }
    }
    (!hosts.is_empty()).then(|| Timeline {
        width: GUTTER + PLOT + EDGE,
        height: y + 6.0,
        plot_x: GUTTER,
        plot_end: GUTTER + PLOT,
        axis_y: TOP - 4.0,
        ticks: ticks(end_ms),
        hosts,
        legend: legend(run),
    })
}

/// The outcomes that are in the drawing.
fn legend(run: &Summary) -> Vec<super::Badge> {
    let labels = [
        (Label::Changed, "changed"),
        (Label::Unchanged, "unchanged"),
        (Label::Failed, "failed"),
        (Label::Cancelled, "cancelled"),
        (Label::Running, "not finished"),
    ];
    let there = |label| {
        run.steps
            .iter()
            .any(|s| s.began_ms.is_some() && meaning(s).0 == label)
    };
    let badges = labels.into_iter().filter(|(label, _)| there(*label));
    badges
        .map(|(label, word)| super::Badge::new(label, word))
        .collect()
}

fn meaning(state: &StepState) -> (Label, &'static str) {
    state
        .outcome()
        .map_or((Label::Running, "not finished"), words::outcome)
}

fn span(state: &StepState, end_ms: u64) -> (u64, u64) {
    let from = state.began_ms.unwrap_or(0).min(end_ms);
    let to = match state.phase {
        StepPhase::Finished { elapsed_ms, .. } => from + elapsed_ms,
        _ => end_ms,
    };
    (from, to.min(end_ms))
}

fn host_rows(name: &str, steps: &[&StepState], top: f64, end_ms: u64) -> (HostRows, f64) {
    let mut lanes: Vec<(&str, Vec<&StepState>)> = Vec::new();
    for state in steps {
        match lanes.iter_mut().find(|(lane, _)| *lane == state.step.lane) {
            Some((_, steps)) => steps.push(state),
            None => lanes.push((&state.step.lane, vec![state])),
        }
    }
    lanes.sort_by_key(|(_, steps)| steps.iter().filter_map(|s| s.began_ms).min());
    let mut y = top + HOST;
    let mut drawn = Vec::new();
    for (n, (lane, steps)) in lanes.into_iter().enumerate() {
        let tracks = tracks(steps, end_ms);
        let height = ROW * count(tracks.len());
        let bars = tracks.iter().enumerate().flat_map(|(track, steps)| {
            let y = y + ROW * count(track) + (ROW - BAR) / 2.0;
            steps.iter().map(move |state| bar(state, y, end_ms))
        });
        let text_y = y + ROW / 2.0 + 4.0;
        let bars = bars.collect();
        drawn.push(Lane {
            name: lane.to_owned(),
            y,
            text_y,
            height,
            striped: n % 2 == 0,
            bars,
        });
        y += height;
    }
    let busy = format!("at work {} % of the time", busy_percent(steps, end_ms));
    let (y_text, line_y) = (top + 19.0, top + HOST - 2.0);
    (
        HostRows {
            name: name.to_owned(),
            y: y_text,
            line_y,
            busy,
            lanes: drawn,
        },
        y + 8.0,
    )
}

/// Steps of one lane follow one another, so one track is enough; overlapping ones get more.
fn tracks(mut steps: Vec<&StepState>, end_ms: u64) -> Vec<Vec<&StepState>> {
    steps.sort_by_key(|state| state.began_ms);
    let mut tracks: Vec<(u64, Vec<&StepState>)> = Vec::new();
    for state in steps {
        let (from, to) = span(state, end_ms);
        match tracks
            .iter_mut()
            .find(|(free_from, _)| *free_from <= from + UNSEEN_MS)
        {
            Some((free_from, steps)) => {
                *free_from = to;
                steps.push(state);
            }
            None => tracks.push((to, vec![state])),
        }
    }
    tracks.into_iter().map(|(_, steps)| steps).collect()
}

fn bar(state: &StepState, y: f64, end_ms: u64) -> Bar {
    let (from, to) = span(state, end_ms);
    let x = GUTTER + scaled(from, end_ms);
    let width = tenths((scaled(to, end_ms) - scaled(from, end_ms)).max(THINNEST));
    let (label, word) = meaning(state);
    let mark = Look::plain().mark(label);
    let took = words::duration(to - from);
    let loud = matches!(label, Label::Failed | Label::Cancelled | Label::Running);
    Bar {
        x: tenths(x),
        y,
        width,
        height: BAR,
        class: label.class(),
        label: bar_text(&state.step.name, &took, loud.then_some(mark), width),
        text_x: tenths(x + 5.0),
        text_y: y + 11.2,
        name: state.step.name.clone(),
        says: format!("{mark} {word} · {took} · from {}", clock(from)),
        id: state.step.id.to_string(),
    }
}

/// As much of a step's name and duration as fits into its bar.
fn bar_text(name: &str, took: &str, mark: Option<&str>, width: f64) -> Option<String> {
    const FEWEST: usize = 9;
    let mark = mark.map(|mark| format!("{mark} ")).unwrap_or_default();
    let fits = |text: &str| count(text.chars().count()) * CHARACTER + 8.0 <= width;
    let mut texts = vec![format!("{mark}{name}  {took}"), format!("{mark}{name}")];
    let letters = name.chars().count();
    texts.extend((FEWEST..letters).rev().map(|n| {
        let cut: String = name.chars().take(n).collect();
        format!("{mark}{}…", cut.trim_end())
    }));
    texts.extend([format!("{mark}{took}"), mark]);
    texts
        .into_iter()
        .find(|text| !text.is_empty() && fits(text.trim_end()))
}

fn busy_percent(steps: &[&StepState], end_ms: u64) -> u64 {
    let mut spans: Vec<(u64, u64)> = steps.iter().map(|state| span(state, end_ms)).collect();
    spans.sort_unstable();
    let (mut busy, mut until) = (0, 0);
    for (from, to) in spans {
        busy += to.saturating_sub(from.max(until));
        until = until.max(to);
    }
    busy * 100 / end_ms
}

fn ticks(end_ms: u64) -> Vec<Tick> {
    const STEPS: [u64; 13] = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1_800, 3_600, 7_200];
    let seconds = end_ms / 1000;
    let step = STEPS
        .into_iter()
        .find(|step| seconds / step <= TICKS)
        .unwrap_or(14_400);
    let at = (0..=seconds / step).map(|n| n * step * 1000);
    let tick = |ms| Tick {
        x: tenths(GUTTER + scaled(ms, end_ms)),
        label: clock(ms),
    };
    at.map(tick).collect()
}

/// `0:05`, `2:31`, `1:02:03`.
fn clock(ms: u64) -> String {
    let s = ms / 1000;
    match s / 3600 {
        0 => format!("{}:{:02}", s / 60, s % 60),
        hours => format!("{hours}:{:02}:{:02}", s / 60 % 60, s % 60),
    }
}

fn scaled(ms: u64, end_ms: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a run is shorter than 2^52 ms")]
    let share = ms as f64 / end_ms as f64;
    share * PLOT
}

fn count(n: usize) -> f64 {
    u32::try_from(n).map_or(f64::MAX, f64::from)
}

fn tenths(x: f64) -> f64 {
    (x * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_not_too_many() {
        for (seconds, labels) in [(3, "0:03"), (59, "0:55"), (150, "2:30"), (7_300, "2:00:00")] {
            let ticks = ticks(seconds * 1000);
            assert!(ticks.len() as u64 <= TICKS + 1);
            assert_eq!(ticks.last().unwrap().label, labels);
        }
    }

    #[test]
    fn a_bar_says_what_fits() {
        assert_eq!(
            bar_text("Start Nova", "2.1 s", None, 200.0).unwrap(),
            "Start Nova  2.1 s"
        );
        assert_eq!(
            bar_text("Start Nova", "2.1 s", None, 80.0).unwrap(),
            "Start Nova"
        );
        assert_eq!(
            bar_text("Start Nova", "2.1 s", None, 40.0).unwrap(),
            "2.1 s"
        );
        assert_eq!(bar_text("Start Nova", "2.1 s", None, 10.0), None);
        assert_eq!(
            bar_text("Start Nova", "2.1 s", Some("✗"), 16.0).unwrap(),
            "✗ "
        );
    }
}
