//! The container that a host runs in: how it is started, and how it is ended without leaving anything behind.
//!
//! The outer process (`systemd-nspawn`) is never killed: its container would live on without it. What is
//! ended is the container's first process; the kernel then ends all the others, and the outer process leaves
//! by itself.

use std::path::Path;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::Instant;

use super::cgroup::{Group, Part};
use super::error::LabError;
use super::names;
use super::places::HostDir;
use super::process::{self, is_init_of_child_namespace, own_depth};
use super::program::{Program, is_installed};
use super::spec::{Distro, LabHost, LabSpec};

/// Devices that a cloud host uses, each given on where this machine has it.
const DEVICES: [&str; 6] = [
    "/dev/fuse",
    "/dev/kvm",
    "/dev/loop-control",
    "/dev/net/tun",
    "/dev/vhost-net",
    "/dev/mapper/control",
];
const MODULES: [&str; 5] = ["openvswitch", "vxlan", "geneve", "nbd", "vhost_net"];
const LOOP_DEVICES: u32 = 16;

/// The whole command line, and the environment it needs.
pub(crate) fn command(spec: &LabSpec, host: &LabHost, root: &Path) -> tokio::process::Command {
    let group = Group::of(&spec.name, &host.name);
    // The shell enters the host's control groups and then becomes the container's outer process.
    let script = format!("{}exec \"$@\"", group.enter());
    let mut command = tokio::process::Command::new("sh");
    command.args(["-c", &script, "sh", "systemd-nspawn"]);
    command.args(arguments(spec, host, root, &devices()));
    command.env_clear();
    command
        .env("PATH", super::program::search_path())
        .env("LC_ALL", "C.UTF-8");
    command.envs(environment(spec.distro));
    command
}

fn arguments(spec: &LabSpec, host: &LabHost, root: &Path, devices: &[String]) -> Vec<String> {
    let namespace = names::namespace(&spec.name, &host.name);
    let namespace = super::net::namespace_file(&namespace);
    let mut arguments = vec![
        "--quiet".to_owned(),
        "--register=no".to_owned(),
        "--keep-unit".to_owned(),
        "--boot".to_owned(),
        format!("--directory={}", root.display()),
        format!("--machine={}", machine(&spec.name, &host.name)),
        format!("--hostname={}", host.name),
        format!("--network-namespace-path={}", namespace.display()),
        "--resolv-conf=off".to_owned(),
        "--timezone=off".to_owned(),
        "--link-journal=no".to_owned(),
        "--capability=all".to_owned(),
        // The clock is the machine's.
        "--drop-capability=CAP_SYS_TIME".to_owned(),
    ];
    arguments.extend(devices.iter().map(|device| format!("--bind={device}")));
    arguments
}

/// The container's name on this machine.
fn machine(lab: &str, host: &str) -> String {
    format!("{lab}-{host}")
}

fn environment(distro: Distro) -> Vec<(&'static str, &'static str)> {
    // With all of /sys writable, systemd-networkd waits for a udev that never answers.
    let mut environment = vec![
        ("SYSTEMD_NSPAWN_API_VFS_WRITABLE", "network"),
        ("SYSTEMD_NSPAWN_LOCK", "0"),
    ];
    if distro == Distro::Debian13 {
        environment.push(("SYSTEMD_NSPAWN_UNIFIED_HIERARCHY", "1"));
    }
    environment
}

fn devices() -> Vec<String> {
    let loops = (0..LOOP_DEVICES).map(|number| format!("/dev/loop{number}"));
    let all = DEVICES.into_iter().map(str::to_owned).chain(loops);
    all.filter(|device| Path::new(device).exists()).collect()
}

/// Loads the kernel modules that clouds use and hosts cannot load themselves, as far as this machine has them.
pub(crate) async fn load_modules() {
    let missing: Vec<_> = MODULES.iter().filter(|name| !is_loaded(name)).collect();
    if !missing.is_empty() && is_installed("modprobe") {
        // A machine without one of them makes hosts without it: they find out what they have.
        let load = Program::new("modprobe")
            .args(["--quiet", "--all"])
            .args(missing);
        let _ = load.run().await;
    }
}

