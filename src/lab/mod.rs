//! Makes throw-away machines and hands back hosts.
//!
//! A lab is a few hosts on this machine: containers with their own init system, sshd, network and files, which
//! cannot be told from plain servers over SSH. Nothing outside of this room knows that a host is one of a lab:
//! what comes out ([`LabHosts`]) is what an answer file could also say.
//!
//! ```text
//!  up ─► needs (programs) ─► base (one file system a distribution) ─► net (bridges, way out)
//!                                                                      │
//!        for each host: evidence ─► verdict ─► its own files ─► supervisor ─► SSH answers
//! ```
//!
//! [`up()`] makes only what is missing, so it also confirms a running lab and takes up what a crash or a restart
//! of this machine left. Hosts outlive the process that made them; a detached [`supervise()`] process a host
//! starts its container and starts it again after a reboot, with fresh cables, as a real machine would have.
//!
//! Where to look next: `spec` for what can be wanted, `verdict` for what is done with remains, `container` for
//! how a host is started and ended, `guest` for the small image that clouds are tried with.

mod base;
mod cgroup;
mod container;
mod debs;
mod down;
mod error;
mod firewall;
mod forward;
pub mod guest;
mod host;
mod list;
mod lock;
mod names;
mod needs;
mod net;
mod places;
mod process;
mod program;
mod progress;
mod record;
mod sources;
mod spec;
mod supervise;
mod up;
mod verdict;

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

pub use base::base;
pub use down::{down, harvest, reset};
pub use error::LabError;
pub use list::{HostState, LabHostSummary, LabSummary, list, ssh_command};
pub use places::Places;
pub use program::ProgramError;
pub use progress::{Happening, Progress};
pub use spec::{Backend, Distro, LabHost, LabNet, LabSpec};
pub use supervise::{close_inherited_files, supervise};
pub use up::up;

/// The hosts of a lab that is up.
#[derive(Debug, Clone)]
pub struct LabHosts {
    /// The lab's name.
    pub lab: String,
    /// One for each wanted host, in the same order.
    pub hosts: Vec<LabMachine>,
    /// A file in OpenSSH's format with exactly these hosts' keys.
    pub known_hosts: PathBuf,
    /// The private key that opens all of them.
    pub key: PathBuf,
}

/// How to reach one host of a lab.
#[derive(Debug, Clone)]
pub struct LabMachine {
    /// Host name.
    pub name: String,
    /// Address in the management network.
    pub address: Ipv4Addr,
    /// Port of its SSH server.
    pub port: u16,
    /// Who may log in.
    pub user: String,
    /// File of the private key.
    pub key: PathBuf,
    /// Its SSH host keys, each as `algorithm base64`.
    pub host_keys: Vec<String>,
    /// The interface that carries its address.
    pub management_nic: String,
    /// The interface in the provider network: down, without an address.
    pub provider_nic: String,
    /// From its start to the greeting of its SSH server, if this call started it.
    pub booted_in: Option<Duration>,
}

/// Runs futures at the same time, on this task, and gives their results in order.
async fn join_all<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let mut waiting: Vec<_> = futures
        .into_iter()
        .map(|future| (Box::pin(future), None))
        .collect();
    std::future::poll_fn(|context| {
        let mut pending = false;
        for (future, output) in &mut waiting {
            if output.is_none() {
                match future.as_mut().poll(context) {
                    std::task::Poll::Ready(value) => *output = Some(value),
                    std::task::Poll::Pending => pending = true,
                }
            }
        }
        if pending {
            std::task::Poll::Pending
        } else {
            std::task::Poll::Ready(())
        }
    })
    .await;
    waiting
        .into_iter()
        .filter_map(|(_, output)| output)
        .collect()
}
