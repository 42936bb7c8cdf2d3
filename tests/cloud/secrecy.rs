//! Where secrets must not be: command lines, what runs write down, files that others can read.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::cloud::{Cloud, provision};

/// Collects the command lines of all processes of this machine, its containers included.
pub(crate) struct Watcher {
    over: Arc<AtomicBool>,
    seen: JoinHandle<BTreeSet<String>>,
}

impl Watcher {
    pub(crate) fn start() -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&over);
        let seen = std::thread::spawn(move || {
            let mut seen = BTreeSet::new();
            while !until.load(Ordering::Relaxed) {
                let processes = std::fs::read_dir("/proc").unwrap().flatten();
                for process in processes {
                    let line = std::fs::read(process.path().join("cmdline"));
                    let Ok(line) = line else { continue };
                    let line = String::from_utf8_lossy(&line).replace('\0', " ");
                    if !line.is_empty() {
                        seen.insert(line);
                    }
                }
                std::thread::sleep(Duration::from_millis(100));
            }
            seen
        });
        Self { over, seen }
    }

    /// Every command line that was seen.
    pub(crate) fn stop(self) -> BTreeSet<String> {
        self.over.store(true, Ordering::Relaxed);
        self.seen.join().unwrap()
    }
}

/// The names of the secrets that a text holds.
pub(crate) fn told<'a>(secrets: &'a [(String, String)], text: &str) -> Vec<&'a str> {
    secrets
        .iter()
        .filter(|(_, value)| text.contains(value))
        .map(|(name, _)| name.as_str())
        .collect()
}

/// Every file below that holds a secret, with the secrets' names.
pub(crate) fn in_files(secrets: &[(String, String)], folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(&next).unwrap().flatten() {
            let path = entry.path();
            if entry.file_type().unwrap().is_dir() {
                open.push(path);
            } else if let Ok(bytes) = std::fs::read(&path) {
                let names = told(secrets, &String::from_utf8_lossy(&bytes));
                if !names.is_empty() {
                    found.push(format!("{}: {}", path.display(), names.join(", ")));
                }
            }
        }
    }
    found
}

/// Files of a host in which a user without any rights finds a secret: that user searches.
pub(crate) fn readable_by_others(
    secrets: &[(String, String)],
    cloud: &Cloud,
    host: &str,
) -> Vec<String> {
    let search = "cd / && setpriv --reuid=65534 --regid=65534 --clear-groups \
                  grep -rslF -D skip -f - etc home opt root run srv tmp usr/local usr/lib/python3 usr/share var; [ $? -le 1 ] || [ $? = 2 ]";
    let mut command = provision(&["lab", "ssh", cloud.name, host, "--", search]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    for (_, value) in secrets {
        writeln!(input, "{value}").unwrap();
    }
    drop(input);
    let output = child.wait_with_output().unwrap();
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    lines
        .lines()
        .map(|file| format!("{host}:/{file}"))
        .collect()
}

/// What a lab leaves on this machine when it is not removed as it should be.
pub(crate) fn traces(lab: &str) -> Vec<String> {
    let mut traces = Vec::new();
    for command in [
        "ip netns list",
        "ip -oneline link",
        "nft list tables",
        "cat /proc/self/mountinfo",
        "find /sys/fs/cgroup -maxdepth 3 -name provision.labs -prune -exec ls {} +",
        "find /run/provision -not -name '*.lock'",
        "ps -eo args",
    ] {
        let output = Command::new("sh").args(["-c", command]).output().unwrap();
        let lines = String::from_utf8_lossy(&output.stdout).into_owned();
        let table = lab.replace('-', "_");
        let about = lines
            .lines()
            .filter(|line| line.contains(lab) || line.contains(&table))
            .map(|line| format!("{command}: {line}"));
        traces.extend(about);
    }
    traces
}
