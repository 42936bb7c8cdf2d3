//! Everything that happens in a run, as data: one closed set of events.
//!
//! The engine sends them, the journal stores them, and every display is a fold over them; none of
//! those knows another. Events carry facts, not sentences: wording lives in `show`. They never hold
//! a secret, because the bus that carries them redacts every text on the way.
//!
//! Reading is forgiving where writing is strict: an event that a newer version wrote is read as
//! [`Event::Unknown`], missing optional fields get their defaults.
//! Next: [`crate::model::summary`] folds events into the state of a run.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use crate::model::edit::{Edit, EditKind};
pub use crate::model::problem::{Problem, Severity, TAIL_LINES};

/// The version of the shape below; it grows when a reader of the old shape would be misled.
pub const SCHEMA_VERSION: u32 = 1;

/// An event with its place in the order of the run: one line of a journal, or of `--format json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Envelope {
    /// [`SCHEMA_VERSION`] of the writer.
    pub version: u32,
    /// Counts from 1 within the run, without gaps in a journal; a display may miss droppable ones.
    pub seq: u64,
    /// When it was put in order: RFC 3339, UTC, milliseconds.
    #[serde(with = "milliseconds")]
    #[schemars(with = "String")]
    pub at: jiff::Timestamp,
    /// What happened.
    pub event: Event,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// The first event of every run.
    RunStarted(RunStarted),
    /// A connection is being made.
    HostConnecting {
        /// Which host.
        host: String,
    },
    /// The host answered and let us in.
    HostConnected {
        /// Which host.
        host: String,
        /// From the first packet to the first answered command.
        elapsed_ms: u64,
    },
    /// The host is out of this run; what needs it will be skipped.
    HostFailed {
        /// Which host.
        host: String,
        /// Why, and the way out.
        problem: Problem,
    },
    /// What kind of machine the host is.
    HostFacts {
        /// Which host.
        host: String,
        /// What was found there.
        facts: HostSummary,
    },
    /// The plan's verdict on one step. A step planned `Later` is planned again when it can be known.
    StepPlanned {
        /// Which step.
        step: Step,
        /// What there is to do.
        verdict: Verdict,
    },
    /// The step's turn has come: everything it needs is there.
    StepStarted {
        /// Which step, in full, since steps may start that no plan named.
        step: Step,
    },
    /// A line that a remote command wrote. May be dropped by displays, never by the host's log.
    Output {
        /// The step whose command wrote it.
        step: StepId,
        /// Where it was written.
        host: String,
        /// Which stream.
        stream: Stream,
        /// Without its line ending.
        line: String,
    },
    /// An attempt did not succeed and another one follows.
    StepRetrying {
        /// Which step.
        step: StepId,
        /// Where.
        host: String,
        /// The attempt that just ended, from 1.
        attempt: u32,
        /// How many there can be, where that is limited by number and not by time.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        of: Option<u32>,
        /// Why it was not good enough.
        reason: String,
        /// The pause before the next attempt.
        wait_ms: u64,
    },
    /// The step is over, whatever came of it.
    StepFinished {
        /// Which step.
        step: StepId,
        /// Where.
        host: String,
        /// What came of it.
        outcome: Outcome,
        /// From its start; 0 for a step that never started.
        elapsed_ms: u64,
    },
    /// A health question was answered (or was not).
    Checked {
        /// The service asked about: a row of the matrix.
        service: String,
        /// The question, as a short phrase: `units active`, `port 5000 open`.
        check: String,
        /// The host asked, a column of the matrix; absent when the question is about the cloud.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        host: Option<String>,
        /// The answer.
        outcome: CheckOutcome,
        /// How long the answer took.
        elapsed_ms: u64,
    },
    /// Something a person should know, at once or at the end of the run.
    Diagnosed(Problem),
    /// A sign of life of a long step. May be dropped at any time.
    Progress {
        /// The step that is under way.
        step: StepId,
        /// Where.
        host: String,
        /// How long it has run.
        elapsed_ms: u64,
        /// How much is done, where that is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        amount: Option<Amount>,
    },
    /// The user asked the run to stop.
    StopRequested {
        /// True when it is to stop now, not after the steps under way.
        now: bool,
    },
    /// The run made a file for the user.
    Artifact {
        /// What it is: `report`, `screenshot`, `journal`.
        name: String,
        /// Where it is, on the machine that runs us.
        path: String,
    },
    /// The last event of every run that came to an end.
    RunFinished(RunFinished),
    /// Written by a newer version; only read, never sent.
    #[serde(other)]
    Unknown,
}

/// Who runs what against which hosts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RunStarted {
    /// The name of the run's directory.
    pub run: String,
    /// The cloud's name.
    pub cloud: String,
    /// What was asked for.
    pub mode: Mode,
    /// The version of `provision`.
    pub tool: String,
    /// Platform and release, as in `debian13 + epoxy`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// The hosts, in the order of the answer file.
    pub hosts: Vec<HostPlace>,
    /// What joins them, for the drawing in the report.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<NetworkPlace>,
    /// The answer file's path as the user gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer_file: Option<String>,
}

