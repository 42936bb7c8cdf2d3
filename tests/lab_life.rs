//! Labs for real: made, found again, repaired after every kind of accident, and removed without a trace.
//!
//! These tests need root on a Linux machine with namespaces. Each has a lab of its own.

#![expect(clippy::unwrap_used, reason = "a test fails where it panics")]

mod lab_support;

use std::collections::BTreeSet;

use lab_support::{TestLab, eventually, here};
use nix::fcntl::OFlag;
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::Pid;
use provision::lab::{self, Distro, HostState, LabError, LabHost};

const BOOT: &str = "cat /proc/sys/kernel/random/boot_id";

#[tokio::test]
async fn two_labs_of_two_releases_live_side_by_side_and_leave_nothing() {
    let old = TestLab::new(Distro::Debian12, &["controller", "compute1"]);
    let new = TestLab::new(Distro::Debian13, &["controller", "compute1"]);
    let (first, second) = tokio::join!(old.up(), new.up());
    assert!(
        first
            .hosts
            .iter()
            .chain(&second.hosts)
            .all(|host| host.booted_in.is_some())
    );

    for (lab, version) in [(&old, "12."), (&new, "13.")] {
        assert!(
            lab.ask("controller", "cat /etc/debian_version")
                .starts_with(version)
        );
        assert_eq!(lab.ask("compute1", "hostname"), "compute1");
        // It ends with "running" when nothing failed.
        assert_eq!(
            lab.ask("compute1", "systemctl is-system-running --wait"),
            "running"
        );
        let controller = lab.spec.hosts[0].address;
        lab.ask("compute1", &format!("ping -c 1 -W 5 {controller}"));
        // The way out: a name of the package archive is resolved and answers.
        lab.ask("compute1", "apt-get update -o Acquire::Retries=2");
        // The provider's card is bare: no address, not up.
        let card = lab.ask("controller", "ip -brief address show eth1");
        assert_eq!(
            card.split_whitespace().skip(1).collect::<Vec<_>>(),
            ["DOWN"],
            "{card}"
        );
    }
    let states: Vec<_> = lab::list(&new.places).unwrap()[0]
        .hosts
        .iter()
        .map(|it| it.state)
        .collect();
    assert_eq!(states, [HostState::Up, HostState::Up]);

    old.down().await;
    assert_eq!(old.traces(), [""; 0]);
    new.ask("controller", "true");
    new.down().await;
    assert_eq!(new.traces(), [""; 0]);
}

#[tokio::test]
async fn a_running_lab_is_found_and_only_a_new_host_is_added() {
    let mut lab = TestLab::new(Distro::Debian13, &["one"]);
    let made = lab.up().await;
    let boot = lab.ask("one", BOOT);

    let found = lab.up().await;
    assert_eq!(found.hosts[0].booted_in, None);
    assert_eq!(found.hosts[0].host_keys, made.hosts[0].host_keys);

    let mut address = lab.spec.hosts[0].address.octets();
    address[3] += 1;
    lab.spec.hosts.push(LabHost {
        name: "two".to_owned(),
        address: address.into(),
        cpus: Some(1),
        memory: Some(512),
    });
    let grown = lab.up().await;
    assert_eq!(grown.hosts[0].booted_in, None);
    assert!(grown.hosts[1].booted_in.is_some());
    assert_eq!(lab.ask("two", "hostname"), "two");
    assert_eq!(lab.ask("one", BOOT), boot);

    lab.spec.hosts.pop();
    assert!(matches!(
        lab.try_up().await,
        Err(LabError::Different { .. })
    ));
    lab.down().await;
    assert_eq!(lab.traces(), [""; 0]);
    let gone = lab::down(&lab.spec.name, &lab.places, &|_| ()).await;
    assert!(matches!(gone, Err(LabError::NoSuchLab { .. })));
}

#[tokio::test]
async fn a_range_that_is_in_use_is_refused_with_the_name_of_its_user() {
    let lab = TestLab::new(Distro::Debian13, &["one"]);
    lab.up().await;
    let mut other = TestLab::new(Distro::Debian13, &["one"]);
    other.spec.management = lab.spec.management;
    other.spec.hosts.clone_from(&lab.spec.hosts);
    let error = other.try_up().await.unwrap_err();
    assert!(
        matches!(&error, LabError::Occupied { by, .. } if by.contains("pv-t-")),
        "{error}"
    );
    assert_eq!(other.traces(), [""; 0]);
    lab.ask("one", "true");
    lab.down().await;
}

