//! Answers: what is known of one host, and what a service said when it was asked.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::probe::{Probe, script_key};

/// What is known of one host. Filled from the output of [`super::probe::ProbeSet::script`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// Installed version by package name. A name that was asked for and is not here is absent.
    pub packages: BTreeMap<String, String>,
    /// State by the unit name that was asked for.
    pub units: BTreeMap<String, UnitFact>,
    /// What stands at a path. A path that was asked for and is not here does not exist.
    pub paths: BTreeMap<String, PathFact>,
    /// Answers of scripts, by [`super::probe::script_key`].
    pub scripts: BTreeMap<String, ScriptFact>,
}

/// A systemd unit as `systemctl show` describes it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct UnitFact {
    /// The unit's own name, which may differ from an alias that was asked for.
    pub id: String,
    /// `loaded`, `not-found`, `masked`, `error`...
    pub load: String,
    /// `active`, `inactive`, `failed`, `activating`...
    pub active: String,
    /// `running`, `exited`, `dead`...
    pub sub: String,
    /// `enabled`, `disabled`, `static`, `masked`, `generated`, or empty when there is no file.
    pub enabled: String,
    /// `success`, `exit-code`, `timeout`...
    pub result: String,
    /// When the unit last left the inactive state, in seconds since 1970; 0 when it never did.
    pub started: f64,
    /// How often systemd itself has restarted the unit.
    pub restarts: u32,
    /// Whether the unit's `Condition...=` lines have been looked at since the host's start.
    pub checked: bool,
    /// Whether the unit's `Condition...=` lines were all true when it was last started.
    pub condition: bool,
    /// Whether the unit's files have changed since systemd read them.
    pub stale: bool,
    /// The main process, 0 when there is none.
    pub pid: u32,
    /// The host's clock when it answered, in seconds since 1970.
    pub now: f64,
}

impl UnitFact {
    /// Whether the unit file exists.
    pub fn exists(&self) -> bool {
        !matches!(self.load.as_str(), "not-found" | "")
    }

    /// Whether the unit is up (a one-shot that has exited well and stays active counts).
    pub fn is_running(&self) -> bool {
        self.active == "active"
    }
}

/// What stands at a path.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PathFact {
    /// `regular file`, `regular empty file`, `directory`, `symbolic link`, as GNU stat says it.
    pub kind: String,
    /// Owner's name.
    pub owner: String,
    /// Group's name.
    pub group: String,
    /// Permission bits.
    pub mode: u32,
    /// Size in bytes.
    pub size: u64,
    /// When content or attributes last changed, in seconds since 1970.
    pub changed: f64,
    /// Where a symbolic link points.
    pub target: Option<String>,
    /// What a symbolic link leads to in the end, when that exists.
    pub behind: Option<Box<PathFact>>,
    /// Content of a regular file, when it was asked for.
    pub content: Option<Vec<u8>>,
}

impl PathFact {
    /// Whether it is a regular file, empty or not.
    pub fn is_file(&self) -> bool {
        self.kind.starts_with("regular")
    }

    /// What stands there once symbolic links are followed; nothing behind a link to nowhere.
    pub fn resolved(&self) -> Option<&Self> {
        if self.kind == "symbolic link" {
            self.behind.as_deref()
        } else {
            Some(self)
        }
    }
}

/// How a script answered.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ScriptFact {
    /// Exit status.
    pub status: i32,
    /// What it printed, standard error included, without the last line break.
    pub output: String,
}

impl ScriptFact {
    /// The last line that says something.
    pub fn last_line(&self) -> &str {
        self.output
            .lines()
            .rev()
            .find(|line| !line.trim().is_empty())
            .unwrap_or_default()
            .trim()
    }
}

/// What a service said when it was asked over the network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ServiceFact {
    /// Nothing could be asked yet: the service, or something that the question refers to, is not there.
    Unknown(String),
    /// It answered.
    Answer {
        /// Values of the references (`@project:service`) that the question or its operations use.
        refs: BTreeMap<String, String>,
        /// The object that was looked for, when it is there; `true` for a question that holds.
        found: Option<serde_json::Value>,
        /// Why nothing was found, where the service said more than "no such thing".
        said: Option<String>,
    },
    /// It refused, with its reason: asking again will not help.
    Refused(String),
}

/// Why the output of a probe script could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the answer to the probes is not complete; it ends with `{last_line}`")]
pub struct Incomplete {
    /// Where it ends.
    pub last_line: String,
}

