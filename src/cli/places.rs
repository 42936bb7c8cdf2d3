//! Where `provision` keeps things on the machine that runs it.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// The directory of one cloud's state: secrets, pinned host keys, runs, credentials. Only its
/// owner may enter it.
#[derive(Debug, Clone)]
pub(crate) struct CloudState {
    root: PathBuf,
    cloud: String,
}

impl CloudState {
    /// `$XDG_STATE_HOME/provision`, or `~/.local/state/provision`.
    pub(crate) fn root() -> PathBuf {
        let given = std::env::var_os("XDG_STATE_HOME").filter(|path| !path.is_empty());
        let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_else(|| "/root".into()));
        given
            .map_or_else(|| home().join(".local/state"), PathBuf::from)
            .join("provision")
    }

    /// Makes the directory of a cloud.
    pub(crate) fn open(cloud: &str) -> std::io::Result<Self> {
        let root = Self::root();
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(root.join(cloud))?;
        Ok(Self {
            root,
            cloud: cloud.to_owned(),
        })
    }

    /// The directory that holds all clouds' state.
    pub(crate) fn all(&self) -> &Path {
        &self.root
    }

    /// A file of this cloud.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.root.join(&self.cloud).join(name)
    }
}
