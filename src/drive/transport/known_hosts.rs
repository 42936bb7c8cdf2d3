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

#[cfg(test)]
mod tests {
    use super::*;

    fn key(kind: &str, byte: u8) -> HostKey {
        HostKey {
            kind: kind.to_owned(),
            blob: vec![byte; 8],
        }
    }

    fn ed(byte: u8) -> HostKey {
        key("ssh-ed25519", byte)
    }

    fn entry(hosts: &str, key: &HostKey) -> String {
        format!(
            "{hosts} {} {} a comment\n",
            key.kind,
            BASE64.encode(&key.blob)
        )
    }

    fn changed(line: usize, key: &HostKey) -> Verdict {
        Verdict::Changed {
            line,
            expected: format!("{} {}", key.kind, key.fingerprint()),
        }
    }

    #[test]
    fn names_are_matched_as_openssh_does() {
        let cases = [
            ("box", "box", 22, true),
            ("box", "BOX", 22, true),
            ("box", "box2", 22, false),
            ("box", "box", 2222, false),
            ("[box]:2222", "box", 2222, true),
            ("[box]:2222", "box", 22, false),
            ("other,box,10.0.0.1", "10.0.0.1", 22, true),
            ("10.0.0.*", "10.0.0.77", 22, true),
            ("10.0.?.1", "10.0.10.1", 22, false),
            ("*,!box", "box", 22, false),
            ("*,!box", "box2", 22, true),
            ("fe80::1", "fe80::1", 22, true),
        ];
        for (hosts, host, port, known) in cases {
            let verdict = check(&entry(hosts, &ed(1)), host, port, &ed(1));
            assert_eq!(
                verdict == Verdict::Known,
                known,
                "{hosts} for {host} {port}"
            );
        }
    }

    #[test]
    fn hashed_names_are_matched() {
        // ssh-keygen -H made these from `controller` and `[10.0.0.100]:2222`.
        let text = "|1|oemE7OSz4gByyOx/l6DnlGRCLpU=|RCiW/ked3ul8FTHlHoX4/12FdZo= ssh-ed25519 AQEBAQEBAQE=\n\
                    |1|Nu08UelcdmdQmI+Sz9D5KZTzmqM=|aHyu6fYhpY3TmQyXDSRoLmi+p7k= ssh-ed25519 AgICAgICAgI=\n";
        assert_eq!(check(text, "controller", 22, &ed(1)), Verdict::Known);
        assert_eq!(check(text, "10.0.0.100", 2222, &ed(2)), Verdict::Known);
        assert_eq!(check(text, "10.0.0.100", 22, &ed(2)), Verdict::Unknown);
        assert_eq!(check(text, "10.0.0.100", 2222, &ed(3)), changed(2, &ed(2)));
    }

    #[test]
    fn a_changed_key_names_the_line_that_says_most() {
        let text = [
            "# comment\n\n".to_owned(),
            entry("box", &key("ssh-rsa", 7)),
            entry("box", &ed(1)),
        ];
        let text = text.concat();
        assert_eq!(check(&text, "box", 22, &ed(1)), Verdict::Known);
        assert_eq!(check(&text, "box", 22, &ed(2)), changed(4, &ed(1)));
        let ecdsa = key("ecdsa-sha2-nistp256", 1);
        assert_eq!(
            check(&text, "box", 22, &ecdsa),
            changed(3, &key("ssh-rsa", 7))
        );
        assert_eq!(check(&text, "box2", 22, &ed(2)), Verdict::Unknown);
        assert_eq!(kinds(&text, "box", 22), ["ssh-rsa", "ssh-ed25519"]);
    }

    #[test]
    fn two_keys_of_one_type_are_both_good() {
        let text = [entry("box", &ed(1)), entry("box", &ed(2))].concat();
        assert_eq!(check(&text, "box", 22, &ed(1)), Verdict::Known);
        assert_eq!(check(&text, "box", 22, &ed(2)), Verdict::Known);
        assert_eq!(check(&text, "box", 22, &ed(3)), changed(1, &ed(1)));
    }

    #[test]
    fn revoked_wins_and_authorities_say_nothing_about_a_key() {
        let text = [entry("box", &ed(1)), entry("@revoked *", &ed(1))].concat();
        assert_eq!(
            check(&text, "box", 22, &ed(1)),
            Verdict::Revoked { line: 2 }
        );
        assert_eq!(check(&text, "other", 22, &ed(2)), Verdict::Unknown);
        let text = entry("@cert-authority box", &ed(1));
        assert_eq!(check(&text, "box", 22, &ed(1)), Verdict::Unknown);
        assert!(kinds(&text, "box", 22).is_empty());
    }

    #[test]
    fn rubbish_is_skipped() {
        for text in [
            "box",
            "box ssh-ed25519",
            "box ssh-ed25519 %%%",
            "@revoked",
            "|1|x ssh-rsa AQ==",
        ] {
            assert_eq!(check(text, "box", 22, &ed(1)), Verdict::Unknown, "{text}");
        }
    }

    #[test]
    fn a_line_we_write_is_one_we_know() {
        for port in [22, 2222] {
            let text = line("Box", port, &ed(9));
            assert_eq!(check(&text, "box", port, &ed(9)), Verdict::Known, "{text}");
        }
    }

    #[test]
    fn fingerprints_are_those_of_ssh_keygen() {
        let blob = BASE64
            .decode(b"AAAAC3NzaC1lZDI1NTE5AAAAIJmVXke+pfQilGLq58nItXuUDGDcljdwGn9/Shwxjrfd")
            .unwrap();
        let key = HostKey {
            kind: "ssh-ed25519".to_owned(),
            blob,
        };
        assert_eq!(
            key.fingerprint(),
            "SHA256:Gc+OpVzhAzd7U+tb4DJ52skqKg+o60e2X2FOB69Wz1M"
        );
    }
}
