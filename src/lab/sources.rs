//! The package archives of this machine, read from apt's own settings and turned into those of a lab host.
//!
//! Pure text in, text out. A host uses the mirrors that its machine uses: no archive is named here.

use super::spec::Distro;

/// One archive of a distribution, for one or more of its suites.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    uri: String,
    /// Suites with the release's name taken out: "" , "-updates", "-security".
    endings: Vec<String>,
}

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
const RELEASES: [&str; 6] = [
    "bullseye", "bookworm", "trixie", "forky", "stable", "testing",
];

/// The Debian archives that a settings file names. `deb822` says which of the two formats it has.
pub(crate) fn parse(text: &str, deb822: bool) -> Vec<Source> {
    if deb822 {
        stanzas(text)
    } else {
        text.lines().filter_map(one_line).collect()
    }
}

/// The settings for a host of this distribution, in deb822 format.
pub(crate) fn render(sources: &[Source], distro: Distro) -> String {
    let stanza = |source: &Source| {
        let suites: Vec<_> = source
            .endings
            .iter()
            .map(|ending| format!("{}{ending}", distro.codename()))
            .collect();
        format!(
            "Types: deb\nURIs: {}\nSuites: {}\nComponents: main\nSigned-By: {KEYRING}\n",
            source.uri,
            suites.join(" "),
        )
    };
    merged(sources)
        .iter()
        .map(stanza)
        .collect::<Vec<_>>()
        .join("\n")
}

fn merged(sources: &[Source]) -> Vec<Source> {
    let mut merged: Vec<Source> = Vec::new();
    for source in sources {
        let uri = source.uri.trim_end_matches('/');
        match merged.iter_mut().find(|known| known.uri == uri) {
            None => merged.push(Source {
                uri: uri.to_owned(),
                endings: source.endings.clone(),
            }),
            Some(known) => {
                for ending in &source.endings {
                    if !known.endings.contains(ending) {
                        known.endings.push(ending.clone());
                    }
                }
            }
        }
    }
    merged
}

fn stanzas(text: &str) -> Vec<Source> {
    let text: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
    text.split(|line| line.trim().is_empty())
        .flat_map(stanza)
        .collect()
}

fn stanza(lines: &[&str]) -> Vec<Source> {
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in lines {
        if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = fields.last_mut() {
                value.push(' ');
                value.push_str(line.trim());
            }
        } else if let Some((name, value)) = line.split_once(':') {
            fields.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    let field = |name: &str| {
        let value = fields
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str());
        value.unwrap_or_default()
    };
    let has = |name: &str, word: &str| field(name).split_whitespace().any(|known| known == word);
    if !has("types", "deb") || !has("components", "main") || has("enabled", "no") {
        return Vec::new();
    }
    let suites = field("suites").split_whitespace();
    source(field("uris").split_whitespace(), suites, field("signed-by"))
}

fn one_line(line: &str) -> Option<Source> {
    let line = line.split('#').next().unwrap_or_default();
    let (options, rest) = match line
        .trim()
        .strip_prefix("deb")?
        .trim_start()
        .strip_prefix('[')
    {
        Some(rest) => rest.split_once(']')?,
        None => ("", line.trim().strip_prefix("deb ")?),
    };
    let mut words = rest.split_whitespace();
    let (uri, suite) = (words.next()?, words.next()?);
    if !words.any(|component| component == "main") {
        return None;
    }
    let signed = options
        .split_whitespace()
        .find_map(|option| option.strip_prefix("signed-by="));
    source(
        [uri].into_iter(),
        [suite].into_iter(),
        signed.unwrap_or_default(),
    )
    .pop()
}

/// Archives of other projects use Debian's release names too; they bring keys of their own.
fn source<'a>(
    uris: impl Iterator<Item = &'a str>,
    suites: impl Iterator<Item = &'a str>,
    signed_by: &str,
) -> Vec<Source> {
    let endings: Vec<_> = suites.filter_map(ending).collect();
    if endings.is_empty() || !(signed_by.is_empty() || signed_by.contains("debian-archive")) {
        return Vec::new();
    }
    uris.map(|uri| Source {
        uri: uri.to_owned(),
        endings: endings.clone(),
    })
    .collect()
}

fn ending(suite: &str) -> Option<String> {
    let rest = RELEASES
        .iter()
        .find_map(|release| suite.strip_prefix(release))?;
    matches!(rest, "" | "-updates" | "-security").then(|| rest.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MACHINE: &str = "\
Types: deb
# a comment
URIs: http://mirror.example/debian/
Suites: bookworm bookworm-updates bookworm-backports
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.example/debian-security
Suites:
 bookworm-security
Components: main

Types: deb
URIs: http://other.example/debian
Suites: bookworm
Components: main
Signed-By: /usr/share/keyrings/other.gpg

Enabled: no
Types: deb
URIs: http://off.example/debian
Suites: bookworm
Components: main
";

    #[test]
    fn a_host_of_the_next_release_gets_the_suites_of_that_release() {
        let text = render(&parse(MACHINE, true), Distro::Debian13);
        let expected = "\
Types: deb
URIs: http://mirror.example/debian
Suites: trixie trixie-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.example/debian-security
Suites: trixie-security
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
";
        assert_eq!(text, expected);
    }

    #[test]
    fn the_one_line_format_is_understood() {
        let machine = "\
deb http://mirror.example/debian bookworm main non-free # comment
deb-src http://mirror.example/debian bookworm main
deb http://mirror.example/debian bookworm-updates main
deb [arch=amd64 signed-by=/usr/share/keyrings/other.gpg] http://other.example/x bookworm main
deb [ arch=amd64 ] http://mirror.example/debian-security bookworm-security main
deb http://third.example/apt cloud-bookworm main
# deb http://old.example/debian bookworm main
";
        let text = render(&parse(machine, false), Distro::Debian12);
        assert!(
            text.contains(
                "URIs: http://mirror.example/debian\nSuites: bookworm bookworm-updates\n"
            )
        );
        assert!(text.contains("debian-security\nSuites: bookworm-security\n"));
        assert!(!text.contains("other.example") && !text.contains("third.example"));
        assert!(!text.contains("old.example"));
    }

    #[test]
    fn a_machine_without_debian_archives_has_none() {
        assert!(parse("deb http://mirror.example/ubuntu noble main\n", false).is_empty());
        assert!(parse("", true).is_empty());
    }
}
