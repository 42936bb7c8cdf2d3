//! The cloud: what an answer file means, with every default filled in and every name resolved.
//!
//! Everything after loading works on this and never looks at the answer file again. It holds no secret
//! and knows nothing of what is on the hosts; settings that depend on a host (`"auto"`) stay as written.
//!
//! # Which value wins
//!
//! From weakest to strongest, for one option of one configuration file on one host:
//!
//! 1. what the template in `templates/` says,
//! 2. where the template asks for a setting: the setting's default, then `[<service>]` in the answer file,
//! 3. `[config."<file>".<section>]`: the same on every host,
//! 4. `[hosts.<host>.config."<file>".<section>]`: this host.
//!
//! For logging in: `[hosts.<host>.ssh]`, then `[ssh]`, then (with `use_ssh_config`) what `ssh -G` says,
//! then `root` and port 22. Each key is decided by itself; lists are replaced, never joined.
//!
//! Next: [`context`] for what templates see, [`choice`] for the closed sets, [`crate::model::answers`]
//! for where a cloud comes from.

pub mod choice;
pub mod context;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use ipnet::Ipv4Net;
use serde::Serialize;

use self::choice::{
    Backend, HostKeys, ImageFallback, ImageFormat, KeepOrOff, Reboot, Selinux, Sudo, TunnelType,
};
use super::name::{CloudName, HostName, Role};

/// One cloud, ready to be planned.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Cloud {
    /// Its name; the state directory and the lab are called the same.
    pub name: CloudName,
    /// The region of every endpoint.
    pub region: String,
    /// Which platform its hosts run.
    pub platform: PlatformChoice,
    /// The cloud administrator's mail address, kept with Keystone's user `admin`.
    pub admin_email: Option<String>,
    /// Set: the tool makes the hosts itself.
    pub lab: Option<Lab>,
    /// All hosts, in the order of the answer file. Exactly one has [`Role::Controller`], at least one
    /// has [`Role::Network`].
    pub hosts: Vec<Host>,
    /// The four networks.
    pub networks: Networks,
    /// Clocks.
    pub time: Time,
    /// Where packages come from.
    pub repositories: Repositories,
    /// What is done to a host before anything is installed.
    pub prepare: Prepare,
    /// Every service that this build knows of, also those that are off.
    pub services: BTreeMap<String, Service>,
    /// The image that the proof boots and that users find.
    pub image: Image,
    /// Sizes of instances, by name.
    pub flavors: BTreeMap<String, Flavor>,
    /// The proof that the cloud works.
    pub proof: Proof,
    /// Options of configuration files, for all hosts.
    pub config: ConfigOverrides,
    /// Secrets that the user brings; all others are made once and kept.
    pub secrets: BTreeMap<String, SecretSource>,
}

/// Options by configuration file, section and key. A file is a name that the platform knows
/// (`nova.conf`) or a full path. The section is `""` for files that have none.
pub type ConfigOverrides = BTreeMap<String, BTreeMap<String, BTreeMap<String, ConfigValue>>>;

/// What an override sets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum ConfigValue {
    /// One line, `key = value`.
    One(String),
    /// A line for each, for options that may be repeated.
    Many(Vec<String>),
}

/// A platform by name, or whatever each host turns out to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum PlatformChoice {
    /// `debian13-epoxy` and the like; known to exist.
    Named(String),
    /// Written `auto`: looked up on each host.
    #[serde(serialize_with = "as_auto")]
    Auto,
}

/// The machines that the tool makes itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Lab {
    /// What makes them.
    pub backend: Backend,
}

/// A machine.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Host {
    /// Its short name.
    pub name: HostName,
    /// Its address in the management network; every service is reached by it.
    pub address: Ipv4Addr,
    /// What it is for, in [`Role::ALL`]'s order, without repeats, never empty.
    pub roles: Vec<Role>,
    /// How we log in.
    #[serde(skip)]
    pub ssh: Ssh,
    /// The NIC that goes into `br-ex`. Hosts with [`Role::Network`], and those whose tunnels end on
    /// `br-ex`, always have one.
    pub provider_nic: Option<NicSelector>,
    /// Its end of the tunnels between hosts.
    pub tunnel: TunnelEndpoint,
    /// Virtual CPUs, for hosts of a lab.
    pub cpus: u32,
    /// Memory in MiB, for hosts of a lab.
    pub memory_mib: u64,
    /// Options of configuration files that only this host gets; stronger than [`Cloud::config`].
    pub config: ConfigOverrides,
}

