//! A cloud under test: an answer file made from a shipped one, a state directory of its own, and ways to ask its hosts.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use provision::drive::journal::Reader;
use provision::model::event::{Envelope, Event, Outcome, RunFinished, Step};

use crate::program::{Ended, Running, start};

/// Everything that the tests write is below.
pub(crate) fn workplace() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(env!("CARGO_CRATE_NAME"))
}

/// What people may want to look at afterwards.
pub(crate) fn artifacts() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../artifacts");
    std::fs::create_dir_all(&folder).unwrap();
    folder.canonicalize().unwrap()
}

/// The state directory of all clouds and labs under test.
pub(crate) fn state() -> PathBuf {
    workplace().join("state")
}

/// The program, with the state directory of the tests.
pub(crate) fn provision(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_provision"));
    command
        .args(args)
        .env("XDG_STATE_HOME", state())
        .env_remove("PROVISION_ANSWER_FILE")
        .env_remove("SSH_AUTH_SOCK");
    command
}

/// Removes every lab under test.
pub(crate) fn remove_labs() {
    let labs = std::fs::read_dir(state().join("provision/labs"));
    for lab in labs.into_iter().flatten().flatten() {
        let name = lab.file_name();
        let down = provision(&["lab", "down", &name.to_string_lossy()]).output();
        if !down.as_ref().is_ok_and(|down| down.status.success()) {
            println!("the lab {} is not removed: {down:?}", name.display());
        }
    }
}

/// One cloud.
pub(crate) struct Cloud {
    pub(crate) name: &'static str,
    pub(crate) answer_file: PathBuf,
    /// The first three numbers of the management network's addresses.
    pub(crate) network: String,
    count: AtomicU32,
}

impl Cloud {
    /// The cloud of a shipped answer file under another name, in the networks `10.94.<third>` and the next.
    pub(crate) fn of(shipped: &str, name: &'static str, third: u8) -> Self {
        let network = format!("10.94.{third}");
        let text = renamed(shipped, name, &network);
        Self::with(name, &network, &text)
    }

    /// The cloud of an answer file's text.
    pub(crate) fn with(name: &'static str, network: &str, text: &str) -> Self {
        let cloud = Self {
            name,
            answer_file: workplace().join(format!("{name}.toml")),
            network: network.to_owned(),
            count: AtomicU32::new(0),
        };
        std::fs::create_dir_all(workplace()).unwrap();
        std::fs::write(&cloud.answer_file, text).unwrap();
        cloud
    }

    /// `provision ARGS --answer-file FILE`, under way.
    pub(crate) fn start(&self, args: &[&str]) -> Running {
        let number = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        let word = args
            .iter()
            .find(|arg| !arg.starts_with('-'))
            .unwrap_or(&"apply");
        let log = workplace().join(format!("logs/{}-{number:02}-{word}", self.name));
        let mut command = provision(args);
        command.arg("--answer-file").arg(&self.answer_file);
        start(command, &log)
    }

    /// The same to its end.
    pub(crate) fn run(&self, args: &[&str], minutes: u64) -> Ended {
        self.start(args).wait(Duration::from_secs(minutes * 60))
    }

    /// The cloud's directory.
    pub(crate) fn directory(&self) -> PathBuf {
        state().join("provision").join(self.name)
    }

    /// The newest run's directory.
    pub(crate) fn latest(&self) -> PathBuf {
        self.directory().join("runs/latest").canonicalize().unwrap()
    }

    /// The newest run's journal.
    pub(crate) fn journal(&self) -> Journal {
        Journal::read(&self.latest().join("journal.jsonl"))
    }

    /// The secrets of the cloud, by name.
    pub(crate) fn secrets(&self) -> Vec<(String, String)> {
        let text = std::fs::read_to_string(self.directory().join("secrets.toml")).unwrap();
        let table: toml::Table = toml::from_str(&text).unwrap();
        let secrets = table
            .into_iter()
            .map(|(name, value)| (name, value.as_str().unwrap().to_owned()));
        secrets.collect()
    }

    /// One secret of the cloud.
    pub(crate) fn secret(&self, name: &str) -> String {
        let found = self.secrets().into_iter().find(|(other, _)| other == name);
        found.unwrap_or_else(|| panic!("no secret {name}")).1
    }

    /// The controller's address.
    pub(crate) fn controller(&self) -> String {
        format!("{}.100", self.network)
    }

    /// Runs a command on a host, by the system's own SSH client.
    pub(crate) fn ssh(&self, host: &str, command: &str) -> Output {
        provision(&["lab", "ssh", self.name, host, "--", command])
            .output()
            .unwrap()
    }

    /// The output of a command that must succeed.
    #[track_caller]
    pub(crate) fn ask(&self, host: &str, command: &str) -> String {
        let output = self.ssh(host, command);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(
            output.status.success(),
            "{host}: {command}: {}\n{}\n{}",
            output.status,
            text(&output.stdout),
            text(&output.stderr)
        );
        text(&output.stdout).trim().to_owned()
    }
}

/// The network after this one: `10.94.1` after `10.94.0`.
pub(crate) fn next(network: &str) -> String {
    let (start, third) = network.rsplit_once('.').unwrap();
    format!("{start}.{}", third.parse::<u8>().unwrap() + 1)
}

/// A shipped answer file for another lab; nothing else of it is changed.
pub(crate) fn renamed(shipped: &str, name: &str, network: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("answer-files")
        .join(shipped);
    let text = std::fs::read_to_string(path).unwrap();
    let moved = text
        .replace("10.0.0.", &format!("{network}."))
        .replace("10.0.1.", &format!("{}.", next(network)));
    let named: Vec<String> = moved
        .lines()
        .map(|line| match line.starts_with("name = ") {
            true => format!("name = \"{name}\""),
            false => line.to_owned(),
        })
        .collect();
    assert_eq!(
        named
            .iter()
            .filter(|line| line.starts_with("name = "))
            .count(),
        1
    );
    named.join("\n") + "\n"
}

/// What a run has written down.
pub(crate) struct Journal {
    pub(crate) events: Vec<Envelope>,
}

impl Journal {
    pub(crate) fn read(path: &Path) -> Self {
        let events = Reader::open(path).unwrap().map(Result::unwrap);
        Self {
            events: events.collect(),
        }
    }

    /// How the run ended.
    #[track_caller]
    pub(crate) fn finished(&self) -> &RunFinished {
        match &self.events.last().unwrap().event {
            Event::RunFinished(finished) => finished,
            other => panic!("the last event is {other:?}"),
        }
    }

    /// The outcome of a step, by its id.
    pub(crate) fn outcome(&self, id: &str) -> Option<&Outcome> {
        self.outcomes()
            .find_map(|(step, outcome)| (step == id).then_some(outcome))
    }

    /// Every step that ended, and how.
    pub(crate) fn outcomes(&self) -> impl Iterator<Item = (&str, &Outcome)> {
        self.events.iter().filter_map(|it| match &it.event {
            Event::StepFinished { step, outcome, .. } => Some((step.as_str(), outcome)),
            _ => None,
        })
    }

    /// The ids of all steps that changed something.
    pub(crate) fn changed(&self) -> Vec<&str> {
        self.outcomes()
            .filter(|(_, outcome)| matches!(outcome, Outcome::Changed { .. }))
            .map(|(step, _)| step)
            .collect()
    }

    /// Every step that was started, in order.
    pub(crate) fn started(&self) -> impl Iterator<Item = &Step> {
        self.events.iter().filter_map(|it| match &it.event {
            Event::StepStarted { step } => Some(step),
            _ => None,
        })
    }
}
