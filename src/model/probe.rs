//! Questions to a host, and the one script that asks them all.
//!
//! A [`Probe`] reads and never changes anything. All probes of a host are put into one script, so
//! that a whole plan costs one round trip a host. [`super::facts`] reads what the script prints.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::quote::words;

/// How a platform answers "is this package installed?".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PackageManager {
    /// Debian's apt and dpkg.
    Apt,
    /// Yum 3.4 and rpm, as on CentOS 7.
    Yum,
    /// Dnf and rpm.
    Dnf,
}

/// One question to a host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Probe {
    /// Which version of a package is installed?
    Package {
        /// Whose database to ask.
        manager: PackageManager,
        /// The package's name, without version or architecture.
        name: String,
    },
    /// In which state is a systemd unit?
    Unit(String),
    /// What is at a path: kind, owner, mode, time of change, and the content of a regular file.
    Path {
        /// Absolute path.
        path: String,
        /// Whether a regular file's content is wanted (as bytes; keep it to small files).
        content: bool,
    },
    /// Anything else: a shell script that only reads, whose exit status and output are the answer.
    /// POSIX shell; it may hold secrets, because it travels over standard input.
    Script(String),
}

/// The union of the probes of one host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProbeSet {
    packages: BTreeMap<PackageManager, BTreeSet<String>>,
    units: BTreeSet<String>,
    paths: BTreeMap<String, bool>,
    scripts: BTreeSet<String>,
}

impl ProbeSet {
    /// The set with nothing to ask.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether there is nothing to ask.
    pub fn is_empty(&self) -> bool {
        self.packages.is_empty()
            && self.units.is_empty()
            && self.paths.is_empty()
            && self.scripts.is_empty()
    }

    /// Adds one question; a question asked twice is asked once.
    pub fn add(&mut self, probe: Probe) {
        match probe {
            Probe::Package { manager, name } => {
                self.packages.entry(manager).or_default().insert(name);
            }
            Probe::Unit(name) => {
                self.units.insert(name);
            }
            Probe::Path { path, content } => {
                *self.paths.entry(path).or_default() |= content;
            }
            Probe::Script(script) => {
                self.scripts.insert(script);
            }
        }
    }

    /// The script that asks everything. Its output is for [`super::facts::Facts::parse`].
    ///
    /// Every line of an answer is prefixed with its section's letter, so no answer can be mistaken
    /// for the start of another one.
    pub fn script(&self) -> String {
        let mut out = String::from("export LC_ALL=C\n");
        for (manager, names) in &self.packages {
            out += &package_query(*manager, names);
        }
        if !self.units.is_empty() {
            out += &unit_query(&self.units);
        }
        if !self.paths.is_empty() {
            out += &path_query(&self.paths);
        }
        for script in &self.scripts {
            out += &script_query(script);
        }
        out + "printf 'end\\n'\n"
    }
}

impl Extend<Probe> for ProbeSet {
    fn extend<I: IntoIterator<Item = Probe>>(&mut self, probes: I) {
        for probe in probes {
            self.add(probe);
        }
    }
}

fn package_query(manager: PackageManager, names: &BTreeSet<String>) -> String {
    let names = words(names);
    match manager {
        PackageManager::Apt => format!(
            "dpkg-query -W -f 'package ${{Package}} ${{db:Status-Abbrev}} ${{Version}}\\n' {names} 2>/dev/null\n"
        ),
        PackageManager::Yum | PackageManager::Dnf => format!(
            "rpm -q --qf 'package %{{NAME}} ii %{{VERSION}}-%{{RELEASE}}\\n' {names} 2>/dev/null | grep '^package .* ii '\n"
        ),
    }
}

const UNIT_PROPERTIES: &str = "Id,Names,LoadState,ActiveState,SubState,UnitFileState,Result,\
InactiveExitTimestampMonotonic,NRestarts,ConditionResult,ConditionTimestampMonotonic,\
NeedDaemonReload,MainPID";

fn unit_query(units: &BTreeSet<String>) -> String {
    // The wall clock and the uptime, read together, turn systemd's monotonic stamps into the clock
    // that files' change times are in. On a busy host the two readings can drift apart; then they
    // are taken again.
    format!(
        "for try in 1 2 3 4 5; do\n\
         read -r up rest < /proc/uptime; now=$(date +%s.%N); read -r then rest < /proc/uptime\n\
         [ $((1${{then%.*}}${{then#*.}} - 1${{up%.*}}${{up#*.}})) -gt 1 ] || break\n\
         done\n\
         printf 'clock %s %s\\n' \"$now\" \"$up\"\n\
         printf 'asked %s\\n' {names}\n\
         systemctl show -p {UNIT_PROPERTIES} -- {names} 2>/dev/null | sed 's/^/unit /'\n",
        names = words(units),
    )
}

fn path_query(paths: &BTreeMap<String, bool>) -> String {
    let all = words(paths.keys());
    let mut out = format!(
        "stat -c 'path %a %U %G %.9Z %s %F|%n' -- {all} 2>/dev/null\n\
         for f in {all}; do if [ -L \"$f\" ]; then\n\
         printf 'target %s|%s\\n' \"$(readlink \"$f\")\" \"$f\"\n\
         stat -L -c 'behind %a %U %G %.9Z %s %F|%n' -- \"$f\" 2>/dev/null\n\
         fi; done\n"
    );
    let read: Vec<_> = paths
        .iter()
        .filter(|(_, content)| **content)
        .map(|(path, _)| path)
        .collect();
    if !read.is_empty() {
        let contents = format!(
            "for f in {}; do if [ -f \"$f\" ]; then printf 'content %s|%s\\n' \
             \"$(base64 < \"$f\" | tr -d '\\n')\" \"$f\"; fi; done\n",
            words(read)
        );
        out += &contents;
    }
    out
}

/// The name under which a script's answer is kept. It tells nothing of a secret in the script.
pub fn script_key(script: &str) -> String {
    use sha2::Digest;
    data_encoding::HEXLOWER.encode(&sha2::Sha256::digest(script.as_bytes())[..12])
}

fn script_query(script: &str) -> String {
    // The answer's own output is prefixed line by line; the status travels in a variable because
    // a pipeline would hide it.
    format!(
        "answer=$({{ (\n{script}\n) 2>&1 </dev/null; printf '\\nstatus %s' \"$?\"; }})\n\
         printf 'script %s\\n' {key}\nprintf '%s\\n' \"$answer\" | sed 's/^/answer /'\n",
        key = script_key(script),
    )
}