#[tokio::test]
async fn a_reboot_keeps_files_and_gives_fresh_cables() {
    let lab = TestLab::new(Distro::Debian13, &["one"]);
    lab.up().await;
    let boot = lab.ask("one", BOOT);
    lab.ask(
        "one",
        "echo kept >/root/file && ip link add br-ex type bridge",
    );
    let card = lab.ask("one", "cat /sys/class/net/eth1/address");
    lab.ssh("one", "systemctl reboot");
    // A real machine's network devices do not outlive it either.
    let question = format!("test \"$({BOOT})\" != {boot} && ! ip link show br-ex");
    lab.ask_until("one", &question);
    assert_eq!(lab.ask("one", "cat /root/file"), "kept");
    assert_eq!(lab.ask("one", "cat /sys/class/net/eth1/address"), card);
    lab.down().await;
    assert_eq!(lab.traces(), [""; 0]);
}

#[tokio::test]
async fn a_host_that_was_switched_off_is_started_with_its_files() {
    let lab = TestLab::new(Distro::Debian12, &["one"]);
    lab.up().await;
    lab.ask("one", "echo kept >/root/file");
    lab.ssh("one", "systemctl poweroff");
    let state = || lab::list(&lab.places).unwrap()[0].hosts[0].state;
    eventually("the host is off", || {
        (state() == HostState::Off).then_some(())
    });
    lab.recovered();
    lab.up().await;
    assert_eq!(lab.recovered(), ["one: it was not running"]);
    assert_eq!(lab.ask("one", "cat /root/file"), "kept");
    lab.down().await;
}

#[tokio::test]
async fn a_killed_supervisor_is_replaced_without_a_restart_of_the_host() {
    let lab = TestLab::new(Distro::Debian13, &["one"]);
    lab.up().await;
    let boot = lab.ask("one", BOOT);
    let supervisor = lab.process("one", "supervisor");
    kill(Pid::from_raw(supervisor), Signal::SIGKILL).unwrap();
    let state = || lab::list(&lab.places).unwrap()[0].hosts[0].state;
    eventually("the loss is seen", || {
        (state() == HostState::Broken).then_some(())
    });

    lab.recovered();
    lab.up().await;
    assert_eq!(
        lab.recovered(),
        ["one: it runs, but nothing looked after it"]
    );
    assert_eq!(lab.ask("one", BOOT), boot);
    assert_ne!(lab.process("one", "supervisor"), supervisor);

    lab.ssh("one", "systemctl reboot");
    lab.ask_until("one", &format!("test \"$({BOOT})\" != {boot}"));
    lab.down().await;
    assert_eq!(lab.traces(), [""; 0]);
}

#[tokio::test]
async fn a_lock_of_whoever_starts_a_lab_is_not_kept_by_its_hosts() {
    let lab = TestLab::new(Distro::Debian12, &["one"]);
    let lock = tempfile::NamedTempFile::new().unwrap();
    // Without O_CLOEXEC, as `flock FILE provision ..` hands it on.
    let inherited = nix::fcntl::open(lock.path(), OFlag::O_RDONLY, Mode::empty()).unwrap();
    lab.up().await;
    drop(inherited);
    for which in ["supervisor", "nspawn"] {
        let process = lab.process("one", which);
        let files = here(&format!("readlink /proc/{process}/fd/*"));
        assert!(!files.contains(lock.path().to_str().unwrap()), "{files}");
    }
    lab.down().await;
}

#[tokio::test]
async fn a_container_that_lost_its_outer_process_is_ended_and_started_once() {
    let lab = TestLab::new(Distro::Debian13, &["one"]);
    lab.up().await;
    lab.ask("one", "echo kept >/root/file && sync");
    let inner = first_process(lab.process("one", "nspawn"));
    for which in ["supervisor", "nspawn"] {
        kill(Pid::from_raw(lab.process("one", which)), Signal::SIGKILL).unwrap();
    }
    lab.recovered();
    lab.up().await;
    let recovered = lab.recovered();
    assert!(recovered[0].starts_with("one: "), "{recovered:?}");
    assert_eq!(lab.ask("one", "cat /root/file"), "kept");
    eventually("the old container has ended", || {
        (!runs(inner)).then_some(())
    });
    lab.down().await;
    assert_eq!(lab.traces(), [""; 0]);
}

