//! Out of what a platform brings: the files of its packages, and what makes packages of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::platform::{File, Package, Platform, Unit, User};

/// Something to be packaged, as `rpmbuild` takes it.
pub(crate) struct Wanted<'a> {
    name: &'a str,
    /// `version` or `version-release`.
    version: &'a str,
    arch: &'a str,
    repository: &'a str,
    /// What there is to know of it, where there is anything.
    package: Option<&'a Package>,
}

/// Packages that repositories have at first, and those of the updates: two sets, because a set has a name once.
pub(crate) fn sets(platform: &Platform) -> [Vec<Wanted<'_>>; 2] {
    let bare = |name, version, repository| Wanted {
        name,
        version,
        arch: "noarch",
        repository,
        package: None,
    };
    let described = platform.package.iter().map(|(name, package)| Wanted {
        name,
        version: &package.version,
        arch: package.arch.as_deref().unwrap_or("noarch"),
        repository: &package.repository,
        package: Some(package),
    });
    let host = platform
        .host
        .packages
        .iter()
        .map(|(name, version)| bare(name, version, "os"));
    let leaves = platform
        .leaves
        .names()
        .map(|(name, repository)| bare(name, "1", repository));
    let updates = platform
        .updates
        .iter()
        .map(|(name, version)| bare(name, version, "updates"));
    [
        described.chain(host).chain(leaves).collect(),
        updates.collect(),
    ]
}

impl Wanted<'_> {
    fn version_and_release(&self) -> (&str, &str) {
        self.version
            .split_once('-')
            .unwrap_or((self.version, "1.el7"))
    }

    fn architecture(&self) -> &str {
        if self.name == "kernel" {
            "x86_64"
        } else {
            self.arch
        }
    }

    /// Files beside those that are described.
    fn own_files(&self) -> Vec<File> {
        let (version, release) = self.version_and_release();
        let file = |kind: &str, path: String| {
            File::try_from(format!("{kind} 0644 root:root {path}")).unwrap()
        };
        match self.name {
            "kernel" => {
                let kernel = format!("{version}-{release}.x86_64");
                vec![
                    file("file", format!("/boot/vmlinuz-{kernel}")),
                    file("dir", format!("/usr/lib/modules/{kernel}")),
                ]
            }
            _ => Vec::new(),
        }
    }
}

/// Writes the files of a set below `tree`, and gives the text of the specification that packages them.
pub(crate) fn specification(
    platform: &Platform,
    set: &[Wanted],
    contents: &Path,
    tree: &Path,
) -> String {
    let mut spec = String::from(
        "Name: standin\nVersion: 1\nRelease: 1\nSummary: Packages of a stand-in\nLicense: none\n\
         %define debug_package %{nil}\n%define __os_install_post %{nil}\n\
         %define _unpackaged_files_terminate_build 0\n%define _build_id_links none\n\
         %description\nNothing.\n\n",
    );
    let mut lists = String::new();
    for wanted in set {
        let name = wanted.name;
        let (version, release) = wanted.version_and_release();
        let nothing = Package::default();
        let package = wanted.package.unwrap_or(&nothing);
        write!(
            spec,
            "%package -n {name}\nVersion: {version}\nRelease: {release}\nSummary: {name}\nAutoReqProv: no\n"
        )
        .unwrap();
        if wanted.architecture() == "noarch" {
            spec += "BuildArch: noarch\n";
        }
        for required in package.requires.iter().filter(|it| !it.starts_with('/')) {
            writeln!(spec, "Requires: {required}").unwrap();
        }
        for provided in &package.provides {
            writeln!(spec, "Provides: {provided} = {version}-{release}").unwrap();
        }
        if name == "bash" {
            spec += "Provides: /bin/sh\n";
        }
        write!(spec, "%description -n {name}\nMade of facts.\n").unwrap();
        if !package.users.is_empty() {
            writeln!(spec, "%pre -n {name}").unwrap();
            package
                .users
                .iter()
                .for_each(|user| spec += &user_script(user));
        }
        spec.push('\n');
        writeln!(lists, "%files -n {name}").unwrap();
        let listed = files(platform, wanted, package, contents, tree);
        listed
            .iter()
            .for_each(|line| writeln!(lists, "{line}").unwrap());
    }
    spec + "%install\ncp -a %{_tree}/. %{buildroot}/\n" + &lists
}

