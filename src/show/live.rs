//! The lines at the bottom of a terminal while a run is under way, as a pure function of its state.
//!
//! One line a host: how far it is, what it does, for how long, and for long steps the last thing the
//! host wrote; below them one for the whole run. [`crate::show::term`] puts them on the screen.

use console::{measure_text_width, truncate_str};

use crate::model::summary::{HostState, Link, StepPhase, StepState, Summary};
use crate::show::style::{Label, Look};
use crate::show::{story, words};

/// A step shows what its host writes after this long.
const LONG_MS: u64 = 2_000;
/// More hosts than this are shown only while they are at work.
const MANY_HOSTS: usize = 12;
const BAR: usize = 24;

/// The lines at `now_ms` since the start of the run; each fits `look.width`.
pub fn frame(run: &Summary, now_ms: u64, look: &Look) -> Vec<String> {
    let mut views: Vec<HostView> = run
        .hosts
        .iter()
        .map(|host| view(host, run, now_ms))
        .collect();
    let mut hidden = 0;
    if views.len() > MANY_HOSTS {
        let all = views.len();
        views.retain(|view| view.label == Label::Running);
        views.truncate(MANY_HOSTS);
        hidden = all - views.len();
    }
    let columns = Columns::of(&views);
    let mut lines: Vec<String> = views
        .iter()
        .map(|view| host_line(view, &columns, now_ms, look))
        .collect();
    if hidden > 0 {
        let text = format!("  and {hidden} more hosts");
        lines.push(fit(&[(Label::Muted, text)], look));
    }
    lines.push(run_line(run, now_ms, look));
    lines
}

struct HostView {
    name: String,
    label: Label,
    count: String,
    elapsed: String,
    doing: String,
    /// What the host wrote last.
    wrote: String,
}

fn view(host: &HostState, run: &Summary, now_ms: u64) -> HostView {
    let name = &host.place.name;
    let totals = run.totals_of(name);
    let finished = run.steps_of(name).filter(|s| s.outcome().is_some()).count();
    let mut running: Vec<&StepState> = run
        .steps_of(name)
        .filter(|s| s.phase == StepPhase::Running)
        .collect();
    running.sort_by_key(|state| state.began_ms);
    let count = if totals.steps == 0 {
        String::new()
    } else {
        format!("{finished}/{}", totals.steps)
    };
    let mut view = HostView {
        name: name.clone(),
        label: Label::Muted,
        count,
        elapsed: String::new(),
        doing: String::new(),
        wrote: String::new(),
    };
    let all_done = totals.steps > 0 && finished == totals.steps as usize;
    match (&host.link, running.first()) {
        (Link::Failed(problem), _) => {
            (view.label, view.doing) = (Label::Failed, problem.message.clone());
        }
        (_, Some(first)) => working(&mut view, first, running.len() - 1, now_ms),
        (Link::Connecting, None) => {
            let at = &host.place.address;
            (view.label, view.doing) = (Label::Running, format!("connecting to {at}"));
        }
        (Link::None, None) if host.is_declared() => view.doing = "not reached yet".to_owned(),
        (_, None) if all_done && totals.failed > 0 => {
            let failed = words::count(totals.failed, "step");
            (view.label, view.doing) = (Label::Failed, format!("{failed} failed"));
        }
        (_, None) if all_done && totals.skipped + totals.cancelled > 0 => {
            view.doing = format!("done, {} left out", totals.skipped + totals.cancelled);
        }
        (_, None) if all_done => (view.label, view.doing) = (Label::Good, "done".to_owned()),
        (Link::None | Link::Connected(_), None) => view.doing = idle(host, run, totals.steps),
    }
    view
}

fn working(view: &mut HostView, first: &StepState, others: usize, now_ms: u64) {
    let elapsed = first.elapsed_ms(now_ms);
    view.label = Label::Running;
    view.elapsed = words::running(elapsed);
    view.doing = match others {
        0 => first.step.name.clone(),
        _ => format!("{} (+{others})", first.step.name),
    };
    if elapsed >= LONG_MS {
        let far = first.amount.as_ref().map(story::amount);
        let wrote = first.last_line.as_deref().map(words::visible);
        let both: Vec<String> = far.into_iter().chain(wrote).collect();
        view.wrote = both.join(" ");
    }
}

