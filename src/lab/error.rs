//! What can go wrong with a lab, each with the way out.

use std::io;
use std::path::{Path, PathBuf};

use super::program::ProgramError;

/// Why a lab could not be made, found or removed.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// The wanted lab contradicts itself.
    #[error("lab `{lab}`: {problem}")]
    Spec {
        /// The lab's name.
        lab: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A lab needs root for namespaces, mounts and packages.
    #[error("a lab needs root on this machine: {needed_for}")]
    NotRoot {
        /// What root is needed for.
        needed_for: String,
        /// A command that would do it.
        command: String,
    },
    /// This machine does not have what is needed.
    #[error("{what}")]
    Unmet {
        /// What is missing.
        what: String,
        /// What the user can do.
        help: String,
    },
    /// One step on this machine failed.
    #[error("{step}")]
    Step {
        /// What was being done, as a sentence part.
        step: String,
        /// The program and what it said.
        source: ProgramError,
        /// What the user can do.
        help: String,
    },
    /// A file or directory of the lab could not be used.
    #[error("cannot {doing} `{}`", path.display())]
    File {
        /// What was tried.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// This machine has no package source that the hosts could use.
    #[error("no Debian archive among this machine's package sources ({looked_at})")]
    NoSources {
        /// The files that were read.
        looked_at: String,
    },
    /// The address range is taken on this machine.
    #[error("lab `{lab}`: {network} is already used on this machine by {by}")]
    Occupied {
        /// The lab's name.
        lab: String,
        /// The lab's network.
        network: ipnet::Ipv4Net,
        /// The interface, with its address.
        by: String,
    },
    /// The lab exists in another shape than the wanted one.
    #[error("lab `{lab}` already exists, but {difference}")]
    Different {
        /// The lab's name.
        lab: String,
        /// The first difference.
        difference: String,
    },
    /// A host did not come up.
    #[error("host `{host}` did not answer on port 22: {reason}{}", tail.iter().map(|line| format!("\n    {line}")).collect::<String>())]
    Boot {
        /// The host.
        host: String,
        /// What was seen instead.
        reason: String,
        /// The last lines of its console.
        tail: Vec<String>,
        /// Where the whole console is.
        console: PathBuf,
    },
    /// A process of a host does not go away.
    #[error("host `{host}`: processes {pids:?} are still there after they were killed")]
    Stuck {
        /// The host.
        host: String,
        /// The processes.
        pids: Vec<i32>,
    },
    /// There is no lab of this name.
    #[error("there is no lab `{lab}`{}", known(labs))]
    NoSuchLab {
        /// The name asked for.
        lab: String,
        /// The labs that there are.
        labs: Vec<String>,
    },
    /// The lab has no host of this name.
    #[error("lab `{lab}` has no host `{host}`{}", known(hosts))]
    NoSuchHost {
        /// The lab.
        lab: String,
        /// The name asked for.
        host: String,
        /// The hosts it has.
        hosts: Vec<String>,
    },
    /// Another process is working on the same lab.
    #[error("another `provision` is working on lab `{lab}`")]
    Busy {
        /// The lab.
        lab: String,
    },
}

impl LabError {
    /// What the user can do about it, as a sentence without a final stop.
    pub fn help(&self) -> String {
        match self {
            Self::Spec { .. } => "change the `[lab]` part of the answer file".to_owned(),
            Self::NotRoot { command, .. } => format!("run as root: `{command}`"),
            Self::Step { help, .. } | Self::Unmet { help, .. } => help.clone(),
            Self::File { path, .. } => {
                format!(
                    "look at the permissions and the free space of `{}`",
                    path.display()
                )
            }
            Self::NoSources { .. } => {
                "add a Debian archive (suite `bookworm` or `trixie`, component `main`) to /etc/apt"
                    .to_owned()
            }
            Self::Occupied { .. } => {
                "give the lab another address range, or take the other user of it down".to_owned()
            }
            Self::Different { lab, .. } => format!("run `provision lab down {lab}` first"),
            Self::Boot { console, .. } => format!("read `{}`", console.display()),
            Self::Stuck { .. } => {
                "restart this machine: the kernel does not let go of them".to_owned()
            }
            Self::NoSuchLab { .. } => "run `provision lab list`".to_owned(),
            Self::NoSuchHost { lab, .. } => format!("run `provision lab list {lab}`"),
            Self::Busy { .. } => "wait until it has ended, then try again".to_owned(),
        }
    }

    pub(crate) fn file(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File {
            doing,
            path,
            source,
        }
    }

    pub(crate) fn step(
        step: impl Into<String>,
        help: impl Into<String>,
    ) -> impl FnOnce(ProgramError) -> Self {
        let (step, help) = (step.into(), help.into());
        move |source| Self::Step { step, source, help }
    }
}

fn known(names: &[String]) -> String {
    if names.is_empty() {
        String::new()
    } else {
        format!(" (there are: {})", names.join(", "))
    }
}
