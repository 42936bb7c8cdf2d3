//! `[image]`, `[flavors]` and `[proof]`: what runs on the cloud first.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::model::answers::findings::Findings;
use crate::model::answers::nearest::{listed, nearest};
use crate::model::answers::schema::{AnswerFile, FlavorTable, ImageTable, Named, ProofTable};
use crate::model::answers::written::{Sha256, Time, Url, Word, Written};
use crate::model::at::At;
use crate::model::cloud::choice::{ImageFallback, ImageFormat};
use crate::model::cloud::{Flavor, Image, ImageSource, Proof};
use crate::model::diagnostic::Diagnostic;

/// The image, unless it could not be read.
pub(super) fn image(file: &AnswerFile, findings: &mut Findings<'_>) -> Option<Image> {
    let none = ImageTable::default();
    let table = file.image.as_ref().map_or(&none, At::get);
    let place = file.image.as_ref().map_or(0..0, At::span);
    let sha256: Option<Sha256> = findings.read_opt("image.sha256", table.sha256.as_ref());
    let source = match (&table.url, &table.file) {
        (Some(_), Some(file)) => {
            findings.add(
                Diagnostic::error("image::two-sources", "the image comes from two places")
                    .at(findings.label(file.span(), "and from here"))
                    .at(findings.label(place, "has `url` and `file`"))
                    .help("leave out `url` or `file`"),
            );
            return None;
        }
        (Some(url), None) => downloaded(url, table, sha256, findings),
        (None, Some(file)) => Some(ImageSource::File {
            path: file.get().clone(),
            sha256: sha256.map(|sum| sum.0),
        }),
        (None, None) => built(table, findings),
    }?;
    let named = matches!(source, ImageSource::Url { .. } | ImageSource::File { .. });
    let default = if named {
        ImageFallback::None
    } else {
        ImageFallback::BuildGuest
    };
    let name: Option<Word> = findings.read_opt("image.name", table.name.as_ref());
    Some(Image {
        name: name.map_or_else(|| default_name(&source), |name| name.0),
        source,
        format: table.format.unwrap_or(ImageFormat::Qcow2),
        fallback: table
            .fallback
            .as_ref()
            .map_or(default, |fallback| *fallback.get()),
    })
}

fn downloaded(
    url: &At<String>,
    table: &ImageTable,
    sha256: Option<Sha256>,
    findings: &mut Findings<'_>,
) -> Option<ImageSource> {
    if table.sha256.is_none() {
        findings.add(
            Diagnostic::error("image::no-checksum", "an image that is downloaded needs a checksum")
                .at(findings.label(url.span(), "what comes from there could be anything"))
                .help("write `sha256 = \"...\"` in `[image]`; publishers have it in a file such as `SHA256SUMS`"),
        );
    }
    let url: Option<Url> = findings.read("image.url", url);
    Some(ImageSource::Url {
        url: url?.0,
        sha256: sha256?.0,
    })
}

fn built(table: &ImageTable, findings: &mut Findings<'_>) -> Option<ImageSource> {
    match &table.fallback {
        Some(fallback) if *fallback.get() == ImageFallback::None => {
            findings.add(
                Diagnostic::error("image::none", "there is no image")
                    .at(findings.label(fallback.span(), "and none may be built"))
                    .help("write `url` and `sha256`, or `file`, in `[image]`; or leave out `fallback`"),
            );
            None
        }
        _ => Some(ImageSource::Guest),
    }
}

/// The file's name without its ending, where that is a name.
fn default_name(source: &ImageSource) -> String {
    let path = match source {
        ImageSource::Url { url, .. } => url,
        ImageSource::File { path, .. } => path,
        ImageSource::Guest => return "test-guest".to_owned(),
    };
    let file = path.rsplit('/').next().unwrap_or_default();
    let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
    Word::read(stem).map_or_else(|_| "image".to_owned(), |word| word.0)
}

/// Flavors, and the proof, unless it could not be read.
pub(super) fn proof(
    file: &AnswerFile,
    findings: &mut Findings<'_>,
) -> (BTreeMap<String, Flavor>, Option<Proof>) {
    let flavors = match &file.flavors {
        None => default_flavors(),
        Some(tables) => flavors(tables, findings),
    };
    let none = ProofTable::default();
    let table = file.proof.as_ref().unwrap_or(&none);
    let boot: Option<Time> = findings.read_opt("proof.boot_timeout", table.boot_timeout.as_ref());
    let answer: Option<Time> =
        findings.read_opt("proof.answer_timeout", table.answer_timeout.as_ref());
    let minutes = |n: u64| Duration::from_secs(n * 60);
    let least = flavors
        .iter()
        .min_by_key(|(_, f)| (f.ram_mb, f.vcpus, f.disk_gb));
    let flavor = match &table.flavor {
        Some(written) => known_flavor(written, &flavors, findings),
        None => least.map(|(name, _)| name.clone()),
    };
    let proof = flavor.map(|flavor| Proof {
        enabled: table.enabled.unwrap_or(true),
        keep: table.keep.unwrap_or(false),
        flavor,
        boot_timeout: boot.map_or(minutes(5), |time| time.0),
        answer_timeout: answer.map_or(minutes(3), |time| time.0),
    });
    (flavors, proof)
}

fn default_flavors() -> BTreeMap<String, Flavor> {
    [
        ("tiny", 1, 256, 1),
        ("small", 1, 2048, 20),
        ("medium", 2, 4096, 40),
    ]
    .map(|(name, vcpus, ram_mb, disk_gb)| {
        let flavor = Flavor {
            vcpus,
            ram_mb,
            disk_gb,
        };
        (name.to_owned(), flavor)
    })
    .into()
}

fn flavors(tables: &Named<FlavorTable>, findings: &mut Findings<'_>) -> BTreeMap<String, Flavor> {
    let mut flavors = BTreeMap::new();
    for (name, table) in tables {
        let word: Option<Word> = findings.read("flavors", name);
        let table = table.get();
        if let Some(disk) = table.disk_gb.as_ref().filter(|disk| *disk.get() == 0) {
            findings.add(
                Diagnostic::warning(
                    "flavor::no-disk",
                    format!("only administrators may use the flavor `{}`", name.get()),
                )
                .at(findings.label(
                    disk.span(),
                    "Nova keeps flavors without a disk from everybody else",
                ))
                .help("write `disk_gb = 1` or more"),
            );
        }
        // A part that is missing is reported already; the name is kept for the proof.
        if let Some(word) = word {
            let flavor = Flavor {
                vcpus: table.vcpus.unwrap_or(1),
                ram_mb: table.ram_mb.unwrap_or(256),
                disk_gb: table.disk_gb.as_ref().map_or(1, |disk| *disk.get()),
            };
            flavors.insert(word.0, flavor);
        }
    }
    flavors
}

fn known_flavor(
    written: &At<String>,
    flavors: &BTreeMap<String, Flavor>,
    findings: &mut Findings<'_>,
) -> Option<String> {
    let name = written.get();
    if flavors.contains_key(name) {
        return Some(name.clone());
    }
    let names = || flavors.keys().map(String::as_str);
    let mark = match nearest(name, names()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "not among the flavors".to_owned(),
    };
    findings.add(
        Diagnostic::error(
            "proof::unknown-flavor",
            format!("there is no flavor `{name}`"),
        )
        .at(findings.label(written.span(), mark))
        .help(format!("it can be {}", listed(names()))),
    );
    None
}
