//! What is measured, each on hosts of the same lab.

use std::cell::Cell;
use std::io::Write;
use std::process::Stdio;
use std::time::{Duration, Instant};

use provision::model::event::{Event, Verdict};

use crate::cloud::{Cloud, Journal, provision, remove_labs, workplace};
use crate::questions;

/// An install of ours.
#[derive(Default)]
pub(crate) struct Measured {
    /// Until the instance has answered.
    pub(crate) answered: Duration,
    /// Until the process has ended.
    pub(crate) whole: Duration,
    pub(crate) peak_kib: u64,
    pub(crate) second_kib: Cell<u64>,
    pub(crate) slowest: Vec<(f64, String)>,
}

/// New hosts, with nothing on them but what every lab has.
pub(crate) fn fresh(cloud: &Cloud) {
    remove_labs();
    cloud.run(&["lab", "up"], 10).expect(0);
}

/// Runs the program to its end and notes the most memory it had.
fn watched(cloud: &Cloud, args: &[&str]) -> (Duration, u64) {
    let started = Instant::now();
    let running = cloud.start(args);
    let status = format!("/proc/{}/status", running.id());
    let watcher = std::thread::spawn(move || {
        let mut peak = 0;
        while let Ok(text) = std::fs::read_to_string(&status) {
            let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let Some(line) = line else { break };
            peak = line.trim().trim_end_matches(" kB").parse().unwrap_or(peak);
            std::thread::sleep(Duration::from_millis(20));
        }
        peak
    });
    let ended = running.wait(Duration::from_secs(1800)).expect(0);
    drop(ended);
    (started.elapsed(), watcher.join().unwrap())
}

/// Our install, from no hosts or fresh ones.
pub(crate) fn ours(cloud: &Cloud) -> Measured {
    let (whole, peak_kib) = watched(cloud, &["--format", "lines"]);
    let journal = Journal::read(&cloud.latest().join("journal.jsonl"));
    let begun = journal.events.first().unwrap().at;
    let mut steps = Vec::new();
    let mut answered = whole;
    for envelope in &journal.events {
        let Event::StepFinished {
            step, elapsed_ms, ..
        } = &envelope.event
        else {
            continue;
        };
        if step.as_str().starts_with("proof/answer@") {
            answered = Duration::try_from(envelope.at.duration_since(begun)).unwrap();
        }
        steps.push((
            f64::from(u32::try_from(*elapsed_ms).unwrap()) / 1000.0,
            step.to_string(),
        ));
    }
    steps.sort_by(|a, b| b.0.total_cmp(&a.0));
    steps.truncate(15);
    println!("   {:.1} s, {} MiB", whole.as_secs_f64(), peak_kib / 1024);
    Measured {
        answered,
        whole,
        peak_kib,
        second_kib: Cell::new(0),
        slowest: steps,
    }
}

/// The packages that a fresh controller was to get.
pub(crate) fn packages(journal: &Journal) -> Vec<String> {
    let mut names = Vec::new();
    for envelope in &journal.events {
        let Event::StepPlanned {
            step,
            verdict: Verdict::Change { edits },
        } = &envelope.event
        else {
            continue;
        };
        if step.host == "controller" && step.playbook == "packages" {
            for edit in edits.iter().filter(|edit| edit.what == "packages") {
                names.extend(
                    edit.after
                        .iter()
                        .flat_map(|names| names.split_whitespace())
                        .map(str::to_owned),
                );
            }
        }
    }
    names.sort();
    names.dedup();
    assert!(names.len() > 10, "{names:?}");
    names
}

/// Runs a script on a host as root; its output is kept.
fn script(cloud: &Cloud, host: &str, name: &str, text: &str) -> Duration {
    let log = workplace().join(format!("logs/{}-{name}.log", cloud.name));
    std::fs::create_dir_all(log.parent().unwrap()).unwrap();
    let out = std::fs::File::create(&log).unwrap();
    let started = Instant::now();
    let mut child = provision(&["lab", "ssh", cloud.name, host, "--", "sh -s"])
        .stdin(Stdio::piped())
        .stdout(out.try_clone().unwrap())
        .stderr(out)
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    let status = child.wait().unwrap();
    assert!(
        status.success(),
        "{name} ended with {status}: {}",
        log.display()
    );
    started.elapsed()
}

