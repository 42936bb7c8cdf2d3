//! The image that the proof boots and that users find: found, fetched or built on this machine.

use std::io::Read;
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::exit::Exit;
use super::run::Run;
use crate::lab::{Places, guest};
use crate::model::cloud::choice::ImageFallback;
use crate::model::cloud::{Image, ImageSource};
use crate::model::event::{Event, Problem, Severity};

/// What templates see of the image before it is there.
pub(crate) async fn planned(run: &Run) -> Result<Value, Exit> {
    Ok(shown(&run.cloud.image, Path::new("the image"), ""))
}

fn shown(image: &Image, path: &Path, sha256: &str) -> Value {
    json!({ "path": path, "sha256": sha256, "format": image.format })
}

/// The image, ready on this machine: `path`, `sha256`, `format`.
///
/// # Errors
/// Said already; what remains is the exit code.
pub(crate) async fn ready(run: &Run) -> Result<Value, Exit> {
    let image = &run.cloud.image;
    let found = match &image.source {
        ImageSource::Guest => build(run).await,
        ImageSource::File { path, sha256 } => {
            check(Path::new(path), sha256.as_deref()).map(|sum| (PathBuf::from(path), sum))
        }
        ImageSource::Url { url, sha256 } => match fetch(url, sha256).await {
            Ok(path) => Ok((path, sha256.clone())),
            Err(why) if image.fallback == ImageFallback::BuildGuest => {
                run.bus.send(Event::Diagnosed(Problem {
                    severity: Severity::Warning,
                    ..why
                }));
                build(run).await
            }
            Err(why) => Err(why),
        },
    };
    match found {
        Ok((path, sum)) => Ok(shown(image, &path, &sum)),
        Err(problem) => Err(run.problem(Exit::Preflight, problem)),
    }
}

async fn build(run: &Run) -> Result<(PathBuf, String), Problem> {
    let failed = |error: &crate::lab::LabError| Problem {
        causes: super::causes(error),
        help: Some(error.help()),
        ..Problem::error("image::guest", error.to_string())
    };
    let places = Places::from_env().map_err(|error| failed(&error))?;
    let progress = super::lab::events(run.bus.clone());
    let recipe = guest::GuestRecipe::default();
    let image = guest::build(&places.cache, recipe, &progress)
        .await
        .map_err(|error| failed(&error))?;
    Ok((image.path, image.sha256))
}

/// The file's checksum, which must be the wanted one if there is one.
fn check(path: &Path, wanted: Option<&str>) -> Result<String, Problem> {
    let sum = digest(path).map_err(|error| Problem {
        causes: vec![error.to_string()],
        help: Some("set `image.file` to a file on this machine".into()),
        ..Problem::error("image::file", format!("{} cannot be read", path.display()))
    })?;
    match wanted {
        Some(wanted) if wanted != sum => Err(Problem {
            causes: vec![
                format!("its SHA-256 is {sum}"),
                format!("the answer file says {wanted}"),
            ],
            help: Some(
                "get the image again, or correct `image.sha256` if the image is right".into(),
            ),
            ..Problem::error(
                "image::checksum",
                format!("{} is not the wanted image", path.display()),
            )
        }),
        _ => Ok(sum),
    }
}

fn digest(path: &Path) -> std::io::Result<String> {
    let mut file = std::fs::File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(HEXLOWER.encode(&hash.finalize())),
            read => hash.update(&buffer[..read]),
        }
    }
}

/// Downloads an image into the cache, under its checksum; one that is there is used again.
async fn fetch(url: &str, sha256: &str) -> Result<PathBuf, Problem> {
    let failed = |cause: String| Problem {
        causes: vec![cause],
        help: Some(
            "see that this machine reaches the address, or download the image and set `image.file`"
                .into(),
        ),
        ..Problem::error("image::url", format!("no image could be had from {url}"))
    };
    let places = Places::from_env().map_err(|error| failed(error.to_string()))?;
    let folder = places.cache.join("images");
    let path = folder.join(sha256);
    if path.exists() && check(&path, Some(sha256)).is_ok() {
        return Ok(path);
    }
    std::fs::create_dir_all(&folder).map_err(|error| failed(error.to_string()))?;
    let partial = folder.join(format!("{sha256}.part"));
    // curl continues a partial file, follows redirects and knows the user's proxies.
    let curl =
        which::which("curl").map_err(|_| failed("there is no `curl` on this machine".into()))?;
    let output = tokio::process::Command::new(curl)
        .args([
            "--fail",
            "--silent",
            "--show-error",
            "--location",
            "--connect-timeout",
            "20",
        ])
        .args(["--continue-at", "-", "--output"])
        .arg(&partial)
        .arg(url)
        .stdin(std::process::Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        return Err(failed(
            String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        ));
    }
    if let Err(problem) = check(&partial, Some(sha256)) {
        // A wrong file must not be continued by the next run.
        let _ = std::fs::remove_file(&partial);
        return Err(problem);
    }
    std::fs::rename(&partial, &path).map_err(|error| failed(error.to_string()))?;
    Ok(path)
}