fn user_script(user: &User) -> String {
    let User { name, .. } = user;
    if !user.joins.is_empty() {
        let join = |group: &String| {
            format!(
                "getent group {group} >/dev/null || groupadd -r {group}\nusermod -a -G {group} {name}\n"
            )
        };
        return user.joins.iter().map(join).collect();
    }
    let group = user.group.as_ref().unwrap_or(name);
    let id = |option: &str| {
        user.id
            .map_or_else(String::new, |id| format!(" {option} {id}"))
    };
    let home = user.home.as_deref().unwrap_or("/");
    let more = match user.groups.as_slice() {
        [] => String::new(),
        groups => format!(" -G {}", groups.join(",")),
    };
    format!(
        "getent group {group} >/dev/null || groupadd -r{} {group}\n\
         getent passwd {name} >/dev/null || useradd -r{} -g {group}{more} -d {home} -s /sbin/nologin {name}\n",
        id("-g"),
        id("-u"),
    )
}

/// Writes what a package brings, and gives its lines of `%files`.
fn files(
    platform: &Platform,
    wanted: &Wanted,
    package: &Package,
    contents: &Path,
    tree: &Path,
) -> Vec<String> {
    let own = wanted.own_files();
    let mut lines = BTreeSet::new();
    // What is in /run is made at every boot, by the units.
    let packaged = |file: &&File| {
        !file.path.contains('*') && !file.path.starts_with("/var/run/") && file.kind != "ghost"
    };
    for file in package.files.iter().chain(&own).filter(packaged) {
        let File {
            kind,
            mode,
            owner,
            group,
            path,
        } = file;
        let attributes = format!("%attr({mode},{owner},{group})");
        if kind == "dir" {
            fs::create_dir_all(below(tree, path)).unwrap();
            lines.insert(format!("{attributes} %dir {path}"));
            continue;
        }
        let text = content(contents, path).unwrap_or_else(|| match kind.as_str() {
            "bin" => program(path),
            _ if path.starts_with("/etc/yum.repos.d/") => repositories(platform, path),
            _ if path.ends_with(".conf") || path.ends_with(".ini") => b"[DEFAULT]\n".to_vec(),
            _ => Vec::new(),
        });
        put(tree, path, &text, if kind == "bin" { 0o755 } else { 0o644 });
        let kept = if kind == "config" {
            "%config(noreplace) "
        } else {
            ""
        };
        lines.insert(format!("{attributes} {kept}{path}"));
    }
    for unit in &package.units {
        let path = format!("/usr/lib/systemd/system/{}", unit.name);
        if let Some(target) = &unit.alias_of {
            link(tree, &path, Path::new(target));
            lines.insert(path);
            continue;
        }
        let text = content(contents, &path).unwrap_or_else(|| unit_file(unit).into_bytes());
        put(tree, &path, &text, 0o644);
        lines.insert(path);
        if let Some(run) = &unit.run {
            if !package.files.iter().any(|file| file.path == *run) && run != "/usr/bin/python" {
                put(
                    tree,
                    run,
                    &content(contents, run).unwrap_or_else(|| program(run)),
                    0o755,
                );
                lines.insert(run.clone());
            }
        }
    }
    for path in more(contents, wanted.name) {
        let from = below(&contents.join(format!("more/{}", wanted.name)), &path);
        match fs::read_link(&from) {
            Ok(target) => link(tree, &path, &target),
            Err(_) => put(tree, &path, &fs::read(from).unwrap(), 0o644),
        }
        lines.insert(path);
    }
    lines.into_iter().collect()
}

/// What a file holds in the package that brings it, where that matters.
fn content(contents: &Path, path: &str) -> Option<Vec<u8>> {
    fs::read(below(contents, path)).ok()
}

/// Files that only matter here, by package: below `more/PACKAGE`.
fn more(contents: &Path, package: &str) -> Vec<String> {
    let root = contents.join("more").join(package);
    let mut open = vec![root.clone()];
    let mut found = Vec::new();
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(next).into_iter().flatten() {
            let path = entry.unwrap().path();
            match path.is_dir() && !path.is_symlink() {
                true => open.push(path),
                false => found.push(format!("/{}", path.strip_prefix(&root).unwrap().display())),
            }
        }
    }
    found
}

