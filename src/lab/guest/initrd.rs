//! The guest's whole file system: busybox, a few kernel modules, and scripts that a reader can follow.

use std::collections::BTreeSet;

use super::cpio::Archive;
use super::packages::{Module, Packages};
use super::{GuestRecipe, LabError, read};

/// A file of the guest that is kept with the source.
pub(super) struct Template {
    path: &'static str,
    mode: u32,
    pub(super) text: &'static str,
}

const fn script(path: &'static str, text: &'static str) -> Template {
    Template {
        path,
        mode: 0o755,
        text,
    }
}

pub(super) const FILES: &[Template] = &[
    Template {
        path: "etc/inittab",
        mode: 0o644,
        text: include_str!("../../../templates/guest/inittab"),
    },
    script("etc/boot", include_str!("../../../templates/guest/boot")),
    script("etc/nics", include_str!("../../../templates/guest/nics")),
    script("etc/lease", include_str!("../../../templates/guest/lease")),
    script(
        "etc/announce",
        include_str!("../../../templates/guest/announce"),
    ),
    script(
        "etc/acpi/PWRF/00000080",
        include_str!("../../../templates/guest/power-button"),
    ),
];

/// The kernel modules that the guest uses. What they need, and is not built into the kernel, comes with them.
const MODULES: &[&str] = &[
    "virtio_pci",
    "virtio_net",
    "virtio_blk",
    "virtio_rng",
    "button",
    "evdev",
];

const DIRECTORIES: &[&str] = &[
    "bin",
    "dev",
    "etc",
    "etc/acpi",
    "etc/acpi/PWRF",
    "lib",
    "lib/modules",
    "proc",
    "root",
    "run",
    "sbin",
    "sys",
    "tmp",
    "usr",
    "usr/bin",
    "usr/sbin",
    "var",
    "var/run",
];

/// The archive that the kernel unpacks.
pub(super) async fn archive(packages: &Packages, recipe: GuestRecipe) -> Result<Vec<u8>, LabError> {
    let mut archive = Archive::default();
    for directory in DIRECTORIES {
        archive.directory(directory);
    }
    archive.device("dev/console", 5, 1);
    archive.device("dev/null", 1, 3);
    archive.file("bin/busybox", 0o755, &read(&packages.busybox()?).await?);
    for (path, target) in packages.applets().await? {
        archive.link(&path, &target);
    }
    archive.link("init", "bin/busybox");
    for file in FILES {
        archive.file(file.path, file.mode, file.text.as_bytes());
    }
    let mut list = String::new();
    for (name, module) in modules(packages).await? {
        archive.file(&format!("lib/modules/{name}.ko"), 0o644, &module.bytes);
        list.push_str(&module_line(&name, recipe));
    }
    archive.file("etc/modules", 0o644, list.as_bytes());
    Ok(archive.finish())
}

/// The modules in an order in which they can be loaded.
async fn modules(packages: &Packages) -> Result<Vec<(String, Module)>, LabError> {
    let mut ordered: Vec<(String, Module)> = Vec::new();
    let mut built_in = BTreeSet::new();
    let mut wanted: Vec<String> = MODULES.iter().rev().map(|&name| name.to_owned()).collect();
    while let Some(name) = wanted.last().cloned() {
        let settled = |name: &String| {
            built_in.contains(name) || ordered.iter().any(|(known, _)| known == name)
        };
        if settled(&name) {
            wanted.pop();
            continue;
        }
        match packages.module(&name).await? {
            None => drop(built_in.insert(name)),
            Some(module) => match module.needs.iter().find(|needed| !settled(needed)) {
                Some(needed) => wanted.push(needed.clone()),
                None => ordered.push((name, module)),
            },
        }
    }
    Ok(ordered)
}

fn module_line(module: &str, recipe: GuestRecipe) -> String {
    let parameters = match module {
        "virtio_net" if !recipe.offload => " csum=0 gso=0",
        _ => "",
    };
    format!("{module}{parameters}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_network_card_computes_its_own_checksums_unless_told() {
        let line = |offload| module_line("virtio_net", GuestRecipe { offload });
        assert_eq!(line(false), "virtio_net csum=0 gso=0\n");
        assert_eq!(line(true), "virtio_net\n");
        assert_eq!(module_line("button", GuestRecipe::default()), "button\n");
    }

    #[test]
    fn every_file_has_its_directory() {
        for file in FILES {
            let (directory, _) = file.path.rsplit_once('/').unwrap();
            assert!(DIRECTORIES.contains(&directory), "{}", file.path);
        }
        for directory in DIRECTORIES {
            if let Some((parent, _)) = directory.rsplit_once('/') {
                let at = |name| DIRECTORIES.iter().position(|known| *known == name);
                assert!(
                    at(parent) < at(*directory),
                    "{directory} comes before its parent"
                );
            }
        }
    }
}
