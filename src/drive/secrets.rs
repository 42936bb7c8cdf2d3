//! The cloud's secrets: made once, kept in one file that only its owner can read, never changed by
//! a later run.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rand::Rng;
use rand::distr::Alphanumeric;

use crate::model::cloud::SecretSource;

/// Letters and digits only: 24 of them carry 142 bits, and need no quoting in any file or URL.
const LENGTH: usize = 24;

/// Why the secrets cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    /// The file cannot be read or written.
    #[error("{path}: {cause}")]
    File {
        /// Which file.
        path: PathBuf,
        /// The system's words.
        cause: io::Error,
    },
    /// The file is not ours, or was damaged.
    #[error("{path} is not a list of secrets: {cause}")]
    Content {
        /// Which file.
        path: PathBuf,
        /// The parser's words; never the content.
        cause: String,
    },
    /// Others can read the file.
    #[error("{path} can be read by others (mode {mode:o}); run `chmod 600 {path}`")]
    Open {
        /// Which file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The user wants to bring a secret that is not there.
    #[error(
        "the secret `{name}` is to come from the environment variable `{variable}`, which is not set"
    )]
    Environment {
        /// The secret.
        name: String,
        /// The variable.
        variable: String,
    },
}

/// The secrets named `wanted`: those that the user brings, those that were made before, and the rest made
/// now and kept in `file` (0600) before this returns.
///
/// # Errors
/// The file cannot be read or written, or a secret that the user brings is not there.
pub fn load(
    file: &Path,
    wanted: &[String],
    brought: &BTreeMap<String, SecretSource>,
) -> Result<BTreeMap<String, String>, SecretsError> {
    let mut kept = read(file)?;
    let before = kept.len();
    let mut secrets = BTreeMap::new();
    for name in wanted {
        let value = match brought.get(name) {
            Some(source) => bring(name, source)?,
            None => kept.entry(name.clone()).or_insert_with(make).clone(),
        };
        secrets.insert(name.clone(), value);
    }
    if kept.len() > before {
        write(file, &kept)?;
    }
    Ok(secrets)
}

fn make() -> String {
    rand::rng()
        .sample_iter(Alphanumeric)
        .take(LENGTH)
        .map(char::from)
        .collect()
}

fn bring(name: &str, source: &SecretSource) -> Result<String, SecretsError> {
    match source {
        SecretSource::Env(variable) => {
            std::env::var(variable).map_err(|_| SecretsError::Environment {
                name: name.to_owned(),
                variable: variable.clone(),
            })
        }
        SecretSource::File(path) => std::fs::read_to_string(path)
            .map(|text| text.strip_suffix('\n').unwrap_or(&text).to_owned())
            .map_err(|cause| SecretsError::File {
                path: path.into(),
                cause,
            }),
    }
}

fn read(file: &Path) -> Result<BTreeMap<String, String>, SecretsError> {
    let failed = |cause| SecretsError::File {
        path: file.to_owned(),
        cause,
    };
    let text = match std::fs::read_to_string(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        other => other.map_err(failed)?,
    };
    let mode = std::fs::metadata(file)
        .map_err(failed)?
        .permissions()
        .mode()
        & 0o777;
    if mode & 0o077 != 0 {
        return Err(SecretsError::Open {
            path: file.to_owned(),
            mode,
        });
    }
    toml::from_str(&text).map_err(|error| SecretsError::Content {
        path: file.to_owned(),
        cause: error.message().to_owned(),
    })
}

/// Writes beside the file and renames, so that a crash leaves the old file or the new one.
fn write(file: &Path, secrets: &BTreeMap<String, String>) -> Result<(), SecretsError> {
    let failed = |cause| SecretsError::File {
        path: file.to_owned(),
        cause,
    };
    let text = toml::to_string(secrets).map_err(|error| SecretsError::Content {
        path: file.to_owned(),
        cause: error.to_string(),
    })?;
    let beside = file.with_extension("new");
    let head = "# Made once by provision. A re-run never changes a value; the cloud's services know them.\n";
    let mut out = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&beside)
        .map_err(failed)?;
    out.write_all(head.as_bytes()).map_err(failed)?;
    out.write_all(text.as_bytes()).map_err(failed)?;
    out.sync_all().map_err(failed)?;
    std::fs::rename(&beside, file).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_made_once_and_only_the_owner_reads_them() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secrets.toml");
        let first = load(&file, &["a".into()], &BTreeMap::new()).unwrap();
        let second = load(&file, &["a".into(), "b".into()], &BTreeMap::new()).unwrap();
        assert_eq!(first["a"], second["a"]);
        assert_ne!(second["a"], second["b"]);
        assert_eq!(second["a"].len(), LENGTH);
        assert_eq!(
            std::fs::metadata(&file).unwrap().permissions().mode() & 0o777,
            0o600
        );
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        let error = load(&file, &["a".into()], &BTreeMap::new()).unwrap_err();
        assert!(error.to_string().contains("chmod 600"), "{error}");
    }

    #[test]
    fn a_secret_that_is_brought_is_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        let (file, own) = (
            folder.path().join("secrets.toml"),
            folder.path().join("own"),
        );
        std::fs::write(&own, "mine\n").unwrap();
        let brought = BTreeMap::from([(
            "a".to_owned(),
            SecretSource::File(own.to_string_lossy().into_owned()),
        )]);
        assert_eq!(load(&file, &["a".into()], &brought).unwrap()["a"], "mine");
        assert!(!file.exists());
    }
}