fn idle(host: &HostState, run: &Summary, steps: u32) -> String {
    if steps > 0 {
        return "waiting for other hosts".to_owned();
    }
    let asked = run
        .checks
        .iter()
        .filter(|c| c.host.as_ref() == Some(&host.place.name))
        .count();
    match u32::try_from(asked) {
        Ok(n @ 1..) => format!("{} answered", words::count(n, "check")),
        _ => "connected".to_owned(),
    }
}

struct Columns {
    name: usize,
    count: usize,
    elapsed: usize,
}

impl Columns {
    fn of(views: &[HostView]) -> Self {
        let widest = |text: fn(&HostView) -> &str| {
            views
                .iter()
                .map(|view| measure_text_width(text(view)))
                .max()
                .unwrap_or(0)
        };
        Self {
            name: widest(|view| &view.name),
            count: widest(|view| &view.count),
            elapsed: widest(|view| &view.elapsed).max(4),
        }
    }
}

fn host_line(view: &HostView, columns: &Columns, now_ms: u64, look: &Look) -> String {
    let mark = if view.label == Label::Running {
        spinner(now_ms, look)
    } else if view.label == Label::Muted {
        " "
    } else {
        look.mark(view.label)
    };
    let (name, count, elapsed) = (columns.name, columns.count, columns.elapsed);
    let doing = if view.label == Label::Running {
        Label::Heading
    } else {
        view.label
    };
    let mut parts = vec![
        (view.label, format!("{mark} ")),
        (Label::Host, format!("{:name$}", view.name)),
        (
            Label::Muted,
            format!("  {:>count$}  {:>elapsed$}  ", view.count, view.elapsed),
        ),
        (doing, view.doing.clone()),
    ];
    if !view.wrote.is_empty() {
        parts.push((
            Label::Muted,
            format!(" {} {}", look.either("│", "|"), view.wrote),
        ));
    }
    fit(&parts, look)
}

fn spinner(now_ms: u64, look: &Look) -> &'static str {
    const DOTS: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];
    const ASCII: [&str; 4] = ["|", "/", "-", "\\"];
    let frames: &[&str] = if look.unicode { &DOTS } else { &ASCII };
    let turn = usize::try_from(now_ms / 100).unwrap_or(0);
    frames[turn % frames.len()]
}

fn run_line(run: &Summary, now_ms: u64, look: &Look) -> String {
    let totals = run.totals();
    let finished = run.steps.iter().filter(|s| s.outcome().is_some()).count();
    let mut parts = vec![(Label::Muted, "  ".to_owned())];
    if totals.steps > 0 {
        let filled = finished * BAR / totals.steps as usize;
        parts.push((Label::Good, look.either("━", "=").repeat(filled)));
        parts.push((Label::Muted, look.either("─", "-").repeat(BAR - filled)));
        parts.push((Label::Muted, format!(" {finished}/{} ", totals.steps)));
    }
    parts.push((Label::Heading, format!(" {}", words::running(now_ms))));
    if run.acted() && totals.changed + totals.failed > 0 {
        parts.push((Label::Muted, format!("  {}", words::totals(&totals, false))));
    }
    match run.stop {
        Some(true) => parts.push((Label::Warning, "  stopping now".to_owned())),
        Some(false) => parts.push((Label::Warning, "  stopping after these steps".to_owned())),
        None => parts.push((Label::Muted, "  Ctrl-C to stop".to_owned())),
    }
    fit(&parts, look)
}

/// Paints `parts` one after another until the width is used up.
fn fit(parts: &[(Label, String)], look: &Look) -> String {
    let mut line = String::new();
    let mut left = look.width.saturating_sub(1);
    for (label, text) in parts {
        let cut = truncate_str(text, left, look.either("…", ">"));
        left -= measure_text_width(&cut).min(left);
        line += &look.paint(*label, cut);
        if left == 0 {
            break;
        }
    }
    line
}
