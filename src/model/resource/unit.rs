//! Systemd units.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Diff, Op};
use crate::model::edit::Edit;
use crate::model::facts::{Facts, PathFact, UnitFact};
use crate::model::probe::Probe;
use crate::model::quote::words;

/// Systemd units: running or not, enabled or not, restarted when what they read has changed.
///
/// A unit is restarted when a file in `reads` changed after the unit was started. The question is
/// asked of the host each time, so a run that was cut between the change and the restart is
/// finished by the next one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Unit {
    /// Full unit names (`nova-api.service`); they are started together, in one transaction.
    pub names: Vec<String>,
    /// Wanted state.
    #[serde(default)]
    pub state: UnitState,
    /// Whether the units come up with the host; not looked at when absent.
    #[serde(default = "enabled")]
    pub enabled: Option<bool>,
    /// Files (or directories) the units read at their start.
    #[serde(default)]
    pub reads: Vec<String>,
    /// A reload is enough when something in `reads` has changed.
    #[serde(default)]
    pub reload: bool,
    /// A unit that does not exist is fine (only sensible with `state = "stopped"`).
    #[serde(default)]
    pub optional: bool,
    /// A unit whose `Condition...=` is not met here counts as running (chrony in a container).
    #[serde(default)]
    pub conditional: bool,
}

/// Wanted state of a unit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UnitState {
    /// Active, and not in a loop of restarts.
    #[default]
    Running,
    /// Not active.
    Stopped,
    /// Whatever it is now.
    Any,
}

#[expect(clippy::unnecessary_wraps, reason = "serde wants the field's own type")]
fn enabled() -> Option<bool> {
    Some(true)
}

impl Unit {
    pub(super) fn probes(&self) -> Vec<Probe> {
        let units = self.names.iter().map(|name| Probe::Unit(name.clone()));
        let path = |path: String| Probe::Path {
            path,
            content: false,
        };
        let read = self.reads.iter().cloned().map(path);
        let stamps = self.names.iter().filter(|_| self.reload);
        let stamps = stamps.map(|name| path(reload_stamp(name)));
        units.chain(read).chain(stamps).collect()
    }

    pub(super) fn diff(&self, facts: &Facts) -> Diff {
        let mut work = Work::default();
        for name in &self.names {
            let Some(unit) = facts.units.get(name) else {
                return Diff::later(format!("systemd did not answer for `{name}`"));
            };
            if unit.exists() {
                self.judge(name, unit, facts, &mut work);
            } else if !self.optional && self.state != UnitState::Stopped {
                return Diff::later(format!("`{name}` is not installed yet"));
            }
        }
        if work.edits.is_empty() {
            return Diff::in_sync(self.reason(facts));
        }
        let script = work.script(self.conditional);
        Diff::change(work.edits, vec![Op::run(script)])
    }

    /// Adds what one unit needs to `work`.
    fn judge(&self, name: &str, unit: &UnitFact, facts: &Facts, work: &mut Work) {
        let mut edit = |what: &str, before: &str, after: &str| {
            let what = format!("{name} {what}");
            work.edits
                .push(Edit::attribute(what, Some(before), Some(after)));
        };
        let id = if unit.id.is_empty() { name } else { &unit.id }.to_owned();
        let masked = unit.load == "masked" || unit.enabled.starts_with("masked");
        if unit.stale {
            edit("unit file", "changed", "read again by systemd");
            work.daemon_reload = true;
        }
        if masked && (self.state == UnitState::Running || self.enabled == Some(true)) {
            edit("masked", "yes", "no");
            work.unmask.push(id.clone());
        }
        let comes_up = !matches!(
            unit.enabled.as_str(),
            "disabled" | "" | "enabled-runtime" | "linked" | "linked-runtime" | "bad"
        ) && !masked;
        let stays_down = masked || !unit.enabled.starts_with("enabled");
        match self.enabled {
            Some(true) if !comes_up => {
                edit("enabled", "no", "yes");
                work.enable.push(id.clone());
            }
            Some(false) if !stays_down => {
                edit("enabled", "yes", "no");
                work.disable.push(id.clone());
            }
            _ => {}
        }
        match self.state {
            UnitState::Any => {}
            UnitState::Stopped if matches!(unit.active.as_str(), "inactive" | "failed") => {}
            UnitState::Stopped => {
                edit("state", &unit.active, "stopped");
                work.stop.push(id);
            }
            UnitState::Running => {
                if let Some((before, after)) = self.why_start(name, unit, facts) {
                    edit("state", &before, after);
                    if after == "reloaded" {
                        work.reload.push(id);
                    } else {
                        work.restart |= after == "restarted";
                        work.start.push(id);
                    }
                }
            }
        }
        work.stamps.extend(self.reload.then(|| reload_stamp(name)));
    }

