//! Units and packages on hosts with a real systemd: ask, apply, ask again.
//!
//! These tests need root on a Linux machine with namespaces. Each has a lab of its own.

#![expect(clippy::unwrap_used, reason = "a test fails where it panics")]

#[expect(dead_code, reason = "other tests use the rest")]
mod lab_support;

use std::process::Output;

use lab_support::{TestLab, eventually};
use provision::lab::Distro;
use provision::model::facts::Facts;
use provision::model::probe::ProbeSet;
use provision::model::resource::{Answer, Diff, Op, Question, Resource};
use serde_json::{Value, json};

/// A lab of one host, and what is done to it.
struct Host(TestLab);

impl Host {
    async fn up(distro: Distro) -> Self {
        let lab = TestLab::new(distro, &["one"]);
        lab.up().await;
        Self(lab)
    }

    fn sh(&self, script: &str) -> String {
        self.0.ask("one", script)
    }

    fn diff(&self, resource: &Resource) -> Diff {
        let Question::Host(probes) = resource.question() else {
            panic!("not a question to a host")
        };
        let mut set = ProbeSet::new();
        set.extend(probes);
        let facts = Facts::parse(&self.sh(&set.script())).unwrap();
        resource.diff(Answer::Host(&facts))
    }

    /// Applies what has to change; what was shown, and how it ended.
    fn apply(&self, resource: &Resource) -> (Vec<String>, Output) {
        let Diff::Change(change) = self.diff(resource) else {
            panic!("nothing to do: {:?}", self.diff(resource));
        };
        let [Op::Run { script, .. }] = &change.ops[..] else {
            panic!("another operation: {:?}", change.ops)
        };
        let shown = change.edits.iter().map(|edit| {
            let side = |text: &Option<String>| text.clone().unwrap_or_default();
            format!(
                "{}: {} -> {}",
                edit.what,
                side(&edit.before),
                side(&edit.after)
            )
        });
        (shown.collect(), self.0.ssh("one", script))
    }

    fn converge(&self, resource: &Resource) -> Vec<String> {
        let (shown, output) = self.apply(resource);
        assert!(output.status.success(), "{shown:?}\n{output:?}");
        let after = self.diff(resource);
        assert!(matches!(after, Diff::InSync(_)), "{shown:?}\n{after:#?}");
        shown
    }

    fn unit_file(&self, name: &str, service: &str) {
        self.sh(&format!(
            "printf '%s\\n' '[Service]' {service} '[Install]' WantedBy=multi-user.target \
             > /etc/systemd/system/{name}"
        ));
    }
}