#[tokio::test]
async fn what_a_restart_of_the_machine_leaves_is_taken_up_again() {
    let lab = TestLab::new(Distro::Debian13, &["one", "two"]);
    lab.up().await;
    lab.ask("one", "echo kept >/root/file && sync");
    restart_machine(&lab);
    let states: Vec<_> = lab::list(&lab.places).unwrap()[0]
        .hosts
        .iter()
        .map(|it| it.state)
        .collect();
    assert_eq!(states, [HostState::Off, HostState::Off]);
    lab.recovered();
    lab.up().await;
    let recovered: BTreeSet<_> = lab.recovered().into_iter().collect();
    assert_eq!(
        recovered.into_iter().collect::<Vec<_>>(),
        ["one: it was not running", "two: it was not running"]
    );
    assert_eq!(lab.ask("one", "cat /root/file"), "kept");
    restart_machine(&lab);
    // Removing needs nothing that a restart took away.
    lab.down().await;
    assert_eq!(lab.traces(), [""; 0]);
}

#[tokio::test]
async fn a_host_whose_network_was_taken_away_is_restarted() {
    let lab = TestLab::new(Distro::Debian13, &["one"]);
    lab.up().await;
    here(&format!("ip link del pv-{}-p", lab.spec.name));
    lab.recovered();
    lab.up().await;
    assert_eq!(lab.recovered(), ["one: its network is gone"]);
    lab.ask("one", "ip link show eth1");
    lab.down().await;
    assert_eq!(lab.traces(), [""; 0]);
}

#[tokio::test]
async fn packages_are_downloaded_once_for_all_labs() {
    let install = "apt-get -q update && apt-get -q -y --no-install-recommends install jq 2>&1";
    let lab = TestLab::new(Distro::Debian13, &["one"]);
    lab.up().await;
    lab.ask("one", install);
    let keys = lab.up().await.hosts[0].host_keys.clone();

    // A reset host is new, with the keys it had.
    let reset = lab::reset(&lab.spec.name, &lab.places, &|_| ())
        .await
        .unwrap();
    assert_eq!(reset.hosts[0].host_keys, keys);
    assert!(!lab.ssh("one", "command -v jq").status.success());
    let again = lab.ask("one", install);
    assert!(again.contains("Need to get 0 B/"), "{again}");
    lab.down().await;

    let other = TestLab::new(Distro::Debian13, &["one"]);
    other.up().await;
    let elsewhere = other.ask("one", install);
    assert!(elsewhere.contains("Need to get 0 B/"), "{elsewhere}");
    other.down().await;
}

/// Takes away what a restart of this machine would: processes, mounts, network, and everything below /run.
fn restart_machine(lab: &TestLab) {
    let name = &lab.spec.name;
    for host in &lab.spec.hosts {
        kill(
            Pid::from_raw(lab.process(&host.name, "supervisor")),
            Signal::SIGKILL,
        )
        .unwrap();
        let outer = lab.process(&host.name, "nspawn");
        kill(Pid::from_raw(first_process(outer)), Signal::SIGKILL).unwrap();
        let gone = || (!runs(outer)).then_some(());
        eventually("the container has ended", gone);
        let root = lab
            .places
            .state
            .join(name)
            .join("hosts")
            .join(&host.name)
            .join("root");
        eventually("the mount is free", || {
            let unmount = std::process::Command::new("umount")
                .arg(&root)
                .status()
                .unwrap();
            unmount.success().then_some(())
        });
        here(&format!("ip netns del {name}.{}", host.name));
    }
    here(&format!(
        "ip link del pv-{name}-m; ip link del pv-{name}-p; nft delete table ip provision_lab_{}",
        name.replace('-', "_")
    ));
    std::fs::remove_dir_all(lab.places.run.join("labs").join(name)).unwrap();
}

/// A process that has ended but that its parent has not asked about yet (a zombie) does not run.
fn runs(process: i32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let state = status.lines().find_map(|line| line.strip_prefix("State:"));
    state.is_some_and(|state| !state.trim_start().starts_with(['Z', 'X']))
}

/// The first process of the container whose outer process this is.
fn first_process(outer: i32) -> i32 {
    let children = here(&format!("cat /proc/{outer}/task/*/children"));
    children.split_whitespace().next().unwrap().parse().unwrap()
}