    /// Why a unit that has to run must be started, restarted or reloaded: its state now, and what
    /// happens to it.
    fn why_start(
        &self,
        name: &str,
        unit: &UnitFact,
        facts: &Facts,
    ) -> Option<(String, &'static str)> {
        if unit.sub == "auto-restart" {
            let times = format!("fails again and again ({} restarts)", unit.restarts);
            return Some((times, "started"));
        }
        if unit.active == "failed" {
            return Some((format!("failed ({})", unit.result), "started"));
        }
        if self.is_skipped(unit) {
            return None;
        }
        if !matches!(unit.active.as_str(), "active" | "reloading") {
            return Some((format!("{} ({})", unit.active, unit.sub), "started"));
        }
        let reloaded = facts
            .paths
            .get(&reload_stamp(name))
            .map(|fact| fact.changed);
        let since = reloaded.unwrap_or_default().max(unit.started);
        let newer = self.reads.iter().find(|path| {
            let changed = facts.paths.get(*path).map_or(0.0, last_change);
            // A time that lies ahead tells that the clock was set back: no restart would cure it.
            changed > since && changed <= unit.now + CLOCK_SLACK
        })?;
        let after = if self.reload { "reloaded" } else { "restarted" };
        Some((format!("running since before `{newer}` changed"), after))
    }

    /// Whether the unit does not run because its own conditions are not met, and that is fine.
    fn is_skipped(&self, unit: &UnitFact) -> bool {
        self.conditional && unit.active == "inactive" && unit.checked && !unit.condition
    }

    fn reason(&self, facts: &Facts) -> String {
        let skipped = self.names.iter().filter(|name| {
            let unit = facts.units.get(*name);
            unit.is_some_and(|unit| self.is_skipped(unit))
        });
        let skipped: Vec<_> = skipped.map(|name| format!("`{name}`")).collect();
        if !skipped.is_empty() {
            return format!(
                "the conditions of {} are not met here",
                skipped.join(" and ")
            );
        }
        let names: Vec<_> = self.names.iter().map(|name| format!("`{name}`")).collect();
        let are = if names.len() == 1 { "is" } else { "are" };
        let state = match (self.state, self.enabled) {
            (UnitState::Running, _) => "running",
            (UnitState::Stopped, _) => "not running",
            (UnitState::Any, Some(true)) => "enabled",
            (UnitState::Any, Some(false)) => "disabled",
            (UnitState::Any, None) => "installed",
        };
        format!("{} {are} {state}", names.join(", "))
    }
}

/// How far in the future, in seconds, a file's time of change is still believed.
const CLOCK_SLACK: f64 = 2.0;

/// Its time of change tells when we last reloaded the unit: systemd does not keep that.
fn reload_stamp(name: &str) -> String {
    format!("/run/provision/reloaded/{name}")
}

fn last_change(fact: &PathFact) -> f64 {
    let behind = fact.behind.as_deref().map_or(0.0, |fact| fact.changed);
    fact.changed.max(behind)
}

/// What has to be done to the units of one resource.
#[derive(Default)]
struct Work {
    edits: Vec<Edit>,
    daemon_reload: bool,
    unmask: Vec<String>,
    enable: Vec<String>,
    disable: Vec<String>,
    stop: Vec<String>,
    start: Vec<String>,
    /// Whether some of `start` run already.
    restart: bool,
    reload: Vec<String>,
    /// Reload stamps of the units.
    stamps: Vec<String>,
}

impl Work {
    /// One call of systemctl for each verb; starts are waited for, so that a failure is seen here.
    fn script(&self, conditional: bool) -> String {
        let call = |verb: &str, units: &[String]| match units {
            [] => String::new(),
            units => format!("systemctl {verb} {} || exit\n", words(units)),
        };
        let mut script = String::new();
        if self.daemon_reload {
            script += "systemctl daemon-reload || exit\n";
        }
        script += &call("--quiet unmask", &self.unmask);
        script += &call("--quiet enable", &self.enable);
        script += &call("--quiet disable", &self.disable);
        script += &call("stop", &self.stop);
        if self.start.is_empty() && self.reload.is_empty() {
            return script;
        }
        script += include_str!("unit.sh");
        script += if conditional {
            "conditional=yes\n"
        } else {
            "conditional=no\n"
        };
        script + &self.stamp() + &self.start() + &self.reload()
    }

    /// Before the units read their files: a change in between is seen by the next run.
    fn stamp(&self) -> String {
        match self.stamps.is_empty() {
            true => String::new(),
            false => format!(
                "mkdir -p /run/provision/reloaded && touch -- {} || exit\n",
                words(&self.stamps)
            ),
        }
    }

    fn start(&self) -> String {
        if self.start.is_empty() {
            return String::new();
        }
        // A unit that is on its way up is not sent back by `start`; one that failed too often is not
        // started again before its counter is cleared.
        format!(
            "systemctl reset-failed {units} 2>/dev/null\n\
             systemctl {verb} {units}\nstarted=$?\nreport {units} || exit 1\n\
             [ \"$started\" = 0 ] || exit \"$started\"\n",
            verb = if self.restart { "restart" } else { "start" },
            units = words(&self.start),
        )
    }

    fn reload(&self) -> String {
        if self.reload.is_empty() {
            return String::new();
        }
        format!(
            "systemctl reload-or-restart {units} || {{ rm -f -- {stamps}; report {units}; exit 1; }}\n",
            units = words(&self.reload),
            stamps = words(&self.stamps),
        )
    }
}