impl Facts {
    /// The answer to a script, if it was asked.
    pub fn script(&self, script: &str) -> Option<&ScriptFact> {
        self.scripts.get(&script_key(script))
    }

    /// Reads the output of a probe script. Lines that are not an answer (a login message, say) are
    /// passed over; an output that stops before its end is an error, never "absent".
    pub fn parse(output: &str) -> Result<Self, Incomplete> {
        let mut reader = Reader::default();
        let mut complete = false;
        for line in output.lines() {
            complete = line == "end";
            reader.line(line);
        }
        if !complete {
            let last_line = output
                .lines()
                .last()
                .unwrap_or_default()
                .chars()
                .take(200)
                .collect();
            return Err(Incomplete { last_line });
        }
        Ok(reader.finish())
    }

    /// Takes over everything that `newer` knows; what it was asked and did not find is dropped.
    pub fn absorb(&mut self, asked: &[Probe], newer: Facts) {
        for probe in asked {
            match probe {
                Probe::Package { name, .. } => drop(self.packages.remove(name)),
                Probe::Unit(name) => drop(self.units.remove(name)),
                Probe::Path { path, .. } => drop(self.paths.remove(path)),
                Probe::Script(script) => drop(self.scripts.remove(&script_key(script))),
            }
        }
        self.packages.extend(newer.packages);
        self.units.extend(newer.units);
        self.paths.extend(newer.paths);
        self.scripts.extend(newer.scripts);
    }
}

#[derive(Default)]
struct Reader {
    facts: Facts,
    now: f64,
    uptime: f64,
    asked: Vec<String>,
    unit: UnitFact,
    names: Vec<String>,
    script: Option<(String, Vec<String>)>,
}

impl Reader {
    fn line(&mut self, line: &str) {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "package" => self.package(rest),
            "clock" => {
                let (now, uptime) = rest.split_once(' ').unwrap_or((rest, "0"));
                self.now = now.parse().unwrap_or_default();
                self.uptime = uptime.parse().unwrap_or_default();
            }
            "asked" => self.asked.push(rest.to_owned()),
            "unit" => self.unit_line(rest),
            "path" => {
                if let Some((path, fact)) = path_fact(rest) {
                    self.facts.paths.insert(path, fact);
                }
            }
            "behind" => {
                if let Some((path, fact)) = path_fact(rest) {
                    self.facts.paths.entry(path).or_default().behind = Some(Box::new(fact));
                }
            }
            "target" => {
                if let Some((target, path)) = rest.split_once('|') {
                    self.facts.paths.entry(path.to_owned()).or_default().target =
                        Some(target.to_owned());
                }
            }
            "content" => self.content(rest),
            "script" => {
                self.end_script();
                self.script = Some((rest.to_owned(), Vec::new()));
            }
            "answer" => {
                if let Some((_, lines)) = &mut self.script {
                    lines.push(rest.to_owned());
                }
            }
            _ => {}
        }
    }

    fn package(&mut self, rest: &str) {
        let mut words = rest.split(' ').filter(|word| !word.is_empty());
        if let (Some(name), Some(status), Some(version)) =
            (words.next(), words.next(), words.next())
            // The second letter is the state; the first is what the package manager was told to want.
            && status.chars().nth(1) == Some('i')
        {
            self.facts
                .packages
                .insert(name.to_owned(), version.to_owned());
        }
    }

    fn unit_line(&mut self, rest: &str) {
        let Some((key, value)) = rest.split_once('=') else {
            // An empty line ends a unit's properties.
            self.end_unit();
            return;
        };
        match key {
            "Id" => self.unit.id = value.to_owned(),
            "Names" => self.names = value.split(' ').map(str::to_owned).collect(),
            "LoadState" => self.unit.load = value.to_owned(),
            "ActiveState" => self.unit.active = value.to_owned(),
            "SubState" => self.unit.sub = value.to_owned(),
            "UnitFileState" => self.unit.enabled = value.to_owned(),
            "Result" => self.unit.result = value.to_owned(),
            "InactiveExitTimestampMonotonic" => {
                let micros: f64 = value.parse().unwrap_or_default();
                if micros > 0.0 {
                    self.unit.started = self.now - self.uptime + micros / 1e6;
                }
            }
            "NRestarts" => self.unit.restarts = value.parse().unwrap_or_default(),
            "ConditionResult" => self.unit.condition = value == "yes",
            "ConditionTimestampMonotonic" => self.unit.checked = value != "0",
            "NeedDaemonReload" => self.unit.stale = value == "yes",
            "MainPID" => self.unit.pid = value.parse().unwrap_or_default(),
            _ => {}
        }
    }

    fn end_unit(&mut self) {
        let mut unit = std::mem::take(&mut self.unit);
        let mut names = std::mem::take(&mut self.names);
        if unit.load.is_empty() {
            return;
        }
        unit.now = self.now;
        names.push(unit.id.clone());
        for name in self.asked.iter().filter(|asked| names.contains(asked)) {
            self.facts.units.insert(name.clone(), unit.clone());
        }
    }

    fn content(&mut self, rest: &str) {
        let Some((encoded, path)) = rest.split_once('|') else {
            return;
        };
        let content = data_encoding::BASE64.decode(encoded.as_bytes()).ok();
        self.facts.paths.entry(path.to_owned()).or_default().content = content;
    }

    fn end_script(&mut self) {
        let Some((key, lines)) = self.script.take() else {
            return;
        };
        let Some((last, output)) = lines.split_last() else {
            return;
        };
        let Some(status) = last.strip_prefix("status ").and_then(|s| s.parse().ok()) else {
            return;
        };
        let output = output.join("\n").trim_end_matches('\n').to_owned();
        self.facts
            .scripts
            .insert(key, ScriptFact { status, output });
    }

    fn finish(mut self) -> Facts {
        self.end_unit();
        self.end_script();
        self.facts
    }
}