/// A host as the run knows it before it has reached it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HostPlace {
    /// Its name in the answer file.
    pub name: String,
    /// Where it is reached.
    pub address: String,
    /// What it is for: `controller`, `compute`, ...
    pub roles: Vec<String>,
    /// The services that will run on it, by playbook.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<String>,
}

/// A network that joins hosts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NetworkPlace {
    /// Its name in the answer file.
    pub name: String,
    /// What it carries: `management`, `provider`, `tunnel`, `storage`.
    pub role: String,
    /// Its addresses, as `10.0.0.0/24`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cidr: Option<String>,
    /// Where it enters each host.
    #[serde(default)]
    pub members: Vec<NetworkMember>,
}

/// The end of a network in one host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NetworkMember {
    /// Which host.
    pub host: String,
    /// The interface, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// The bridge behind it, as `br-ex`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bridge: Option<String>,
    /// The host's address in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

/// What the user asked for. It tells a display how to speak and must not influence the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each is the command of the same name")]
pub enum Mode {
    Preflight,
    Plan,
    Apply,
    Status,
    Verify,
    Uninstall,
    Lab,
}

/// What kind of machine a host is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct HostSummary {
    /// The distribution's own name for itself: `Debian GNU/Linux 13 (trixie)`.
    pub os: String,
    /// The release of the running kernel.
    pub kernel: String,
    /// Processors online.
    pub cpus: u32,
    /// Memory, in MiB.
    pub memory_mib: u64,
    /// What it runs in: `none`, `kvm`, `systemd-nspawn`, ...
    #[serde(skip_serializing_if = "String::is_empty")]
    pub virt: String,
    /// How instances run on it: `kvm` or `qemu`; absent where it runs none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hypervisor: Option<String>,
    /// Open vSwitch's datapath there: `system` or `netdev`; absent where it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub datapath: Option<String>,
}

/// A step's name tag.
#[derive(
    Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct StepId(String);

impl StepId {
    /// `playbook/step@host`, or `playbook/step[item]@host` for one item of a list.
    pub fn new(playbook: &str, step: &str, item: Option<&str>, host: &str) -> Self {
        match item {
            Some(item) => Self(format!("{playbook}/{step}[{item}]@{host}")),
            None => Self(format!("{playbook}/{step}@{host}")),
        }
    }

    /// An id that was made by [`StepId::new`] before, as read back from a file or an argument.
    pub fn from_text(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StepId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A step as displays know it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Step {
    /// Unique within a run.
    pub id: StepId,
    /// A sentence: `Start the Nova API`.
    pub name: String,
    /// The playbook it comes from.
    pub playbook: String,
    /// The host it works on.
    pub host: String,
    /// Its place among the host's steps, from 1.
    pub index: u32,
    /// How many steps the host has.
    pub of: u32,
    /// Steps of one lane run one after another on a host.
    pub lane: String,
}

/// What the plan says about a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// Nothing to do.
    InSync {
        /// How we know: `nova-api.service is running`.
        reason: String,
    },
    /// Something to do.
    Change {
        /// What would change.
        edits: Vec<Edit>,
    },
    /// Cannot be known before an earlier step has run.
    Later {
        /// What has to come first: `the package nova-api is not installed yet`.
        reason: String,
    },
}

/// What came of a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// It was already so.
    Unchanged {
        /// How we know.
        reason: String,
    },
    /// It is now so.
    Changed {
        /// What changed.
        edits: Vec<Edit>,
        /// The same in a few words: `41 packages installed`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        summary: Option<String>,
    },
    /// It was not tried.
    Skipped {
        /// Why not: `needs keystone/bootstrap@controller, which failed`.
        reason: String,
    },
    /// It is not so.
    Failed {
        /// Why, and the way out.
        problem: Problem,
    },
    /// It was stopped on the way, or never begun because the run was stopped.
    Cancelled,
}

/// Which stream of a command a line came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Stream {
    Stdout,
    Stderr,
}

/// The answer to a health question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum CheckOutcome {
    /// As expected.
    Ok {
        /// What was seen, where it is worth a word: `2 of 2 alive`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seen: Option<String>,
    },
    /// Not as expected.
    Bad {
        /// What was seen instead.
        cause: String,
        /// The way out; empty when we know none.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        help: String,
    },
    /// No answer, for a reason that is not the service's own.
    Unknown {
        /// Which.
        reason: String,
    },
}

/// How far a step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Amount {
    /// What is done.
    pub done: u64,
    /// What there is to do in all, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
    /// What is counted.
    pub unit: AmountUnit,
}

/// What an [`Amount`] counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum AmountUnit {
    Bytes,
    Packages,
    Items,
}

