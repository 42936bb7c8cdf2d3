//! Forwarding of packets by this machine: turned on for the first lab, put back after the last.

use std::fs;
use std::path::Path;

use super::error::LabError;
use super::lock::Lock;
use super::places::Places;

const SWITCH: &str = "/proc/sys/net/ipv4/ip_forward";

/// Turns forwarding on, and remembers how it was.
pub(crate) async fn allow(places: &Places) -> Result<(), LabError> {
    if read(Path::new(SWITCH))? == "1" {
        return Ok(());
    }
    let _lock = Lock::wait(&places.run.join("forward.lock")).await?;
    let memory = places.run.join("ip_forward");
    if read(Path::new(SWITCH))? != "1" {
        write(&memory, "0")?;
        write(Path::new(SWITCH), "1")?;
    }
    Ok(())
}

/// Puts forwarding back as it was, if a lab turned it on and no lab is left.
pub(crate) async fn restore(places: &Places) -> Result<(), LabError> {
    let memory = places.run.join("ip_forward");
    if !memory.exists() {
        return Ok(());
    }
    let _lock = Lock::wait(&places.run.join("forward.lock")).await?;
    if memory.exists() && !any_lab(&places.run.join("labs")) {
        write(Path::new(SWITCH), &read(&memory)?)?;
        fs::remove_file(&memory).map_err(LabError::file("remove", &memory))?;
    }
    Ok(())
}

/// Each lab has a directory here while it exists.
fn any_lab(run: &Path) -> bool {
    fs::read_dir(run)
        .into_iter()
        .flatten()
        .flatten()
        .any(|entry| entry.path().is_dir())
}

fn read(path: &Path) -> Result<String, LabError> {
    let text = fs::read_to_string(path).map_err(LabError::file("read", path))?;
    Ok(text.trim().to_owned())
}

fn write(path: &Path, text: &str) -> Result<(), LabError> {
    fs::write(path, text).map_err(LabError::file("write", path))
}