/// Where a host's tunnels end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TunnelEndpoint {
    /// The address, or none: the host is asked which address it has in [`Tunnel::cidr`].
    pub address: Option<Ipv4Addr>,
    /// What carries the address.
    pub on: TunnelOn,
}

/// What carries a tunnel address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TunnelOn {
    /// The management NIC: the host's own address.
    Management,
    /// `br-ex`, which gets the address from us. The userspace datapath can only tunnel from here.
    Provider,
    /// A NIC of its own, which has the address already.
    Other,
}

/// How to log in to one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ssh {
    /// What to connect to where it is not the management address: an address, a name, or an alias of
    /// the user's SSH configuration.
    pub host: Option<String>,
    /// The user; none: as `ssh -G` says, else `root`.
    pub user: Option<String>,
    /// The port; none: as `ssh -G` says, else 22.
    pub port: Option<u16>,
    /// Private key files, `~` not expanded, tried in order; empty: as `ssh -G` says, else the usual names.
    pub identity: Vec<String>,
    /// Whether keys of a running SSH agent are tried first.
    pub agent: bool,
    /// Jump hosts, first hop first; none: as `ssh -G` says; an empty list: no jump, whatever it says.
    pub jump: Option<Vec<Jump>>,
    /// How to become root.
    pub sudo: Sudo,
    /// The environment variable with the login password.
    pub password_env: Option<String>,
    /// The environment variable with the password for sudo.
    pub sudo_password_env: Option<String>,
    /// What is done about a host key that nobody knows yet.
    pub host_keys: HostKeys,
    /// How long to wait for a connection.
    pub connect_timeout: Duration,
    /// Whether the user's own SSH configuration is asked for what the answer file leaves open.
    pub use_ssh_config: bool,
}

/// One hop on the way to a host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Jump {
    /// The user there; none: as for a host.
    pub user: Option<String>,
    /// An address, a name, or an alias of the user's SSH configuration.
    pub host: String,
    /// The port there; none: as for a host.
    pub port: Option<u16>,
}

/// The networks of a cloud.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Networks {
    /// Where hosts talk to each other.
    pub management: Management,
    /// The way out for instances.
    pub provider: Provider,
    /// Between hosts, for project networks.
    pub tunnel: Tunnel,
    /// The first project network.
    pub private: Private,
}

/// Where hosts talk to each other and users reach the APIs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Management {
    /// All host addresses are in it.
    pub cidr: Ipv4Net,
    /// The way out; a lab needs it, existing hosts have theirs.
    pub gateway: Option<Ipv4Addr>,
    /// Name servers of the hosts; empty: they keep what they have.
    pub dns: Vec<Ipv4Addr>,
}

/// The external network: floating addresses come from here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Provider {
    /// Its name in OpenStack.
    pub name: String,
    /// Its name in Neutron's bridge mappings.
    pub physical_network: String,
    /// The VLAN id; none: untagged (`flat`).
    pub vlan: Option<u16>,
    /// Its addresses.
    pub cidr: Ipv4Net,
    /// The router on it.
    pub gateway: Ipv4Addr,
    /// What Neutron may give away.
    pub floating: AddressRange,
    /// Name servers of its subnet; empty: none are announced.
    pub dns: Vec<Ipv4Addr>,
}

/// First and last address, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct AddressRange {
    /// The lowest.
    pub first: Ipv4Addr,
    /// The highest, not below the first.
    pub last: Ipv4Addr,
}

impl AddressRange {
    /// Whether the address lies in the range.
    #[must_use]
    pub fn contains(&self, address: Ipv4Addr) -> bool {
        (self.first..=self.last).contains(&address)
    }
}

/// How a NIC is found on a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NicSelector {
    /// By its name.
    Name(String),
    /// By its hardware address, lower case with colons.
    Mac(String),
    /// By an address that it has in this network.
    Cidr(Ipv4Net),
}

/// The network under project networks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Tunnel {
    /// The encapsulation.
    #[serde(rename = "type")]
    pub kind: TunnelType,
    /// Where the endpoints are.
    pub cidr: Ipv4Net,
    /// The MTU of the network that carries the tunnels.
    pub mtu: u16,
}

