//! Commands with a guard.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Diff, Op};
use crate::model::edit::Edit;
use crate::model::facts::Facts;
use crate::model::probe::{Probe, script_key};
use crate::model::quote::word;

/// A shell command with a guard that tells whether it is needed.
///
/// Everything a playbook can say with another kind is better said with that kind: a command has no
/// "before" and "after" that a plan could show.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Command {
    /// POSIX shell, run as root; a status other than 0 is a failure.
    pub run: String,
    /// POSIX shell that reads only. Status 0: in sync, and its last line says why; 75: cannot be
    /// known yet; 77: it must not be, and its last line says why and the way out; anything else: the command is
    /// needed, and its last line says why.
    /// Absent only with `stamp`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unless: Option<String>,
    /// The command is needed once for each value of this text, which is kept on the host after a
    /// success: the version of a schema, the digest of an input. Comes on top of `unless`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stamp: Option<String>,
    /// The host's user to run it as; root when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// What the command finds on its standard input. May hold secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdin: Option<String>,
    /// What the command undoes again if we cannot reach the host after it: for changes of the
    /// network that our own connection depends on. The host runs it by itself unless a new
    /// connection confirms the change in time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo: Option<String>,
}

/// Status of a guard that cannot tell yet (`EX_TEMPFAIL`).
const NOT_YET: i32 = 75;
/// Status of a guard that found something in the way, which the command must not touch (`EX_NOPERM`).
const REFUSED: i32 = 77;

/// Where stamps are kept on a host. Small files that say which version of an input was worked in.
const STAMPS: &str = "/var/lib/provision/stamps";

impl Command {
    /// The guard as one script: the stamp first, since it is cheaper.
    fn guard(&self) -> String {
        let unless = self
            .unless
            .as_deref()
            .unwrap_or("echo 'done for this version'");
        let Some(stamp) = &self.stamp else {
            return unless.to_owned();
        };
        format!(
            "[ \"$(cat {} 2>/dev/null)\" = {} ] || {{ echo 'not done yet for this version'; exit 1; }}\n{unless}",
            word(&self.stamp_path()),
            word(stamp)
        )
    }

    fn stamp_path(&self) -> String {
        format!("{STAMPS}/{}", script_key(&self.run))
    }

    pub(super) fn probes(&self) -> Vec<Probe> {
        vec![Probe::Script(self.guard())]
    }

    pub(super) fn diff(&self, facts: &Facts) -> Diff {
        let Some(guard) = facts.script(&self.guard()) else {
            return Diff::later("the host has not been asked");
        };
        match guard.status {
            0 if guard.last_line().is_empty() => Diff::in_sync("its guard says so"),
            0 => Diff::in_sync(guard.last_line()),
            NOT_YET => Diff::later(guard.last_line()),
            REFUSED => Diff::refused(guard.last_line()),
            _ => Diff::change(
                vec![Edit::attribute(
                    "needed",
                    None::<String>,
                    Some(guard.last_line()),
                )],
                vec![self.op()],
            ),
        }
    }

    fn op(&self) -> Op {
        match &self.undo {
            Some(undo) => Op::Confirmed {
                script: self.script(),
                undo: undo.clone(),
            },
            None => Op::Run {
                script: self.script(),
                stdin: self.stdin.clone().unwrap_or_default().into_bytes(),
            },
        }
    }

    fn script(&self) -> String {
        let run = match &self.user {
            // `su` keeps standard input, and is there where sudo may not be. The script comes over
            // another descriptor, because an argument list would show it to everybody on the host.
            Some(user) => format!(
                "su -s /bin/sh {} -c 'script=$(cat <&3); exec 3<&-; eval \"$script\"' \
                 3<<'END-OF-COMMAND'\n{}\nEND-OF-COMMAND\n",
                word(user),
                self.run
            ),
            None => format!("(\n{}\n)\n", self.run),
        };
        let Some(stamp) = &self.stamp else {
            return run;
        };
        format!(
            "{run}done=$?\n[ \"$done\" = 0 ] || exit \"$done\"\n\
             mkdir -p {STAMPS} && printf '%s\\n' {} > {}\n",
            word(stamp),
            word(&self.stamp_path())
        )
    }
}
