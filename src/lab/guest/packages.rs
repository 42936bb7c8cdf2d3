//! What the guest is made of and with: packages of the distribution, unpacked into a directory of their own.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::error::LabError;
use super::super::needs::apt_get;
use super::super::program::{Program, ProgramError, search_path};
use super::super::progress::{Happening, Progress};
use super::read;

const KERNEL: &str = "linux-image-cloud-amd64";
const OTHERS: &[&str] = &[
    "busybox-static",
    "dosfstools",
    "mtools",
    "syslinux",
    "syslinux-common",
];
const HELP: &str = "see whether `apt-get update` works on this machine, and run the command again";

/// The unpacked packages.
#[derive(Debug)]
pub(super) struct Packages {
    root: PathBuf,
}

impl Packages {
    /// Downloads and unpacks the packages below this directory.
    pub(super) async fn fetch(room: &Path, progress: &dyn Progress) -> Result<Self, LabError> {
        right_architecture().await?;
        let kernel = match kernel_package().await {
            Ok(kernel) => kernel,
            Err(_) => {
                update(progress).await;
                kernel_package()
                    .await
                    .map_err(LabError::step("find the guest's kernel", HELP))?
            }
        };
        if download(room, &kernel).await.is_err() {
            update(progress).await;
            let step = "download the guest's packages";
            download(room, &kernel)
                .await
                .map_err(LabError::step(step, HELP))?;
        }
        let root = room.join("packages");
        let unpack = Program::new("sh")
            .args([
                "-euc",
                "for deb in *.deb; do dpkg-deb --extract \"$deb\" packages; done",
            ])
            .directory(room);
        unpack
            .run()
            .await
            .map_err(LabError::step("unpack the guest's packages", HELP))?;
        Ok(Self { root })
    }

    /// A program of the packages.
    pub(super) fn tool(&self, name: &str) -> Result<Program, LabError> {
        let path = self.first(&["usr/bin", "usr/sbin", "sbin", "bin"], |file| file == name)?;
        // They call one another, and write the time into file systems.
        let own = ["usr/bin", "usr/sbin", "sbin", "bin"].map(|below| self.root.join(below));
        let own: Vec<_> = own.iter().map(|path| path.display().to_string()).collect();
        Ok(Program::new(&path.display().to_string())
            .env("PATH", &format!("{}:{}", own.join(":"), search_path()))
            .env("MTOOLS_SKIP_CHECK", "1")
            .env("SOURCE_DATE_EPOCH", "1700000000"))
    }

    pub(super) fn kernel(&self) -> Result<PathBuf, LabError> {
        self.first(&["boot"], |file| file.starts_with("vmlinuz-"))
    }

    pub(super) fn boot_code(&self) -> Result<PathBuf, LabError> {
        self.first(&["usr/lib/syslinux/mbr", "usr/lib/SYSLINUX"], |file| {
            file == "mbr.bin"
        })
    }

    pub(super) fn busybox(&self) -> Result<PathBuf, LabError> {
        self.first(&["bin", "usr/bin"], |file| file == "busybox")
    }

    /// The links that give busybox its many names: path and target.
    pub(super) async fn applets(&self) -> Result<Vec<(String, String)>, LabError> {
        let busybox = self.busybox()?.display().to_string();
        let list = Program::new(&busybox).arg("--list-full").run().await;
        let list = list.map_err(LabError::step("ask busybox for its names", HELP))?;
        Ok(list.lines().filter_map(applet).collect())
    }

    /// A kernel module; nothing where the kernel has it built in.
    pub(super) async fn module(&self, name: &str) -> Result<Option<Module>, LabError> {
        let trees = ["lib/modules", "usr/lib/modules"].map(|below| self.root.join(below));
        for tree in &trees {
            if let Some(path) = find(tree, &|file| module_name(file) == Some(name.to_owned())) {
                let bytes = uncompressed(&path).await?;
                let needs = needs(&bytes);
                return Ok(Some(Module { bytes, needs }));
            }
        }
        for tree in &trees {
            if let Some(list) = find(tree, &|file| file == "modules.builtin") {
                let list = String::from_utf8_lossy(&read(&list).await?).into_owned();
                let mut files = list.lines().filter_map(|line| line.rsplit('/').next());
                if files.any(|file| module_name(file) == Some(name.to_owned())) {
                    return Ok(None);
                }
            }
        }
        Err(self.missing(&format!("kernel module {name}")))
    }

    fn first(&self, below: &[&str], is_wanted: impl Fn(&str) -> bool) -> Result<PathBuf, LabError> {
        for directory in below {
            let mut entries = entries(&self.root.join(directory));
            entries.retain(|path| file_name(path).is_some_and(&is_wanted));
            if let Some(path) = entries.pop() {
                return Ok(path);
            }
        }
        Err(self.missing(below.first().unwrap_or(&"")))
    }

    fn missing(&self, what: &str) -> LabError {
        LabError::Unmet {
            what: format!("the packages for the guest hold no `{what}`"),
            help: format!("look for it in `{}`", self.root.display()),
        }
    }
}

/// A kernel module of the packages.
#[derive(Debug)]
pub(super) struct Module {
    pub(super) bytes: Vec<u8>,
    /// The modules that must be loaded before it.
    pub(super) needs: Vec<String>,
}

