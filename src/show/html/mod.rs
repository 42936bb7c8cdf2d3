//! The report of a run: one HTML file that needs nothing else, for reading, sending and printing.
//!
//! Here the run becomes the data that `templates/report/` lays out; the drawings are worked out as
//! geometry in `topology` and `timeline`, so that the templates only place what they are given. It uses
//! a registry of its own, since here every text is escaped and in configuration files none may be.

mod steps;
mod timeline;
mod topology;

use handlebars::{Context, Handlebars, Helper, HelperResult, Output, RenderContext};
use serde::Serialize;

use crate::model::event::{CheckOutcome, Mode, Problem, RunStarted, Severity};
use crate::model::summary::{HostState, Link, Summary};
use crate::show::matrix::{self, CLOUD};
use crate::show::style::{Label, Look};
use crate::show::words;

const PAGE: &str = include_str!("../../../templates/report/report.html");
const PARTIALS: [(&str, &str); 5] = [
    (
        "problems",
        include_str!("../../../templates/report/problems.html"),
    ),
    (
        "topology",
        include_str!("../../../templates/report/topology.html"),
    ),
    (
        "timeline",
        include_str!("../../../templates/report/timeline.html"),
    ),
    (
        "steps",
        include_str!("../../../templates/report/steps.html"),
    ),
    (
        "checks",
        include_str!("../../../templates/report/checks.html"),
    ),
];
const STYLE: &str = include_str!("../../../templates/report/report.css");
const SCRIPT: &str = include_str!("../../../templates/report/report.js");

