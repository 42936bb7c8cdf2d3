//! Images in the Image service, with their data.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Attributes, Diff, Op};
use crate::model::edit::Edit;
use crate::model::facts::ServiceFact;

/// An image in the Image service, with its data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Image {
    /// The image's name.
    pub name: String,
    /// Where the data is, on the machine that runs `provision`.
    pub file: String,
    /// Format of the data: `qcow2`, `raw`...
    #[serde(default = "qcow2")]
    pub disk_format: String,
    /// Format of what is around it.
    #[serde(default = "bare")]
    pub container_format: String,
    /// Who sees it: `public`, `private`, `shared`, `community`.
    #[serde(default = "public")]
    pub visibility: String,
    /// Further properties.
    #[serde(default)]
    pub properties: Attributes,
    /// SHA-256 of the data, in hex; kept as a property, and compared.
    #[serde(default)]
    pub sha256: String,
}

fn qcow2() -> String {
    "qcow2".into()
}

fn bare() -> String {
    "bare".into()
}

fn public() -> String {
    "public".into()
}

impl Image {
    /// Path and query that find it.
    pub fn path(&self) -> String {
        format!("/v2/images?name={}", self.name)
    }

    pub(super) fn diff(&self, fact: &ServiceFact) -> Diff {
        match fact {
            ServiceFact::Unknown(why) => Diff::later(why),
            ServiceFact::Refused(why) => Diff::refused(why),
            ServiceFact::Answer { found: None, .. } => self.upload(None, "created"),
            ServiceFact::Answer {
                found: Some(image), ..
            } => {
                let text = |name: &str| image.get(name).and_then(|value| value.as_str());
                match (text("status"), text("id")) {
                    (Some("queued"), id) => self.upload(id, "its data was never sent"),
                    (Some("active"), _) if self.is_same(image) => {
                        Diff::in_sync(format!("image `{}` is active", self.name))
                    }
                    (Some("active"), _) => Diff::in_sync(format!(
                        "image `{}` is active; its data differs and is left as it is",
                        self.name
                    )),
                    (Some(status @ ("killed" | "deleted" | "deactivated")), _) => {
                        Diff::refused(format!(
                            "image `{}` is {status}: remove it, and the next run makes it anew",
                            self.name
                        ))
                    }
                    (status, _) => Diff::later(format!(
                        "image `{}` is {}",
                        self.name,
                        status.unwrap_or("in no known state")
                    )),
                }
            }
        }
    }

    fn is_same(&self, image: &serde_json::Value) -> bool {
        self.sha256.is_empty()
            || image.get("os_hash_value").is_none()
            || image.get("provision_sha256").and_then(|v| v.as_str()) == Some(&self.sha256)
    }

    fn upload(&self, id: Option<&str>, why: &str) -> Diff {
        Diff::change(
            vec![Edit::attribute(
                format!("image `{}`", self.name),
                None::<String>,
                Some(why),
            )],
            vec![Op::Upload {
                image: self.clone(),
                id: id.map(str::to_owned),
            }],
        )
    }
}
