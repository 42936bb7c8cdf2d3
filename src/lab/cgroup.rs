//! A control group for each host: it keeps the hosts' init systems apart, bounds them, and names every process
//! of a host even when the processes that started it are gone.
//!
//! Works with version 2, version 1 and the mixture of both.

use std::fs;
use std::path::{Path, PathBuf};

use super::error::LabError;
use super::spec::LabHost;

/// All groups of the hosts are below this one.
const TOP: &str = "provision.labs";
/// The hierarchies of version 1 that a host gets a group in. The others need settings before they take a process.
const VERSION_1: [&str; 4] = ["name=systemd", "memory", "cpu", "pids"];

/// Where one hierarchy is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Hierarchy {
    mounted: PathBuf,
    version: u8,
}

/// The groups of one host, one in each hierarchy: its limits are set there, its processes are in two groups below.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    directories: Vec<(PathBuf, u8)>,
}

/// Which of a host's processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// The container, from its outer process down.
    Container,
    /// The process that looks after the host.
    Supervisor,
}

impl Part {
    fn directory(self) -> &'static str {
        match self {
            Self::Container => "container",
            Self::Supervisor => "watch",
        }
    }
}

impl Group {
    /// The groups of this host, whether they exist or not.
    pub(crate) fn of(lab: &str, host: &str) -> Self {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let below = Path::new(TOP).join(format!("{lab}.{host}"));
        let directory = |it: Hierarchy| (it.mounted.join(&below), it.version);
        Self {
            directories: hierarchies(&mounts).into_iter().map(directory).collect(),
        }
    }

    /// Makes the groups and sets their limits.
    pub(crate) fn make(&self, host: &LabHost) -> Result<(), LabError> {
        for (directory, version) in &self.directories {
            for part in [Part::Container, Part::Supervisor] {
                let part = directory.join(part.directory());
                fs::create_dir_all(&part).map_err(LabError::file("make", &part))?;
            }
            if *version == 2 {
                delegate(directory);
            }
            for (file, value) in limits(host) {
                let file = directory.join(file);
                if file.exists() {
                    fs::write(&file, value).map_err(LabError::file("write", &file))?;
                }
            }
        }
        Ok(())
    }

    /// Puts this process among the supervisors: out of the session and the service that it was started from,
    /// which may end before the host does.
    pub(crate) fn join(&self) {
        for file in self.files(Part::Supervisor) {
            // Where it may not, it stays where it is, and works as well.
            let _ = fs::write(file, std::process::id().to_string());
        }
    }

    /// Shell lines that put the shell into the container's groups.
    pub(crate) fn enter(&self) -> String {
        let line = |file: PathBuf| format!("echo $$ >'{}'\n", file.display());
        self.files(Part::Container).map(line).collect()
    }

    /// Every process of a part.
    pub(crate) fn processes(&self, part: Part) -> Vec<i32> {
        let mut found = Vec::new();
        let watch = Path::new(Part::Supervisor.directory());
        for (directory, _) in &self.directories {
            match part {
                Part::Supervisor => collect(&directory.join(watch), &|_| true, &mut found),
                Part::Container => collect(directory, &|group| !group.ends_with(watch), &mut found),
            }
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Removes the groups; what still has processes stays.
    pub(crate) fn remove(&self) {
        for (directory, _) in &self.directories {
            remove(directory);
            // The common parent, when this was the last host.
            let _ = directory.parent().map(fs::remove_dir);
        }
    }

    fn files(&self, part: Part) -> impl Iterator<Item = PathBuf> {
        let below = Path::new(part.directory()).join("cgroup.procs");
        self.directories
            .iter()
            .map(move |(directory, _)| directory.join(&below))
    }
}

/// A group gets only those controllers that its parents pass on. Where they cannot, there are no limits.
fn delegate(directory: &Path) {
    let mut parents: Vec<_> = directory.ancestors().take(3).collect();
    parents.reverse();
    for parent in parents {
        for controller in ["+cpu", "+memory", "+pids"] {
            let _ = fs::write(parent.join("cgroup.subtree_control"), controller);
        }
    }
}

/// The settings of both versions; each group has the files of one.
fn limits(host: &LabHost) -> Vec<(&'static str, String)> {
    let mut limits = Vec::new();
    if let Some(mib) = host.memory {
        let bytes = (mib << 20).to_string();
        limits.push(("memory.max", bytes.clone()));
        limits.push(("memory.limit_in_bytes", bytes));
    }
    if let Some(cpus) = host.cpus {
        let quota = u64::from(cpus) * 100_000;
        limits.push(("cpu.max", format!("{quota} 100000")));
        limits.push(("cpu.cfs_quota_us", quota.to_string()));
    }
    limits
}

fn collect(directory: &Path, counts: &dyn Fn(&Path) -> bool, found: &mut Vec<i32>) {
    let text = fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
    found.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()));
    for below in subgroups(directory)
        .into_iter()
        .filter(|group| counts(group))
    {
        collect(&below, counts, found);
    }
}

fn remove(directory: &Path) {
    for below in subgroups(directory) {
        remove(&below);
    }
    let _ = fs::remove_dir(directory);
}

fn subgroups(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

/// The hierarchies in the text of `/proc/self/mountinfo`.
fn hierarchies(mounts: &str) -> Vec<Hierarchy> {
    let hierarchy = |line: &str| {
        let (left, right) = line.split_once(" - ")?;
        let mounted = PathBuf::from(left.split(' ').nth(4)?);
        let mut right = right.split(' ');
        match right.next()? {
            "cgroup2" => Some(Hierarchy {
                mounted,
                version: 2,
            }),
            "cgroup" => {
                let options = right.nth(1)?;
                let wanted = |option: &str| VERSION_1.contains(&option);
                options.split(',').any(wanted).then_some(Hierarchy {
                    mounted,
                    version: 1,
                })
            }
            _ => None,
        }
    };
    mounts.lines().filter_map(hierarchy).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mixture_of_both_versions_is_found() {
        let mounts = "\
24 1 0:22 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
25 24 0:23 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
26 24 0:24 / /sys/fs/cgroup/cpuset rw,relatime - cgroup cgroup rw,cpuset
27 24 0:25 / /sys/fs/cgroup/systemd rw,relatime shared:9 - cgroup cgroup rw,xattr,name=systemd
28 24 0:26 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
29 1 0:27 / / rw - ext4 /dev/vda rw
";
        let found = hierarchies(mounts);
        let short: Vec<_> = found
            .iter()
            .map(|it| (it.mounted.to_str().unwrap(), it.version))
            .collect();
        assert_eq!(
            short,
            [
                ("/sys/fs/cgroup/cpu", 1),
                ("/sys/fs/cgroup/systemd", 1),
                ("/sys/fs/cgroup/unified", 2)
            ]
        );
    }

    #[test]
    fn limits_are_written_for_either_version() {
        let host = LabHost {
            name: "a".to_owned(),
            address: [10, 0, 0, 2].into(),
            cpus: Some(2),
            memory: Some(512),
        };
        let limits = limits(&host);
        assert!(limits.contains(&("memory.max", "536870912".to_owned())));
        assert!(limits.contains(&("cpu.max", "200000 100000".to_owned())));
        assert!(limits.contains(&("cpu.cfs_quota_us", "200000".to_owned())));
    }
}
