//! The programs of this machine that a lab uses, and how they get here.

use std::path::Path;
use std::time::Duration;

use super::error::LabError;
use super::program::{Program, is_installed};
use super::progress::{Happening, Progress};

/// Something of this machine that a lab uses.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Need {
    /// A program's name, or the path of a file.
    what: &'static str,
    /// The Debian package that has it.
    package: &'static str,
}

const fn need(what: &'static str, package: &'static str) -> Need {
    Need { what, package }
}

/// What running hosts need.
pub(crate) const HOSTS: &[Need] = &[
    need("ip", "iproute2"),
    need("nft", "nftables"),
    need("ethtool", "ethtool"),
    need("systemd-nspawn", "systemd-container"),
    need("ssh-keygen", "openssh-client"),
];

/// What making a base file system needs.
pub(crate) const BASE: &[Need] = &[
    need("mmdebstrap", "mmdebstrap"),
    need(
        "/usr/share/keyrings/debian-archive-keyring.gpg",
        "debian-archive-keyring",
    ),
];

/// What making the test guest needs beyond what it downloads and unpacks for itself.
pub(crate) const GUEST: &[Need] = &[need("xz", "xz-utils"), need("dpkg-deb", "dpkg")];

/// Installs the packages of those needs that are not met. Without root it names the command instead.
pub(crate) async fn meet(needs: &[Need], progress: &dyn Progress) -> Result<(), LabError> {
    let packages = missing(needs, is_there);
    if packages.is_empty() {
        return Ok(());
    }
    let command = format!(
        "apt-get install --no-install-recommends {}",
        packages.join(" ")
    );
    if !nix::unistd::geteuid().is_root() {
        let needed_for = format!("the packages {} are missing", packages.join(", "));
        return Err(LabError::NotRoot {
            needed_for,
            command,
        });
    }
    progress.happened(Happening::InstallingNeeds {
        packages: names(&packages),
    });
    if install(&packages).await.is_err() {
        // Stale package lists are the usual cause; an archive nobody needs here may fail to update.
        let _ = apt_get()
            .arg("update")
            .deadline(Duration::from_secs(300))
            .run()
            .await;
        let what = format!("install {}", packages.join(", "));
        let help = format!("run `apt-get update && {command}` and read what it says");
        install(&packages)
            .await
            .map_err(LabError::step(what, help))?;
    }
    let still = missing(needs, is_there);
    if still.is_empty() {
        return Ok(());
    }
    let what = format!(
        "{} is installed without what the lab looks for",
        still.join(", ")
    );
    Err(LabError::Unmet {
        what,
        help: format!("run `{command}` and read what it says"),
    })
}

/// Root is needed for everything but questions.
pub(crate) fn root(what: &str, command: &str) -> Result<(), LabError> {
    if nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    Err(LabError::NotRoot {
        needed_for: what.to_owned(),
        command: command.to_owned(),
    })
}

fn missing(needs: &[Need], is_there: impl Fn(&str) -> bool) -> Vec<&'static str> {
    let mut packages: Vec<_> = needs
        .iter()
        .filter(|need| !is_there(need.what))
        .map(|need| need.package)
        .collect();
    packages.dedup();
    packages
}

fn is_there(what: &str) -> bool {
    if what.starts_with('/') {
        Path::new(what).exists()
    } else {
        is_installed(what)
    }
}

fn names(packages: &[&str]) -> Vec<String> {
    packages.iter().map(|&package| package.to_owned()).collect()
}

async fn install(packages: &[&str]) -> Result<String, super::program::ProgramError> {
    let install = apt_get()
        .args(["install", "--yes", "--no-install-recommends"])
        .args(packages);
    install
        .uninterrupted()
        .deadline(Duration::from_secs(900))
        .run()
        .await
}

/// `apt-get` that asks nothing and waits for another one to end.
pub(crate) fn apt_get() -> Program {
    Program::new("apt-get")
        .env("DEBIAN_FRONTEND", "noninteractive")
        .args([
            "--quiet",
            "-o",
            "DPkg::Lock::Timeout=600",
            "-o",
            "Dpkg::Use-Pty=0",
        ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_not_there_is_installed_and_once() {
        let needs = [
            need("a", "tools"),
            need("b", "tools"),
            need("/c", "files"),
            need("d", "more"),
        ];
        assert_eq!(missing(&needs, |what| what == "d"), ["tools", "files"]);
        assert!(missing(&needs, |_| true).is_empty());
    }
}
