//! The directory of one run: its journal, one log a host, and the report.
//!
//! `<state>/<cloud>/runs/<UTC time>-<four letters>/`, readable by its owner alone, with a link
//! `latest` beside it. It is made once and never cleaned up by a run; what is in it stays.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rand::Rng;

/// The link to the newest run.
const LATEST: &str = "latest";
const LETTERS: &[u8] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// A run's own directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunDirectory {
    path: PathBuf,
    id: String,
}

/// Why there is no such directory.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum RunDirectoryError {
    #[error("cannot make the run's directory `{}`", path.display())]
    Make { path: PathBuf, source: io::Error },
    #[error("cannot read the runs in `{}`", path.display())]
    List { path: PathBuf, source: io::Error },
    #[error("there is no run yet in `{}`", path.display())]
    None { path: PathBuf },
    #[error("no run in `{}` begins with `{wanted}`", path.display())]
    Unknown { path: PathBuf, wanted: String },
    #[error("more than one run begins with `{wanted}`: {}", found.join(", "))]
    Ambiguous { wanted: String, found: Vec<String> },
}

impl RunDirectory {
    /// An id for a run that begins now. It sorts by time.
    pub fn new_id() -> String {
        new_id(Timestamp::now(), &mut rand::rng())
    }

    /// Makes the directory of the new run `id` of `cloud` under `state`, and points `latest` at it. Whoever does
    /// it holds the cloud's lock, so that `latest` is a run that was really begun.
    ///
    /// # Errors
    /// A directory cannot be made.
    pub fn create(state: &Path, cloud: &str, id: &str) -> Result<Self, RunDirectoryError> {
        let runs = runs(state, cloud);
        let make = |path: &Path, source| RunDirectoryError::Make {
            path: path.to_owned(),
            source,
        };
        private()
            .recursive(true)
            .create(&runs)
            .map_err(|e| make(&runs, e))?;
        let path = runs.join(id);
        private().create(&path).map_err(|e| make(&path, e))?;
        point_latest(&runs, id).map_err(|e| make(&runs.join(LATEST), e))?;
        Ok(Self {
            path,
            id: id.to_owned(),
        })
    }

    /// The run of `cloud` that is `wanted`: `latest`, an id, or the beginning of one id.
    ///
    /// # Errors
    /// There is none, or more than one.
    pub fn find(state: &Path, cloud: &str, wanted: &str) -> Result<Self, RunDirectoryError> {
        let runs = runs(state, cloud);
        let mut ids = Self::list(state, cloud)?;
        let Some(newest) = ids.last().cloned() else {
            return Err(RunDirectoryError::None { path: runs });
        };
        let id = if wanted == LATEST {
            fs::read_link(runs.join(LATEST))
                .ok()
                .and_then(|target| target.to_str().map(str::to_owned))
                .filter(|id| ids.contains(id))
                .unwrap_or(newest)
        } else {
            let wanted = wanted.to_owned();
            ids.retain(|id| id.starts_with(&wanted));
            match ids.len() {
                0 => return Err(RunDirectoryError::Unknown { path: runs, wanted }),
                1 => ids.swap_remove(0),
                _ => return Err(RunDirectoryError::Ambiguous { wanted, found: ids }),
            }
        };
        Ok(Self {
            path: runs.join(&id),
            id,
        })
    }

    /// The ids of all runs of `cloud`, oldest first.
    ///
    /// # Errors
    /// The directory is there and cannot be read.
    pub fn list(state: &Path, cloud: &str) -> Result<Vec<String>, RunDirectoryError> {
        let runs = runs(state, cloud);
        let list = |source| RunDirectoryError::List {
            path: runs.clone(),
            source,
        };
        let entries = match fs::read_dir(&runs) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(list(error)),
        };
        let mut ids = Vec::new();
        for entry in entries {
            let entry = entry.map_err(list)?;
            if entry.file_type().map_err(list)?.is_dir() {
                ids.extend(entry.file_name().into_string());
            }
        }
        ids.sort();
        Ok(ids)
    }

    /// The run's id: the name of its directory.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The journal.
    pub fn journal(&self) -> PathBuf {
        self.path.join("journal.jsonl")
    }

    /// The report.
    pub fn report(&self) -> PathBuf {
        self.path.join("report.html")
    }

    /// The log of `host`.
    pub fn log(&self, host: &str) -> PathBuf {
        self.path.join(format!("{}.log", host.replace('/', "_")))
    }
}

fn runs(state: &Path, cloud: &str) -> PathBuf {
    state.join(cloud).join("runs")
}

fn private() -> DirBuilder {
    let mut builder = DirBuilder::new();
    builder.mode(0o700);
    builder
}

/// Sorts by time; the letters tell runs of one second apart, and are quick to type.
fn new_id(now: Timestamp, random: &mut impl Rng) -> String {
    let stamp = now.strftime("%Y%m%dT%H%M%SZ");
    let letters: String = (0..4)
        .map(|_| char::from(LETTERS[random.random_range(0..LETTERS.len())]))
        .collect();
    format!("{stamp}-{letters}")
}

/// A link is replaced by renaming a new one over it: there is never a moment without one.
fn point_latest(runs: &Path, id: &str) -> io::Result<()> {
    let new = runs.join(format!(".{LATEST}-{id}"));
    symlink(id, &new)?;
    fs::rename(&new, runs.join(LATEST))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_new_run_is_private_and_the_latest() {
        let state = tempfile::tempdir().unwrap();
        let create = || RunDirectory::create(state.path(), "lab", &RunDirectory::new_id()).unwrap();
        let first = create();
        let second = create();
        assert_ne!(first, second);
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(second.path()), 0o700);
        assert_eq!(mode(&state.path().join("lab")), 0o700);
        assert_eq!(
            RunDirectory::find(state.path(), "lab", "latest").unwrap(),
            second
        );
        assert_eq!(RunDirectory::list(state.path(), "lab").unwrap().len(), 2);
    }

    #[test]
    fn a_run_is_found_by_the_beginning_of_its_id() {
        let state = tempfile::tempdir().unwrap();
        for id in ["20261123T065052Z-abcd", "20261123T070000Z-efgh"] {
            fs::create_dir_all(runs(state.path(), "lab").join(id)).unwrap();
        }
        let find = |wanted| {
            RunDirectory::find(state.path(), "lab", wanted)
                .map(|run| run.id().to_owned())
                .map_err(|e| e.to_string())
        };
        assert_eq!(find("20261123T07").unwrap(), "20261123T070000Z-efgh");
        assert_eq!(find("latest").unwrap(), "20261123T070000Z-efgh");
        assert_eq!(
            find("20261123").unwrap_err(),
            "more than one run begins with `20261123`: 20261123T065052Z-abcd, 20261123T070000Z-efgh"
        );
        assert!(find("2025").unwrap_err().ends_with("begins with `2025`"));
    }

    #[test]
    fn a_cloud_without_runs_says_so() {
        let state = tempfile::tempdir().unwrap();
        let error = RunDirectory::find(state.path(), "lab", "latest").unwrap_err();
        assert!(error.to_string().starts_with("there is no run yet in"));
    }

    #[test]
    fn ids_sort_by_time() {
        let at = |text: &str| new_id(text.parse().unwrap(), &mut rand::rng());
        assert!(at("2026-11-23T06:50:52Z") < at("2026-11-23T06:50:53Z"));
        assert!(at("2026-11-23T06:50:52Z").starts_with("20261123T065052Z-"));
    }
}