/// Every program is one and the same, and knows by its name what to be.
fn program(path: &str) -> Vec<u8> {
    let name = path.rsplit('/').next().unwrap();
    format!("#!/bin/sh\nexec /usr/libexec/standin/program {name} \"$@\"\n").into_bytes()
}

fn unit_file(unit: &Unit) -> String {
    let kind = match unit.kind.as_deref().unwrap_or("simple") {
        // Nothing here has a name on the bus, or forks.
        "dbus" | "forking" => "notify",
        other => other,
    };
    let name = &unit.name;
    let base = name.trim_end_matches(".service");
    let run = match &unit.run {
        Some(run) if run != "/usr/bin/python" => run.clone(),
        _ => format!("/usr/libexec/standin/program {base}"),
    };
    // A file on the command line must be there; a folder may be empty.
    let reads: String = unit
        .reads
        .iter()
        .map(|path| {
            match path
                .rsplit('/')
                .next()
                .is_some_and(|last| last.contains('.'))
                && !path.ends_with(".d")
            {
                true => format!(" --config-file {path}"),
                false => format!(" --config-dir {path}"),
            }
        })
        .collect();
    let user = unit.user.as_deref().unwrap_or("root");
    let stays = if kind == "oneshot" {
        "RemainAfterExit=yes\n"
    } else {
        ""
    };
    format!(
        "[Unit]\nDescription={base}\nAfter=network.target syslog.target\n\n\
         [Service]\nType={kind}\nNotifyAccess=all\nUser={user}\n{stays}ExecStart={run}{reads}\n\n\
         [Install]\nWantedBy=multi-user.target\n"
    )
}

/// A file of yum's, as the package of old brings it: with the mirrors that were alive then.
fn repositories(platform: &Platform, file: &str) -> Vec<u8> {
    let mut text = String::new();
    for repository in platform.repository.values().filter(|it| it.file == file) {
        let id = &repository.id;
        let path = repository
            .path
            .replace("centos/7/", "centos/$releasever/")
            .replace("x86_64", "$basearch");
        let from = match &repository.list {
            Some(list) => format!(
                "mirrorlist=http://mirrorlist.centos.org/?release=$releasever&arch=$basearch&repo={list}&infra=$infra\n\
                 #baseurl=http://mirror.centos.org/{path}/\n"
            ),
            None => {
                let path = path.replacen("centos/", "$contentdir/", 1);
                format!("baseurl=http://mirror.centos.org/{path}/\n")
            }
        };
        write!(
            text,
            "[{id}]\nname=CentOS-$releasever - {id}\n{from}gpgcheck=1\nenabled=1\ngpgkey=file://{}\n\n",
            repository.key
        )
        .unwrap();
        if repository.list.is_none() {
            write!(
                text,
                "[{id}-test]\nname=CentOS-$releasever - {id} test\nbaseurl=https://buildlogs.centos.org/{}/\n\
                 gpgcheck=0\nenabled=0\n\n",
                repository.path
            )
            .unwrap();
        }
    }
    text.into_bytes()
}

fn put(tree: &Path, path: &str, text: &[u8], mode: u32) {
    let file = below(tree, path);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, text).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
}

fn link(tree: &Path, path: &str, target: &Path) {
    let file = below(tree, path);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    let _ = fs::remove_file(&file);
    std::os::unix::fs::symlink(target, &file).unwrap();
}

fn below(root: &Path, path: &str) -> std::path::PathBuf {
    root.join(path.trim_start_matches('/'))
}

/// The path of each package in the mirror, by its name.
pub(crate) fn places(platform: &Platform, set: &[Wanted]) -> BTreeMap<String, String> {
    let place = |wanted: &Wanted| {
        let repository = &platform.repository[wanted.repository];
        let (version, release) = wanted.version_and_release();
        let name = wanted.name;
        let file = format!("{name}-{version}-{release}.{}.rpm", wanted.architecture());
        (
            name.to_owned(),
            format!("{}/Packages/{file}", repository.path),
        )
    };
    set.iter().map(place).collect()
}
