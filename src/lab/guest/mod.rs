//! The test guest: a small disk image that boots, gets its address, reads its metadata, and answers on port 80.
//!
//! It is made on this machine from the distribution's own kernel and busybox: packages are downloaded and
//! unpacked, none is installed, and no root is needed. The image is kept, named after a digest of its recipe;
//! the same packages give the same bytes.

mod cpio;
mod disk;
mod initrd;
mod packages;

use std::path::{Path, PathBuf};
use std::time::Instant;

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};
use tokio::fs;

use self::packages::Packages;
use super::base::{create_dir, remove_tree};
use super::error::LabError;
use super::lock::Lock;
use super::needs;
use super::program::Program;
use super::progress::{Happening, Progress};

/// What the guest prints on its serial console once it has an address and has asked for its metadata.
/// `instance-id=`, `hostname=`, `address=` and `uptime=` follow on the same line.
pub const READY: &str = "provision-guest ready";

/// Changes whenever this file changes what comes out.
const RECIPE: &str = "2";
const BOOT_MENU: &str = include_str!("../../../templates/guest/syslinux.cfg");
/// The size that the guest sees. Any flavor with a disk of one gibibyte has room for it.
const VIRTUAL_SIZE: u64 = 64 << 20;

/// Choices that change the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GuestRecipe {
    /// Whether the guest's network card leaves checksums and segmentation to the host. Most switches like that;
    /// one in user space may drop every such packet. Without it, the guest works behind any switch.
    pub offload: bool,
}

/// A guest image on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestImage {
    /// The file, in qcow2 format.
    pub path: PathBuf,
    /// SHA-256 of the file, in lower-case hexadecimal digits.
    pub sha256: String,
    /// Size of the file in bytes.
    pub bytes: u64,
}

impl GuestImage {
    /// The disk format as image services call it.
    pub const DISK_FORMAT: &'static str = "qcow2";
    /// The least memory it boots with, in MiB.
    pub const MEMORY: u32 = 128;
}

/// The guest image below this cache directory; makes it where it is not there yet.
pub async fn build(
    cache: &Path,
    recipe: GuestRecipe,
    progress: &dyn Progress,
) -> Result<GuestImage, LabError> {
    let guests = cache.join("guests");
    let path = guests.join(format!("provision-guest-{}.qcow2", digest(recipe)));
    if let Some(image) = finished(&path).await {
        return Ok(image);
    }
    needs::meet(needs::GUEST, progress).await?;
    create_dir(&guests).await?;
    let _lock = Lock::wait(&guests.join("lock")).await?;
    if let Some(image) = finished(&path).await {
        return Ok(image);
    }
    let started = Instant::now();
    progress.happened(Happening::BuildingGuest);
    let room = guests.join("build");
    remove_tree(&room).await?;
    create_dir(&room).await?;
    let bytes = assemble(&room, recipe, progress).await?;
    let sum = HEXLOWER.encode(&Sha256::digest(&bytes));
    let sums = checksum_file(&path);
    write(
        &sums,
        format!(
            "{sum}  {}\n",
            path.file_name().unwrap_or_default().display()
        ),
    )
    .await?;
    let temporary = room.join("image");
    write(&temporary, bytes).await?;
    fs::rename(&temporary, &path)
        .await
        .map_err(LabError::file("name", &path))?;
    remove_tree(&room).await?;
    progress.happened(Happening::GuestReady {
        took: started.elapsed(),
    });
    finished(&path)
        .await
        .ok_or_else(|| LabError::file("find", &path)(std::io::ErrorKind::NotFound.into()))
}

async fn finished(path: &Path) -> Option<GuestImage> {
    let bytes = fs::metadata(path).await.ok()?.len();
    let sums = fs::read_to_string(checksum_file(path)).await.ok()?;
    let sha256 = sums.split_whitespace().next()?.to_owned();
    Some(GuestImage {
        path: path.to_owned(),
        sha256,
        bytes,
    })
}

fn checksum_file(image: &Path) -> PathBuf {
    image.with_extension("qcow2.sha256")
}

fn digest(recipe: GuestRecipe) -> String {
    let mut hash = Sha256::new();
    hash.update(format!("{RECIPE} {recipe:?} {BOOT_MENU}"));
    for file in initrd::FILES {
        hash.update(file.text);
    }
    HEXLOWER.encode(&hash.finalize())[..12].to_owned()
}

/// The whole image, as bytes.
async fn assemble(
    room: &Path,
    recipe: GuestRecipe,
    progress: &dyn Progress,
) -> Result<Vec<u8>, LabError> {
    let packages = Packages::fetch(room, progress).await?;
    let archive = initrd::archive(&packages, recipe).await?;
    let initrd = room.join("initrd");
    write(&initrd, archive).await?;
    let step = |what: &'static str| LabError::step(what, "read the lines above");
    let gzip = Program::new("gzip")
        .args(["-9", "--no-name", "--force"])
        .arg(&initrd);
    gzip.run()
        .await
        .map_err(step("compress the guest's first file system"))?;
    let kernel = packages.kernel()?;
    let menu = room.join("syslinux.cfg");
    write(&menu, BOOT_MENU).await?;

    let partition = room.join("partition");
    let content = size(&kernel).await? + size(&initrd.with_extension("gz")).await?;
    // The least that a file system of this kind can be, or what is needed and some room.
    let mebibytes = (content >> 20) + 3;
    let file = std::fs::File::create(&partition).map_err(LabError::file("make", &partition))?;
    file.set_len(mebibytes.max(16) << 20)
        .map_err(LabError::file("make", &partition))?;

    let start = disk::PARTITION_START.to_string();
    let format =
        packages
            .tool("mkfs.vfat")?
            .args(["-F", "16", "-n", "GUEST", "--invariant", "-h", &start]);
    format
        .arg(&partition)
        .run()
        .await
        .map_err(step("make the guest's boot partition"))?;
    for (from, to) in [
        (&kernel, "vmlinuz"),
        (&initrd.with_extension("gz"), "initrd.gz"),
        (&menu, "syslinux.cfg"),
    ] {
        let copy = packages
            .tool("mcopy")?
            .arg("-i")
            .arg(&partition)
            .arg(from)
            .arg(format!("::{to}"));
        copy.run()
            .await
            .map_err(step("fill the guest's boot partition"))?;
    }
    let loader = packages.tool("syslinux")?.arg("--install").arg(&partition);
    loader
        .run()
        .await
        .map_err(step("install the guest's boot loader"))?;
    let partition = read(&partition).await?;
    let disk = disk::partitioned(&read(&packages.boot_code()?).await?, &partition);
    Ok(disk::qcow2(&disk, VIRTUAL_SIZE))
}

async fn size(path: &Path) -> Result<u64, LabError> {
    Ok(fs::metadata(path)
        .await
        .map_err(LabError::file("read", path))?
        .len())
}

async fn read(path: &Path) -> Result<Vec<u8>, LabError> {
    fs::read(path).await.map_err(LabError::file("read", path))
}

async fn write(path: &Path, content: impl AsRef<[u8]>) -> Result<(), LabError> {
    fs::write(path, content)
        .await
        .map_err(LabError::file("write", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_recipe_has_an_image_of_its_own() {
        let plain = digest(GuestRecipe { offload: false });
        assert_ne!(plain, digest(GuestRecipe { offload: true }));
        assert_eq!(plain.len(), 12);
    }
}
