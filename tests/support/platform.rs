//! What platforms bring: reads `tests/platforms/*.toml`, whose README explains the keys.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Deserialize;

/// One file.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Platform {
    pub(crate) packages: Vec<String>,
    pub(crate) units: Vec<String>,
    pub(crate) paths: Vec<String>,
    pub(crate) folders: Vec<String>,
    pub(crate) groups: Vec<String>,
    pub(crate) platform: BTreeMap<String, String>,
    pub(crate) repository: BTreeMap<String, Repository>,
    pub(crate) host: Host,
    pub(crate) updates: BTreeMap<String, String>,
    pub(crate) leaves: Leaves,
    pub(crate) service: BTreeMap<String, Service>,
    pub(crate) package: BTreeMap<String, Package>,
}

/// Where packages come from.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Repository {
    pub(crate) id: String,
    pub(crate) file: String,
    pub(crate) path: String,
    pub(crate) list: Option<String>,
    pub(crate) key: String,
    pub(crate) brought_by: String,
    #[serde(default)]
    pub(crate) unverified: bool,
}

/// A fresh host.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Host {
    pub(crate) installed: Vec<String>,
    pub(crate) packages: BTreeMap<String, String>,
    pub(crate) enabled: Vec<String>,
    pub(crate) units: Vec<String>,
    pub(crate) files: Vec<File>,
    pub(crate) source: String,
    pub(crate) unverified: bool,
}

/// Packages that bring nothing of interest, by repository.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Leaves {
    #[serde(flatten)]
    pub(crate) repository: BTreeMap<String, Names>,
}

/// A list of names; the table's remarks are let pass.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Names {
    Names(Vec<String>),
    Remark(toml::Value),
}

/// A service as the guides set it up.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Service {
    pub(crate) title: String,
    pub(crate) user: String,
    pub(crate) group: String,
    pub(crate) log: String,
    pub(crate) config: String,
    pub(crate) ports: Vec<u16>,
    /// By role.
    pub(crate) packages: BTreeMap<String, Vec<String>>,
    /// Units, by role.
    pub(crate) enable: BTreeMap<String, Vec<String>>,
    pub(crate) databases: Vec<Database>,
    pub(crate) sync: Vec<Sync>,
    pub(crate) catalog: Vec<Catalog>,
    pub(crate) identity_user: Option<IdentityUser>,
    /// By file: `section/key`.
    pub(crate) options: BTreeMap<String, Vec<String>>,
    pub(crate) source: Vec<String>,
    pub(crate) unverified: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Database {
    pub(crate) name: String,
    pub(crate) user: String,
}

/// A command that brings a database up to date.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sync {
    #[serde(rename = "as")]
    pub(crate) user: String,
    pub(crate) run: String,
}

/// An entry of the catalog, with the addresses of its endpoints.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Catalog {
    pub(crate) name: String,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) public: String,
    pub(crate) internal: String,
    pub(crate) admin: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct IdentityUser {
    pub(crate) name: String,
    pub(crate) project: String,
    pub(crate) roles: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Package {
    /// With or without a release.
    pub(crate) version: String,
    pub(crate) repository: String,
    pub(crate) arch: Option<String>,
    pub(crate) requires: Vec<String>,
    pub(crate) provides: Vec<String>,
    pub(crate) users: Vec<User>,
    pub(crate) units: Vec<Unit>,
    pub(crate) files: Vec<File>,
    pub(crate) source: Option<String>,
    pub(crate) unverified: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) id: Option<u32>,
    pub(crate) group: Option<String>,
    #[serde(default)]
    pub(crate) groups: Vec<String>,
    pub(crate) home: Option<String>,
    #[serde(default)]
    pub(crate) joins: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Unit {
    pub(crate) name: String,
    pub(crate) alias_of: Option<String>,
    #[serde(rename = "type")]
    pub(crate) kind: Option<String>,
    pub(crate) user: Option<String>,
    pub(crate) run: Option<String>,
    #[serde(default)]
    pub(crate) reads: Vec<String>,
    #[serde(default)]
    pub(crate) ports: Vec<u16>,
}

/// A file of a package.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct File {
    pub(crate) kind: String,
    /// Octal.
    pub(crate) mode: String,
    pub(crate) owner: String,
    pub(crate) group: String,
    pub(crate) path: String,
}

impl TryFrom<String> for File {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let parts: Vec<_> = text.trim_end_matches(" ?").split(' ').collect();
        let wrong = || format!("`{text}` is not `kind mode owner:group path`");
        let &[kind, mode, who, path] = parts.as_slice() else {
            return Err(wrong());
        };
        let (owner, group) = who.split_once(':').ok_or_else(wrong)?;
        let known = ["bin", "config", "file", "dir", "ghost"].contains(&kind);
        let octal = mode.len() == 4 && mode.chars().all(|digit| digit.is_digit(8));
        if !known || !octal || !path.starts_with('/') {
            return Err(wrong());
        }
        let [kind, mode, owner, group, path] = [kind, mode, owner, group, path].map(str::to_owned);
        Ok(Self {
            kind,
            mode,
            owner,
            group,
            path,
        })
    }
}

impl Leaves {
    /// Names, with the repository of each.
    pub(crate) fn names(&self) -> impl Iterator<Item = (&str, &str)> {
        self.repository.iter().flat_map(|(repository, names)| {
            let names = match names {
                Names::Names(names) => names.as_slice(),
                Names::Remark(_) => &[],
            };
            names
                .iter()
                .map(move |name| (name.as_str(), repository.as_str()))
        })
    }
}

impl Platform {
    /// The file of a platform.
    pub(crate) fn read(name: &str) -> Self {
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/platforms/{name}.toml"));
        let text = std::fs::read_to_string(&path)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Everything by kind, as lists: `packages`, `units`, `paths`, `folders`, `groups`.
    pub(crate) fn lists(&self) -> BTreeMap<&'static str, BTreeSet<&str>> {
        let packages = || self.package.values();
        let files = || {
            self.host
                .files
                .iter()
                .chain(packages().flat_map(|it| &it.files))
        };
        let mut lists = BTreeMap::from([
            ("packages", all(&self.packages)),
            ("units", all(&self.units)),
            ("paths", all(&self.paths)),
            ("folders", all(&self.folders)),
            ("groups", all(&self.groups)),
        ]);
        let more: [(&str, Vec<&str>); 8] = [
            (
                "packages",
                self.package.keys().map(String::as_str).collect(),
            ),
            (
                "packages",
                self.host.packages.keys().map(String::as_str).collect(),
            ),
            (
                "packages",
                self.leaves.names().map(|(name, _)| name).collect(),
            ),
            (
                "units",
                self.host.units.iter().map(String::as_str).collect(),
            ),
            (
                "units",
                packages()
                    .flat_map(|it| &it.units)
                    .map(|it| it.name.as_str())
                    .collect(),
            ),
            ("paths", files().map(|it| it.path.as_str()).collect()),
            (
                "folders",
                files()
                    .filter(|it| it.kind == "dir")
                    .map(|it| it.path.as_str())
                    .collect(),
            ),
            ("groups", files().map(|it| it.group.as_str()).collect()),
        ];
        for (kind, names) in more {
            lists.entry(kind).or_default().extend(names);
        }
        lists
    }
}

fn all(names: &[String]) -> BTreeSet<&str> {
    names.iter().map(String::as_str).collect()
}
