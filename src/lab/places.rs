//! Where a lab keeps what: state, cache, and what must not outlive a restart of this machine.

use std::path::{Path, PathBuf};

use super::error::LabError;

/// The directories that labs use.
#[derive(Debug, Clone)]
pub struct Places {
    /// Survives a restart: the hosts' files, keys. One directory a lab, for root only.
    pub state: PathBuf,
    /// May be deleted at any time: base file systems, packages, guest images.
    pub cache: PathBuf,
    /// Emptied by a restart of this machine, like the processes it speaks of.
    pub run: PathBuf,
    /// The program that is started again to look after a host: `<supervisor> lab supervise LAB HOST`.
    pub supervisor: PathBuf,
}

impl Places {
    /// As the environment says: `$XDG_STATE_HOME` and `$XDG_CACHE_HOME`, else `/var/lib` and `/var/cache`
    /// for root, else below the home directory.
    pub fn from_env() -> Result<Self, LabError> {
        let root = nix::unistd::geteuid().is_root();
        let place = |variable: &str, for_root: &str, below_home: &str| {
            let set = std::env::var_os(variable)
                .map(PathBuf::from)
                .filter(|path| path.is_absolute());
            let home = || std::env::var_os("HOME").map_or_else(|| "/".into(), PathBuf::from);
            let base = set.unwrap_or_else(|| {
                if root {
                    for_root.into()
                } else {
                    home().join(below_home)
                }
            });
            base.join("provision")
        };
        Ok(Self {
            state: place("XDG_STATE_HOME", "/var/lib", ".local/state").join("labs"),
            cache: place("XDG_CACHE_HOME", "/var/cache", ".cache"),
            run: PathBuf::from("/run/provision"),
            supervisor: this_program()?,
        })
    }

    pub(crate) fn lab(&self, lab: &str) -> LabDir {
        LabDir {
            state: self.state.join(lab),
            run: self.run.join("labs").join(lab),
            lock: self.run.join("labs").join(format!("{lab}.lock")),
        }
    }
}

/// This program's file. While it runs it may have been replaced by a newer one, or removed: then the kernel's
/// own name for what runs is as good.
fn this_program() -> Result<PathBuf, LabError> {
    let kernels = Path::new("/proc/self/exe");
    let path = std::env::current_exe().map_err(LabError::file("find", kernels))?;
    Ok(if path.exists() {
        path
    } else {
        kernels.to_owned()
    })
}

/// One lab's directories.
#[derive(Debug, Clone)]
pub(crate) struct LabDir {
    pub(crate) state: PathBuf,
    pub(crate) run: PathBuf,
    /// Whoever changes the lab holds this. Beside the lab, so that removing the lab leaves it in place.
    pub(crate) lock: PathBuf,
}

impl LabDir {
    /// What the lab was made as.
    pub(crate) fn record(&self) -> PathBuf {
        self.state.join("lab.json")
    }

    /// The private key that opens the hosts.
    pub(crate) fn key(&self) -> PathBuf {
        self.state.join("id_ed25519")
    }

    pub(crate) fn known_hosts(&self) -> PathBuf {
        self.state.join("known_hosts")
    }

    pub(crate) fn host(&self, host: &str) -> HostDir {
        HostDir {
            state: self.state.join("hosts").join(host),
            supervisor: self.run.join(format!("{host}.supervisor")),
            nspawn: self.run.join(format!("{host}.nspawn")),
        }
    }
}

/// One host's directories and files.
#[derive(Debug, Clone)]
pub(crate) struct HostDir {
    pub(crate) state: PathBuf,
    /// The process that looks after the host.
    pub(crate) supervisor: PathBuf,
    /// The container's outer process.
    pub(crate) nspawn: PathBuf,
}

impl HostDir {
    /// What the host changed over the base.
    pub(crate) fn upper(&self) -> PathBuf {
        self.state.join("upper")
    }

    pub(crate) fn work(&self) -> PathBuf {
        self.state.join("work")
    }

    /// Where the host's whole file system is mounted.
    pub(crate) fn root(&self) -> PathBuf {
        self.state.join("root")
    }

    pub(crate) fn console(&self) -> PathBuf {
        self.state.join("console.log")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.state.join("supervisor.log")
    }

    /// Is there once the host's own files are written.
    pub(crate) fn made(&self) -> PathBuf {
        self.state.join("made")
    }

    pub(crate) fn host_key(&self) -> PathBuf {
        self.state.join("ssh_host_ed25519_key")
    }
}
