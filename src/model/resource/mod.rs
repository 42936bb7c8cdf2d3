//! Resources: one wanted thing each, on a host or in a service.
//!
//! A resource says what it needs to know ([`Resource::question`]) and, once that is known, what
//! would have to change ([`Resource::diff`]). Both are pure; the engine in `drive` carries questions
//! and [`Op`]s to where they belong. The set is closed: a new kind is a file here and a line in
//! [`Resource`], and the compiler names every place that has to know it.
//!
//! In a playbook a resource is the value of a step's `ensure`, spelled with its kind as the key:
//!
//! ```toml
//! ensure.unit = { names = ["chrony.service"], reads = ["/etc/chrony/chrony.conf"] }
//! ```

mod access;
mod api;
mod block;
mod broker_user;
mod call;
mod command;
mod copy;
mod database;
mod file;
mod image;
mod options;
mod packages;
mod path;
mod reboot;
mod unit;
mod wait;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use api::{Api, Collection, Collections, Settled};
pub use block::Block;
pub use broker_user::BrokerUser;
pub use call::{Call, Find, Holds, Request};
pub use command::Command;
pub use copy::Copy;
pub use database::Database;
pub use file::{File, Format};
pub use image::Image;
pub use options::Options;
pub use packages::{ByteCompile, Packages};
pub use path::{Directory, Gone, Link};
pub use reboot::Reboot;
pub use unit::{Unit, UnitState};
pub use wait::{From, Until, Wait};

use super::event::Edit;
use super::facts::{Facts, ServiceFact};
use super::probe::Probe;

/// One wanted thing. Which fields a kind has is in the documentation of its type.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Resource {
    /// A set of packages, installed in one transaction.
    Packages(Packages),
    /// Byte-compilation that package transactions have put off.
    ByteCompile(ByteCompile),
    /// A file's whole content, owner and mode.
    File(File),
    /// The same file as on another host.
    Copy(Copy),
    /// Lines that we own inside a file that others own.
    Block(Block),
    /// Some options in a configuration file that a package brings.
    Options(Options),
    /// A directory, its owner and mode.
    Directory(Directory),
    /// A symbolic link.
    Link(Link),
    /// Nothing may be at these paths.
    Gone(Gone),
    /// Systemd units: running or not, enabled or not, restarted when what they read has changed.
    Unit(Unit),
    /// A shell command with a guard that tells whether it is needed.
    Command(Command),
    /// Databases and the database user that owns them.
    Database(Database),
    /// A message broker's user, its password and its permissions.
    BrokerUser(BrokerUser),
    /// An object in an OpenStack service's API: project, user, endpoint, network, flavor...
    Api(Api),
    /// A request that is made when another request shows it is needed.
    Call(Call),
    /// An image in the Image service, with its data.
    Image(Image),
    /// Nothing to make: wait until something answers.
    Wait(Wait),
    /// A reboot of the host, when it is needed, and the wait until it is back.
    Reboot(Reboot),
}

