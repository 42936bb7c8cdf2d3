//! One run over one cloud: everything that a command needs is opened here, and closed again in order.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::args::{CloudArgs, Format, OutputArgs};
use super::exit::Exit;
use super::library::Library;
use super::places::CloudState;
use super::{answer_file, reach, say};
use crate::drive::bus::{Bus, BusEnd};
use crate::drive::engine::Engine;
use crate::drive::host_logs::HostLogs;
use crate::drive::journal::Journal;
use crate::drive::lock::CloudLock;
use crate::drive::openstack::{Administrator, OpenStack};
use crate::drive::run_directory::RunDirectory;
use crate::drive::secrets;
use crate::drive::transport::{Connector, Secret, Target};
use crate::drive::world::World;
use crate::model::cloud::{Cloud, PlatformChoice};
use crate::model::event::{
    Event, HostPlace, Mode, NamedUrl, Problem, RunFinished, RunOutcome, RunStarted, Severity,
    Totals,
};
use crate::model::name::Role;
use crate::model::playbook::{Expanded, Inputs, expand};
use crate::model::preflight;
use crate::model::redact::Redactor;
use crate::model::sink::Sink;
use crate::show::json::Json;
use crate::show::lines::Lines;
use crate::show::style::{Look, Verbosity};
use crate::show::term::Term;

/// A run that has been opened: the journal is written, nothing has been touched.
pub(crate) struct Run {
    pub(crate) cloud: Cloud,
    pub(crate) library: Library,
    pub(crate) state: CloudState,
    pub(crate) bus: Bus,
    pub(crate) mode: Mode,
    pub(crate) accept_new: bool,
    pub(crate) answer_file: PathBuf,
    output: OutputArgs,
    secrets: std::collections::BTreeMap<String, String>,
    directory: RunDirectory,
    end: BusEnd,
    started: Instant,
    stop: CancellationToken,
    stop_now: CancellationToken,
    _lock: CloudLock,
}

/// A run whose hosts have been reached.
pub(crate) struct Ready {
    pub(crate) engine: Engine,
    pub(crate) expanded: Expanded,
    /// The worst that happened while hosts were reached.
    pub(crate) worst: Exit,
}

/// What a command has to say at the end.
#[derive(Debug, Default)]
pub(crate) struct Ending {
    pub(crate) next: Option<String>,
    pub(crate) urls: Vec<NamedUrl>,
    pub(crate) credentials: Option<PathBuf>,
    /// Where the results are written as JUnit XML.
    pub(crate) junit: Option<PathBuf>,
}

/// Opens a run, does `work` in it, and closes it again whatever came of that.
pub(crate) async fn over(
    args: &CloudArgs,
    mode: Mode,
    work: impl AsyncFnOnce(&Run, &mut Ending) -> Result<Exit, Exit>,
) -> ExitCode {
    let run = match Run::open(args, mode) {
        Ok(run) => run,
        Err(exit) => return exit.into(),
    };
    let mut ending = Ending::default();
    let exit = match work(&run, &mut ending).await {
        Ok(exit) | Err(exit) => exit,
    };
    run.close(exit, ending)
}

