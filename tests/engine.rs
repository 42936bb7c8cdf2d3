//! The engine against hosts inside this process: what is asked how often, in which order things are done, and what
//! comes of failures, cut connections and requests to stop. Scripts run for real, in folders of their own; where one
//! step has to wait for another, or for the test, a named pipe makes it, never the clock.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "support/ssh_server.rs"]
mod ssh_server;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use provision::drive::bus::{Bus, BusEnd};
use provision::drive::confirmed::{self, Unconfirmed};
use provision::drive::engine::{self, Engine, Tally};
use provision::drive::health;
use provision::drive::journal::Journal;
use provision::drive::openstack::{Administrator, OpenStack};
use provision::drive::transport::{Connector, Secret, Session, Target};
use provision::drive::world::World;
use provision::model::event::{
    self, CheckOutcome, Envelope, Event, Mode, Outcome, Problem, RunStarted, StepId, Verdict,
};
use provision::model::plan::{Check, Plan, Step};
use provision::model::redact::Redactor;
use provision::model::resource::{Diff, Resource};
use provision::model::sink::Sink;
use provision::model::summary::Summary;
use serde_json::{Value, json};
use ssh_server::{Answer, SshServer};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

// ── A run, its hosts and its plan ───────────────────────────────────────────────────────────────

/// Keeps what arrives.
#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<Vec<Event>>>);

impl Sink for Recorder {
    fn name(&self) -> &'static str {
        "recorder"
    }

    fn event(&mut self, envelope: &Envelope, _: &Summary) -> io::Result<()> {
        self.0.lock().unwrap().push(envelope.event.clone());
        Ok(())
    }
}

