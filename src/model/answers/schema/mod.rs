//! The answer file as it is written: every key, with its place. Shape only; what the values mean is
//! `check`'s business.
//!
//! The comments on the fields are for the users: they become the JSON schema, which editors show. They
//! name the default and why it is that. Everything is optional here even where the schema says required:
//! a value of the wrong type is reported once and then treated as not written, so that one reading finds
//! all problems. The tables of services (`[nova]`) are not here: services are data.

mod hosts;
mod networks;
mod options;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

pub(super) use self::hosts::{HostTable, LabTable, OneOrMany, SshTable};
pub(super) use self::networks::{NetworksTable, NicTable, NicValue, ProviderTable, ProviderType};
pub(super) use self::options::{ConfigEntry, ConfigTable};

use crate::model::at::At;
use crate::model::cloud::choice::{ImageFallback, ImageFormat, KeepOrOff, Reboot, Selinux};

/// A table whose keys the user makes up.
pub(super) type Named<T> = BTreeMap<At<String>, At<T>>;

/// What a cloud is to be: its hosts, its networks, its services.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Answer file of provision")]
pub(super) struct AnswerFile {
    /// The cloud as a whole.
    #[schemars(required)]
    pub(super) cloud: Option<At<CloudTable>>,
    /// With this table the tool makes the hosts itself; without it they exist already.
    pub(super) lab: Option<At<LabTable>>,
    /// How to log in to the hosts. A lab needs none of it.
    pub(super) ssh: Option<SshTable>,
    /// The machines. The key is the host's short name: it becomes its hostname.
    #[schemars(required, extend("minProperties" = 1))]
    pub(super) hosts: Option<At<Named<HostTable>>>,
    /// The networks of hosts and instances.
    #[schemars(required)]
    pub(super) networks: Option<NetworksTable>,
    /// The clocks of the hosts.
    pub(super) time: Option<TimeTable>,
    /// Where packages come from.
    pub(super) repositories: Option<RepositoriesTable>,
    /// What is done to a host before anything is installed.
    pub(super) prepare: Option<PrepareTable>,
    /// Which services the cloud has. Those that every cloud needs are on and stay on.
    #[serde(default)]
    pub(super) services: Named<bool>,
    /// The image that instances boot. Default: a small guest that the tool builds itself, because it
    /// needs no download and boots in seconds.
    pub(super) image: Option<At<ImageTable>>,
    /// Sizes of instances, by name. Default: `tiny` (1 CPU, 256 MB, 1 GB), `small` (1, 2048, 20) and
    /// `medium` (2, 4096, 40). What is written here replaces all three.
    #[schemars(extend("minProperties" = 1))]
    pub(super) flavors: Option<Named<FlavorTable>>,
    /// The proof at the end: an instance boots, gets its address and metadata, answers on a floating
    /// address and is removed.
    pub(super) proof: Option<ProofTable>,
    /// Any option of any configuration file, on all hosts: `[config."nova.conf".libvirt]`. Stronger than
    /// every other setting, weaker only than a host's own `config`.
    #[serde(default)]
    pub(super) config: ConfigTable,
    /// Secrets that you bring yourself, by name; all others are made once and kept. Only where to find
    /// them is written here, never a secret.
    #[serde(default)]
    pub(super) secrets: Named<SecretTable>,
}

/// The cloud as a whole.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CloudTable {
    /// Its name: lower-case letters, digits and hyphens. Its state directory, its lab and its entry in
    /// `clouds.yaml` are called the same, so two clouds need two names.
    #[schemars(required)]
    pub(super) name: Option<At<String>>,
    /// The region of every endpoint. Default: `RegionOne`, as everybody's examples have it.
    pub(super) region: Option<At<String>>,
    /// The distribution release and OpenStack release, such as `debian13-epoxy`. Default: `auto`, found
    /// on each host. A lab must name it: there is nothing to find yet.
    pub(super) platform: Option<At<String>>,
    /// The address of the administrator, kept with the `admin` user. Default: none.
    pub(super) admin_email: Option<At<String>>,
}