/// How the run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RunFinished {
    /// In one word.
    pub outcome: RunOutcome,
    /// The exit code of the process.
    pub exit_code: u8,
    /// How all steps ended, those of the proof and of its removal too. The bus counts them from the
    /// events before this one, so every display that counts comes to the same.
    pub totals: Totals,
    /// From [`Event::RunStarted`].
    pub elapsed_ms: u64,
    /// The command to give next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_command: Option<String>,
    /// Where the cloud can be reached.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<NamedUrl>,
    /// The file with the credentials, on the machine that runs us.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<String>,
}

/// How a run ended, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunOutcome {
    /// All that was asked for is so.
    Done,
    /// Something that was asked for is not so.
    Failed,
    /// The user stopped it.
    Stopped,
    /// Its deadline passed.
    TimedOut,
}

/// A place to go to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NamedUrl {
    /// What is there: `Dashboard`, `Identity`.
    pub name: String,
    /// Where.
    pub url: String,
}

/// Steps counted by what came of them; in a plan, by its verdicts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Totals {
    pub steps: u32,
    pub unchanged: u32,
    pub changed: u32,
    pub skipped: u32,
    pub failed: u32,
    pub cancelled: u32,
    /// Planned, but not knowable yet.
    pub later: u32,
}

/// Whether a display may miss an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// Never dropped.
    High,
    /// Dropped when its reader cannot keep up.
    Low,
}

impl Event {
    /// Whether this event may be dropped.
    pub fn priority(&self) -> Priority {
        match self {
            Event::Output { .. } | Event::Progress { .. } => Priority::Low,
            _ => Priority::High,
        }
    }

    /// The host this event is about, where there is one.
    pub fn host(&self) -> Option<&str> {
        match self {
            Event::HostConnecting { host }
            | Event::HostConnected { host, .. }
            | Event::HostFailed { host, .. }
            | Event::HostFacts { host, .. }
            | Event::Output { host, .. }
            | Event::StepRetrying { host, .. }
            | Event::StepFinished { host, .. }
            | Event::Progress { host, .. } => Some(host),
            Event::StepPlanned { step, .. } | Event::StepStarted { step } => Some(&step.host),
            Event::Checked { host, .. } => host.as_deref(),
            Event::Diagnosed(problem) => problem.host.as_deref(),
            Event::RunStarted(_)
            | Event::StopRequested { .. }
            | Event::Artifact { .. }
            | Event::RunFinished(_)
            | Event::Unknown => None,
        }
    }
}

mod milliseconds {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(at: &jiff::Timestamp, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(&format_args!("{at:.3}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        d: D,
    ) -> Result<jiff::Timestamp, D::Error> {
        String::deserialize(d)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope(event: Event) -> Envelope {
        let at = "2026-11-23T06:50:52.120Z".parse().unwrap();
        Envelope {
            version: SCHEMA_VERSION,
            seq: 7,
            at,
            event,
        }
    }

    #[test]
    fn a_line_reads_as_a_person_would_write_it() {
        let line = serde_json::to_string(&envelope(Event::StepFinished {
            step: StepId::new("nova", "start-api", None, "controller"),
            host: "controller".into(),
            outcome: Outcome::Changed {
                edits: vec![Edit::attribute("running", Some("no"), Some("yes"))],
                summary: None,
            },
            elapsed_ms: 812,
        }))
        .unwrap();
        assert_eq!(
            line,
            r#"{"version":1,"seq":7,"at":"2026-11-23T06:50:52.120Z","event":{"type":"step_finished","step":"nova/start-api@controller","host":"controller","outcome":{"outcome":"changed","edits":[{"what":"running","before":"no","after":"yes","kind":"attribute"}]},"elapsed_ms":812}}"#
        );
    }

    #[test]
    fn what_is_written_is_read_back() {
        let event = Event::Diagnosed(Problem {
            host: Some("compute1".into()),
            tail: vec!["E: no".into()],
            ..Problem::error("step::no-effect", "package `nova-computer` does not exist")
        });
        let line = serde_json::to_string(&envelope(event.clone())).unwrap();
        assert_eq!(
            serde_json::from_str::<Envelope>(&line).unwrap(),
            envelope(event)
        );
    }

    #[test]
    fn an_event_of_a_newer_version_is_read_as_unknown() {
        let line = r#"{"version":2,"seq":1,"at":"2026-11-23T06:50:52.120Z","event":{"type":"moon_phase","full":true}}"#;
        assert_eq!(
            serde_json::from_str::<Envelope>(line).unwrap().event,
            Event::Unknown
        );
    }

    #[test]
    fn whole_seconds_still_show_their_milliseconds() {
        let mut e = envelope(Event::StopRequested { now: false });
        e.at = "2026-11-23T06:50:52Z".parse().unwrap();
        assert!(serde_json::to_string(&e).unwrap().contains("06:50:52.000Z"));
    }

    #[test]
    fn an_item_of_a_list_is_part_of_the_id() {
        let id = StepId::new("keystone", "endpoint", Some("nova"), "controller");
        assert_eq!(id.as_str(), "keystone/endpoint[nova]@controller");
    }
}