struct Cloud {
    hosts: BTreeMap<&'static str, SshServer>,
    /// Scripts that each host was given, in order.
    scripts: Arc<Mutex<Vec<(&'static str, String)>>>,
    folder: TempDir,
    engine: Engine,
    seen: Recorder,
    end: BusEnd,
}

/// A run that is over.
struct Over {
    events: Vec<Event>,
    journal: String,
    totals: event::Totals,
}

impl Cloud {
    async fn of(names: &[&'static str]) -> Self {
        Self::with_secrets(names, &[]).await
    }

    async fn with_secrets(names: &[&'static str], secrets: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let scripts = Arc::new(Mutex::new(Vec::new()));
        let mut hosts = BTreeMap::new();
        let mut sessions = BTreeMap::new();
        for name in names {
            let server = SshServer::start().await;
            sessions.insert((*name).to_owned(), connect(&server.target(name)).await);
            hosts.insert(*name, server);
        }
        let journal = Journal::create(&folder.path().join("journal")).unwrap();
        let recorder = Recorder::default();
        let secrets = secrets
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let sinks: Vec<Box<dyn Sink>> = vec![Box::new(journal), Box::new(recorder.clone())];
        let (bus, end) = Bus::open(Redactor::new(secrets), sinks).unwrap();
        bus.send(Event::RunStarted(RunStarted {
            run: "r".into(),
            cloud: "c".into(),
            mode: Mode::Apply,
            tool: "0".into(),
            platform: None,
            hosts: vec![],
            networks: vec![],
            answer_file: None,
        }));
        let operator = connect(&Target::local("this machine")).await;
        let engine = Engine {
            world: World {
                sessions,
                operator,
                openstack: None,
            },
            bus,
            stop: CancellationToken::new(),
            stop_now: CancellationToken::new(),
        };
        let cloud = Self {
            hosts,
            scripts,
            folder,
            engine,
            seen: recorder,
            end,
        };
        cloud.listen();
        cloud
    }

    /// Takes down every script from now on, and runs it for real.
    fn listen(&self) {
        for (name, server) in &self.hosts {
            let (name, scripts) = (*name, self.scripts.clone());
            server.answer(move |script, _| {
                scripts.lock().unwrap().push((name, script.to_owned()));
                None
            });
        }
    }

    /// How many scripts a host has been given since this was asked last.
    fn scripts_of(&self, host: &str) -> usize {
        let mut scripts = self.scripts.lock().unwrap();
        let before = scripts.len();
        scripts.retain(|(name, _)| *name != host);
        before - scripts.len()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A path as scripts write it.
    fn place(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    fn pipe(&self, name: &str) -> String {
        let status = Command::new("mkfifo")
            .arg(self.path(name))
            .status()
            .unwrap();
        assert!(status.success());
        self.place(name)
    }

    fn lines(&self, name: &str) -> Vec<String> {
        let text = std::fs::read_to_string(self.path(name)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// A step that is done when the file `id` is there: `run` comes first, then it is made and put down in `log`.
    fn mark(&self, id: &str, host: &str, lane: &str, run: &str) -> Step {
        let (file, log) = (self.place(id), self.place("log"));
        let run = format!("{run}\necho {id} >> {log}; touch {file}");
        command(
            id,
            host,
            lane,
            json!({ "run": run, "unless": format!("[ -e {file} ] && echo {id} is there") }),
        )
    }

    async fn apply(&self, plan: &Plan) -> Tally {
        let verdicts = engine::survey(&self.engine, plan).await;
        engine::apply(&self.engine, plan, verdicts).await
    }

    fn close(self) -> Over {
        let journal = self.path("journal");
        let finished = event::RunFinished {
            outcome: event::RunOutcome::Done,
            exit_code: 0,
            totals: event::Totals::default(),
            elapsed_ms: 1,
            next_command: None,
            urls: vec![],
            credentials: None,
        };
        self.engine.bus.send(Event::RunFinished(finished));
        let arrived = self.end.close();
        assert!(arrived.illegal.is_empty(), "{:?}", arrived.illegal);
        let journal = std::fs::read_to_string(journal).unwrap();
        Over {
            events: self.seen.0.lock().unwrap().clone(),
            journal,
            totals: arrived.summary.finished.unwrap().totals,
        }
    }
}

impl Over {
    fn outcome(&self, id: &str) -> &Outcome {
        let of = |event: &Event| matches!(event, Event::StepFinished { step, .. } if step.as_str() == id);
        match self.events.iter().find(|event| of(event)) {
            Some(Event::StepFinished { outcome, .. }) => outcome,
            _ => panic!("{id} is not over"),
        }
    }

    fn problem(&self, id: &str) -> &Problem {
        match self.outcome(id) {
            Outcome::Failed { problem } => problem,
            other => panic!("{id}: {other:?}"),
        }
    }

    fn is_changed(&self, id: &str) -> bool {
        matches!(self.outcome(id), Outcome::Changed { .. })
    }

    fn count(&self, wanted: impl Fn(&Event) -> bool) -> usize {
        self.events.iter().filter(|event| wanted(event)).count()
    }
}

async fn connect(target: &Target) -> Session {
    Connector::new().connect(target).await.unwrap()
}

fn step(id: &str, host: &str, lane: &str, resource: Value) -> Step {
    Step {
        shown: event::Step {
            id: StepId::from_text(id),
            name: format!("Do {id}"),
            playbook: "test".into(),
            host: host.into(),
            index: 0,
            of: 0,
            lane: lane.into(),
        },
        resource: serde_json::from_value::<Resource>(resource).unwrap(),
        needs: vec![],
        deadline: 60,
        retries: 0,
    }
}

fn command(id: &str, host: &str, lane: &str, command: Value) -> Step {
    step(id, host, lane, json!({ "command": command }))
}

/// Steps in this order, each with the ids of those that it needs.
fn plan<const N: usize>(steps: [(Step, &[&str]); N]) -> Plan {
    let ids: Vec<String> = steps
        .iter()
        .map(|(step, _)| step.id().to_string())
        .collect();
    let mut plan = Plan::default();
    for (mut step, needs) in steps {
        step.needs = needs
            .iter()
            .map(|need| ids.iter().position(|id| id == need).unwrap())
            .collect();
        plan.steps.push(step);
    }
    plan.number();
    plan
}

/// The end of a pipe that a script writes to or reads from; waits until the script is there.
async fn hear(pipe: String) -> String {
    let mut text = String::new();
    tokio::fs::File::open(pipe)
        .await
        .unwrap()
        .read_to_string(&mut text)
        .await
        .unwrap();
    text.trim().to_owned()
}

async fn tell(pipe: String) {
    tokio::fs::write(pipe, "go\n").await.unwrap();
}

// ── Asking ──────────────────────────────────────────────────────────────────────────────────────

#[tokio::test]
async fn a_survey_asks_each_host_once_and_touches_nothing() {
    let cloud = Cloud::of(&["a", "b"]).await;
    std::fs::write(cloud.path("3"), "").unwrap();
    let marks = |id: &str, host| cloud.mark(id, host, "lane", "");
    let plan = plan([
        (marks("1", "a"), &[]),
        (marks("2", "a"), &["1"]),
        (marks("3", "b"), &["2"]),
        (marks("4", "b"), &[]),
    ]);
    let verdicts = engine::survey(&cloud.engine, &plan).await;
    assert_eq!((cloud.scripts_of("a"), cloud.scripts_of("b")), (1, 1));
    let in_sync: Vec<_> = verdicts
        .iter()
        .map(|verdict| matches!(verdict, Some(Diff::InSync(_))))
        .collect();
    assert_eq!(in_sync, [false, false, true, false]);
    assert_eq!(cloud.lines("log"), [""; 0]);
    let over = cloud.close();
    assert_eq!(
        over.count(|event| matches!(event, Event::StepPlanned { .. })),
        4
    );
    assert_eq!((over.totals.unchanged, over.totals.changed), (1, 3));
}

#[tokio::test]
async fn what_is_as_wanted_is_asked_once_and_left_alone() {
    let cloud = Cloud::of(&["a", "b"]).await;
    let plan = plan([
        (cloud.mark("1", "a", "x", ""), &[]),
        (cloud.mark("2", "a", "y", ""), &[]),
        (cloud.mark("3", "b", "x", ""), &["1"]),
    ]);
    let first = cloud.apply(&plan).await;
    assert_eq!((first.changed, first.failed), (3, 0));
    cloud.scripts.lock().unwrap().clear();
    // The same in a run of its own, which has its own journal.
    let mut again = Cloud::of(&[]).await;
    again.engine.world = cloud.engine.world.clone();
    let second = again.apply(&plan).await;
    assert_eq!(second, Tally::default());
    assert_eq!((cloud.scripts_of("a"), cloud.scripts_of("b")), (1, 1));
    assert_eq!(cloud.lines("log").len(), 3);
    let over = again.close();
    assert_eq!(
        *over.outcome("2"),
        Outcome::Unchanged {
            reason: "2 is there".into()
        }
    );
    assert_eq!(over.totals.unchanged, 3);
}

#[tokio::test]
async fn what_cannot_be_known_yet_is_done_in_the_same_run() {
    let cloud = Cloud::of(&["a"]).await;
    let (first, second) = (cloud.place("first"), cloud.place("second"));
    let unless = format!("[ -e {first} ] || {{ echo not yet; exit 75; }}; [ -e {second} ]");
    let plan = plan([
        (cloud.mark("first", "a", "x", ""), &[]),
        (
            command(
                "second",
                "a",
                "x",
                json!({ "run": format!("touch {second}"), "unless": unless }),
            ),
            &["first"],
        ),
    ]);
    let tally = cloud.apply(&plan).await;
    assert_eq!((tally.changed, tally.failed), (2, 0));
    let over = cloud.close();
    let later = |event: &Event| {
        matches!(event, Event::StepPlanned { step, verdict: Verdict::Later { reason } }
            if step.id.as_str() == "second" && reason == "not yet")
    };
    assert_eq!(over.count(later), 1);
}

/// What the survey has found is not believed once something has changed on the host.
#[tokio::test]
async fn a_step_is_asked_again_after_a_change() {
    let cloud = Cloud::of(&["a"]).await;
    std::fs::write(cloud.path("second"), "").unwrap();
    let spoil = format!("rm {}", cloud.place("second"));
    let plan = plan([
        (cloud.mark("first", "a", "x", &spoil), &[]),
        (cloud.mark("second", "a", "x", ""), &["first"]),
    ]);
    let tally = cloud.apply(&plan).await;
    assert_eq!(tally.changed, 2);
    assert!(cloud.path("second").exists());
}

/// Two hosts are asked at once, and what is brought from one to the other is no text. The source changes after the
/// survey, so both have to be asked again.
#[tokio::test]
async fn a_file_of_one_host_is_brought_to_another() {
    let cloud = Cloud::of(&["a", "b"]).await;
    let own = |flag: &str| {
        let output = Command::new("id").arg(flag).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let content: Vec<u8> = (0..=255).cycle().take(3000).collect();
    std::fs::write(cloud.path("new"), &content).unwrap();
    std::fs::write(cloud.path("ring"), b"old").unwrap();
    let build = format!("cp {} {}", cloud.place("new"), cloud.place("ring"));
    let copy = json!({ "copy": {
        "path": cloud.place("copy"), "source": cloud.place("ring"), "from": "a",
        "owner": own("-un"), "group": own("-gn"), "mode": "0640",
    }});
    let plan = plan([
        (cloud.mark("built", "a", "x", &build), &[]),
        (step("copied", "b", "x", copy), &["built"]),
    ]);
    let verdicts = engine::survey(&cloud.engine, &plan).await;
    assert_eq!((cloud.scripts_of("a"), cloud.scripts_of("b")), (1, 1));
    let tally = engine::apply(&cloud.engine, &plan, verdicts).await;
    assert_eq!((tally.changed, tally.failed), (2, 0));
    assert_eq!(std::fs::read(cloud.path("copy")).unwrap(), content);
    let mut again = Cloud::of(&[]).await;
    again.engine.world = cloud.engine.world.clone();
    assert_eq!(again.apply(&plan).await, Tally::default());
    assert!(!cloud.close().journal.contains("old"));
}

// ── Order ───────────────────────────────────────────────────────────────────────────────────────

#[tokio::test]
async fn steps_run_in_the_order_of_their_needs() {
    let cloud = Cloud::of(&["a", "b"]).await;
    let plan = plan([
        (cloud.mark("1", "a", "x", ""), &[]),
        (cloud.mark("2", "b", "y", ""), &["1"]),
        (cloud.mark("3", "a", "z", ""), &["2"]),
        (cloud.mark("4", "b", "x", ""), &["1", "3"]),
    ]);
    assert_eq!(cloud.apply(&plan).await.changed, 4);
    assert_eq!(cloud.lines("log"), ["1", "2", "3", "4"]);
    let over = cloud.close();
    let started: Vec<_> = over
        .events
        .iter()
        .filter_map(|event| match event {
            Event::StepStarted { step } => Some(step.id.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(started, ["1", "2", "3", "4"]);
}

/// Each of them can only end when all others have begun: one after another they would wait for ever.
#[tokio::test]
async fn lanes_and_hosts_work_at_the_same_time() {
    let cloud = Cloud::of(&["a", "b"]).await;
    let (there, back, on) = (cloud.pipe("there"), cloud.pipe("back"), cloud.pipe("on"));
    let plan = plan([
        (
            cloud.mark("1", "a", "x", &format!("echo > {there}; cat {back}")),
            &[],
        ),
        (
            cloud.mark(
                "2",
                "a",
                "y",
                &format!("cat {there}; cat {on}; echo > {back}"),
            ),
            &[],
        ),
        (cloud.mark("3", "b", "x", &format!("echo > {on}")), &[]),
    ]);
    let tally = tokio::time::timeout(Duration::from_secs(50), cloud.apply(&plan)).await;
    assert_eq!(tally.unwrap().changed, 3);
}

// ── Failures ────────────────────────────────────────────────────────────────────────────────────

#[tokio::test]
async fn a_failed_step_keeps_back_what_needs_it_and_nothing_else() {
    let cloud = Cloud::of(&["a", "b"]).await;
    let plan = plan([
        (
            cloud.mark("bad", "a", "x", "echo the cause >&2; exit 3"),
            &[],
        ),
        (cloud.mark("next", "a", "x", ""), &["bad"]),
        (cloud.mark("far", "b", "x", ""), &["next"]),
        (cloud.mark("beside", "a", "y", ""), &[]),
        (cloud.mark("elsewhere", "b", "y", ""), &[]),
        (cloud.mark("after", "b", "y", ""), &["elsewhere", "beside"]),
    ]);
    let tally = cloud.apply(&plan).await;
    assert_eq!(
        tally,
        Tally {
            changed: 3,
            skipped: 2,
            failed: 1,
            late: 0,
            cancelled: 0
        }
    );
    let over = cloud.close();
    let problem = over.problem("bad");
    assert_eq!(
        (problem.code.as_str(), problem.host.as_deref()),
        ("step::status", Some("a"))
    );
    assert_eq!(problem.message, "the command ended with status 3");
    assert_eq!(problem.tail, ["the cause"]);
    assert!(
        problem.help.as_ref().unwrap().contains("on a "),
        "{problem:?}"
    );
    for skipped in ["next", "far"] {
        let reason = "it needs bad, which failed".to_owned();
        assert_eq!(*over.outcome(skipped), Outcome::Skipped { reason });
    }
    assert!(over.is_changed("after"));
    assert_eq!(
        (over.totals.failed, over.totals.skipped, over.totals.changed),
        (1, 2, 3)
    );
}

#[tokio::test]
async fn what_needs_a_host_that_was_not_reached_is_left_out() {
    let cloud = Cloud::of(&["a"]).await;
    let plan = plan([
        (cloud.mark("there", "lost", "x", ""), &[]),
        (cloud.mark("needs-it", "a", "x", ""), &["there"]),
        (cloud.mark("here", "a", "y", ""), &[]),
    ]);
    let tally = cloud.apply(&plan).await;
    assert_eq!((tally.changed, tally.skipped, tally.failed), (1, 2, 0));
    let over = cloud.close();
    let reason = "it needs there, whose host was not reached".to_owned();
    assert_eq!(*over.outcome("needs-it"), Outcome::Skipped { reason });
}

#[tokio::test]
async fn a_change_without_effect_is_a_failure() {
    let cloud = Cloud::of(&["a"]).await;
    let plan = plan([(
        command(
            "idle",
            "a",
            "x",
            json!({ "run": "echo all is well", "unless": "echo it is not so; exit 1" }),
        ),
        &[],
    )]);
    assert_eq!(cloud.apply(&plan).await.failed, 1);
    let over = cloud.close();
    let problem = over.problem("idle");
    assert_eq!(problem.code, "step::no-effect");
    assert_eq!(problem.causes, ["needed is not it is not so"]);
    assert_eq!(problem.tail, ["all is well"]);
    assert!(problem.help.is_some());
}

#[tokio::test]
async fn a_step_is_tried_as_often_as_it_may_be() {
    let cloud = Cloud::of(&["a"]).await;
    let tries = cloud.place("tries");
    let second_time = format!(
        "echo once >> {tries}; [ $(wc -l < {tries}) -ge 2 ] || {{ echo too early >&2; exit 1; }}"
    );
    let mut patient = cloud.mark("patient", "a", "x", &second_time);
    patient.retries = 1;
    let hasty = cloud.mark(
        "hasty",
        "a",
        "y",
        &format!("echo >> {}; exit 1", cloud.place("hasty-tries")),
    );
    let tally = cloud.apply(&plan([(patient, &[]), (hasty, &[])])).await;
    assert_eq!((tally.changed, tally.failed), (1, 1));
    assert_eq!(
        (cloud.lines("tries").len(), cloud.lines("hasty-tries").len()),
        (2, 1)
    );
    let over = cloud.close();
    let retried = |event: &Event| matches!(event, Event::StepRetrying { step, attempt: 1, .. } if step.as_str() == "patient");
    assert_eq!(over.count(retried), 1);
}

/// A deadline beyond the end of time is such a fault: no playbook has one.
#[tokio::test]
async fn a_fault_of_ours_ends_one_step_only() {
    let cloud = Cloud::of(&["a"]).await;
    let mut broken = cloud.mark("broken", "a", "x", "");
    broken.deadline = u64::MAX;
    let tally = cloud
        .apply(&plan([
            (broken, &[]),
            (cloud.mark("next", "a", "x", ""), &["broken"]),
            (cloud.mark("beside", "a", "y", ""), &[]),
        ]))
        .await;
    assert_eq!(
        (tally.changed, tally.failed, tally.skipped, tally.cancelled),
        (1, 1, 1, 0)
    );
    assert_eq!(cloud.close().problem("broken").code, "fault::panic");
}

#[tokio::test]
async fn a_deadline_that_passes_is_told_from_other_failures() {
    let cloud = Cloud::of(&["a"]).await;
    let wait = json!({ "wait": { "says": "it is there", "until": { "script": "echo nothing yet; false" } } });
    let mut never = step("never", "a", "x", wait);
    never.deadline = 1;
    let block = cloud.pipe("block");
    let mut endless = cloud.mark("endless", "a", "y", &format!("echo on my way; cat {block}"));
    endless.deadline = 1;
    let tally = cloud.apply(&plan([(never, &[]), (endless, &[])])).await;
    assert_eq!((tally.failed, tally.late), (2, 2));
    let over = cloud.close();
    let problem = over.problem("never");
    assert_eq!(problem.causes, ["not so: it is there: nothing yet"]);
    assert!(problem.help.is_some());
    let problem = over.problem("endless");
    assert_eq!(problem.code, "step::deadline");
    assert_eq!(problem.tail, ["on my way"]);
}

#[tokio::test]
async fn waiting_is_over_when_its_unit_has_failed() {
    let cloud = Cloud::of(&["a"]).await;
    cloud.hosts["a"].answer(|script, _| {
        let asked = script.contains("systemctl is-failed --quiet x.service");
        asked.then(|| Answer::ok("x.service has failed\nno such table\n"))
    });
    let wait = json!({ "wait": { "says": "x answers", "units": ["x.service"], "until": { "script": "false" } } });
    let mut step = step("wait", "a", "x", wait);
    step.deadline = 3600;
    assert_eq!(cloud.apply(&plan([(step, &[])])).await.failed, 1);
    let over = cloud.close();
    let problem = over.problem("wait");
    assert_eq!(
        (problem.code.as_str(), problem.message.as_str()),
        ("unit::failed", "x.service has failed")
    );
    assert_eq!(problem.tail, ["no such table"]);
    assert!(
        problem
            .help
            .as_ref()
            .unwrap()
            .contains("journalctl -u x.service")
    );
}

#[tokio::test]
async fn waiting_from_the_operators_side_ends_when_a_port_opens() {
    let cloud = Cloud::of(&["a"]).await;
    let held = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = held.local_addr().unwrap().port();
    drop(held);
    let until = json!({ "port": { "address": "127.0.0.1", "port": port, "from": "operator" } });
    let plan = plan([(
        step(
            "wait",
            "a",
            "x",
            json!({ "wait": { "says": "it listens", "until": until } }),
        ),
        &[],
    )]);
    let verdicts = engine::survey(&cloud.engine, &plan).await;
    assert!(matches!(verdicts[0], Some(Diff::Change(_))), "{verdicts:?}");
    let _open = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    assert_eq!(
        engine::apply(&cloud.engine, &plan, verdicts).await.changed,
        1
    );
}

#[tokio::test]
async fn secrets_in_a_failing_scripts_output_stay_out_of_the_journal() {
    let secrets = [("database", "correct-horse-battery")];
    let cloud = Cloud::with_secrets(&["a"], &secrets).await;
    let says = "echo connecting with correct-horse-battery; echo refused: correct-horse-battery >&2; exit 1";
    assert_eq!(
        cloud
            .apply(&plan([(cloud.mark("leak", "a", "x", says), &[])]))
            .await
            .failed,
        1
    );
    let over = cloud.close();
    assert!(!over.journal.contains("correct-horse"), "{}", over.journal);
    assert!(
        over.problem("leak")
            .tail
            .iter()
            .any(|line| line == "refused: ‹secret database›"),
        "{:?}",
        over.problem("leak")
    );
    assert!(over.count(|event| matches!(event, Event::Output { .. })) >= 2);
}

#[tokio::test]
async fn how_far_a_script_is_becomes_progress_and_not_output() {
    let cloud = Cloud::of(&["a"]).await;
    let says = "echo begins; echo provision-progress 1 2 packages; exit 1";
    cloud
        .apply(&plan([(cloud.mark("step", "a", "x", says), &[])]))
        .await;
    let over = cloud.close();
    let half = |event: &Event| matches!(event, Event::Progress { amount: Some(amount), .. } if (amount.done, amount.total) == (1, Some(2)));
    assert_eq!(over.count(half), 1);
    assert_eq!(over.count(|event| matches!(event, Event::Output { .. })), 1);
    assert_eq!(over.problem("step").tail, ["begins"]);
}

// ── Cut connections, and requests to stop ───────────────────────────────────────────────────────

#[tokio::test]
async fn a_connection_that_is_lost_under_way_is_taken_up_again() {
    let cloud = Cloud::of(&["a"]).await;
    let (begun, block) = (cloud.pipe("begun"), cloud.pipe("block"));
    let first_time = cloud.place("first-time");
    let run = format!(
        "[ -e {first_time} ] || {{ touch {first_time}; echo $$ > {begun}; cat {block}; exit 1; }}"
    );
    let plan = plan([
        (cloud.mark("step", "a", "x", &run), &[]),
        (cloud.mark("next", "a", "x", ""), &["step"]),
    ]);
    let cable = async {
        hear(begun).await;
        cloud.hosts["a"].cut();
    };
    let (tally, ()) = tokio::join!(cloud.apply(&plan), cable);
    assert_eq!((tally.changed, tally.failed), (2, 0));
    assert_eq!(cloud.hosts["a"].connections(), 2);
    tell(block).await;
    let over = cloud.close();
    let lost = |event: &Event| matches!(event, Event::StepRetrying { reason, .. } if reason.contains("connection"));
    assert_eq!(over.count(lost), 1);
}

#[tokio::test]
async fn the_first_request_to_stop_starts_nothing_new() {
    let cloud = Cloud::of(&["a", "b"]).await;
    let (begun, go) = (cloud.pipe("begun"), cloud.pipe("go"));
    let plan = plan([
        (
            cloud.mark("running", "a", "x", &format!("echo > {begun}; cat {go}")),
            &[],
        ),
        (cloud.mark("next", "a", "x", ""), &["running"]),
        (cloud.mark("elsewhere", "b", "x", ""), &["running"]),
    ]);
    let user = async {
        hear(begun).await;
        cloud.engine.stop.cancel();
        tell(go).await;
    };
    let (tally, ()) = tokio::join!(cloud.apply(&plan), user);
    assert_eq!((tally.changed, tally.cancelled, tally.failed), (1, 2, 0));
    assert_eq!(cloud.lines("log"), ["running"]);
    let over = cloud.close();
    assert_eq!(*over.outcome("next"), Outcome::Cancelled);
    assert_eq!(over.totals.cancelled, 2);
}

/// Whether a process is there and no zombie.
fn runs(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ")
        .next()
        .is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
}

#[tokio::test]
async fn the_second_request_to_stop_ends_what_runs_on_the_host() {
    let cloud = Cloud::of(&["a"]).await;
    let (begun, block) = (cloud.pipe("begun"), cloud.pipe("block"));
    let run = format!("echo $$ > {begun}; cat {block}");
    let plan = plan([
        (cloud.mark("running", "a", "x", &run), &[]),
        (cloud.mark("next", "a", "x", ""), &["running"]),
    ]);
    let user = async {
        let pid = hear(begun).await;
        assert!(runs(&pid));
        cloud.engine.stop.cancel();
        cloud.engine.stop_now.cancel();
        pid
    };
    let (tally, pid) = tokio::join!(cloud.apply(&plan), user);
    assert_eq!((tally.changed, tally.cancelled), (0, 2));
    cloud.engine.world.sessions["a"].close().await;
    assert!(!runs(&pid), "process {pid} is left");
    assert_eq!(cloud.lines("log"), [""; 0]);
    let over = cloud.close();
    assert_eq!(*over.outcome("running"), Outcome::Cancelled);
}

// ── Health ──────────────────────────────────────────────────────────────────────────────────────

fn check(host: &str, name: &str, patience: u64, script: &str) -> Check {
    let wait = json!({ "wait": { "says": "it is well", "until": { "script": script } } });
    Check {
        service: "x".into(),
        name: name.into(),
        host: host.into(),
        resource: serde_json::from_value(wait).unwrap(),
        patience,
        help: "look there".into(),
    }
}

/// The hosts wait for each other: asked one after another, none would ever answer.
#[tokio::test]
async fn checks_ask_all_hosts_at_once_and_each_host_once() {
    let cloud = Cloud::of(&["a", "b"]).await;
    let (there, back) = (cloud.pipe("there"), cloud.pipe("back"));
    let checks = [
        check("a", "one", 0, &format!("echo > {there}; cat {back}")),
        check("a", "two", 0, "echo all of it"),
        check("b", "one", 0, &format!("cat {there}; echo > {back}")),
    ];
    let bad = tokio::time::timeout(
        Duration::from_secs(50),
        health::check(&cloud.engine, &checks),
    );
    assert_eq!(bad.await.unwrap(), 0);
    assert_eq!((cloud.scripts_of("a"), cloud.scripts_of("b")), (1, 1));
}

#[tokio::test]
async fn a_check_is_asked_until_it_is_well_or_its_patience_is_over() {
    let cloud = Cloud::of(&["a"]).await;
    let (rounds, other) = (cloud.place("rounds"), cloud.place("other"));
    let checks = [
        check(
            "a",
            "slow",
            60,
            &format!("echo >> {rounds}; [ $(wc -l < {rounds}) -ge 2 ]"),
        ),
        check(
            "a",
            "bad",
            0,
            &format!("echo >> {other}; echo no such table; false"),
        ),
    ];
    assert_eq!(health::check(&cloud.engine, &checks).await, 1);
    assert_eq!(
        (cloud.lines("rounds").len(), cloud.lines("other").len()),
        (2, 1)
    );
    let over = cloud.close();
    let told: Vec<_> = over
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Checked { check, outcome, .. } => Some((check.as_str(), outcome.clone())),
            _ => None,
        })
        .collect();
    let cause = "not so: it is well: no such table".to_owned();
    let bad = CheckOutcome::Bad {
        cause,
        help: "look there".into(),
    };
    let well = CheckOutcome::Ok {
        seen: Some("it is well".into()),
    };
    assert_eq!(told, [("bad", bad), ("slow", well)]);
}

// ── Objects of services ─────────────────────────────────────────────────────────────────────────

/// An Identity service with one collection, which keeps what it is given and writes down what it is asked.
#[derive(Clone, Default)]
struct Service {
    objects: Arc<Mutex<Vec<Value>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Service {
    async fn start(&self) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let service = self.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(service.clone().serve(stream));
            }
        });
        port
    }

    async fn serve(self, stream: TcpStream) {
        let mut stream = BufReader::new(stream);
        loop {
            let (mut head, mut length) = (Vec::new(), 0);
            loop {
                let mut line = String::new();
                if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
                    return;
                }
                let line = line.trim_end().to_owned();
                if line.is_empty() {
                    break;
                }
                if let Some(size) = line.to_lowercase().strip_prefix("content-length: ") {
                    length = size.parse().unwrap();
                }
                head.push(line);
            }
            let mut body = vec![0; length];
            stream.read_exact(&mut body).await.unwrap();
            let (status, body) = self.answer(&head[0], &body);
            let body = if body.is_null() {
                String::new()
            } else {
                body.to_string()
            };
            let reply = format!(
                "HTTP/1.1 {status} x\r\nX-Subject-Token: t\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(reply.as_bytes()).await.unwrap();
        }
    }

    fn answer(&self, request: &str, body: &[u8]) -> (u16, Value) {
        let mut words = request.split(' ');
        let (method, path) = (words.next().unwrap(), words.next().unwrap());
        let mut objects = self.objects.lock().unwrap();
        if path == "/v3/auth/tokens" {
            return (201, json!({}));
        }
        if method != "GET" {
            self.asked.lock().unwrap().push(format!("{method} {path}"));
        }
        match method {
            "GET" => (200, json!({ "things": *objects })),
            "POST" => {
                let mut object = serde_json::from_slice::<Value>(body).unwrap()["thing"].clone();
                object["id"] = format!("id-{}", object["name"].as_str().unwrap()).into();
                objects.push(object.clone());
                (201, json!({ "thing": object }))
            }
            "DELETE" => {
                let id = path.rsplit('/').next().unwrap();
                objects.retain(|object| object["id"] != id);
                (204, Value::Null)
            }
            _ => (405, Value::Null),
        }
    }
}

fn thing(name: &str) -> Step {
    let via = json!({ "service": "identity", "path": "/things", "one": "thing", "many": "things" });
    step(
        name,
        "a",
        "x",
        json!({ "api": { "collection": "thing", "name": name, "via": via } }),
    )
}

async fn with_service(cloud: &mut Cloud, service: &Service) {
    let apis =
        json!({ "service": { "identity": { "port": service.start().await } }, "collection": {} });
    cloud.engine.world.openstack = Some(OpenStack::new(
        cloud.engine.world.sessions["a"].clone(),
        "127.0.0.1".into(),
        serde_json::from_value(apis).unwrap(),
        Administrator {
            user: "admin".into(),
            project: "admin".into(),
            password: Secret::new("p"),
        },
    ));
}

#[tokio::test]
async fn what_a_proof_makes_is_removed_in_reverse_order() {
    let mut cloud = Cloud::of(&["a"]).await;
    let service = Service::default();
    with_service(&mut cloud, &service).await;
    let plan = plan([
        (thing("port"), &[]),
        (thing("server"), &["port"]),
        (cloud.mark("file", "a", "x", ""), &["server"]),
        (thing("address"), &["file"]),
    ]);
    assert_eq!(cloud.apply(&plan).await.changed, 4);
    // Somebody who has asked to stop wants it cleaned up all the same.
    cloud.engine.stop.cancel();
    let tally = engine::remove(&cloud.engine, &plan).await;
    assert_eq!((tally.changed, tally.failed), (3, 0));
    let asked = service.asked.lock().unwrap().clone();
    let made = ["POST /things", "POST /things", "POST /things"].map(str::to_owned);
    let removed = ["address", "server", "port"].map(|name| format!("DELETE /things/id-{name}"));
    assert_eq!(asked, [made, removed].concat());
    assert!(service.objects.lock().unwrap().is_empty());
    let over = cloud.close();
    assert!(over.is_changed("remove server"));
    assert_eq!((over.totals.steps, over.totals.changed), (7, 7));
}

// ── Changes that may cut our own way ────────────────────────────────────────────────────────────

/// A host with a stand-in for systemd: what it starts runs at once and ends before it answers; timers are files that
/// somebody can take away. That the host itself undoes a change which cuts it off is proved in the lab.
struct Confirming {
    server: SshServer,
    folder: TempDir,
}

impl Confirming {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_owned();
        let tool = |name: &str, text: &str| {
            use std::os::unix::fs::PermissionsExt as _;
            let file = path.join(name);
            std::fs::write(&file, text.replace("FOLDER", &path.display().to_string())).unwrap();
            std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o755)).unwrap();
        };
        tool(
            "systemd-run",
            "#!/bin/sh\nunit= timer=\nwhile case $1 in --unit=*) unit=${1#*=};; --on-active=*) timer=yes;; --*) ;; \
             *) false;; esac; do shift; done\n\
             [ -z \"$timer\" ] || { echo \"$*\" > FOLDER/$unit.timer; exit; }\n\"$@\"\n",
        );
        tool(
            "systemctl",
            "#!/bin/sh\ncase $1 in stop) rm \"FOLDER/$2\";; esac\n",
        );
        let server = SshServer::start().await;
        server.answer(move |script, _| run_there(&path, script));
        Self { server, folder }
    }

    async fn change(&self, change: &str) -> Result<(), Unconfirmed> {
        let session = connect(&self.server.target("a")).await;
        let undo = format!(
            "echo undone >> {}",
            self.folder.path().join("log").display()
        );
        confirmed::run(&session, change, &undo).await
    }

    fn undone(&self) -> bool {
        self.folder.path().join("log").exists()
    }

    fn timers(&self) -> usize {
        let names = std::fs::read_dir(self.folder.path()).unwrap();
        names
            .filter(|entry| {
                entry
                    .as_ref()
                    .unwrap()
                    .path()
                    .extension()
                    .is_some_and(|it| it == "timer")
            })
            .count()
    }
}

/// Runs a script with the stand-ins first on its path, and keeps it out of this machine's own `/run`.
fn run_there(folder: &Path, script: &str) -> Option<Answer> {
    script.contains("/run/provision/").then_some(())?;
    let script = script.replace("/run/provision/", &format!("{}/run/", folder.display()));
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    let output = Command::new("sh")
        .args(["-c", &script])
        .env("PATH", path)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let status = u32::try_from(output.status.code().unwrap()).unwrap();
    Some(Answer {
        stdout: output.stdout,
        stderr: output.stderr,
        status,
    })
}

#[tokio::test]
async fn a_change_that_leaves_us_a_way_is_confirmed_over_a_new_connection() {
    let host = Confirming::start().await;
    host.change("true").await.unwrap();
    assert_eq!(host.server.connections(), 2);
    assert!(!host.undone());
    assert_eq!(host.timers(), 0, "the change would be undone later");
    assert_eq!(
        std::fs::read_dir(host.folder.path().join("run"))
            .unwrap()
            .count(),
        0
    );
}

#[tokio::test]
async fn a_change_that_fails_is_undone_at_once() {
    let host = Confirming::start().await;
    let error = host
        .change("echo there is no such device >&2; exit 3")
        .await
        .unwrap_err();
    let Unconfirmed::Failed { status: 3, tail } = error else {
        panic!("{error}");
    };
    assert_eq!(tail, ["there is no such device"]);
    assert!(host.undone());
    assert_eq!(host.timers(), 0);
}

#[tokio::test]
async fn a_change_that_cannot_be_undone_is_not_begun() {
    let host = Confirming::start().await;
    std::fs::write(
        host.folder.path().join("systemd-run"),
        "#!/bin/sh\necho no timers here >&2; exit 1\n",
    )
    .unwrap();
    let mark = host.folder.path().join("mark");
    let error = host
        .change(&format!("touch {}", mark.display()))
        .await
        .unwrap_err();
    assert_eq!(error, Unconfirmed::NotBegun("no timers here".into()));
    assert!(!mark.exists());
}
