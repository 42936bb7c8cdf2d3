//! The library: playbooks, platforms, templates and shipped answer files. Built into the program, so that one file
//! is all that has to be carried; `--library DIR` takes another one, with services or platforms of
//! your own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rust_embed::{Embed, EmbeddedFile};
use serde::Deserialize;
use serde_json::Value;

use crate::drive::openstack::Apis;
use crate::model::answers::{Known, known};
use crate::model::playbook::render::RenderError;
use crate::model::playbook::{Playbook, Templates};

#[derive(Embed)]
#[folder = "playbooks/"]
struct Playbooks;

#[derive(Embed)]
#[folder = "templates/"]
struct TemplateFiles;

/// Everything a plan is made of, beside the answer file.
#[derive(Debug)]
pub struct Library {
    /// Playbooks by name, in the order of `contents.toml`.
    pub playbooks: Vec<(String, Playbook)>,
    /// Platforms by name, as their files are.
    pub platforms: BTreeMap<String, Value>,
    /// How services are spoken to.
    pub apis: Apis,
    /// Templates.
    pub templates: Templates,
    /// What answer files can name.
    pub known: Known,
}

/// Why the library cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LibraryError {
    /// A file is missing.
    #[error("{0} is missing")]
    Missing(String),
    /// A file cannot be read.
    #[error("{file}: {cause}")]
    Read {
        /// Which.
        file: PathBuf,
        /// The system's words.
        cause: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("{file}: {cause}")]
    Content {
        /// Which.
        file: String,
        /// The parser's words, with line and column.
        cause: String,
    },
    /// A template cannot be taken in.
    #[error(transparent)]
    Template(#[from] RenderError),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Contents {
    playbooks: Vec<String>,
}

/// The files of a library by their path below `playbooks/` or `templates/`.
struct Files {
    playbooks: BTreeMap<String, String>,
    templates: BTreeMap<String, String>,
}

impl Library {
    /// The library that is built in, or the one in `folder`.
    ///
    /// # Errors
    /// A file is missing or wrong.
    pub fn load(folder: Option<&Path>) -> Result<Self, LibraryError> {
        let files = match folder {
            None => Files {
                playbooks: embedded(Playbooks::iter(), Playbooks::get),
                templates: embedded(TemplateFiles::iter(), TemplateFiles::get),
            },
            Some(folder) => Files {
                playbooks: read_folder(&folder.join("playbooks"))?,
                templates: read_folder(&folder.join("templates"))?,
            },
        };
        let contents: Contents = files.parse("contents.toml")?;
        let mut playbooks = Vec::with_capacity(contents.playbooks.len());
        for name in contents.playbooks {
            let playbook = files.parse(&format!("{name}.toml"))?;
            playbooks.push((name, playbook));
        }
        let mut platforms = BTreeMap::new();
        for file in files.playbooks.keys() {
            let name = file
                .strip_prefix("platforms/")
                .and_then(|file| file.strip_suffix(".toml"));
            if let Some(name) = name {
                platforms.insert(name.to_owned(), files.parse(file)?);
            }
        }
        let templates = files
            .templates
            .iter()
            .map(|(name, text)| (name.as_str(), text.as_str()));
        Ok(Self {
            known: known(&files, &platforms, secrets(&playbooks))?,
            playbooks,
            apis: files.parse("apis.toml")?,
            templates: Templates::new(templates.filter(|(name, _)| is_config(name)))?,
            platforms,
        })
    }

    /// The names of all services that a playbook can be switched by.
    pub fn services(&self) -> Vec<String> {
        let mut names: Vec<String> = self
            .playbooks
            .iter()
            .filter_map(|(_, book)| book.service.clone())
            .collect();
        names.sort();
        names.dedup();
        names
    }

    /// The secrets that playbooks use, sorted, each once.
    pub fn secrets(&self) -> Vec<String> {
        secrets(&self.playbooks)
    }
}

fn secrets(playbooks: &[(String, Playbook)]) -> Vec<String> {
    let mut names: Vec<String> = playbooks
        .iter()
        .flat_map(|(_, book)| book.secrets.clone())
        .collect();
    names.sort();
    names.dedup();
    names
}

/// What answer files can name: the platforms that there are, and the services of `services.toml`.
fn known(
    files: &Files,
    platforms: &BTreeMap<String, Value>,
    secrets: Vec<String>,
) -> Result<Known, LibraryError> {
    let title = |platform: &Value| platform["title"].as_str().unwrap_or_default().to_owned();
    let platforms = platforms.iter().map(|(name, platform)| {
        (
            name.clone(),
            known::Platform {
                title: title(platform),
                config_files: config_files(platform),
            },
        )
    });
    Ok(Known {
        platforms: platforms.collect(),
        services: files.parse("services.toml")?,
        secrets,
    })
}

/// The short names that the platform has for configuration files, where it lists them.
fn config_files(platform: &Value) -> Vec<String> {
    let names = platform["config_files"].as_array().into_iter().flatten();
    names.filter_map(Value::as_str).map(str::to_owned).collect()
}

/// The report's template is HTML, with an engine of its own, and the guest's files are no templates.
fn is_config(name: &str) -> bool {
    !name.starts_with("report/") && !name.starts_with("guest/")
}

impl Files {
    fn parse<T: serde::de::DeserializeOwned>(&self, file: &str) -> Result<T, LibraryError> {
        let text = self.playbooks.get(file);
        let text = text.ok_or_else(|| LibraryError::Missing(format!("playbooks/{file}")))?;
        toml::from_str(text).map_err(|error| LibraryError::Content {
            file: format!("playbooks/{file}"),
            cause: error.to_string(),
        })
    }
}

fn embedded(
    names: impl Iterator<Item = std::borrow::Cow<'static, str>>,
    get: fn(&str) -> Option<EmbeddedFile>,
) -> BTreeMap<String, String> {
    let text = |name: &str| {
        let file = get(name)?;
        String::from_utf8(file.data.into_owned()).ok()
    };
    names
        .filter_map(|name| text(&name).map(|text| (name.into_owned(), text)))
        .collect()
}

fn read_folder(folder: &Path) -> Result<BTreeMap<String, String>, LibraryError> {
    let mut files = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        let failed = |cause| LibraryError::Read {
            file: next.clone(),
            cause,
        };
        for entry in std::fs::read_dir(&next).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.is_dir() {
                open.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).map_err(|cause| LibraryError::Read {
                file: path.clone(),
                cause,
            })?;
            if let Ok(name) = path.strip_prefix(folder) {
                files.insert(name.to_string_lossy().into_owned(), text);
            }
        }
    }
    Ok(files)
}