/// `virtio_rng` for `virtio-rng.ko.xz`: files and the kernel do not agree on dashes.
fn module_name(file: &str) -> Option<String> {
    let (name, ending) = file.split_once(".ko")?;
    matches!(ending, "" | ".xz" | ".zst").then(|| name.replace('-', "_"))
}

/// What the module says in its own description that it depends on.
fn needs(module: &[u8]) -> Vec<String> {
    let key = b"\0depends=";
    let Some(at) = module.windows(key.len()).position(|window| window == key) else {
        return Vec::new();
    };
    let value = module[at + key.len()..]
        .split(|&byte| byte == 0)
        .next()
        .unwrap_or_default();
    let value = String::from_utf8_lossy(value);
    value
        .split(',')
        .filter(|name| !name.is_empty())
        .map(|name| name.replace('-', "_"))
        .collect()
}

async fn right_architecture() -> Result<(), LabError> {
    let asked = Program::new("dpkg").arg("--print-architecture").run().await;
    let asked = asked.map_err(LabError::step("ask for this machine's architecture", HELP))?;
    if asked.trim() == "amd64" {
        return Ok(());
    }
    Err(LabError::Unmet {
        what: format!(
            "the guest image can only be made on amd64, and this machine is {}",
            asked.trim()
        ),
        help: "give the address of an image in the answer file".to_owned(),
    })
}

/// The package that the always-newest kernel package stands for.
async fn kernel_package() -> Result<String, ProgramError> {
    let query = Program::new("apt-cache").args(["depends", "--important", KERNEL]);
    let text = query.run().await?;
    let mut names = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Depends: "));
    let found = names.find(|name| name.starts_with("linux-image-"));
    found
        .map(str::to_owned)
        .ok_or_else(|| ProgramError::Failed {
            command: format!("apt-cache depends {KERNEL}"),
            outcome: "named no kernel".to_owned(),
            tail: text.lines().map(str::to_owned).collect(),
        })
}

async fn download(room: &Path, kernel: &str) -> Result<String, ProgramError> {
    // As root, apt would download as a user who may not enter the cache directory.
    let download = apt_get()
        .args(["-o", "APT::Sandbox::User=root", "download", kernel])
        .args(OTHERS);
    download
        .directory(room)
        .deadline(Duration::from_secs(600))
        .run()
        .await
}

async fn update(progress: &dyn Progress) {
    progress.happened(Happening::Line {
        text: "updating the package lists".to_owned(),
    });
    // What does not help shows in the next attempt.
    let _ = apt_get()
        .arg("update")
        .deadline(Duration::from_secs(300))
        .run()
        .await;
}

/// One line of busybox's list, as a link: `usr/bin/env` is a link to `../../bin/busybox`.
fn applet(path: &str) -> Option<(String, String)> {
    if path == "bin/busybox" || path.is_empty() {
        return None;
    }
    let up = "../".repeat(path.matches('/').count());
    Some((path.to_owned(), format!("{up}bin/busybox")))
}

async fn uncompressed(path: &Path) -> Result<Vec<u8>, LabError> {
    let program = match path.extension().and_then(|ending| ending.to_str()) {
        Some("xz") => "xz",
        Some("zst") => "zstd",
        _ => return read(path).await,
    };
    let unpack = Program::new(program)
        .args(["--decompress", "--quiet"])
        .arg(path);
    unpack
        .run()
        .await
        .map_err(LabError::step("unpack a kernel module", HELP))?;
    read(&path.with_extension("")).await
}

fn find(below: &Path, is_wanted: &dyn Fn(&str) -> bool) -> Option<PathBuf> {
    for path in entries(below) {
        if path.is_dir() && !path.is_symlink() {
            if let Some(found) = find(&path, is_wanted) {
                return Some(found);
            }
        } else if file_name(&path).is_some_and(is_wanted) {
            return Some(path);
        }
    }
    None
}

/// The entries of a directory, in order.
fn entries(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

fn file_name(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn busybox_gets_its_names_as_relative_links() {
        let link = |path: &str| applet(path).map(|(_, target)| target);
        assert_eq!(link("usr/bin/env").unwrap(), "../../bin/busybox");
        assert_eq!(link("bin/sh").unwrap(), "../bin/busybox");
        assert_eq!(link("linuxrc").unwrap(), "bin/busybox");
        assert_eq!(link("bin/busybox"), None);
    }

    #[test]
    fn a_module_says_what_it_needs() {
        let module = b"\x7fELF..\0license=GPL\0depends=net_failover,virtio-ring\0name=x\0";
        assert_eq!(needs(module), ["net_failover", "virtio_ring"]);
        assert!(needs(b"\0depends=\0name=x\0").is_empty());
        assert!(needs(b"").is_empty());
    }

    #[test]
    fn module_files_are_known_by_any_ending() {
        assert_eq!(module_name("virtio-rng.ko.xz").unwrap(), "virtio_rng");
        assert_eq!(module_name("virtio_net.ko").unwrap(), "virtio_net");
        assert_eq!(module_name("virtio.kox"), None);
    }
}
