//! How long it takes, and where the time goes: `cargo bench --bench cloud`, as root, alone on the machine.
//!
//! Everything is measured in one run on fresh hosts of the same lab, so that the ratios mean something on any machine:
//! R, one plain transaction of the package manager (services held back); our install; the same services the way install guides do it; our second
//! run against one `ssh` a host with the same questions; and our memory. Nothing here passes or fails.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::format_push_string,
    reason = "a benchmark stops where it cannot go on"
)]

#[path = "../../tests/cloud/cloud.rs"]
#[allow(dead_code, reason = "the tests use the rest")]
mod cloud;
mod measure;
#[path = "../../tests/cloud/program.rs"]
#[allow(dead_code, reason = "the tests use the rest")]
mod program;
mod questions;

use std::time::Duration;

use cloud::{Cloud, Journal, remove_labs, workplace};
use measure::{
    Measured, fresh, guide, install_packages, keep_settings, ours, packages, second_run,
};

fn main() {
    assert!(
        nix::unistd::geteuid().is_root(),
        "the benchmark makes containers and bridges: run it as root"
    );
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| !arg.starts_with('-'))
        .collect();
    let picks = |name: &str| wanted.is_empty() || wanted.iter().any(|it| it == name);
    remove_labs();
    let _ = std::fs::remove_dir_all(workplace());
    let cloud = Cloud::of("lab.toml", "t-bench", 16);
    // What is made once for a machine is no part of an install: the base image, downloads, the test guest.
    say("once for nothing, so that downloads are cached");
    fresh(&cloud);
    let first = ours(&cloud);
    let list = packages(&Journal::read(&cloud.latest().join("journal.jsonl")));
    keep_settings(&cloud);

    let mut rows: Vec<(String, Duration)> = Vec::new();
    say("R: the controller's packages, one plain transaction");
    fresh(&cloud);
    let reference = install_packages(&cloud, &list);
    rows.push((
        format!("R: apt-get install of {} packages, alone", list.len()),
        reference,
    ));

    say("ours: from no hosts to an answering instance");
    remove_labs();
    let measured = ours(&cloud);
    rows.push((
        "ours, fresh lab to answering instance, both hosts".into(),
        measured.answered,
    ));
    rows.push((
        "ours, until the run ends (instance removed again)".into(),
        measured.whole,
    ));

    let (second, asked) = second_run(&cloud, &measured);
    if picks("guide") {
        say("the way guides do it, to services that answer (no instance)");
        fresh(&cloud);
        rows.push((
            "guide: package by package, one command an endpoint".into(),
            guide(&cloud),
        ));
    }
    remove_labs();
    report(&rows, reference, &measured, second, asked);
    println!(
        "the first run, with cold caches: {:.0} s",
        first.whole.as_secs_f64()
    );
}

fn say(what: &str) {
    println!("── {what}");
}

fn report(
    rows: &[(String, Duration)],
    reference: Duration,
    ours: &Measured,
    second: Duration,
    asked: Duration,
) {
    println!("\n{:<58} {:>8} {:>7}", "", "seconds", "of R");
    for (name, took) in rows {
        let seconds = took.as_secs_f64();
        println!(
            "{name:<58} {seconds:>8.1} {:>7.2}",
            seconds / reference.as_secs_f64()
        );
    }
    let (second, asked) = (second.as_secs_f64(), asked.as_secs_f64());
    println!("\n{:<58} {:>8} {:>7}", "", "seconds", "of ssh");
    println!(
        "{:<58} {asked:>8.2} {:>7.2}",
        "one ssh a host, the same questions", 1.0
    );
    println!(
        "{:<58} {second:>8.2} {:>7.2}",
        "ours, second run, nothing to change",
        second / asked
    );
    println!(
        "\npeak resident memory of ours: {} MiB (install), {} MiB (second run)",
        ours.peak_kib / 1024,
        ours.second_kib.get() / 1024
    );
    println!("\nwhere our time went (slowest steps of the install):");
    for (seconds, step) in &ours.slowest {
        println!("{seconds:>8.1} s  {step}");
    }
}
