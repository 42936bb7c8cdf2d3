//! How a host is reached: one connection per host, scripts over it, tunnels through it.
//!
//! The engine knows three things: a [`Target`] (plain data: where a host is and how to log in),
//! a [`Connector`] (makes sessions, shares bastions, keeps pinned host keys) and a [`Session`]
//! (runs POSIX shell scripts as the login user or as root, opens TCP tunnels, comes back after a
//! reboot). Whether the host is far away or this very machine makes no difference above this line.
//!
//! This module must never decide *what* is run, never retry a script by itself, and never put a
//! script, its input or a password into an argument list, a log line or an error.
//!
//! Where next: `target` for the data, `command` for scripts and their output, `error` for what can
//! go wrong, `shell` for how a script travels. Only the files `ssh*.rs` may name the SSH library.

mod command;
mod error;
mod exchange;
mod known_hosts;
mod local;
pub mod openssh;
mod pins;
mod running;
mod session;
mod shell;
mod ssh;
mod ssh_auth;
mod target;

pub use command::{Capture, Command, LineSink, Output, Stream};
pub use error::{ConnectError, RunError, SudoError};
pub use session::{Connector, Session, Tunnel};
pub use target::{HostKeys, Login, Reach, Secret, SshReach, Sudo, Target};
