//! Looks after one host while nobody is there: starts its container, and again after each reboot.
//!
//! It runs as a process of its own, started by `up` and detached from it. It has no state but its log: if it
//! dies, a new one takes the running container over. It ends when the host is switched off from inside.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::cgroup::Group;
use super::error::LabError;
use super::places::{HostDir, LabDir, Places};
use super::process::{Process, living};
use super::program::outcome;
use super::record::Record;
use super::spec::{LabHost, LabSpec};
use super::{container, host, net};

/// How the outer process says that the host wants to start again.
const REBOOT: i32 = 133;
/// So many boots that each lasted less than [`SHORT`] are a host that will never come up.
const SHORT_BOOTS: u32 = 5;
const SHORT: Duration = Duration::from_secs(5);

/// Starts a detached supervisor for a host.
pub(crate) fn start(
    places: &Places,
    lab: &LabDir,
    directory: &HostDir,
    host: &str,
) -> Result<Process, LabError> {
    let log_path = directory.log();
    let log = OpenOptions::new().create(true).append(true).open(&log_path);
    let log = log.map_err(LabError::file("open", &log_path))?;
    let errors = log.try_clone().map_err(LabError::file("open", &log_path))?;
    let child = std::process::Command::new(&places.supervisor)
        .args(["lab", "supervise"])
        .arg(&lab.state)
        .arg(host)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors)
        .spawn()
        .map_err(LabError::file("start", &places.supervisor))?;
    let pid = child.id().cast_signed();
    let gone = || LabError::file("start", &places.supervisor)(std::io::ErrorKind::NotFound.into());
    let process = Process::of(pid).ok_or_else(gone)?;
    process.write(&directory.supervisor)?;
    Ok(process)
}

/// Lets go of the files that whoever started the lab had open: a lock among them would be held as long as the host runs.
/// For a supervisor before it opens any of its own.
pub fn close_inherited_files() {
    let open = std::fs::read_dir("/proc/self/fd").into_iter().flatten();
    let inherited: Vec<i32> = open
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|&descriptor| descriptor > 2)
        .collect();
    for descriptor in inherited {
        // The one that read the directory is closed already.
        let _ = nix::unistd::close(descriptor);
    }
}

/// The supervisor itself: returns when the host is off. `lab` is the lab's state directory.
pub async fn supervise(lab: &Path, host: &str) -> Result<(), LabError> {
    // Not a member of the session that it was started from: that one may end.
    let _ = nix::unistd::setsid();
    let unknown = || LabError::NoSuchLab {
        lab: lab.display().to_string(),
        labs: Vec::new(),
    };
    let mut directory = LabDir {
        state: lab.to_owned(),
        run: PathBuf::new(),
        lock: PathBuf::new(),
    };
    let record = Record::read(&directory)?.ok_or_else(unknown)?;
    directory.run.clone_from(&record.run);
    let known = record
        .spec
        .hosts
        .iter()
        .find(|known| known.name == host)
        .cloned();
    let Some(known) = known else {
        let hosts = record
            .spec
            .hosts
            .iter()
            .map(|host| host.name.clone())
            .collect();
        return Err(LabError::NoSuchHost {
            lab: record.spec.name,
            host: host.to_owned(),
            hosts,
        });
    };
    let group = Group::of(&record.spec.name, host);
    group.make(&known)?;
    group.join();
    let supervisor = Supervisor {
        directory: directory.host(host),
        base: record.base,
        spec: record.spec,
        host: known,
    };
    let ended = supervisor.run().await;
    match &ended {
        Ok(()) => supervisor.log("the host is off"),
        Err(error) => supervisor.log(&format!("gave up: {error}")),
    }
    ended
}

struct Supervisor {
    directory: HostDir,
    base: PathBuf,
    spec: LabSpec,
    host: LabHost,
}

impl Supervisor {
    async fn run(&self) -> Result<(), LabError> {
        if let Some(outer) = living(&self.directory.nspawn) {
            self.log(&format!(
                "took over the running container of process {}",
                outer.pid
            ));
            self.outlive(outer).await;
            // How it ended is not known to anyone but its parent; a host that was up shall be up.
            self.log("the container ended; starting it again");
        }
        let mut short = 0;
        loop {
            let started = Instant::now();
            let status = self.boot().await?;
            if status.code() != Some(REBOOT) {
                self.log(&format!("the container {}", outcome(status)));
                return Ok(());
            }
            self.log("the host restarts");
            short = if started.elapsed() < SHORT {
                short + 1
            } else {
                0
            };
            if short == SHORT_BOOTS {
                let reason = format!("it restarted {SHORT_BOOTS} times in a row at once");
                return Err(self.boot_error(reason));
            }
        }
    }

    /// One boot, from cables to the end of the container.
    async fn boot(&self) -> Result<ExitStatus, LabError> {
        let Self {
            spec,
            host,
            directory,
            ..
        } = self;
        container::end_processes(&spec.name, &host.name, directory).await?;
        net::plug(spec, host).await?;
        host::mount(&self.base, directory).await?;
        let console_path = directory.console();
        let console = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&console_path);
        let console = console.map_err(LabError::file("open", &console_path))?;
        let errors = console
            .try_clone()
            .map_err(LabError::file("open", &console_path))?;
        let mut command = container::command(spec, host, &directory.root());
        command
            .stdin(Stdio::null())
            .stdout(console)
            .stderr(errors)
            .current_dir("/");
        let start = |source| LabError::file("start the container in", &directory.root())(source);
        let mut child = command.spawn().map_err(start)?;
        if let Some(outer) = child.id().and_then(|pid| Process::of(pid.cast_signed())) {
            outer.write(&directory.nspawn)?;
            self.log(&format!("started the container as process {}", outer.pid));
        }
        child.wait().await.map_err(start)
    }

    async fn outlive(&self, outer: Process) {
        while outer.is_alive() {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    fn boot_error(&self, reason: String) -> LabError {
        boot_error(&self.host.name, reason, &self.directory)
    }

    /// A log that cannot be written must not stop a host.
    fn log(&self, text: &str) {
        let now = jiff::Timestamp::now().strftime("%F %T");
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.directory.log());
        let _ = file.and_then(|mut file| writeln!(file, "{now} UTC {text}"));
    }
}

/// A host that does not come up, with the end of what it and its supervisor said.
pub(crate) fn boot_error(host: &str, reason: String, directory: &HostDir) -> LabError {
    let mut tail = last_lines(&directory.log(), 3);
    tail.extend(last_lines(&directory.console(), 10));
    LabError::Boot {
        host: host.to_owned(),
        reason,
        tail,
        console: directory.console(),
    }
}

fn last_lines(path: &Path, count: usize) -> Vec<String> {
    let bytes = std::fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<_> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    lines[lines.len().saturating_sub(count)..]
        .iter()
        .map(|&line| line.to_owned())
        .collect()
}
