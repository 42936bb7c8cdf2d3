//! Packages that hosts downloaded, kept for the hosts of later labs.
//!
//! Each host gets its own links to the kept files, in the directory where apt looks before it downloads. So no
//! two hosts share apt's lock, and nothing a host does with its files takes them from another. Apt checks each
//! file against the archive's digest before it uses it: a spoilt file costs a download, nothing else.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::error::LabError;
use super::places::{HostDir, Places};
use super::spec::Distro;

const ARCHIVES: &str = "var/cache/apt/archives";
/// A package that no new host got for so long has a successor by now.
const KEPT: Duration = Duration::from_secs(30 * 24 * 3600);

/// Puts all kept packages of the distribution into a new host.
pub(crate) async fn stock(places: &Places, distro: Distro, host: &HostDir) -> Result<(), LabError> {
    let (from, to) = (store(places, distro), host.upper().join(ARCHIVES));
    blocking(move || copy_all(&from, &to).map(drop)).await
}

/// Keeps the packages that these hosts have. Gives how many were new, and their bytes.
pub(crate) async fn harvest(
    places: &Places,
    distro: Distro,
    hosts: impl Iterator<Item = HostDir>,
) -> Result<(usize, u64), LabError> {
    let to = store(places, distro);
    let from: Vec<_> = hosts.map(|host| host.upper().join(ARCHIVES)).collect();
    blocking(move || {
        let mut sum = (0, 0);
        for directory in &from {
            let (packages, bytes) = copy_all(directory, &to)?;
            sum = (sum.0 + packages, sum.1 + bytes);
        }
        forget_old(&to, SystemTime::now())?;
        Ok(sum)
    })
    .await
}

fn store(places: &Places, distro: Distro) -> PathBuf {
    places.cache.join("packages").join(distro.name())
}

/// Copies the packages that the other directory lacks; by hard links where both are on one file system.
fn copy_all(from: &Path, to: &Path) -> Result<(usize, u64), LabError> {
    let (mut packages, mut bytes) = (0, 0);
    let Ok(entries) = fs::read_dir(from) else {
        return Ok((0, 0));
    };
    fs::create_dir_all(to).map_err(LabError::file("make", to))?;
    for entry in entries.flatten() {
        let path = entry.path();
        if path.extension().is_none_or(|ending| ending != "deb") {
            continue;
        }
        let target = to.join(entry.file_name());
        match link(&path, &target) {
            Ok(true) => {
                packages += 1;
                bytes += entry.metadata().map_or(0, |meta| meta.len());
            }
            Ok(false) => {}
            Err(source) => return Err(LabError::file("keep", &path)(source)),
        }
    }
    Ok((packages, bytes))
}

fn link(from: &Path, to: &Path) -> io::Result<bool> {
    match fs::hard_link(from, to) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
            let temporary = to.with_extension("part");
            fs::copy(from, &temporary)?;
            fs::rename(&temporary, to)?;
            Ok(true)
        }
        // Cleaned away by the host just now.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Removes what has not changed hands for long: a new link to a file changes its status time.
fn forget_old(store: &Path, now: SystemTime) -> Result<(), LabError> {
    use std::os::unix::fs::MetadataExt as _;
    let now = now
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    for entry in fs::read_dir(store).into_iter().flatten().flatten() {
        let changed = entry.metadata().map_or(0, |meta| meta.ctime());
        let changed = Duration::from_secs(changed.max(0).cast_unsigned());
        if changed + KEPT < now {
            fs::remove_file(entry.path()).map_err(LabError::file("remove", &entry.path()))?;
        }
    }
    Ok(())
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LabError> + Send + 'static,
) -> Result<T, LabError> {
    let joined = tokio::task::spawn_blocking(work).await;
    joined.unwrap_or_else(|error| {
        Err(LabError::file("copy packages in", Path::new(ARCHIVES))(
            io::Error::other(error),
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(directory: &Path, names: &[&str]) {
        fs::create_dir_all(directory.join("partial")).unwrap();
        for name in names {
            fs::write(directory.join(name), name).unwrap();
        }
    }

    fn files(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap());
        let mut names: Vec<_> = entries
            .map(|entry| entry.file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn whole_packages_are_kept_once_and_the_hosts_own_can_go() {
        let directory = tempfile::tempdir().unwrap();
        let (host, store) = (
            directory.path().join("host"),
            directory.path().join("store"),
        );
        place(&host, &["a_1_all.deb", "b_2_amd64.deb", "lock"]);
        assert_eq!(copy_all(&host, &store).unwrap().0, 2);
        assert_eq!(copy_all(&host, &store).unwrap(), (0, 0));
        fs::remove_dir_all(&host).unwrap();
        assert_eq!(files(&store), ["a_1_all.deb", "b_2_amd64.deb"]);
    }

    #[test]
    fn nothing_to_keep_is_no_error() {
        let directory = tempfile::tempdir().unwrap();
        let nowhere = directory.path().join("nowhere");
        assert_eq!(
            copy_all(&nowhere, &directory.path().join("store")).unwrap(),
            (0, 0)
        );
    }

    #[test]
    fn what_nobody_used_for_long_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        place(directory.path(), &["a_1_all.deb"]);
        fs::remove_dir(directory.path().join("partial")).unwrap();
        forget_old(directory.path(), SystemTime::now()).unwrap();
        assert_eq!(files(directory.path()), ["a_1_all.deb"]);
        forget_old(directory.path(), SystemTime::now() + KEPT + KEPT).unwrap();
        assert_eq!(files(directory.path()), [""; 0]);
    }
}
