//! Forwarding of packets by this machine: turned on for the first lab, put back after the last.

use std::fs;
use std::path::{Path, PathBuf};

use super::error::LabError;
use super::lock::Lock;
use super::places::Places;

/// The machine's switch, and what is remembered about it.
#[derive(Debug)]
pub(crate) struct Forwarding {
    switch: PathBuf,
    /// How the switch was before the first lab; there only while a lab has changed it.
    memory: PathBuf,
    /// Has a directory for each lab.
    labs: PathBuf,
    lock: PathBuf,
}

impl Forwarding {
    pub(crate) fn new(places: &Places) -> Self {
        Self::with_switch(Path::new("/proc/sys/net/ipv4/ip_forward"), &places.run)
    }

    fn with_switch(switch: &Path, run: &Path) -> Self {
        Self {
            switch: switch.to_owned(),
            memory: run.join("ip_forward"),
            labs: run.join("labs"),
            lock: run.join("forward.lock"),
        }
    }

    /// Turns forwarding on, and remembers how it was.
    pub(crate) async fn allow(&self) -> Result<(), LabError> {
        if read(&self.switch)? == "1" {
            return Ok(());
        }
        let _lock = Lock::wait(&self.lock).await?;
        let before = read(&self.switch)?;
        if before != "1" {
            write(&self.memory, &before)?;
            write(&self.switch, "1")?;
        }
        Ok(())
    }

    /// Puts forwarding back as it was, if a lab turned it on and no lab is left.
    pub(crate) async fn restore(&self) -> Result<(), LabError> {
        if !self.memory.exists() {
            return Ok(());
        }
        let _lock = Lock::wait(&self.lock).await?;
        if self.memory.exists() && !self.any_lab() {
            write(&self.switch, &read(&self.memory)?)?;
            fs::remove_file(&self.memory).map_err(LabError::file("remove", &self.memory))?;
        }
        Ok(())
    }

    fn any_lab(&self) -> bool {
        let entries = fs::read_dir(&self.labs).into_iter().flatten().flatten();
        entries.into_iter().any(|entry| entry.path().is_dir())
    }
}

fn read(path: &Path) -> Result<String, LabError> {
    let text = fs::read_to_string(path).map_err(LabError::file("read", path))?;
    Ok(text.trim().to_owned())
}

fn write(path: &Path, text: &str) -> Result<(), LabError> {
    fs::write(path, text).map_err(LabError::file("write", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine whose switch stands like this.
    fn machine(switch: &str) -> (tempfile::TempDir, Forwarding) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("switch");
        fs::write(&path, switch).unwrap();
        fs::create_dir(directory.path().join("labs")).unwrap();
        let forwarding = Forwarding::with_switch(&path, directory.path());
        (directory, forwarding)
    }

    #[tokio::test]
    async fn the_last_lab_puts_the_switch_back() {
        let (_directory, forwarding) = machine("0\n");
        for lab in ["a", "b"] {
            fs::create_dir(forwarding.labs.join(lab)).unwrap();
            forwarding.allow().await.unwrap();
        }
        assert_eq!(read(&forwarding.switch).unwrap(), "1");
        fs::remove_dir(forwarding.labs.join("a")).unwrap();
        forwarding.restore().await.unwrap();
        assert_eq!(read(&forwarding.switch).unwrap(), "1");
        fs::remove_dir(forwarding.labs.join("b")).unwrap();
        forwarding.restore().await.unwrap();
        assert_eq!(read(&forwarding.switch).unwrap(), "0");
    }

    #[tokio::test]
    async fn a_switch_that_was_on_stays_on() {
        let (_directory, forwarding) = machine("1\n");
        forwarding.allow().await.unwrap();
        forwarding.restore().await.unwrap();
        assert_eq!(read(&forwarding.switch).unwrap(), "1");
    }
}