/// Why there is no report: a fault in the templates.
#[derive(Debug, thiserror::Error)]
#[error("the template of the report cannot be filled in")]
pub struct HtmlError(#[source] Box<handlebars::RenderError>);

/// The whole page.
///
/// # Errors
/// A template is wrong.
pub fn text(run: &Summary) -> Result<String, HtmlError> {
    let mut registry = Handlebars::new();
    registry.set_strict_mode(true);
    registry.register_helper("prose", Box::new(prose));
    let wrong = |error: handlebars::TemplateError| HtmlError(Box::new(error.into()));
    for (name, template) in PARTIALS {
        registry.register_partial(name, template).map_err(wrong)?;
    }
    registry
        .register_template_string("report", PAGE)
        .map_err(wrong)?;
    registry
        .render("report", &page(run))
        .map_err(|error| HtmlError(Box::new(error)))
}

/// Text with `names in backticks`, escaped, with those names set as code.
fn prose(
    helper: &Helper<'_>,
    _: &Handlebars<'_>,
    _: &Context,
    _: &mut RenderContext<'_, '_>,
    out: &mut dyn Output,
) -> HelperResult {
    let text = helper
        .param(0)
        .and_then(|param| param.value().as_str())
        .unwrap_or_default();
    let pieces: Vec<&str> = text.split('`').collect();
    for (n, piece) in pieces.iter().enumerate() {
        let escaped = handlebars::html_escape(piece);
        match (n % 2 == 1, n + 1 < pieces.len()) {
            (true, true) => out.write(&format!("<code>{escaped}</code>"))?,
            (true, false) => out.write(&format!("`{escaped}"))?,
            (false, _) => out.write(&escaped)?,
        }
    }
    Ok(())
}

#[derive(Serialize)]
struct Page {
    style: &'static str,
    script: &'static str,
    title: String,
    cloud: String,
    mode: &'static str,
    outcome: Badge,
    about: Vec<String>,
    tiles: Vec<Tile>,
    places: Vec<Place>,
    next: Option<String>,
    problems: Vec<ProblemCard>,
    errors: bool,
    topology: Option<topology::Topology>,
    timeline: Option<timeline::Timeline>,
    slowest: Vec<Slow>,
    planned: bool,
    hosts: Vec<steps::HostSteps>,
    has_steps: bool,
    checks: Option<Checks>,
    machines: Vec<Machine>,
    version: String,
}

/// A meaning as class, mark and word: never the colour alone.
#[derive(Serialize)]
struct Badge {
    class: &'static str,
    mark: &'static str,
    word: String,
}

impl Badge {
    fn new(label: Label, word: impl Into<String>) -> Self {
        Self {
            class: label.class(),
            mark: Look::plain().mark(label),
            word: word.into(),
        }
    }
}

#[derive(Serialize)]
struct Tile {
    class: &'static str,
    value: String,
    what: String,
}

#[derive(Serialize)]
struct Place {
    name: String,
    place: String,
    link: bool,
}

#[derive(Serialize)]
struct ProblemCard {
    badge: Badge,
    code: String,
    host: Option<String>,
    step: Option<String>,
    message: String,
    causes: Vec<String>,
    tail: Option<String>,
    help: Option<String>,
}

#[derive(Serialize)]
struct Slow {
    name: String,
    host: String,
    took: String,
    percent: u64,
    share: u64,
}

#[derive(Serialize)]
struct Checks {
    said: String,
    columns: Vec<String>,
    rows: Vec<CheckRow>,
    details: Vec<CheckDetail>,
}

#[derive(Serialize)]
struct CheckRow {
    service: String,
    cells: Vec<Option<Badge>>,
}

#[derive(Serialize)]
struct CheckDetail {
    badge: Badge,
    good: bool,
    service: String,
    check: String,
    place: String,
    said: String,
    help: String,
    took: String,
}

#[derive(Serialize)]
struct Machine {
    name: String,
    badge: Badge,
    address: String,
    roles: String,
    os: String,
    size: String,
    virt: String,
    datapath: String,
}

fn page(run: &Summary) -> Page {
    let finished = run.finished.as_ref();
    let started = run.started.as_ref();
    let (label, word) = words::run_outcome(finished.map(|f| f.outcome));
    let cloud = started.map_or_else(|| "a cloud".to_owned(), |s| s.cloud.clone());
    let mode = started.map_or("run", |s| words::mode(s.mode));
    Page {
        style: STYLE,
        script: SCRIPT,
        title: format!("{cloud}: {mode} {word}"),
        cloud,
        mode,
        outcome: Badge::new(label, word),
        about: about(run, started),
        tiles: tiles(run),
        places: places(run),
        next: finished.and_then(|f| f.next_command.clone()),
        errors: run.problems().iter().any(|p| p.severity == Severity::Error),
        problems: run
            .problems()
            .into_iter()
            .map(|p| problem_card(p, run))
            .collect(),
        topology: topology::draw(run),
        timeline: timeline::draw(run),
        slowest: slowest(run),
        planned: is_plan(run),
        hosts: steps::by_host(run),
        has_steps: !run.steps.is_empty(),
        checks: (!run.checks.is_empty()).then(|| checks(run)),
        machines: run
            .declared_hosts()
            .map(|host| machine(host, run))
            .collect(),
        version: started.map_or_else(String::new, |s| s.tool.clone()),
    }
}

fn is_plan(run: &Summary) -> bool {
    run.started.as_ref().is_some_and(|s| s.mode == Mode::Plan)
}

fn about(run: &Summary, started: Option<&RunStarted>) -> Vec<String> {
    let mut about = Vec::new();
    about.extend(
        run.started_at
            .map(|at| at.strftime("%-d %B %Y, %H:%M:%S UTC").to_string()),
    );
    if let Some(started) = started {
        about.extend(started.platform.clone());
        about.extend(started.answer_file.clone());
        about.push(format!("run {}", started.run));
    }
    about
}

fn tiles(run: &Summary) -> Vec<Tile> {
    let totals = run.totals();
    let planned = is_plan(run);
    let mut tiles = vec![Tile {
        class: "time",
        value: words::duration(run.elapsed_ms()),
        what: "in all".to_owned(),
    }];
    let counts = [
        (Label::Failed, totals.failed, "failed"),
        (
            Label::Changed,
            totals.changed,
            if planned { "to change" } else { "changed" },
        ),
        (Label::Later, totals.later, "decided later"),
        (
            Label::Unchanged,
            totals.unchanged,
            if planned { "in sync" } else { "unchanged" },
        ),
        (Label::Skipped, totals.skipped, "skipped"),
        (Label::Cancelled, totals.cancelled, "cancelled"),
    ];
    for (label, n, what) in counts {
        if n > 0 {
            tiles.push(Tile {
                class: label.class(),
                value: n.to_string(),
                what: what.to_owned(),
            });
        }
    }
    if !run.checks.is_empty() {
        let good = |outcome: &CheckOutcome| matches!(outcome, CheckOutcome::Ok { .. });
        let n = run
            .checks
            .iter()
            .filter(|check| good(&check.outcome))
            .count();
        let all = run.checks.len();
        let label = if n == all { Label::Good } else { Label::Failed };
        let what = "checks good".to_owned();
        tiles.push(Tile {
            class: label.class(),
            value: format!("{n}/{all}"),
            what,
        });
    }
    tiles
}

fn places(run: &Summary) -> Vec<Place> {
    let mut places = Vec::new();
    if let Some(finished) = &run.finished {
        for url in &finished.urls {
            // Only what a browser opens without running anything.
            let link = url.url.starts_with("http://") || url.url.starts_with("https://");
            places.push(Place {
                name: url.name.clone(),
                place: url.url.clone(),
                link,
            });
        }
        let credentials = finished.credentials.iter();
        places.extend(credentials.map(|path| file("credentials", path)));
    }
    let others = run.artifacts.iter().filter(|(name, _)| name != "report");
    places.extend(others.map(|(name, path)| file(name, path)));
    places
}

fn file(name: &str, path: &str) -> Place {
    Place {
        name: name.to_owned(),
        place: path.to_owned(),
        link: false,
    }
}

fn problem_card(problem: &Problem, run: &Summary) -> ProblemCard {
    let (label, word) = words::severity(problem.severity);
    let step = problem.step.as_ref().map(|id| match run.step(id) {
        Some(state) => format!("{} ({id})", state.step.name),
        None => id.to_string(),
    });
    let tail: Vec<String> = problem
        .tail
        .iter()
        .map(|line| words::visible(line))
        .collect();
    ProblemCard {
        badge: Badge::new(label, word),
        code: problem.code.clone(),
        host: problem.host.clone(),
        step,
        message: words::visible(&problem.message),
        causes: problem
            .causes
            .iter()
            .map(|cause| words::visible(cause))
            .collect(),
        tail: (!tail.is_empty()).then(|| tail.join("\n")),
        help: problem.help.clone(),
    }
}

fn slowest(run: &Summary) -> Vec<Slow> {
    let slowest = run.slowest(10);
    let most = slowest.first().map_or(1, |s| s.elapsed_ms(0)).max(1);
    let all = run.elapsed_ms().max(1);
    let slow = |state: &&crate::model::summary::StepState| Slow {
        name: state.step.name.clone(),
        host: state.step.host.clone(),
        took: words::duration(state.elapsed_ms(0)),
        percent: state.elapsed_ms(0) * 100 / most,
        share: state.elapsed_ms(0) * 100 / all,
    };
    slowest.iter().map(slow).collect()
}

fn checks(run: &Summary) -> Checks {
    let columns = matrix::columns(run);
    let row = |service: &str| CheckRow {
        service: service.to_owned(),
        cells: columns
            .iter()
            .map(|column| {
                let cell = matrix::cell(run, service, column);
                cell.label().map(|label| Badge::new(label, cell.words()))
            })
            .collect(),
    };
    Checks {
        said: matrix::said(run),
        rows: run.checked_services().into_iter().map(row).collect(),
        details: run.checks.iter().map(check_detail).collect(),
        columns,
    }
}

fn check_detail(check: &crate::model::summary::Check) -> CheckDetail {
    let (label, word) = words::check(&check.outcome);
    let (said, help) = match &check.outcome {
        CheckOutcome::Ok { seen } => (seen.clone().unwrap_or_default(), String::new()),
        CheckOutcome::Bad { cause, help } => (cause.clone(), help.clone()),
        CheckOutcome::Unknown { reason } => (reason.clone(), String::new()),
    };
    CheckDetail {
        badge: Badge::new(label, word),
        good: label == Label::Good,
        service: check.service.clone(),
        check: check.check.clone(),
        place: check.host.clone().unwrap_or_else(|| CLOUD.to_owned()),
        said: words::visible(&said),
        help,
        took: words::duration(check.elapsed_ms),
    }
}

fn machine(host: &HostState, run: &Summary) -> Machine {
    let facts = host.facts.clone().unwrap_or_default();
    let size = match facts.cpus {
        0 => String::new(),
        cpus => format!(
            "{}, {}",
            words::count(cpus, "CPU"),
            words::mebibytes(facts.memory_mib)
        ),
    };
    let hypervisor = facts.hypervisor.map(|h| format!("instances by {h}"));
    let datapath = facts.datapath.map(|d| format!("{d} datapath"));
    let kinds: Vec<String> = hypervisor.into_iter().chain(datapath).collect();
    Machine {
        name: host.place.name.clone(),
        badge: standing(host, run),
        address: host.place.address.clone(),
        roles: host.place.roles.join(", "),
        os: [facts.os, facts.kernel]
            .join(" · ")
            .trim_matches([' ', '·'])
            .to_owned(),
        size,
        virt: facts.virt,
        datapath: kinds.join(", "),
    }
}

/// How a host stands at the end of the run.
fn standing(host: &HostState, run: &Summary) -> Badge {
    let totals = run.totals_of(&host.place.name);
    match &host.link {
        Link::Failed(_) => Badge::new(Label::Failed, "out of this run"),
        _ if totals.failed > 0 => Badge::new(
            Label::Failed,
            format!("{} failed", words::count(totals.failed, "step")),
        ),
        Link::Connected(ms) => Badge::new(
            Label::Good,
            format!("connected in {}", words::duration(*ms)),
        ),
        Link::None | Link::Connecting => Badge::new(Label::Muted, "not reached"),
    }
}
