//! Databases in MariaDB.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Diff, Op};
use crate::model::edit::Edit;
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

/// Statuses of the question's script, as `sysexits.h` has them: try again later, and not permitted.
const NOT_YET: i32 = 75;
const NOT_PERMITTED: i32 = 77;

impl Database {
    pub(super) fn probes(&self) -> Vec<Probe> {
        vec![Probe::Script(self.question())]
    }

    pub(super) fn diff(&self, facts: &Facts) -> Diff {
        let Some(answer) = facts.script(&self.question()) else {
            return Diff::later("the host has not been asked");
        };
        match answer.status {
            0 => self.compare(&answer.output),
            NOT_YET => Diff::later(answer.last_line()),
            NOT_PERMITTED => Diff::refused(format!(
                "{}: give root its login over the local socket back and run again",
                answer.last_line()
            )),
            _ => Diff::refused(format!(
                "the database server cannot tell which users it has: {}",
                answer.last_line()
            )),
        }
    }

    /// Asks for what is there, in lines: `database NAME CHARACTER_SET`, `user HOST`, `password HOST`
    /// (it is the wanted one), `grant HOST DATABASE` (all privileges on it).
    fn question(&self) -> String {
        let user = string(&self.user);
        let hash = string(&native_hash(&self.password));
        let names: Vec<_> = self.names.iter().map(|name| string(name)).collect();
        let mut sql = vec![format!(
            "{SESSION}SELECT CONCAT('database ', schema_name, ' ', default_character_set_name) \
             FROM information_schema.schemata WHERE schema_name IN ({names});\n\
             SELECT CONCAT('user ', Host) FROM mysql.user WHERE User = {user};\n\
             SELECT CONCAT('password ', Host) FROM mysql.user WHERE User = {user} \
             AND {hash} IN (Password, authentication_string);\n",
            names = names.join(", ")
        )];
        // An unknown user is an error of SHOW GRANTS, so its statement is made up on the server.
        for host in &self.hosts {
            let account = format!("{user}@{}", string(host));
            sql.push(format!(
                "SET @ask = IF((SELECT COUNT(*) FROM mysql.user WHERE User = {user} AND Host = {host}), \
                 {show}, 'DO 0');\n\
                 SELECT CONCAT('grants ', {host});\nPREPARE ask FROM @ask;\nEXECUTE ask;\n",
                host = string(host),
                show = string(&format!("SHOW GRANTS FOR {account}")),
            ));
        }
        // SHOW GRANTS prints password hashes too; they stay on the host.
        format!(
            "{}rows=$(sql <<'END-OF-SQL'\n{sql}END-OF-SQL\n) || {{ status=$?; printf '%s\\n' \"$rows\"; exit \"$status\"; }}\n\
             printf '%s\\n' \"$rows\" | sed -n -e 's/^GRANT ALL PRIVILEGES ON \\(.*\\)\\.\\* TO .*/on \\1/' -e '/^GRANT/!p'\n",
            include_str!("database.sh"),
            sql = sql.concat(),
        )
    }