/// The first project network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Private {
    /// Its name in OpenStack.
    pub name: String,
    /// Its addresses.
    pub cidr: Ipv4Net,
    /// The router on it: the first address.
    pub gateway: Ipv4Addr,
    /// Name servers of instances.
    pub dns: Vec<Ipv4Addr>,
}

/// Clocks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Time {
    /// Where the controller gets the time; empty: as its distribution has it. All others ask the controller.
    pub servers: Vec<String>,
    /// The hosts' time zone; none: they keep theirs.
    pub timezone: Option<String>,
}

/// Where packages come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Repositories {
    /// A mirror to use instead of the distribution's.
    pub mirror: Option<String>,
    /// An HTTP proxy for the package manager.
    pub proxy: Option<String>,
}

/// What is done to a host before anything is installed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Prepare {
    /// The firewall service.
    pub firewalld: KeepOrOff,
    /// NetworkManager.
    pub network_manager: KeepOrOff,
    /// SELinux.
    pub selinux: Selinux,
    /// Whether all packages are brought up to date first.
    pub upgrade: bool,
    /// Whether a host may be restarted.
    pub reboot: Reboot,
}

/// A service, on or off, with all its settings.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Service {
    /// Whether the cloud has it.
    pub enabled: bool,
    /// Every setting that the service has, by name; defaults filled in. Durations are whole seconds.
    pub settings: BTreeMap<String, serde_json::Value>,
}

/// An image for instances.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Image {
    /// Its name in Glance.
    pub name: String,
    /// Where it comes from.
    pub source: ImageSource,
    /// How the disk is laid out.
    pub format: ImageFormat,
    /// What is done where the source does not answer.
    pub fallback: ImageFallback,
}

/// Where an image comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ImageSource {
    /// Downloaded, and refused where the checksum differs.
    Url {
        /// The address.
        url: String,
        /// 64 lower-case hexadecimal digits.
        sha256: String,
    },
    /// A file on the machine where the tool runs.
    File {
        /// Its path, as written.
        path: String,
        /// Checked where it is given.
        sha256: Option<String>,
    },
    /// The small test guest, built here.
    Guest,
}

/// A size of instances.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Flavor {
    /// Virtual CPUs.
    pub vcpus: u32,
    /// Memory in MB.
    pub ram_mb: u32,
    /// Root disk in GB.
    pub disk_gb: u32,
}

/// The proof that the cloud works: an instance that boots and answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Proof {
    /// Whether it is done at the end of an apply.
    pub enabled: bool,
    /// Whether the instance is left running.
    pub keep: bool,
    /// The flavor it boots with; one of [`Cloud::flavors`].
    pub flavor: String,
    /// How long the instance may take until it is active.
    #[serde(serialize_with = "as_seconds")]
    pub boot_timeout: Duration,
    /// How long it may take, from then, until it answers on its floating address.
    #[serde(serialize_with = "as_seconds")]
    pub answer_timeout: Duration,
}

/// Where a secret that the user brings is read from. Never the secret itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretSource {
    /// The name of an environment variable.
    Env(String),
    /// The path of a file; its last line break is not part of the secret.
    File(String),
}

impl Cloud {
    /// The host of that name.
    #[must_use]
    pub fn host(&self, name: &str) -> Option<&Host> {
        self.hosts.iter().find(|host| host.name.as_str() == name)
    }

    /// The hosts with that role, in the order of the answer file.
    pub fn with_role(&self, role: Role) -> impl Iterator<Item = &Host> {
        self.hosts.iter().filter(move |host| host.has(role))
    }

    /// Whether the cloud has that service.
    #[must_use]
    pub fn has_service(&self, name: &str) -> bool {
        self.services
            .get(name)
            .is_some_and(|service| service.enabled)
    }

    /// What the answer file says about options of configuration files on one host: its own values over
    /// those for all hosts.
    #[must_use]
    pub fn config_for(&self, host: &Host) -> ConfigOverrides {
        let mut merged = self.config.clone();
        for (file, sections) in &host.config {
            let into = merged.entry(file.clone()).or_default();
            for (section, options) in sections {
                into.entry(section.clone())
                    .or_default()
                    .extend(options.clone());
            }
        }
        merged
    }
}

impl Host {
    /// Whether the host has that role.
    #[must_use]
    pub fn has(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }
}

fn as_auto<S: serde::Serializer>(to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str("auto")
}

fn as_seconds<S: serde::Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_u64(time.as_secs())
}