/// What a resource needs to know.
#[derive(Debug, Clone, PartialEq)]
pub enum Question<'a> {
    /// Ask its host; the answer comes as [`Answer::Host`].
    Host(Vec<Probe>),
    /// Ask its host and another one; the answer comes as [`Answer::Hosts`].
    Hosts {
        /// What the step's host is asked.
        here: Vec<Probe>,
        /// The other host's name.
        other: &'a str,
        /// What that one is asked.
        there: Vec<Probe>,
    },
    /// Look an object up in a service's API.
    Api(&'a Api),
    /// Make a request and look at the reply.
    Call(&'a Call),
    /// Look an image up.
    Image(&'a Image),
    /// Try the broker user's login.
    Broker(&'a BrokerUser),
    /// Look whether something answers over the network.
    Until(&'a Until),
}

/// The answer to a resource's question.
#[derive(Debug, Clone, Copy)]
pub enum Answer<'a> {
    /// Facts of the step's host, at least those that the question asked for.
    Host(&'a Facts),
    /// Facts of the step's host and of another one.
    Hosts {
        /// The step's host.
        here: &'a Facts,
        /// The other one.
        there: &'a Facts,
    },
    /// What the service said.
    Service(&'a ServiceFact),
}

/// The difference between what is wanted and what is known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Diff {
    /// Nothing to do, and why.
    InSync(String),
    /// Something to do.
    Change(Change),
    /// Cannot be known until an earlier step has run, and why. Never mistaken for "absent".
    Later(String),
    /// Cannot be made so, now or later: why, and the way out.
    Refused(String),
}

/// What would change: for people, and for the engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// Before and after, for people. Never empty.
    pub edits: Vec<Edit>,
    /// What the engine does, in this order.
    pub ops: Vec<Op>,
}

/// One thing the engine does. There are no choices left in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Op {
    /// Runs a POSIX shell script as root on the step's host. A status other than 0 is a failure.
    Run {
        /// Travels over standard input, so it may hold secrets.
        script: String,
        /// What the script finds on its standard input.
        stdin: Vec<u8>,
    },
    /// Brings what another host has: what `read` prints there is the standard input of `write` here. Both
    /// run as root, and a status other than 0 of either is a failure.
    Copy {
        /// The other host's name.
        from: String,
        /// POSIX shell for that host.
        read: String,
        /// POSIX shell for the step's host.
        write: String,
    },
    /// Runs a script that may cut our way to the host; it is undone unless a new connection confirms it.
    Confirmed {
        /// The change.
        script: String,
        /// What brings the host back to where it was.
        undo: String,
    },
    /// Makes a request to an OpenStack service. A status outside 200..300 is a failure.
    Request(Request),
    /// Sends an image's data.
    Upload {
        /// The image.
        image: Image,
        /// Its id, when it exists already without data.
        id: Option<String>,
    },
    /// Asks the resource's question again and again until it is in sync or the deadline passes.
    Poll,
    /// Reboots the host and waits until it is back with another boot id.
    Reboot,
}

impl Diff {
    /// A change with one edit and these operations.
    pub fn change(edits: Vec<Edit>, ops: Vec<Op>) -> Self {
        Self::Change(Change { edits, ops })
    }

    /// In sync, with a reason.
    pub fn in_sync(reason: impl Into<String>) -> Self {
        Self::InSync(reason.into())
    }

    /// To be decided later, with a reason.
    pub fn later(reason: impl Into<String>) -> Self {
        Self::Later(reason.into())
    }

    /// Never possible, with the reason and the way out.
    pub fn refused(reason: impl Into<String>) -> Self {
        Self::Refused(reason.into())
    }
}

impl Op {
    /// A script with nothing on its standard input.
    pub fn run(script: impl Into<String>) -> Self {
        Self::Run {
            script: script.into(),
            stdin: Vec::new(),
        }
    }
}

/// Looks into the answer of a host; anything else is a slip of the engine and reads as "later".
macro_rules! on_host {
    ($kind:expr, $answer:expr) => {
        match $answer {
            Answer::Host(facts) => $kind.diff(facts),
            Answer::Hosts { .. } | Answer::Service(_) => Diff::later("the host has not been asked"),
        }
    };
}

macro_rules! in_service {
    ($kind:expr, $answer:expr) => {
        match $answer {
            Answer::Service(fact) => $kind.diff(fact),
            Answer::Host(_) | Answer::Hosts { .. } => Diff::later("the service has not been asked"),
        }
    };
}

impl Resource {
    /// What has to be known before [`Self::diff`] can tell.
    pub fn question(&self) -> Question<'_> {
        match self {
            Self::Packages(kind) => Question::Host(kind.probes()),
            Self::ByteCompile(kind) => Question::Host(kind.probes()),
            Self::File(kind) => Question::Host(kind.probes()),
            Self::Block(kind) => Question::Host(kind.probes()),
            Self::Options(kind) => Question::Host(kind.probes()),
            Self::Directory(kind) => Question::Host(kind.probes()),
            Self::Link(kind) => Question::Host(kind.probes()),
            Self::Gone(kind) => Question::Host(kind.probes()),
            Self::Unit(kind) => Question::Host(kind.probes()),
            Self::Command(kind) => Question::Host(kind.probes()),
            Self::Database(kind) => Question::Host(kind.probes()),
            Self::Reboot(kind) => Question::Host(kind.probes()),
            Self::Copy(kind) => Question::Hosts {
                here: kind.probes(),
                other: &kind.from,
                there: kind.source_probes(),
            },
            Self::BrokerUser(kind) => Question::Broker(kind),
            Self::Api(kind) => Question::Api(kind),
            Self::Call(kind) => Question::Call(kind),
            Self::Image(kind) => Question::Image(kind),
            Self::Wait(kind) => kind.question(),
        }
    }

    /// What would have to change, given the answer to [`Self::question`].
    pub fn diff(&self, answer: Answer<'_>) -> Diff {
        match self {
            Self::Packages(kind) => on_host!(kind, answer),
            Self::ByteCompile(kind) => on_host!(kind, answer),
            Self::File(kind) => on_host!(kind, answer),
            Self::Block(kind) => on_host!(kind, answer),
            Self::Options(kind) => on_host!(kind, answer),
            Self::Directory(kind) => on_host!(kind, answer),
            Self::Link(kind) => on_host!(kind, answer),
            Self::Gone(kind) => on_host!(kind, answer),
            Self::Unit(kind) => on_host!(kind, answer),
            Self::Command(kind) => on_host!(kind, answer),
            Self::Database(kind) => on_host!(kind, answer),
            Self::Reboot(kind) => on_host!(kind, answer),
            Self::Copy(kind) => match answer {
                Answer::Hosts { here, there } => kind.diff(here, there),
                Answer::Host(_) | Answer::Service(_) => {
                    Diff::later("the hosts have not been asked")
                }
            },
            Self::BrokerUser(kind) => in_service!(kind, answer),
            Self::Api(kind) => in_service!(kind, answer),
            Self::Call(kind) => in_service!(kind, answer),
            Self::Image(kind) => in_service!(kind, answer),
            Self::Wait(kind) => kind.diff(answer),
        }
    }

    /// The resource that removes this one again; none for kinds that leave nothing in a service.
    pub fn absent(&self) -> Option<Self> {
        match self {
            Self::Api(api) => Some(Self::Api(api.absent())),
            Self::Call(call) if !call.undo.is_empty() => Some(Self::Call(call.undone())),
            _ => None,
        }
    }

    /// The kind's name as playbooks spell it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Packages(_) => "packages",
            Self::ByteCompile(_) => "byte_compile",
            Self::File(_) => "file",
            Self::Copy(_) => "copy",
            Self::Block(_) => "block",
            Self::Options(_) => "options",
            Self::Directory(_) => "directory",
            Self::Link(_) => "link",
            Self::Gone(_) => "gone",
            Self::Unit(_) => "unit",
            Self::Command(_) => "command",
            Self::Database(_) => "database",
            Self::BrokerUser(_) => "broker_user",
            Self::Api(_) => "api",
            Self::Call(_) => "call",
            Self::Image(_) => "image",
            Self::Wait(_) => "wait",
            Self::Reboot(_) => "reboot",
        }
    }
}

/// Attribute values by name, as a request's body has them.
pub type Attributes = BTreeMap<String, serde_json::Value>;