    fn compare(&self, output: &str) -> Diff {
        let known = Known::read(output);
        let mut edits = Vec::new();
        let mut sql = vec![SESSION.to_owned()];
        let user = &self.user;
        for name in self
            .names
            .iter()
            .filter(|name| !known.databases.contains_key(*name))
        {
            let after = format!("new, {}", self.character_set);
            edits.push(Edit::attribute(
                format!("database {name}"),
                None::<&str>,
                Some(after),
            ));
            sql.push(format!(
                "CREATE DATABASE IF NOT EXISTS {} CHARACTER SET {};\n",
                identifier(name),
                identifier(&self.character_set)
            ));
        }
        for host in &self.hosts {
            let account = format!("{}@{}", string(user), string(host));
            if !known.passwords.contains(host) {
                let exists = known.users.contains(host);
                edits.push(if exists {
                    Edit::attribute(
                        format!("password of {user}@{host}"),
                        Some("another"),
                        Some("set"),
                    )
                } else {
                    Edit::attribute(format!("user {user}@{host}"), None::<&str>, Some("new"))
                });
                // The one form that every MariaDB since 5.5 takes for both a new and a known user.
                sql.push(format!(
                    "GRANT USAGE ON *.* TO {account} IDENTIFIED BY PASSWORD {};\n",
                    string(&native_hash(&self.password))
                ));
            }
            for name in self.names.iter().filter(|name| !known.grants(host, name)) {
                let what = format!("{user}@{host} on {name}");
                edits.push(Edit::attribute(what, None::<&str>, Some("all privileges")));
                sql.push(format!(
                    "GRANT ALL PRIVILEGES ON {}.* TO {account};\n",
                    identifier(&pattern(name))
                ));
            }
        }
        if edits.is_empty() {
            return Diff::in_sync(self.reason(&known));
        }
        let script = format!("{}sql\n", include_str!("database.sh"));
        let stdin = sql.concat().into_bytes();
        Diff::change(edits, vec![Op::Run { script, stdin }])
    }

    fn reason(&self, known: &Known) -> String {
        let names: Vec<_> = self.names.iter().map(|name| format!("`{name}`")).collect();
        let mut reason = vec![format!("user `{}` owns {}", self.user, names.join(", "))];
        for name in &self.names {
            let set = known.databases.get(name).map_or("", String::as_str);
            if same_set(set) != same_set(&self.character_set) {
                reason.push(format!("`{name}` keeps its character set {set}"));
            }
        }
        reason.join("; ")
    }
}

/// What the server said.
#[derive(Default)]
struct Known {
    databases: BTreeMap<String, String>,
    users: BTreeSet<String>,
    passwords: BTreeSet<String>,
    /// Host of the user, and the pattern of database names as GRANT has it.
    grants: BTreeSet<(String, String)>,
}

impl Known {
    fn read(output: &str) -> Self {
        let mut known = Self::default();
        let mut host = String::new();
        for line in output.lines() {
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            match word {
                "database" => {
                    let (name, set) = rest.rsplit_once(' ').unwrap_or((rest, ""));
                    known.databases.insert(name.to_owned(), set.to_owned());
                }
                "user" => drop(known.users.insert(rest.to_owned())),
                "password" => drop(known.passwords.insert(rest.to_owned())),
                "grants" => rest.clone_into(&mut host),
                "on" => drop(known.grants.insert((host.clone(), rest.to_owned()))),
                _ => {}
            }
        }
        known
    }

    fn grants(&self, host: &str, name: &str) -> bool {
        [identifier(&pattern(name)), identifier(name), "*".into()]
            .into_iter()
            .any(|on| self.grants.contains(&(host.to_owned(), on)))
    }
}

/// What the server's settings must not change in the meaning of our statements.
const SESSION: &str = "SET SESSION sql_mode = '';\n";

/// Names of character sets that mean the same.
fn same_set(name: &str) -> &str {
    if name == "utf8" { "utf8mb3" } else { name }
}

/// What MariaDB keeps of a password; so the password itself never reaches the server's logs.
fn native_hash(password: &str) -> String {
    use sha1::Digest;
    let hash = sha1::Sha1::digest(sha1::Sha1::digest(password.as_bytes()));
    format!("*{}", data_encoding::HEXUPPER.encode(&hash))
}

/// `text` as a string of SQL.
fn string(text: &str) -> String {
    let mut out = String::from("'");
    for c in text.chars() {
        match c {
            '\'' => out.push_str("''"),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\0' => out.push_str("\\0"),
            c => out.push(c),
        }
    }
    out + "'"
}

/// `name` as an identifier of SQL.
fn identifier(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// `name` where GRANT takes a pattern: `_` and `%` stand for themselves.
fn pattern(name: &str) -> String {
    name.replace('\\', "\\\\")
        .replace('_', "\\_")
        .replace('%', "\\%")
}
