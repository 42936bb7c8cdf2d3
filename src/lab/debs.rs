//! What apt downloaded on hosts, kept for the hosts of later labs: packages, and the lists of them.
//!
//! Each host gets its own links to the kept files, in the directories where apt looks before it downloads. So no
//! two hosts share apt's lock, and nothing a host does with its files takes them from another. Apt checks each
//! file against the archive's digest before it uses it: a spoilt or old file costs a download, nothing else.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::error::LabError;
use super::host;
use super::lock::Lock;
use super::places::{HostDir, Places};
use super::spec::Distro;

/// A kind of file that apt downloads.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// Never changes under its name.
    Package,
    /// Has the same name in every version.
    List,
}

impl Kind {
    const BOTH: [Self; 2] = [Self::Package, Self::List];

    /// Where apt keeps them on a host.
    fn place(self) -> &'static str {
        match self {
            Self::Package => "var/cache/apt/archives",
            Self::List => "var/lib/apt/lists",
        }
    }

    fn store(self, places: &Places, distro: Distro) -> PathBuf {
        let kind = match self {
            Self::Package => "packages",
            Self::List => "lists",
        };
        places.cache.join(kind).join(distro.name())
    }

    fn takes(self, file: &Path) -> bool {
        match self {
            Self::Package => file.extension().is_some_and(|ending| ending == "deb"),
            Self::List => file.is_file() && !file.ends_with("lock"),
        }
    }
}

/// A package that no new host got for so long has a successor by now.
const KEPT: Duration = Duration::from_secs(30 * 24 * 3600);

/// Gives a new host all that is kept for its distribution.
pub(crate) async fn stock(places: &Places, distro: Distro, host: &HostDir) -> Result<(), LabError> {
    let (places, upper) = (places.clone(), host.upper());
    blocking(move || {
        for kind in Kind::BOTH {
            host::directories(&upper, kind.place())?;
            copy_all(
                kind,
                &kind.store(&places, distro),
                &upper.join(kind.place()),
            )?;
        }
        Ok(())
    })
    .await
}

/// Keeps what these hosts have downloaded. Gives how many packages were new, and their bytes.
pub(crate) async fn harvest(
    places: &Places,
    distro: Distro,
    hosts: impl Iterator<Item = HostDir>,
) -> Result<(usize, u64), LabError> {
    fs::create_dir_all(&places.cache).map_err(LabError::file("make", &places.cache))?;
    let _lock = Lock::wait(&places.cache.join("harvest.lock")).await?;
    let places = places.clone();
    let uppers: Vec<_> = hosts.map(|host| host.upper()).collect();
    blocking(move || {
        let mut sum = (0, 0);
        for upper in &uppers {
            for kind in Kind::BOTH {
                let to = kind.store(&places, distro);
                fs::create_dir_all(&to).map_err(LabError::file("make", &to))?;
                let new = copy_all(kind, &upper.join(kind.place()), &to)?;
                if matches!(kind, Kind::Package) {
                    sum = (sum.0 + new.0, sum.1 + new.1);
                }
            }
        }
        forget_old(&Kind::Package.store(&places, distro), SystemTime::now())?;
        Ok(sum)
    })
    .await
}

/// Copies the files that the other directory lacks, or has in an older version; by hard links where both are on
/// one file system. Gives how many, and their bytes.
fn copy_all(kind: Kind, from: &Path, to: &Path) -> Result<(usize, u64), LabError> {
    let mut sum = (0, 0);
    for entry in fs::read_dir(from).into_iter().flatten().flatten() {
        let path = entry.path();
        let target = to.join(entry.file_name());
        if !kind.takes(&path) || (target.exists() && !is_newer(kind, &path, &target)) {
            continue;
        }
        match link(&path, &target) {
            Ok(()) => {
                sum = (
                    sum.0 + 1,
                    sum.1 + entry.metadata().map_or(0, |meta| meta.len()),
                )
            }
            // Cleaned away by the host just now.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(LabError::file("keep", &path)(source)),
        }
    }
    Ok(sum)
}

fn is_newer(kind: Kind, path: &Path, than: &Path) -> bool {
    let time = |path: &Path| fs::metadata(path).and_then(|meta| meta.modified()).ok();
    matches!(kind, Kind::List) && time(path) > time(than)
}

/// Puts a file into the place of another, or of none, in one step.
fn link(from: &Path, to: &Path) -> io::Result<()> {
    let mut temporary = to.as_os_str().to_owned();
    temporary.push(".part");
    let temporary = PathBuf::from(temporary);
    let _ = fs::remove_file(&temporary);
    match fs::hard_link(from, &temporary) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => copy(from, &temporary)?,
        other => other?,
    }
    fs::rename(&temporary, to)
}

/// A copy keeps its time: that is how versions are told apart.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::copy(from, to)?;
    let time = fs::metadata(from)?.modified()?;
    fs::File::options()
        .append(true)
        .open(to)?
        .set_modified(time)
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
        Err(LabError::file(
            "copy packages in",
            Path::new(Kind::Package.place()),
        )(io::Error::other(error)))
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
        fs::create_dir(&store).unwrap();
        assert_eq!(copy_all(Kind::Package, &host, &store).unwrap().0, 2);
        assert_eq!(copy_all(Kind::Package, &host, &store).unwrap(), (0, 0));
        fs::remove_dir_all(&host).unwrap();
        assert_eq!(files(&store), ["a_1_all.deb", "b_2_amd64.deb"]);
    }

    #[test]
    fn the_newest_list_wins_in_either_direction() {
        let directory = tempfile::tempdir().unwrap();
        let (old, new) = (directory.path().join("old"), directory.path().join("new"));
        for (place_, age) in [(&old, 60), (&new, 30)] {
            place(place_, &["InRelease", "lock"]);
            let file = fs::File::options()
                .append(true)
                .open(place_.join("InRelease"))
                .unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(age))
                .unwrap();
            fs::write(place_.join("lock"), place_.display().to_string()).unwrap();
        }
        assert_eq!(copy_all(Kind::List, &old, &new).unwrap().0, 0);
        assert_eq!(copy_all(Kind::List, &new, &old).unwrap().0, 1);
        assert_eq!(copy_all(Kind::List, &new, &old).unwrap().0, 0);
        let lock = fs::read_to_string(old.join("lock")).unwrap();
        assert_eq!(lock, old.display().to_string());
    }

    #[test]
    fn nothing_to_keep_is_no_error() {
        let directory = tempfile::tempdir().unwrap();
        let nowhere = directory.path().join("nowhere");
        let store = directory.path().join("store");
        assert_eq!(copy_all(Kind::Package, &nowhere, &store).unwrap(), (0, 0));
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
