//! `[lab]`, `[ssh]` and `[hosts]`: the machines and the way to them.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};

use super::{ConfigTable, NicValue};
use crate::model::at::At;
use crate::model::cloud::choice::{Backend, HostKeys, Sudo};
use crate::model::name::Role;

/// The machines that the tool makes itself.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::model::answers) struct LabTable {
    /// What makes them. Default: `nspawn`, containers on this machine: they need no virtualisation and
    /// start in seconds.
    pub(in crate::model::answers) backend: Option<Backend>,
    /// CPUs of each host that does not say. Default: 2.
    #[schemars(range(min = 1, max = 512))]
    pub(in crate::model::answers) cpus: Option<u32>,
    /// Memory of each host that does not say. Default: `6GiB`, what a controller is comfortable with.
    pub(in crate::model::answers) memory: Option<At<String>>,
}

/// How to log in. Each key can be written for one host too, in `[hosts.<name>.ssh]`, and wins there.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::model::answers) struct SshTable {
    /// What to connect to where it is not `address`: a name, an address, or an alias from your own SSH
    /// configuration. Only for one host, in `[hosts.<name>.ssh]`.
    pub(in crate::model::answers) host: Option<At<String>>,
    /// The user. Default: what your SSH configuration says, else `root`.
    pub(in crate::model::answers) user: Option<At<String>>,
    /// The port. Default: what your SSH configuration says, else 22.
    #[schemars(range(min = 1, max = 65535))]
    pub(in crate::model::answers) port: Option<u16>,
    /// Private keys, tried in this order. Default: what your SSH configuration says, else the usual names
    /// in `~/.ssh`.
    pub(in crate::model::answers) identity: Option<Vec<At<String>>>,
    /// Whether the keys of a running SSH agent are tried first. Default: `true`.
    pub(in crate::model::answers) agent: Option<bool>,
    /// A jump host, `user@bastion:22`, or a list of them, first hop first; `[]` for none. Default: what
    /// your SSH configuration says, else none.
    pub(in crate::model::answers) jump: Option<At<OneOrMany>>,
    /// How to become root. Default: `auto`.
    pub(in crate::model::answers) sudo: Option<Sudo>,
    /// The name of the environment variable that holds the login password. Never the password. Default:
    /// none, keys only.
    pub(in crate::model::answers) password_env: Option<At<String>>,
    /// The name of the environment variable that holds the password for sudo. Default: the login password.
    pub(in crate::model::answers) sudo_password_env: Option<At<String>>,
    /// What is done about a host key that nobody knows yet. Default: `pinned`: it is refused, until you
    /// allow it here or with a flag. A changed key always stops the run.
    pub(in crate::model::answers) host_keys: Option<HostKeys>,
    /// How long to wait for a connection. Default: `15s`.
    #[schemars(regex(pattern = r"^([0-9]+(s|m|h))+$"))]
    pub(in crate::model::answers) connect_timeout: Option<At<String>>,
    /// Whether your own SSH configuration (`ssh -G`) is asked for what is not written here. Default: `true`.
    pub(in crate::model::answers) use_ssh_config: Option<bool>,
}

/// A machine.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::model::answers) struct HostTable {
    /// Its address in the management network, by which all services are reached.
    #[schemars(required)]
    pub(in crate::model::answers) address: Option<At<String>>,
    /// What it is for. One host is the `controller`; where nobody has `network`, the controller takes it.
    #[schemars(required, length(min = 1))]
    pub(in crate::model::answers) roles: Option<At<Vec<At<Role>>>>,
    /// How to log in to this host, where it differs from `[ssh]`.
    pub(in crate::model::answers) ssh: Option<SshTable>,
    /// This host's NIC on the provider network. Default: as `networks.provider.nic` says.
    pub(in crate::model::answers) provider_nic: Option<At<NicValue>>,
    /// This host's end of the tunnels. Default: `address`; with `networks.tunnel.cidr`, its address in
    /// there. An address of the provider network is put on `br-ex`, where Open vSwitch without its kernel
    /// module needs it.
    pub(in crate::model::answers) tunnel_address: Option<At<String>>,
    /// CPUs, in a lab. Default: as `[lab]` says.
    #[schemars(range(min = 1, max = 512))]
    pub(in crate::model::answers) cpus: Option<At<u32>>,
    /// Memory, in a lab: `4GiB`. Default: as `[lab]` says.
    pub(in crate::model::answers) memory: Option<At<String>>,
    /// Any option of any configuration file, on this host only: `[hosts.<name>.config."nova.conf".libvirt]`.
    #[serde(default)]
    pub(in crate::model::answers) config: ConfigTable,
}

/// One text or a list of them.
#[derive(Debug)]
pub(in crate::model::answers) enum OneOrMany {
    /// The place is that of the whole value.
    One(String),
    /// Each has its place.
    Many(Vec<At<String>>),
}

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = OneOrMany;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text or a list of texts")
            }
            fn visit_str<E>(self, text: &str) -> Result<OneOrMany, E> {
                Ok(OneOrMany::One(text.to_owned()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<OneOrMany, A::Error> {
                let mut many = Vec::new();
                while let Some(one) = seq.next_element()? {
                    many.push(one);
                }
                Ok(OneOrMany::Many(many))
            }
        }
        from.deserialize_any(Either)
    }
}

impl JsonSchema for OneOrMany {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "OneOrMany".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                { "type": "string" },
                { "type": "array", "items": { "type": "string" } },
            ]
        })
    }
}
