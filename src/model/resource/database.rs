//! Databases in MariaDB.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Diff;
use crate::model::facts::Facts;
use crate::model::probe::Probe;

/// Databases and the user that owns them. Asked and made on the database's host, as its root, over
/// the local socket.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// Names of the databases.
    pub names: Vec<String>,
    /// The user, with all privileges on them.
    pub user: String,
    /// The user's password.
    pub password: String,
    /// Where the user may come from, as MariaDB patterns.
    #[serde(default = "anywhere")]
    pub hosts: Vec<String>,
    /// Character set of new databases.
    #[serde(default = "utf8")]
    pub character_set: String,
}

fn anywhere() -> Vec<String> {
    vec!["localhost".into(), "%".into()]
}

fn utf8() -> String {
    "utf8mb3".into()
}

impl Database {
    pub(super) fn probes(&self) -> Vec<Probe> {
        Vec::new()
    }

    pub(super) fn diff(&self, _facts: &Facts) -> Diff {
        Diff::later("unfinished")
    }
}
