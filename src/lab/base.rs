//! The base file system of a distribution: made once, shared read-only by all hosts of all labs.
//!
//! It is what a plain, freshly installed server has, and nothing for the cloud. Its directory is named after
//! a digest of the recipe and the package sources, so that a change of either makes a new one; it is built
//! under a temporary name, so that a directory with the final name is whole.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};
use tokio::fs;

use super::error::LabError;
use super::host::mounted_below;
use super::lock::Lock;
use super::needs;
use super::places::Places;
use super::program::Program;
use super::progress::{Happening, Progress};
use super::sources::{self, Source};
use super::spec::Distro;

const PACKAGES: &[&str] = &[
    "ca-certificates",
    "dbus",
    "debian-archive-keyring",
    "iproute2",
    "iputils-ping",
    "kmod",
    "libpam-systemd",
    "netbase",
    "openssh-server",
    "procps",
    "sudo",
    "systemd",
    "systemd-sysv",
    "udev",
];

/// What runs a program so that its mounts are its own, and so that none of its processes outlives this one: a
/// later build must never meet the remains of an earlier one at work.
const ALONE: &[&str] = &[
    "--pdeathsig=KILL",
    "unshare",
    "--mount",
    "--pid",
    "--fork",
    "--kill-child",
    "--mount-proc",
];

/// What makes a file system into one of many hosts: nothing in it may be shared by accident.
/// It gets the new root directory as its first argument.
const FINISH: &str = r#"set -eu
umask 022
root=$1
rm -f "$root"/etc/ssh/ssh_host_* "$root"/etc/hostname "$root"/etc/resolv.conf
rm -f "$root"/etc/apt/sources.list "$root"/etc/apt/sources.list.d/*
printf '%s' "$SOURCES" >"$root"/etc/apt/sources.list.d/debian.sources
printf 'uninitialized\n' >"$root"/etc/machine-id
rm -f "$root"/var/lib/dbus/machine-id
printf 'UseDNS no\n' >"$root"/etc/ssh/sshd_config.d/lab.conf
chroot "$root" systemctl --quiet enable systemd-networkd.service ssh.service
chroot "$root" systemctl --quiet mask systemd-modules-load.service
mkdir -p "$root"/var/cache/apt/archives/partial
"#;

/// The directory of the base of this distribution; builds it where it is not there yet. Nothing may be changed
/// in it: labs share it.
pub async fn base(
    places: &Places,
    distro: Distro,
    progress: &dyn Progress,
) -> Result<PathBuf, LabError> {
    let sources = sources::render(&machine_sources().await?, distro);
    let proxy = machine_proxy().await;
    let bases = places.cache.join("bases");
    let name = format!("{}-{}", distro.name(), digest(distro, &sources, &proxy));
    let finished = bases.join(&name);
    if finished.is_dir() {
        return Ok(finished);
    }
    needs::meet(needs::BASE, progress).await?;
    create_dir(&bases).await?;
    let _lock = Lock::wait(&bases.join(format!("{}.lock", distro.name()))).await?;
    if finished.is_dir() {
        return Ok(finished);
    }
    let started = Instant::now();
    progress.happened(Happening::BuildingBase {
        distro: distro.name().to_owned(),
    });
    let temporary = bases.join(format!("{name}.new"));
    remove_tree(&temporary).await?;
    build(&temporary, distro, &sources, &proxy, progress).await?;
    fs::rename(&temporary, &finished)
        .await
        .map_err(LabError::file("name", &finished))?;
    let took = started.elapsed();
    progress.happened(Happening::BaseReady {
        distro: distro.name().to_owned(),
        took,
    });
    Ok(finished)
}

async fn build(
    root: &Path,
    distro: Distro,
    sources: &str,
    proxy: &str,
    progress: &dyn Progress,
) -> Result<(), LabError> {
    let what = || format!("make the base file system of {}", distro.name());
    let help = "see whether `apt-get update` works on this machine, and run the command again";
    Program::new("setpriv")
        .args(ALONE)
        .arg("mmdebstrap")
        .args(["--mode=root", "--variant=minbase", "--format=directory"])
        .arg(format!("--include={}", PACKAGES.join(",")))
        .arg(distro.codename())
        .arg(root)
        .arg("-")
        .input(sources)
        .deadline(Duration::from_secs(1800))
        .run_seen(|line| {
            progress.happened(Happening::Line {
                text: line.to_owned(),
            })
        })
        .await
        .map_err(LabError::step(what(), help))?;
    if !proxy.is_empty() {
        let file = root.join("etc/apt/apt.conf.d/30proxy");
        fs::write(&file, proxy)
            .await
            .map_err(LabError::file("write", &file))?;
    }
    Program::new("sh")
        .args(["-c", FINISH, "finish"])
        .arg(root)
        .env("SOURCES", sources)
        .run()
        .await
        .map_err(LabError::step(what(), help))?;
    Ok(())
}

fn digest(distro: Distro, sources: &str, proxy: &str) -> String {
    let recipe = [
        distro.codename(),
        sources,
        proxy,
        &PACKAGES.join(","),
        FINISH,
    ]
    .join("\0");
    HEXLOWER.encode(&Sha256::digest(recipe))[..12].to_owned()
}

async fn machine_sources() -> Result<Vec<Source>, LabError> {
    let mut files = vec![PathBuf::from("/etc/apt/sources.list")];
    if let Ok(mut entries) = fs::read_dir("/etc/apt/sources.list.d").await {
        while let Ok(Some(entry)) = entries.next_entry().await {
            files.push(entry.path());
        }
    }
    files.sort();
    let mut found = Vec::new();
    for file in &files {
        let deb822 = file.extension().is_some_and(|ending| ending == "sources");
        if deb822 || file.extension().is_some_and(|ending| ending == "list") {
            let text = fs::read_to_string(file).await.unwrap_or_default();
            found.extend(sources::parse(&text, deb822));
        }
    }
    if found.is_empty() {
        let looked_at = "/etc/apt/sources.list and /etc/apt/sources.list.d".to_owned();
        return Err(LabError::NoSources { looked_at });
    }
    Ok(found)
}

/// The machine's own proxy settings for packages, as apt's settings lines.
async fn machine_proxy() -> String {
    let dump = Program::new("apt-config")
        .args(["dump", "--no-empty"])
        .run()
        .await;
    let is_proxy = |line: &&str| {
        let line = line.to_ascii_lowercase();
        line.starts_with("acquire::http") && line.contains("::proxy")
    };
    let lines = dump.unwrap_or_default();
    lines
        .lines()
        .filter(is_proxy)
        .map(|line| format!("{line}\n"))
        .collect()
}

/// Makes a directory with its parents.
pub(crate) async fn create_dir(path: &Path) -> Result<(), LabError> {
    fs::create_dir_all(path)
        .await
        .map_err(LabError::file("make", path))
}

/// Removes a directory with all that is in it, where it is there. Never goes into what is mounted below it.
pub(crate) async fn remove_tree(path: &Path) -> Result<(), LabError> {
    if let Some(mounted) = mounted_below(path) {
        return Err(LabError::Unmet {
            what: format!(
                "`{}` is not removed: `{mounted}` is mounted",
                path.display()
            ),
            help: format!("run `umount '{mounted}'`, then the command again"),
        });
    }
    match fs::remove_dir_all(path).await {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(LabError::file("remove", path)(error))
        }
        _ => Ok(()),
    }
}
