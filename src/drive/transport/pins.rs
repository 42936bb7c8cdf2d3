//! The pinned host keys of a run: judges what hosts show, and writes first contacts down.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;

use tokio::sync::Mutex;

use super::known_hosts::{self, HostKey, Verdict};
use super::{ConnectError, HostKeys, SshReach};

/// One first contact at a time writes; cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Pins {
    writing: Arc<Mutex<()>>,
}

impl Pins {
    /// The kinds of key known for a host.
    pub(super) fn kinds(&self, reach: &SshReach) -> Vec<String> {
        let text = read(&reach.known_hosts).unwrap_or_default();
        known_hosts::kinds(&text, &reach.address, reach.port)
    }

    /// Accepts the key a host shows, or says why not.
    pub(super) async fn judge(
        &self,
        name: &str,
        reach: &SshReach,
        key: &HostKey,
    ) -> Result<(), ConnectError> {
        let _turn = self.writing.lock().await;
        let host = name.to_owned();
        let file = reach.known_hosts.display().to_string();
        let address = reach.address.clone();
        let shown = format!("{} {}", key.kind, key.fingerprint());
        let unusable = |error: std::io::Error| ConnectError::KnownHosts {
            host: name.to_owned(),
            file: reach.known_hosts.display().to_string(),
            cause: error.to_string(),
        };
        let text = read(&reach.known_hosts).map_err(unusable)?;
        match known_hosts::check(&text, &reach.address, reach.port, key) {
            Verdict::Known => Ok(()),
            Verdict::Revoked { line } => Err(ConnectError::HostKeyRevoked {
                host,
                file,
                line,
                shown,
            }),
            Verdict::Changed { line, expected } => Err(ConnectError::HostKeyChanged {
                host,
                address,
                file,
                line,
                expected,
                shown,
            }),
            Verdict::Unknown if reach.host_keys == HostKeys::PinFirst => {
                let line = known_hosts::line(&reach.address, reach.port, key);
                append(&reach.known_hosts, text, &line).map_err(unusable)
            }
            Verdict::Unknown => {
                let port = reach.port;
                Err(ConnectError::HostKeyUnknown {
                    host,
                    address,
                    port,
                    file,
                    shown,
                })
            }
        }
    }
}

/// A file that is not there knows nobody; one that cannot be read is an error.
fn read(file: &Path) -> std::io::Result<String> {
    match std::fs::read(file) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(error),
    }
}

/// Writes all of it beside the file and renames: readers see the old file or the new one.
fn append(file: &Path, mut text: String, line: &str) -> std::io::Result<()> {
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text.push_str(line);
    let mut beside = file.as_os_str().to_owned();
    beside.push(format!(".{}.new", std::process::id()));
    let options = &mut std::fs::OpenOptions::new();
    let mut new = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&beside)?;
    new.write_all(text.as_bytes())?;
    new.sync_all()?;
    std::fs::rename(&beside, file)
}
