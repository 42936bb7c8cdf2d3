//! One process at a time: advisory locks on files, let go of by the kernel when their holder ends.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::error::LabError;

/// A lock that is held until it is dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    _held: Flock<File>,
}

impl Lock {
    /// Takes the lock, or says at once that somebody else has it.
    pub(crate) fn take(path: &Path) -> Result<Option<Self>, LabError> {
        let file = open(path)?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(held) => Ok(Some(Self { _held: held })),
            Err((_, Errno::EWOULDBLOCK)) => Ok(None),
            Err((_, errno)) => Err(LabError::file("lock", path)(io::Error::from(errno))),
        }
    }

    /// Waits for the lock.
    pub(crate) async fn wait(path: &Path) -> Result<Self, LabError> {
        loop {
            if let Some(lock) = Self::take(path)? {
                return Ok(lock);
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    }
}

fn open(path: &Path) -> Result<File, LabError> {
    let file = OpenOptions::new().create(true).append(true).open(path);
    file.map_err(LabError::file("open", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_held_once_and_free_after_its_holder() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        let first = Lock::take(&path).unwrap();
        assert!(first.is_some());
        assert!(Lock::take(&path).unwrap().is_none());
        drop(first);
        assert!(Lock::take(&path).unwrap().is_some());
    }
}