/// The clocks of the hosts.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TimeTable {
    /// Time servers for the controller; all other hosts ask the controller, so that they agree even where
    /// the servers are out of reach. Default: those of the distribution.
    #[serde(default)]
    pub(super) servers: Option<Vec<At<String>>>,
    /// The time zone of the hosts, such as `Europe/Berlin`. Default: as it is on each host.
    pub(super) timezone: Option<At<String>>,
}

/// Where packages come from.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RepositoriesTable {
    /// The address of a mirror, used instead of the distribution's own package sources, which are set
    /// aside. Default: what the hosts have.
    pub(super) mirror: Option<At<String>>,
    /// An HTTP proxy for the package manager. Default: none.
    pub(super) proxy: Option<At<String>>,
}

/// What is done to a host before anything is installed.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PrepareTable {
    /// The firewall service. Default: `off`, because Neutron brings its own rules and the two disagree.
    pub(super) firewalld: Option<KeepOrOff>,
    /// NetworkManager. Default: `off`, because it takes bridges for its own.
    pub(super) network_manager: Option<KeepOrOff>,
    /// SELinux. Default: `keep`.
    pub(super) selinux: Option<Selinux>,
    /// Whether all packages are brought up to date first. Default: `false`; it takes long and is yours to
    /// decide.
    pub(super) upgrade: Option<bool>,
    /// Whether a host may be restarted. Default: `when-needed`: a new kernel is of no use until then.
    pub(super) reboot: Option<Reboot>,
}

/// The image that instances boot.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ImageTable {
    /// Its name in Glance. Default: the file's name without its ending, or `test-guest`.
    pub(super) name: Option<At<String>>,
    /// Where it is downloaded from. Needs `sha256`.
    pub(super) url: Option<At<String>>,
    /// A file on the machine where you run the tool, instead of `url`.
    pub(super) file: Option<At<String>>,
    /// Its checksum: 64 hexadecimal digits. Whatever differs is refused.
    pub(super) sha256: Option<At<String>>,
    /// How the disk is laid out. Default: `qcow2`.
    pub(super) format: Option<ImageFormat>,
    /// What is done where there is no image or its address does not answer. Default: `build-guest` where
    /// neither `url` nor `file` is written, else `none`: an image that you name is meant.
    pub(super) fallback: Option<At<ImageFallback>>,
}

/// A size of instances.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FlavorTable {
    /// Virtual CPUs.
    #[schemars(required, range(min = 1, max = 512))]
    pub(super) vcpus: Option<u32>,
    /// Memory in MB.
    #[schemars(required, range(min = 64, max = 16_777_216))]
    pub(super) ram_mb: Option<u32>,
    /// Root disk in GB. With 0 only administrators may use the flavor.
    #[schemars(required, range(min = 0, max = 1_048_576))]
    pub(super) disk_gb: Option<At<u32>>,
}

/// The proof at the end.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ProofTable {
    /// Whether it is done. Default: `true`; services that run are not yet a cloud that works.
    pub(super) enabled: Option<bool>,
    /// Whether its instance, router and floating address stay. Default: `false`.
    pub(super) keep: Option<bool>,
    /// The flavor it boots. Default: the one with the least memory.
    pub(super) flavor: Option<At<String>>,
    /// How long until the instance is active. Default: `5m`, for hosts that emulate.
    #[schemars(regex(pattern = r"^([0-9]+(s|m|h))+$"))]
    pub(super) boot_timeout: Option<At<String>>,
    /// How long, from then, until it answers. Default: `3m`.
    #[schemars(regex(pattern = r"^([0-9]+(s|m|h))+$"))]
    pub(super) answer_timeout: Option<At<String>>,
}

/// Where a secret is found: one of the two.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SecretTable {
    /// The name of an environment variable that holds it.
    pub(super) env: Option<At<String>>,
    /// The path of a file that holds it and nothing else.
    pub(super) file: Option<At<String>>,
}
