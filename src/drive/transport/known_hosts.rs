//! The `known_hosts` file format, as far as pinning needs it. Pure.
//!
//! Understood: plain names, `*` and `?` and `!` patterns, `[name]:port`, hashed names (`|1|salt|hash`),
//! several keys per host, `@revoked`. Not understood, and skipped: `@cert-authority`. A host that is known by
//! a key of another type counts as changed, not as unknown.

use data_encoding::{BASE64, BASE64_NOPAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

/// A host's public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HostKey {
    /// `ssh-ed25519`, ...
    pub(super) kind: String,
    /// The key in SSH wire format.
    pub(super) blob: Vec<u8>,
}

/// What a file says about a host and the key it shows. Lines count from 1.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Known,
    Unknown,
    Changed { line: usize, expected: String },
    Revoked { line: usize },
}

impl HostKey {
    /// `SHA256:…`, as `ssh-keygen -l` prints it.
    pub(super) fn fingerprint(&self) -> String {
        format!(
            "SHA256:{}",
            BASE64_NOPAD.encode(&Sha256::digest(&self.blob))
        )
    }
}

/// Judges `key`, shown by `host` on `port`.
pub(super) fn check(text: &str, host: &str, port: u16, key: &HostKey) -> Verdict {
    let mut verdict = Verdict::Unknown;
    let mut same_kind = false;
    for entry in entries(text).filter(|entry| entry.names(host, port)) {
        let same = entry.key == *key;
        match entry.marker {
            Some("@revoked") if same => return Verdict::Revoked { line: entry.line },
            Some(_) => {}
            None if same => verdict = Verdict::Known,
            None if verdict == Verdict::Known => {}
            // Of several that disagree, the line with a key of the same type says most.
            None if verdict == Verdict::Unknown || (entry.key.kind == key.kind && !same_kind) => {
                same_kind = entry.key.kind == key.kind;
                let expected = format!("{} {}", entry.key.kind, entry.key.fingerprint());
                verdict = Verdict::Changed {
                    line: entry.line,
                    expected,
                };
            }
            None => {}
        }
    }
    verdict
}

/// The key types written down for a host: the ones to ask it for.
pub(super) fn kinds(text: &str, host: &str, port: u16) -> Vec<String> {
    entries(text)
        .filter(|entry| entry.marker.is_none() && entry.names(host, port))
        .map(|entry| entry.key.kind)
        .collect()
}

/// The line that pins `key`, with its line end.
pub(super) fn line(host: &str, port: u16, key: &HostKey) -> String {
    format!(
        "{} {} {}\n",
        name(host, port),
        key.kind,
        BASE64.encode(&key.blob)
    )
}

struct Entry<'a> {
    line: usize,
    marker: Option<&'a str>,
    hosts: &'a str,
    key: HostKey,
}

fn entries(text: &str) -> impl Iterator<Item = Entry<'_>> {
    text.lines().enumerate().filter_map(|(index, line)| {
        let mut words = line.split_ascii_whitespace().peekable();
        let marker = words.next_if(|word| word.starts_with('@'));
        let hosts = words.next().filter(|word| !word.starts_with('#'))?;
        let kind = words.next()?.to_owned();
        let blob = BASE64.decode(words.next()?.as_bytes()).ok()?;
        Some(Entry {
            line: index + 1,
            marker,
            hosts,
            key: HostKey { kind, blob },
        })
    })
}

impl Entry<'_> {
    fn names(&self, host: &str, port: u16) -> bool {
        let name = name(host, port);
        if let Some(hashed) = self.hosts.strip_prefix("|1|") {
            return hash_matches(hashed, &name).unwrap_or(false);
        }
        let mut found = false;
        for pattern in self.hosts.split(',') {
            match pattern.strip_prefix('!') {
                Some(pattern) if glob(pattern.as_bytes(), name.as_bytes()) => return false,
                Some(_) => {}
                None => found |= glob(pattern.as_bytes(), name.as_bytes()),
            }
        }
        found
    }
}

fn name(host: &str, port: u16) -> String {
    let host = host.to_lowercase();
    if port == 22 {
        host
    } else {
        format!("[{host}]:{port}")
    }
}

fn hash_matches(hashed: &str, name: &str) -> Option<bool> {
    let (salt, hash) = hashed.split_once('|')?;
    let salt = BASE64.decode(salt.as_bytes()).ok()?;
    let hash = BASE64.decode(hash.as_bytes()).ok()?;
    let mut hmac = Hmac::<Sha1>::new_from_slice(&salt).ok()?;
    hmac.update(name.as_bytes());
    Some(hmac.verify_slice(&hash).is_ok())
}

fn glob(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern.split_first(), name.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => (0..=name.len()).any(|skip| glob(rest, &name[skip..])),
        (Some((b'?', rest)), Some((_, name))) => glob(rest, name),
        (Some((byte, rest)), Some((other, name))) => {
            byte.eq_ignore_ascii_case(other) && glob(rest, name)
        }
        _ => false,
    }
}
