//! Byte-compilation that package transactions have put off.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::FOLDER;
use crate::model::edit::Edit;
use crate::model::facts::Facts;
use crate::model::probe::Probe;
use crate::model::quote::word;
use crate::model::resource::{Diff, Op};

/// Python sources are byte-compiled, on all processors, where `packages` with `defer_byte_compile`
/// has put it off: exactly the files that the package manager would have left. Nothing has to wait
/// for it; programs only start slower before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ByteCompile {
    /// What `defer_byte_compile` of the package transaction says.
    pub queue: String,
    /// How far it gives way to everything else on the host, 0 to 19 as `nice` has it.
    #[serde(default = "ten")]
    pub niceness: u8,
}

fn ten() -> u8 {
    10
}

impl ByteCompile {
    /// Counts the calls of py3compile that were put off, of which there is one a line.
    fn question(&self) -> String {
        let queue = self.path();
        format!("cat {queue} {queue}.taken 2>/dev/null | wc -l")
    }

    fn path(&self) -> String {
        word(&format!("{FOLDER}/byte-compile/{}", self.queue))
    }

    pub(in super::super) fn probes(&self) -> Vec<Probe> {
        vec![Probe::Script(self.question())]
    }

    pub(in super::super) fn diff(&self, facts: &Facts) -> Diff {
        let Some(answer) = facts.script(&self.question()) else {
            return Diff::later("the host has not been asked");
        };
        let calls = answer.last_line();
        if calls == "0" {
            return Diff::in_sync("no byte-compilation is put off");
        }
        let edit = Edit::attribute(
            "byte-compilation",
            Some(format!("put off for {calls} packages")),
            Some("done"),
        );
        let script = format!(
            "{}queue={} niceness={} sh {FOLDER}/byte_compile.sh",
            files(),
            self.path(),
            self.niceness
        );
        Diff::change(vec![edit], vec![Op::run(script)])
    }
}

/// Writes the programs that do it; a transaction and the compilation of another's may do so at the same time.
pub(super) fn files() -> String {
    let file = |name: &str, text: &str| {
        format!(
            "cat > {FOLDER}/{name}.$$ <<'END-OF-FILE' && mv -f {FOLDER}/{name}.$$ {FOLDER}/{name} || exit\n{text}END-OF-FILE\n"
        )
    };
    format!("mkdir -p {FOLDER} || exit\n")
        + &file("byte_compile.py", include_str!("byte_compile.py"))
        + &file("byte_compile.sh", include_str!("byte_compile.sh"))
}