fn is_loaded(module: &str) -> bool {
    Path::new("/sys/module").join(module).exists()
}

/// Ends every process of a host at once, the supervisor first, so that it does not start the host again.
/// What the host had not yet written to its disk is lost, as in a power cut.
pub(crate) async fn end(lab: &str, host: &str, directory: &HostDir) -> Result<(), LabError> {
    let group = Group::of(lab, host);
    let recorded = process::living(&directory.supervisor).map(|recorded| recorded.pid);
    let grouped = group.processes(Part::Supervisor);
    let supervisors: Vec<_> = recorded
        .into_iter()
        .chain(grouped)
        .filter_map(process::Process::of)
        .collect();
    for supervisor in &supervisors {
        supervisor.signal(Signal::SIGKILL);
    }
    let gone = || supervisors.iter().all(|supervisor| !supervisor.is_alive());
    until(Duration::from_secs(5), gone).await;
    end_processes(lab, host, directory).await?;
    group.remove();
    // The outer process leaves it where it cannot be sure that it is its own.
    let propagated = Path::new("/run/systemd/nspawn/propagate").join(machine(lab, host));
    let _ = std::fs::remove_dir(propagated);
    for file in [&directory.supervisor, &directory.nspawn] {
        let _ = std::fs::remove_file(file);
    }
    Ok(())
}

/// Ends the container's processes, but not the supervisor.
pub(crate) async fn end_processes(
    lab: &str,
    host: &str,
    directory: &HostDir,
) -> Result<(), LabError> {
    let group = Group::of(lab, host);
    let outer = process::living(&directory.nspawn).map(|outer| outer.pid);
    let depth = own_depth();
    let deadline = Instant::now() + Duration::from_secs(15);
    loop {
        let pids = group.processes(Part::Container);
        if pids.is_empty() {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(LabError::Stuck {
                host: host.to_owned(),
                pids,
            });
        }
        let inits: Vec<_> = pids
            .iter()
            .copied()
            .filter(|&pid| is_init(pid, depth))
            .collect();
        let doomed = if inits.is_empty() { &pids } else { &inits };
        for &pid in doomed.iter().filter(|&&pid| Some(pid) != outer) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        if inits.is_empty() && pids.iter().all(|&pid| Some(pid) == outer) {
            // Nothing but the outer process is left; it is on its way out or has not begun yet.
            if let Some(outer) = process::living(&directory.nspawn) {
                outer.signal(Signal::SIGTERM);
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn is_init(pid: i32, depth: usize) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    is_init_of_child_namespace(&status, depth)
}

/// Waits for a condition; whether it came true in time.
pub(crate) async fn until(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + limit;
    while !condition() {
        if Instant::now() > deadline {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::super::spec::tests::spec;
    use super::*;

    #[test]
    fn a_host_has_its_own_network_and_cannot_set_the_clock() {
        let lab = spec();
        let devices = ["/dev/net/tun".to_owned()];
        let arguments = arguments(&lab, &lab.hosts[0], Path::new("/x/root"), &devices);
        for wanted in [
            "--boot",
            "--network-namespace-path=/run/netns/lab.controller",
            "--hostname=controller",
            "--drop-capability=CAP_SYS_TIME",
            "--bind=/dev/net/tun",
        ] {
            assert!(
                arguments.iter().any(|argument| argument == wanted),
                "{wanted} in {arguments:?}"
            );
        }
    }

    #[test]
    fn the_newer_release_gets_one_control_group_hierarchy() {
        let unified = ("SYSTEMD_NSPAWN_UNIFIED_HIERARCHY", "1");
        assert!(environment(Distro::Debian13).contains(&unified));
        assert!(!environment(Distro::Debian12).contains(&unified));
    }
}
