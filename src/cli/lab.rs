//! `provision lab`: throw-away hosts on this machine.

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::args::{CloudArgs, LabCommand};
use super::exit::Exit;
use super::run;
use super::{reach, say};
use crate::drive::bus::Bus;
use crate::lab::{self, Happening, LabError, Places, Progress};
use crate::model::cloud::PlatformChoice;
use crate::model::event::{Event, Mode, Outcome, Step, StepId, Stream};

/// Labs.
pub(crate) async fn lab(command: LabCommand) -> ExitCode {
    let done = match command {
        LabCommand::Up(args) => return up(&args).await,
        LabCommand::Down { name } => down(&name).await,
        LabCommand::List => list(),
        LabCommand::Ssh {
            name,
            host,
            command,
        } => ssh(&name, &host, &command),
        LabCommand::Supervise { folder, host } => lab::supervise(&folder, &host).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => say::error(Exit::StepFailed, "lab", &error, Some(&error.help())).into(),
    }
}

async fn up(args: &CloudArgs) -> ExitCode {
    run::over(args, Mode::Lab, async |run, _| {
        let distro = match &run.cloud.platform {
            PlatformChoice::Named(name) => name.split('-').next().unwrap_or_default(),
            PlatformChoice::Auto => "debian13",
        };
        match reach::lab_up(&run.cloud, distro, &run.bus).await {
            Ok(_) => Ok(Exit::Done),
            Err(problem) => Err(run.problem(Exit::StepFailed, problem)),
        }
    })
    .await
}

async fn down(name: &str) -> Result<(), LabError> {
    let told = |what: Happening| match what {
        Happening::Removed { host } => say::talk(&format!("{host} is removed")),
        Happening::Harvested { packages, .. } if packages > 0 => {
            say::talk(&format!(
                "{packages} downloaded packages are kept for later labs"
            ));
        }
        _ => {}
    };
    lab::down(name, &Places::from_env()?, &told).await
}

fn list() -> Result<(), LabError> {
    for lab in lab::list(&Places::from_env()?)? {
        for host in &lab.hosts {
            say::data(&format!(
                "{:<16} {:<16} {:<16} {:<10} {}",
                lab.name,
                host.name,
                host.address,
                lab.distro.name(),
                format!("{:?}", host.state).to_lowercase(),
            ));
        }
    }
    Ok(())
}

fn ssh(lab: &str, host: &str, command: &[String]) -> Result<(), LabError> {
    let words = lab::ssh_command(lab, host, &Places::from_env()?)?;
    let (program, rest) = words.split_first().ok_or_else(|| LabError::NoSuchLab {
        lab: lab.to_owned(),
        labs: Vec::new(),
    })?;
    // Only returns when ssh could not be started.
    let error = std::process::Command::new(program)
        .args(rest)
        .args(command)
        .exec();
    say::talk(&format!("error[lab]: ssh cannot be started: {error}"));
    Ok(())
}

/// Tells a run what happens to its lab: as steps, so that displays, journal and report know them too.
pub(crate) fn events(bus: Bus) -> impl Progress {
    let steps = Steps {
        bus,
        open: Mutex::default(),
    };
    move |what: Happening| steps.take(what)
}

struct Steps {
    bus: Bus,
    open: Mutex<BTreeMap<String, (Step, Instant)>>,
}

/// The host that steps on this machine itself are shown under.
const HERE: &str = "this machine";

impl Steps {
    fn take(&self, what: Happening) {
        match what {
            Happening::InstallingNeeds { packages } => {
                self.start(
                    "needs",
                    HERE,
                    &format!("Install what labs need: {}", packages.join(" ")),
                );
            }
            Happening::BuildingBase { distro } => {
                self.finish("needs");
                self.start("base", HERE, &format!("Make the base system of {distro}"));
            }
            Happening::Line { text } => self.line(&text),
            Happening::BaseReady { .. } => self.finish("base"),
            Happening::BuildingGuest => {
                self.finish("needs");
                self.start("guest", HERE, "Make the image of the test guest");
            }
            Happening::GuestReady { .. } => self.finish("guest"),
            Happening::Booting { host } => {
                self.finish("needs");
                self.start(&host, &host, "Boot the lab's host");
            }
            Happening::Ready { host, .. } => self.finish(&host),
            Happening::AlreadyUp { .. }
            | Happening::Recovered { .. }
            | Happening::Removed { .. }
            | Happening::Harvested { .. } => {}
        }
    }

    fn start(&self, key: &str, host: &str, name: &str) {
        let step = Step {
            id: StepId::new("lab", if host == HERE { key } else { "boot" }, None, host),
            name: name.to_owned(),
            playbook: "lab".into(),
            host: host.to_owned(),
            index: 1,
            of: 1,
            lane: "lab".into(),
        };
        self.bus.send(Event::StepStarted { step: step.clone() });
        self.lock().insert(key.to_owned(), (step, Instant::now()));
    }

    fn line(&self, text: &str) {
        for key in ["base", "needs"] {
            if let Some((step, _)) = self.lock().get(key) {
                self.bus.send(Event::Output {
                    step: step.id.clone(),
                    host: step.host.clone(),
                    stream: Stream::Stdout,
                    line: text.to_owned(),
                });
                return;
            }
        }
    }

    fn finish(&self, key: &str) {
        if let Some((step, started)) = self.lock().remove(key) {
            self.bus.send(Event::StepFinished {
                step: step.id,
                host: step.host,
                outcome: Outcome::Changed {
                    edits: Vec::new(),
                    summary: None,
                },
                elapsed_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            });
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, (Step, Instant)>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
