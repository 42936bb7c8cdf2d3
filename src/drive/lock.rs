//! One run at a time works on a cloud.
//!
//! The lock is the kernel's own on `<state>/<cloud>/lock`, so it ends with the process that holds
//! it, however that ends; what is written in the file only tells others who that is. A note left by
//! a process that is gone is handed to the next holder, who can say that a run broke off.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};

/// Who holds, or held, a cloud.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The user's name.
    pub user: String,
    /// The machine it runs on.
    pub machine: String,
    /// The process there.
    pub pid: u32,
    /// Since when.
    pub since: Timestamp,
    /// Which run.
    pub run: String,
}

/// The right to work on a cloud, until dropped.
#[derive(Debug)]
pub struct CloudLock {
    file: Flock<File>,
    /// Who held it last and never gave it back: a run that broke off.
    pub left_by: Option<Holder>,
}

/// Why a cloud cannot be worked on.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum LockError {
    #[error(
        "cloud `{cloud}` is being worked on by {} on {} (process {}, run {}, since {})",
        holder.user, holder.machine, holder.pid, holder.run,
        holder.since.strftime("%Y-%m-%d %H:%M:%S UTC")
    )]
    Held { cloud: String, holder: Box<Holder> },
    #[error("cloud `{cloud}` is being worked on by a process that has not said who it is")]
    HeldBySomeone { cloud: String },
    #[error("cannot lock `{}`", path.display())]
    Io { path: PathBuf, source: io::Error },
}

impl CloudLock {
    /// Takes the lock of `cloud` under `state` for `run`, without waiting.
    ///
    /// # Errors
    /// Someone holds it, or the file cannot be written.
    pub fn take(state: &Path, cloud: &str, run: &str) -> Result<Self, LockError> {
        let directory = state.join(cloud);
        let path = directory.join("lock");
        let io = |source| LockError::Io {
            path: path.clone(),
            source,
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&directory)
            .map_err(io)?;
        let mut options = OpenOptions::new();
        options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600);
        let file = options.open(&path).map_err(io)?;
        let mut file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(file) => file,
            Err((_, nix::errno::Errno::EWOULDBLOCK)) => return Err(held(&path, cloud)),
            Err((_, errno)) => return Err(io(errno.into())),
        };
        let left_by = note(&mut file).map_err(io)?;
        let note = serde_json::to_vec(&Holder::this(run)).map_err(|e| io(e.into()))?;
        overwrite(&mut file, &note).map_err(io)?;
        Ok(Self { file, left_by })
    }
}

impl Drop for CloudLock {
    fn drop(&mut self) {
        // The lock itself ends with the file; a note that stays only makes the next run mention us.
        let _ = overwrite(&mut self.file, b"");
    }
}

impl Holder {
    fn this(run: &str) -> Self {
        let uid = nix::unistd::Uid::current();
        let user = nix::unistd::User::from_uid(uid).ok().flatten();
        let machine = nix::unistd::gethostname()
            .ok()
            .and_then(|name| name.into_string().ok());
        Self {
            user: user.map_or_else(|| uid.to_string(), |user| user.name),
            machine: machine.unwrap_or_else(|| "this machine".to_owned()),
            pid: std::process::id(),
            since: Timestamp::now(),
            run: run.to_owned(),
        }
    }
}

fn note(file: &mut File) -> io::Result<Option<Holder>> {
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    Ok(serde_json::from_str(&text).ok())
}

fn overwrite(file: &mut File, note: &[u8]) -> io::Result<()> {
    file.rewind()?;
    file.set_len(0)?;
    file.write_all(note)
}

fn held(path: &Path, cloud: &str) -> LockError {
    let cloud = cloud.to_owned();
    let holder = fs::read_to_string(path)
        .ok()
        .and_then(|text| serde_json::from_str(&text).ok());
    match holder {
        Some(holder) => LockError::Held {
            cloud,
            holder: Box::new(holder),
        },
        None => LockError::HeldBySomeone { cloud },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_run_is_told_who_is_at_work() {
        let state = tempfile::tempdir().unwrap();
        let lock = CloudLock::take(state.path(), "lab", "20261123T065052Z-abcd").unwrap();
        let error = CloudLock::take(state.path(), "lab", "other").unwrap_err();
        let LockError::Held { holder, .. } = &error else {
            panic!("{error}")
        };
        assert_eq!(holder.pid, std::process::id());
        assert!(
            error
                .to_string()
                .contains("run 20261123T065052Z-abcd, since 2"),
            "{error}"
        );
        assert!(CloudLock::take(state.path(), "another", "other").is_ok());
        drop(lock);
        assert!(
            CloudLock::take(state.path(), "lab", "other")
                .unwrap()
                .left_by
                .is_none()
        );
    }

    #[test]
    fn what_a_dead_process_left_does_not_hold_anyone_up() {
        let state = tempfile::tempdir().unwrap();
        let dead = Holder {
            pid: 1 << 30,
            run: "old".into(),
            ..Holder::this("old")
        };
        fs::create_dir(state.path().join("lab")).unwrap();
        let text = serde_json::to_string(&dead).unwrap();
        fs::write(state.path().join("lab/lock"), text).unwrap();
        let lock = CloudLock::take(state.path(), "lab", "new").unwrap();
        assert_eq!(lock.left_by, Some(dead));
    }

    #[test]
    fn a_damaged_note_does_not_matter() {
        let state = tempfile::tempdir().unwrap();
        fs::create_dir(state.path().join("lab")).unwrap();
        fs::write(state.path().join("lab/lock"), "{").unwrap();
        assert!(
            CloudLock::take(state.path(), "lab", "new")
                .unwrap()
                .left_by
                .is_none()
        );
    }
}