/// R: one plain transaction, its downloads there already.
pub(crate) fn install_packages(cloud: &Cloud, list: &[String]) -> Duration {
    let install = format!(
        "export DEBIAN_FRONTEND=noninteractive; apt-get -qy --no-install-recommends install {}",
        list.join(" ")
    );
    let download = install.replace("install ", "--download-only install ");
    script(
        cloud,
        "controller",
        "download",
        &format!("apt-get -q update && {}", &download),
    );
    // Daemons without settings would fight for the processors that the package manager needs: R is the transaction alone.
    let held = "printf '#!/bin/sh\\nexit 101\\n' > /usr/sbin/policy-rc.d && chmod 755 /usr/sbin/policy-rc.d";
    script(cloud, "controller", "hold-services-back", held);
    let took = script(cloud, "controller", "reference", &install);
    println!("   R = {:.1} s", took.as_secs_f64());
    took
}

/// The settings that our install has written, for the guide's way to copy.
pub(crate) fn keep_settings(cloud: &Cloud) {
    for host in ["controller", "compute1"] {
        let command = "tar -C / -czf - etc/chrony etc/mysql/mariadb.conf.d etc/rabbitmq etc/memcached.conf etc/keystone \
                       etc/glance etc/placement etc/nova etc/neutron etc/openstack-dashboard etc/default 2>/dev/null; true";
        let output = cloud.ssh(host, command);
        std::fs::write(workplace().join(format!("{host}.tar.gz")), output.stdout).unwrap();
    }
}

/// The same services on fresh hosts, one after the other, until all answer.
pub(crate) fn guide(cloud: &Cloud) -> Duration {
    for (host, last) in [("controller", 10), ("compute1", 11)] {
        let mut child = provision(&[
            "lab",
            "ssh",
            cloud.name,
            host,
            "--",
            "mkdir -p /root/guide && tar -C /root/guide -xzf -",
        ])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
        let settings = std::fs::read(workplace().join(format!("{host}.tar.gz"))).unwrap();
        child.stdin.take().unwrap().write_all(&settings).unwrap();
        assert!(child.wait().unwrap().success());
        let mut known = format!(
            "address={}\ntunnel=10.94.17.{last}/24\n",
            cloud.controller()
        );
        for (name, value) in cloud.secrets() {
            known += &format!("{name}={value}\n");
        }
        script(
            cloud,
            host,
            "secrets",
            &format!("cat > /root/guide/secrets <<'END'\n{known}END\n"),
        );
        // All hosts know each other, as in the first chapter of every guide.
        let hosts = format!(
            "{} controller\\n{} compute1\\n",
            cloud.controller(),
            cloud.controller().replace(".100", ".101")
        );
        script(
            cloud,
            host,
            "hosts",
            &format!("printf '{hosts}' >> /etc/hosts"),
        );
    }
    let took = script(
        cloud,
        "controller",
        "guide-controller",
        include_str!("guide-controller.sh"),
    ) + script(
        cloud,
        "compute1",
        "guide-compute",
        include_str!("guide-compute.sh"),
    ) + script(
        cloud,
        "controller",
        "guide-end",
        include_str!("guide-end.sh"),
    );
    println!("   {:.1} s", took.as_secs_f64());
    took
}

/// Our second run, and one `ssh` a host with the same questions: the median of five each, taken in turn.
pub(crate) fn second_run(cloud: &Cloud, measured: &Measured) -> (Duration, Duration) {
    let scripts = questions::of(cloud);
    let (mut ours, mut plain) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        let (took, peak) = watched(cloud, &["--format", "lines"]);
        measured.second_kib.set(measured.second_kib.get().max(peak));
        ours.push(took);
        let started = Instant::now();
        std::thread::scope(|scope| {
            for (host, text) in &scripts {
                scope.spawn(move || script(cloud, host, &format!("questions-{host}"), text));
            }
        });
        plain.push(started.elapsed());
    }
    ours.sort();
    plain.sort();
    (ours[2], plain[2])
}
