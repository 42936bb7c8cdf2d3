//! What is written down about a lab, so that any later process can find it, take it up again, or remove it.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::LabError;
use super::places::LabDir;
use super::spec::LabSpec;

/// A lab as it was made. Written before anything is made, removed after everything is removed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) spec: LabSpec,
    /// The base file system below its hosts.
    pub(crate) base: PathBuf,
    /// The directory of its process records.
    pub(crate) run: PathBuf,
}

impl Record {
    pub(crate) fn read(directory: &LabDir) -> Result<Option<Self>, LabError> {
        let path = directory.record();
        let text = match std::fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(LabError::file("read", &path))?,
        };
        let record = serde_json::from_slice(&text).map_err(std::io::Error::from);
        record
            .map(Some)
            .map_err(LabError::file("understand", &path))
    }

    pub(crate) fn write(&self, directory: &LabDir) -> Result<(), LabError> {
        let path = directory.record();
        let temporary = path.with_extension("new");
        let text = serde_json::to_vec_pretty(self).map_err(std::io::Error::from);
        text.and_then(|text| std::fs::write(&temporary, text))
            .and_then(|()| std::fs::rename(&temporary, &path))
            .map_err(LabError::file("write", &path))
    }
}

/// The names of the labs below this directory, in order.
pub(crate) fn names(state: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(state).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries
        .filter(|entry| entry.path().join("lab.json").exists())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}
