//! Packages: one transaction for the whole set.
//!
//! The transaction runs apart from our connection (`detached.sh`), so that a cut cable never leaves
//! packages half configured. While it runs, package scripts find some commands replaced (`apt.sh`):
//! services stay down until they are configured, and byte-compilation can be put off and done at
//! once ([`ByteCompile`]). Nothing on the host is changed for that, so nothing can be left behind.

mod byte_compile;

pub use byte_compile::ByteCompile;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Diff, Op};
use crate::model::edit::Edit;
use crate::model::facts::Facts;
use crate::model::probe::{PackageManager, Probe};
use crate::model::quote::{word, words};

/// A set of packages that is installed in one transaction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Packages {
    /// Names, without version or architecture. Usually `"{{packages.core}}"`: the union of what the
    /// playbooks of this cloud want on this host in that stage.
    pub names: Vec<String>,
    /// Which package manager: from the platform, when the playbook does not say.
    #[serde(default = "apt")]
    #[schemars(skip)]
    pub manager: PackageManager,
    /// Services that the packages bring are not started by the package manager (they are not
    /// configured yet).
    #[serde(default = "yes")]
    pub hold_services: bool,
    /// Python sources are not byte-compiled package by package, but at once and in parallel by a
    /// later step of kind `byte_compile` with this name as its `queue`; empty: as usual.
    #[serde(default)]
    pub defer_byte_compile: String,
    /// How far the transaction gives way to everything else on the host, 0 to 19 as `nice` has it.
    #[serde(default)]
    pub niceness: u8,
}

fn apt() -> PackageManager {
    PackageManager::Apt
}

fn yes() -> bool {
    true
}

impl Packages {
    pub(super) fn probes(&self) -> Vec<Probe> {
        self.names
            .iter()
            .map(|name| Probe::Package {
                manager: self.manager,
                name: name.clone(),
            })
            .collect()
    }

    pub(super) fn diff(&self, facts: &Facts) -> Diff {
        let missing: Vec<_> = self
            .names
            .iter()
            .filter(|name| !facts.packages.contains_key(*name))
            .map(String::as_str)
            .collect();
        if missing.is_empty() {
            return Diff::in_sync(match &self.names[..] {
                [only] => format!("`{only}` is installed"),
                all => format!("{} packages are installed", all.len()),
            });
        }
        let edit = Edit::attribute("packages", None::<&str>, Some(missing.join(" ")));
        Diff::change(vec![edit], vec![Op::run(self.script(&missing))])
    }

    /// The worker that installs what is missing, and what starts it apart from our connection.
    fn script(&self, missing: &[&str]) -> String {
        let yes = |flag| if flag { "yes" } else { "no" };
        let worker = match self.manager {
            PackageManager::Apt => include_str!("apt.sh"),
            PackageManager::Yum | PackageManager::Dnf => include_str!("yum.sh"),
        };
        let compiler = match self.defer_byte_compile.as_str() {
            "" => String::new(),
            _ => byte_compile::files(),
        };
        format!(
            "mkdir -p -m 0700 /run/provision && mkdir -p {FOLDER}\n{compiler}\
             cat > /run/provision/packages.sh <<'END-OF-WORKER'\n\
             packages={} hold={} defer={}\n{worker}END-OF-WORKER\n\
             niceness={}\n{}",
            word(&words(missing)),
            yes(self.hold_services),
            word(&self.defer_byte_compile),
            self.niceness,
            include_str!("detached.sh")
        )
    }
}

/// Where a host keeps what has to outlast a transaction or a reboot.
const FOLDER: &str = "/var/lib/provision/packages";
