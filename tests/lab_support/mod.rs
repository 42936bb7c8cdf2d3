//! A lab for one test: a name and an address range of its own, removed whatever happens.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test fails where it panics, and says what it sees"
)]

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::fcntl::{Flock, FlockArg};
use provision::lab::{
    self, Backend, Distro, Happening, LabError, LabHost, LabHosts, LabNet, LabSpec, Places,
};

/// A lab under test.
pub(crate) struct TestLab {
    pub(crate) spec: LabSpec,
    pub(crate) places: Places,
    happened: Arc<Mutex<Vec<Happening>>>,
    state: tempfile::TempDir,
    _range: Flock<std::fs::File>,
}

impl TestLab {
    /// A lab of these hosts; nothing of it is made yet.
    pub(crate) fn new(distro: Distro, hosts: &[&str]) -> Self {
        assert!(
            nix::unistd::geteuid().is_root(),
            "this test makes containers and bridges: run it as root, or leave it out by name"
        );
        let (number, range) = free_range();
        // Not below /tmp: that may be a file system that cannot be the upper layer of an overlay.
        let state = tempfile::tempdir_in("/var/tmp").unwrap();
        let places = Places {
            state: state.path().join("provision/labs"),
            supervisor: PathBuf::from(env!("CARGO_BIN_EXE_provision")),
            ..Places::from_env().unwrap()
        };
        Self {
            spec: spec(number, distro, hosts),
            places,
            happened: Arc::default(),
            state,
            _range: range,
        }
    }

    pub(crate) async fn try_up(&self) -> Result<LabHosts, LabError> {
        let happened = Arc::clone(&self.happened);
        let progress = move |what: Happening| {
            println!("{what:?}");
            happened.lock().unwrap().push(what);
        };
        lab::up(&self.spec, &self.places, &progress).await
    }

    pub(crate) async fn up(&self) -> LabHosts {
        self.try_up()
            .await
            .unwrap_or_else(|error| panic!("{error:?}\n{error}\n{}", error.help()))
    }

    pub(crate) async fn down(&self) {
        lab::down(&self.spec.name, &self.places, &|_| ())
            .await
            .unwrap();
    }

    /// What was said about a host's remains since the last call.
    pub(crate) fn recovered(&self) -> Vec<String> {
        let happened = std::mem::take(&mut *self.happened.lock().unwrap());
        let recovered = |what| match what {
            Happening::Recovered { host, what } => Some(format!("{host}: {what}")),
            _ => None,
        };
        happened.into_iter().filter_map(recovered).collect()
    }

    /// Runs a command on a host, by the system's own SSH client with strict checking of the host's key.
    pub(crate) fn ssh(&self, host: &str, command: &str) -> Output {
        let words = lab::ssh_command(&self.spec.name, host, &self.places).unwrap();
        let mut ssh = Command::new(&words[0]);
        ssh.args(&words[1..])
            .args(["-o", "BatchMode=yes", "-o", "ConnectTimeout=5"]);
        ssh.arg("--").arg(command).output().unwrap()
    }

    /// The output of a command that must succeed.
    pub(crate) fn ask(&self, host: &str, command: &str) -> String {
        let output = self.ssh(host, command);
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert!(
            output.status.success(),
            "{host}: {command}: {}\n{out}\n{err}",
            output.status
        );
        out.trim().to_owned()
    }

    /// Asks again and again until a command succeeds.
    pub(crate) fn ask_until(&self, host: &str, command: &str) -> String {
        eventually(&format!("{host}: {command}"), || {
            let output = self.ssh(host, command);
            output
                .status
                .success()
                .then(|| text(&output.stdout).trim().to_owned())
        })
    }

    /// A process of a host as the lab wrote it down: `supervisor` or `nspawn`.
    pub(crate) fn process(&self, host: &str, which: &str) -> i32 {
        let file = self.places.run.join("labs").join(&self.spec.name);
        let record = std::fs::read_to_string(file.join(format!("{host}.{which}"))).unwrap();
        record.split(' ').next().unwrap().parse().unwrap()
    }

    /// Everything on this machine that has the lab's name in it.
    pub(crate) fn traces(&self) -> Vec<String> {
        let name = &self.spec.name;
        let mut traces = Vec::new();
        for command in [
            "ip netns list",
            "ip -oneline link",
            "nft list tables",
            "cat /proc/self/mountinfo",
            "find /sys/fs/cgroup -maxdepth 3 -name provision.labs -prune -exec ls {} +",
            "find /run/provision /run/systemd/nspawn",
        ] {
            let output = Command::new("sh").args(["-c", command]).output().unwrap();
            let lines = text(&output.stdout);
            traces.extend(
                lines
                    .lines()
                    .filter(|line| line.contains(name))
                    .map(str::to_owned),
            );
        }
        let left = std::fs::read_dir(&self.places.state)
            .into_iter()
            .flatten()
            .flatten();
        traces.extend(left.map(|entry| entry.path().display().to_string()));
        traces
    }
}

impl Drop for TestLab {
    fn drop(&mut self) {
        if !self.places.state.join(&self.spec.name).exists() {
            return;
        }
        // A failed test leaves its lab; the program itself removes it, as a user would.
        let down = Command::new(&self.places.supervisor)
            .args(["lab", "down", &self.spec.name])
            .env("XDG_STATE_HOME", self.state.path())
            .output();
        println!("removed after the test: {down:?}");
    }
}

/// Waits for something that another process does; fails after a while that is long even on a busy machine.
pub(crate) fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(90);
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "never came true: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The output of a command on this machine that must succeed.
pub(crate) fn here(command: &str) -> String {
    let output = Command::new("sh").args(["-euc", command]).output().unwrap();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(
        output.status.success(),
        "{command}: {}\n{out}\n{err}",
        output.status
    );
    out
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Tests run at the same time, also in other processes: each takes two networks that nobody else has.
fn free_range() -> (u8, Flock<std::fs::File>) {
    let open = |number: u8| {
        let path = format!("/run/lock/provision-test-{number}");
        std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .unwrap()
    };
    let take = |number: u8| {
        let lock = Flock::lock(open(number), FlockArg::LockExclusiveNonblock).ok()?;
        Some((number, lock))
    };
    (100..228)
        .step_by(2)
        .find_map(take)
        .expect("no free address range")
}

fn spec(number: u8, distro: Distro, hosts: &[&str]) -> LabSpec {
    let net = |third: u8| LabNet {
        network: format!("10.76.{third}.0/24").parse().unwrap(),
        gateway: Ipv4Addr::new(10, 76, third, 1),
    };
    let host = |(name, last): (&&str, u8)| LabHost {
        name: (*name).to_owned(),
        address: Ipv4Addr::new(10, 76, number, last),
        cpus: None,
        memory: None,
    };
    LabSpec {
        name: format!("t-{number}"),
        backend: Backend::Nspawn,
        distro,
        base: None,
        hosts: hosts.iter().zip(10..).map(host).collect(),
        management: net(number),
        provider: net(number + 1),
    }
}