fn unit(name: &str, more: Value) -> Resource {
    let mut fields = json!({ "names": [name] });
    for (key, value) in more.as_object().unwrap() {
        fields[key] = value.clone();
    }
    serde_json::from_value(json!({ "unit": fields })).unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn main_pid(host: &Host, name: &str) -> String {
    host.sh(&format!("systemctl show -p MainPID --value {name}"))
}

fn a_unit_lives(host: &Host) {
    let own = "/etc/systemd/system/own.service";
    let wanted = unit("own.service", json!({ "reads": ["/etc/own.conf", own] }));
    assert!(
        matches!(host.diff(&wanted), Diff::Later(_)),
        "it is not installed yet"
    );
    host.unit_file("own.service", "'ExecStart=/bin/sleep infinity'");
    assert_eq!(
        host.converge(&wanted),
        [
            "own.service enabled: no -> yes",
            "own.service state: inactive (dead) -> started"
        ]
    );

    let first = main_pid(host, "own.service");
    host.sh("echo changed > /etc/own.conf");
    let restarted = "own.service state: running since before `/etc/own.conf` changed -> restarted";
    assert_eq!(host.converge(&wanted), [restarted]);
    assert_ne!(main_pid(host, "own.service"), first);

    host.unit_file(
        "own.service",
        "Environment=A=1 'ExecStart=/bin/sleep infinity'",
    );
    let shown = host.converge(&wanted);
    assert_eq!(
        shown[0],
        "own.service unit file: changed -> read again by systemd"
    );
    assert!(
        host.sh("systemctl show -p Environment own.service")
            .ends_with("A=1")
    );

    let down = unit(
        "own.service",
        json!({ "state": "stopped", "enabled": false }),
    );
    assert_eq!(host.converge(&down).len(), 2);
    host.sh("rm /etc/systemd/system/own.service; systemctl daemon-reload");
    let shadow = unit("memcached.service", json!({}));
    assert!(matches!(host.diff(&shadow), Diff::Later(_)));
}

fn a_masked_unit_is_freed(host: &Host) {
    host.sh("systemctl --quiet mask --now systemd-tmpfiles-clean.timer");
    let timer = unit("systemd-tmpfiles-clean.timer", json!({}));
    assert_eq!(
        host.converge(&timer)[0],
        "systemd-tmpfiles-clean.timer masked: yes -> no"
    );
}

fn a_reload_is_kept_apart_from_a_restart(host: &Host) {
    host.unit_file(
        "soft.service",
        "'ExecStart=/bin/sleep infinity' 'ExecReload=/bin/touch /run/soft-was-reloaded'",
    );
    let wanted = unit(
        "soft.service",
        json!({ "reads": ["/etc/soft"], "reload": true }),
    );
    host.converge(&wanted);
    let pid = main_pid(host, "soft.service");
    host.sh("mkdir -p /etc/soft && touch /etc/soft/site");
    let reloaded = "soft.service state: running since before `/etc/soft` changed -> reloaded";
    assert_eq!(host.converge(&wanted), [reloaded]);
    assert_eq!(main_pid(host, "soft.service"), pid);
    host.sh("test -e /run/soft-was-reloaded");
}

fn conditions_are_respected(host: &Host) {
    host.sh(
        "printf '[Unit]\\nConditionPathExists=/nowhere\\n[Service]\\nExecStart=/bin/true\\n' \
             > /etc/systemd/system/picky.service",
    );
    let anyhow = json!({ "conditional": true, "enabled": null });
    let (_, output) = host.apply(&unit("picky.service", anyhow));
    assert!(output.status.success(), "{output:?}");
    let (_, output) = host.apply(&unit("picky.service", json!({ "enabled": null })));
    assert!(
        said(&output).contains("picky.service was not started: a Condition"),
        "{output:?}"
    );
}

fn failures_say_why(host: &Host) {
    host.unit_file(
        "broken.service",
        "Type=oneshot \"ExecStart=/bin/sh -c 'echo because of this; exit 3'\"",
    );
    let (_, output) = host.apply(&unit("broken.service", json!({})));
    assert_eq!(output.status.code(), Some(1));
    let why = said(&output);
    assert!(why.contains("because of this"), "{why}");
    assert!(why.contains("broken.service did not come up: "), "{why}");
    let Diff::Change(change) = host.diff(&unit("broken.service", json!({}))) else {
        panic!("a failed unit is not in sync")
    };
    assert_eq!(
        change.edits[0].before.as_deref(),
        Some("failed (exit-code)")
    );

    host.unit_file(
        "loop.service",
        "ExecStart=/bin/false Restart=always RestartSec=300",
    );
    let looping = unit("loop.service", json!({}));
    let _ = host.apply(&looping);
    eventually("it waits for its next restart", || {
        let Diff::Change(change) = host.diff(&looping) else {
            return None;
        };
        change.edits[0]
            .before
            .clone()?
            .starts_with("fails again")
            .then_some(())
    });
    // An end of both, for the health of what comes next.
    host.sh("systemctl disable --now --quiet broken.service loop.service; systemctl reset-failed");
}

fn packages_come_with_their_services_held_back(host: &Host) {
    let names = json!({ "names": ["memcached", "python3-webob"], "defer_byte_compile": "core" });
    let packages: Resource = serde_json::from_value(json!({ "packages": names })).unwrap();
    // The cable is cut as soon as something is being set up; the host goes on by itself.
    let Diff::Change(change) = host.diff(&packages) else {
        panic!("nothing to do")
    };
    let Op::Run { script, .. } = &change.ops[0] else {
        panic!("no script")
    };
    let cut = format!("{script}\n").replace("tail -n", "exit 9; tail -n");
    assert_eq!(host.0.ssh("one", &cut).status.code(), Some(9));
    host.converge(&packages);
    assert_eq!(
        host.sh("systemctl is-active memcached.service || :"),
        "inactive"
    );
    host.converge(&unit("memcached.service", json!({})));

    let webob = "ls /usr/lib/python3/dist-packages/webob/__pycache__/exc.*.pyc";
    let compile: Resource =
        serde_json::from_value(json!({ "byte_compile": { "queue": "core" } })).unwrap();
    // What follows the transaction may have been quick enough to leave nothing to do.
    if let Diff::Change(_) = host.diff(&compile) {
        host.converge(&compile);
    }
    host.sh(webob);
    assert_eq!(host.sh("ls -d /usr/sbin/policy-rc.d || :"), "");
}

async fn on(distro: Distro) {
    let host = Host::up(distro).await;
    a_unit_lives(&host);
    a_masked_unit_is_freed(&host);
    a_reload_is_kept_apart_from_a_restart(&host);
    conditions_are_respected(&host);
    failures_say_why(&host);
    packages_come_with_their_services_held_back(&host);
    host.0.down().await;
}

#[tokio::test]
async fn units_and_packages_converge_on_debian_13() {
    on(Distro::Debian13).await;
}

#[tokio::test]
async fn units_and_packages_converge_on_debian_12() {
    on(Distro::Debian12).await;
}