impl Run {
    /// Reads and checks the answer file, takes the cloud's lock and opens the journal.
    ///
    /// # Errors
    /// Said already; what remains is the exit code.
    fn open(args: &CloudArgs, mode: Mode) -> Result<Self, Exit> {
        let library = Library::load(args.library.as_deref())
            .map_err(|error| say::error(Exit::Usage, "library", &error, None))?;
        let (path, cloud) = answer_file::load(args.answer_file.as_deref(), &library)?;
        let fault = |what: &'static str| {
            move |error: std::io::Error| say::error(Exit::Fault, what, &error, None)
        };
        let state = CloudState::open(cloud.name.as_str()).map_err(fault("state"))?;
        let name = cloud.name.as_str();
        let id = RunDirectory::new_id();
        let lock = CloudLock::take(state.all(), name, &id).map_err(|error| {
            say::error(
                Exit::Locked,
                "lock",
                &error,
                Some("wait for the other run, or stop it"),
            )
        })?;
        let directory = RunDirectory::create(state.all(), name, &id)
            .map_err(|error| say::error(Exit::Fault, "state", &error, None))?;
        let secrets = secrets::load(
            &state.file("secrets.toml"),
            &library.secrets(),
            &cloud.secrets,
        )
        .map_err(|error| say::error(Exit::Usage, "secrets", &error, None))?;
        let journal = Journal::create(&directory.journal()).map_err(fault("journal"))?;
        let mut sinks: Vec<Box<dyn Sink>> = vec![
            Box::new(journal),
            Box::new(HostLogs::new(directory.clone())),
        ];
        sinks.push(display(&args.output));
        let (bus, end) =
            Bus::open(Redactor::new(secrets.clone()), sinks).map_err(fault("events"))?;
        let run = Self {
            cloud,
            library,
            state,
            bus,
            mode,
            accept_new: args.accept_new_host_keys,
            answer_file: path,
            output: args.output.clone(),
            secrets,
            directory,
            end,
            started: Instant::now(),
            stop: CancellationToken::new(),
            stop_now: CancellationToken::new(),
            _lock: lock,
        };
        run.bus.send(Event::RunStarted(run.introduction()));
        run.listen_for_interrupts();
        Ok(run)
    }

    fn introduction(&self) -> RunStarted {
        let cloud = &self.cloud;
        let services = |host: &crate::model::cloud::Host| {
            let mut names: Vec<String> = Vec::new();
            for (name, book) in &self.library.playbooks {
                let on = book
                    .service
                    .as_ref()
                    .is_none_or(|service| cloud.has_service(service));
                let here = book.packages.values().flat_map(|by_role| by_role.keys());
                let here = here
                    .into_iter()
                    .any(|role| host.roles.iter().any(|own| own.as_str() == role));
                if on && here {
                    names.push(name.clone());
                }
            }
            names
        };
        RunStarted {
            run: self.directory.id().to_owned(),
            cloud: cloud.name.to_string(),
            mode: self.mode,
            tool: env!("CARGO_PKG_VERSION").to_owned(),
            platform: match &cloud.platform {
                PlatformChoice::Named(name) => Some(name.clone()),
                PlatformChoice::Auto => None,
            },
            hosts: cloud
                .hosts
                .iter()
                .map(|host| HostPlace {
                    name: host.name.to_string(),
                    address: host.address.to_string(),
                    roles: host.roles.iter().map(ToString::to_string).collect(),
                    services: services(host),
                })
                .collect(),
            networks: super::topology::networks(cloud),
            answer_file: Some(self.answer_file.display().to_string()),
        }
    }

    /// The first Ctrl-C lets what is under way finish; the second ends it.
    fn listen_for_interrupts(&self) {
        let (stop, stop_now, bus) = (self.stop.clone(), self.stop_now.clone(), self.bus.clone());
        tokio::spawn(async move {
            while tokio::signal::ctrl_c().await.is_ok() {
                let now = stop.is_cancelled();
                bus.send(Event::StopRequested { now });
                if now {
                    stop_now.cancel();
                }
                stop.cancel();
            }
        });
    }

    /// Makes the lab if there is one, connects to every host, and turns playbooks into steps. `image` is
    /// what templates see of the image; it is waited for at the same time.
    ///
    /// # Errors
    /// Said already; what remains is the exit code.
    pub(crate) async fn reach(
        &self,
        image: impl Future<Output = Result<Value, Exit>>,
    ) -> Result<Ready, Exit> {
        let platform = match &self.cloud.platform {
            PlatformChoice::Named(name) => Some(name.clone()),
            PlatformChoice::Auto => None,
        };
        let distro = platform.as_deref().and_then(|name| name.split('-').next());
        let (reached, image) = tokio::join!(self.meet(distro.unwrap_or("debian13")), image);
        let (reached, image) = (reached?, image?);
        if reached.sessions.is_empty() {
            return Err(Exit::Unreachable);
        }
        let name = match platform {
            Some(name) => name,
            None => self.find_platform(&reached)?,
        };
        let platform = &self.library.platforms[&name];
        self.check_platform(&name, platform, &reached)?;
        self.judge(&reached)?;
        let expanded = expand(&Inputs {
            cloud: &self.cloud,
            platform,
            facts: &reached.facts,
            secrets: &self.secrets,
            playbooks: &self.library.playbooks,
            collections: &self.library.apis.collection,
            templates: &self.library.templates,
            extra: json!({ "image": image }),
        });
        let expanded = expanded.map_err(|error| {
            self.problem(Exit::Fault, Problem::error("playbook", error.to_string()))
        })?;
        self.warn_of_unused(&expanded);
        let operator = Connector::new()
            .connect(&Target::local("this machine"))
            .await;
        let operator = operator.map_err(|error| {
            self.problem(Exit::Fault, Problem::error("local", error.to_string()))
        })?;
        let controller = self.cloud.with_role(Role::Controller).next();
        let openstack = controller.and_then(|host| {
            let session = reached.sessions.get(host.name.as_str())?;
            Some(OpenStack::new(
                session.clone(),
                host.address.to_string(),
                self.library.apis.clone(),
                self.administrator(),
            ))
        });
        let world = World {
            sessions: reached.sessions,
            operator,
            openstack,
        };
        let engine = Engine {
            world,
            bus: self.bus.clone(),
            stop: self.stop.clone(),
            stop_now: self.stop_now.clone(),
        };
        Ok(Ready {
            engine,
            expanded,
            worst: reached.worst,
        })
    }

    /// Makes the lab if there is one, and connects to every host.
    async fn meet(&self, distro: &str) -> Result<reach::Reached, Exit> {
        let lab = reach::lab_up(&self.cloud, distro, &self.bus).await;
        let lab = lab.map_err(|problem| self.problem(Exit::Unreachable, problem))?;
        let (lab, accept_new) = (lab.as_ref(), self.accept_new);
        Ok(reach::connect(&self.cloud, lab, &self.state, accept_new, &self.bus).await)
    }

    fn administrator(&self) -> Administrator {
        let password = self
            .secrets
            .get("admin_password")
            .cloned()
            .unwrap_or_default();
        Administrator {
            user: "admin".into(),
            project: "admin".into(),
            password: Secret::new(password),
        }
    }

    /// A secret of this cloud, for files that hand it to its owner.
    pub(crate) fn secret(&self, name: &str) -> Option<&str> {
        self.secrets.get(name).map(String::as_str)
    }

    fn find_platform(&self, reached: &reach::Reached) -> Result<String, Exit> {
        let fits = |platform: &Value| {
            reached.facts.values().all(|facts| {
                platform["detect"]["id"] == json!(facts.os.id)
                    && platform["detect"]["version"] == json!(facts.os.version)
            })
        };
        let found = self
            .library
            .platforms
            .iter()
            .find(|(_, platform)| fits(platform));
        found.map(|(name, _)| name.clone()).ok_or_else(|| {
            let systems: Vec<_> = reached
                .facts
                .iter()
                .map(|(host, facts)| format!("{host} runs {}", facts.os.name))
                .collect();
            let known: Vec<_> = self.library.platforms.keys().cloned().collect();
            self.problem(
                Exit::Preflight,
                Problem {
                    causes: systems,
                    help: Some(format!("all hosts must run one of: {}", known.join(", "))),
                    ..Problem::error("platform::unknown", "no platform fits these hosts")
                },
            )
        })
    }

    fn check_platform(
        &self,
        name: &str,
        platform: &Value,
        reached: &reach::Reached,
    ) -> Result<(), Exit> {
        let wrong = reached.facts.iter().find(|(_, facts)| {
            platform["detect"]["id"] != json!(facts.os.id)
                || platform["detect"]["version"] != json!(facts.os.version)
        });
        let Some((host, facts)) = wrong else {
            return Ok(());
        };
        Err(self.problem(Exit::Preflight, Problem {
            host: Some(host.clone()),
            causes: vec![format!("it runs {}", facts.os.name)],
            help: Some("set `cloud.platform` to what the hosts run, or install the hosts with that system".into()),
            ..Problem::error("platform::differs", format!("{host} is no {name} host"))
        }))
    }

    /// What preflight finds; an error ends every run but those that only look.
    fn judge(&self, reached: &reach::Reached) -> Result<(), Exit> {
        let found = preflight::judge(&self.cloud, &reached.facts);
        let blocked = found
            .iter()
            .any(|problem| problem.severity == Severity::Error);
        found
            .into_iter()
            .for_each(|problem| self.bus.send(Event::Diagnosed(problem)));
        match (blocked, self.mode) {
            (true, Mode::Apply | Mode::Preflight) => Err(Exit::Preflight),
            _ => Ok(()),
        }
    }

    fn warn_of_unused(&self, expanded: &Expanded) {
        for name in &expanded.unused_config {
            self.bus.send(Event::Diagnosed(Problem {
                severity: Severity::Warning,
                help: Some("give the file's name as its service reads it, or its full path".into()),
                ..Problem::error("config::unused", format!("no file of this cloud is called `{name}`; what `[config]` says about it has no effect"))
            }));
        }
    }

    /// Says what went wrong, and passes the exit code on.
    pub(crate) fn problem(&self, exit: Exit, problem: Problem) -> Exit {
        self.bus.send(Event::Diagnosed(problem));
        exit
    }

    /// Whether the user has asked to stop.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Ends the run: the last event, the report, the exit code.
    fn close(self, exit: Exit, ending: Ending) -> ExitCode {
        let exit = if self.is_stopped() && exit != Exit::Done {
            Exit::Stopped
        } else {
            exit
        };
        self.bus.send(Event::Artifact {
            name: "report".into(),
            path: self.directory.report().display().to_string(),
        });
        self.bus.send(Event::RunFinished(RunFinished {
            outcome: match exit {
                Exit::Done | Exit::ChangesPending => RunOutcome::Done,
                Exit::Stopped => RunOutcome::Stopped,
                Exit::Deadline => RunOutcome::TimedOut,
                _ => RunOutcome::Failed,
            },
            exit_code: exit.code(),
            totals: Totals::default(),
            elapsed_ms: u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            next_command: ending.next,
            urls: ending.urls,
            credentials: ending.credentials.map(|path| path.display().to_string()),
        }));
        let arrived = self.end.close();
        super::report::write(&self.directory, &arrived.summary);
        if let Some(file) = ending.junit {
            super::report::junit(&file, &arrived.summary);
        }
        super::ending::say(&arrived.summary, &self.output);
        for (event, why) in arrived.illegal {
            tracing::error!(?event, %why, "an event that cannot have happened");
        }
        exit.into()
    }
}

/// How much is said.
pub(crate) fn verbosity(args: &OutputArgs) -> Verbosity {
    match (args.quiet, args.verbose) {
        (true, _) => Verbosity::Quiet,
        (_, 0) => Verbosity::Normal,
        (_, 1) => Verbosity::Verbose,
        _ => Verbosity::Output,
    }
}

/// Where a person, or a program, sees the run.
pub(crate) fn display(args: &OutputArgs) -> Box<dyn Sink> {
    let look = super::ending::stderr_look(args);
    match (args.format, std::io::stderr().is_terminal()) {
        (Format::Json, _) => Box::new(Json::new(std::io::stdout())),
        (Format::Auto, true) => Box::new(Term::stderr(look)),
        _ => Box::new(Lines::new(std::io::stderr(), look.verbosity)),
    }
}

/// Where the plan and other data go: standard output, as it is.
pub(crate) fn stdout_look(args: &OutputArgs) -> Look {
    let width = std::io::stdout()
        .is_terminal()
        .then(|| usize::from(console::Term::stdout().size().1));
    Look::detect(width, verbosity(args), |name| std::env::var(name).ok())
}
