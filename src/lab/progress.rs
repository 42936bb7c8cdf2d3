//! What a lab tells whoever watches it being made.

use std::time::Duration;

/// Something that happened while a lab was made or removed. Facts; the wording for people is elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happening {
    /// Packages that this machine lacks are being installed.
    InstallingNeeds {
        /// Package names.
        packages: Vec<String>,
    },
    /// The base file system of a distribution is being made (once; later labs reuse it).
    BuildingBase {
        /// The distribution.
        distro: String,
    },
    /// A line that a long-running program printed.
    Line {
        /// Its text.
        text: String,
    },
    /// The base file system is there.
    BaseReady {
        /// The distribution.
        distro: String,
        /// How long it took.
        took: Duration,
    },
    /// The test guest's image is being made (once).
    BuildingGuest,
    /// The test guest's image is there.
    GuestReady {
        /// How long it took.
        took: Duration,
    },
    /// A host starts.
    Booting {
        /// The host.
        host: String,
    },
    /// A host was running already.
    AlreadyUp {
        /// The host.
        host: String,
    },
    /// A host's earlier remains were found; what is done with them.
    Recovered {
        /// The host.
        host: String,
        /// What was found and done, in words.
        what: String,
    },
    /// A host answers on its SSH port.
    Ready {
        /// The host.
        host: String,
        /// Since it was started.
        took: Duration,
    },
    /// A host was stopped and removed.
    Removed {
        /// The host.
        host: String,
    },
    /// Downloaded packages were kept for later labs.
    Harvested {
        /// How many were new.
        packages: usize,
        /// Their size in bytes.
        bytes: u64,
    },
}

/// Receives what happens. Called from several tasks; must not block.
pub trait Progress: Send + Sync {
    /// Something happened.
    fn happened(&self, what: Happening);
}

impl<F: Fn(Happening) + Send + Sync> Progress for F {
    fn happened(&self, what: Happening) {
        self(what);
    }
}