/// Reads `mode owner group changed size kind|path`.
fn path_fact(line: &str) -> Option<(String, PathFact)> {
    let (attributes, path) = line.split_once('|')?;
    let words: Vec<_> = attributes.splitn(6, ' ').collect();
    let [mode, owner, group, changed, size, kind] = words[..] else {
        return None;
    };
    let fact = PathFact {
        kind: kind.to_owned(),
        owner: owner.to_owned(),
        group: group.to_owned(),
        mode: u32::from_str_radix(mode, 8).ok()?,
        size: size.parse().ok()?,
        changed: changed.parse().ok()?,
        ..PathFact::default()
    };
    Some((path.to_owned(), fact))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::probe::ProbeSet;

    fn ask(probes: impl IntoIterator<Item = Probe>) -> Facts {
        let mut set = ProbeSet::new();
        set.extend(probes);
        let output = std::process::Command::new("sh")
            .arg("-c")
            .arg(set.script())
            .output()
            .unwrap();
        Facts::parse(&String::from_utf8(output.stdout).unwrap()).unwrap()
    }

    #[test]
    fn a_real_shell_answers_paths_and_scripts() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("it's a file|really");
        std::fs::write(&file, b"one\ntwo\0\xff").unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("/nowhere", &link).unwrap();
        let name = |path: &std::path::Path| path.to_str().unwrap().to_owned();
        let facts = ask([
            Probe::Path {
                path: name(&link),
                content: true,
            },
            Probe::Path {
                path: name(folder.path()),
                content: false,
            },
            Probe::Path {
                path: "/no/such/path".into(),
                content: true,
            },
            Probe::Script("echo out; echo err >&2; exit 3".into()),
            Probe::Script("true".into()),
            Probe::Script("echo end; echo status 7".into()),
        ]);
        assert_eq!(facts.paths[&name(folder.path())].kind, "directory");
        assert_eq!(
            facts.paths[&name(&link)].target.as_deref(),
            Some("/nowhere")
        );
        assert!(!facts.paths.contains_key("/no/such/path"));
        let answer = |script| facts.script(script).map(|f| (f.status, f.output.as_str()));
        assert_eq!(
            answer("echo out; echo err >&2; exit 3"),
            Some((3, "out\nerr"))
        );
        assert_eq!(answer("true"), Some((0, "")));
        assert_eq!(
            answer("echo end; echo status 7"),
            Some((0, "end\nstatus 7"))
        );

        let facts = ask([Probe::Path {
            path: name(&file),
            content: true,
        }]);
        let fact = facts.paths.values().next().unwrap();
        assert_eq!(fact.content.as_deref(), Some(&b"one\ntwo\0\xff"[..]));
        assert!(fact.changed > 1.6e9);
    }

    #[test]
    fn an_answer_that_was_cut_is_an_error() {
        let error = Facts::parse("path 644 root root 1.0 3 regular file|/etc/hosts\n").unwrap_err();
        assert!(error.to_string().contains("/etc/hosts"));
    }
}
