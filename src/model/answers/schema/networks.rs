//! `[networks]`: the four networks of a cloud.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};

use crate::model::at::At;
use crate::model::cloud::choice::TunnelType;

/// The networks of hosts and instances.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::model::answers) struct NetworksTable {
    /// Where hosts talk to each other and users reach the APIs.
    #[schemars(required)]
    pub(in crate::model::answers) management: Option<At<ManagementTable>>,
    /// The way out for instances; floating addresses come from here.
    #[schemars(required)]
    pub(in crate::model::answers) provider: Option<At<ProviderTable>>,
    /// What carries project networks from host to host.
    pub(in crate::model::answers) tunnel: Option<TunnelTable>,
    /// The first project network.
    pub(in crate::model::answers) private: Option<PrivateTable>,
}

/// Where hosts talk to each other and users reach the APIs.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::model::answers) struct ManagementTable {
    /// The network: `10.0.0.0/24`.
    #[schemars(required)]
    pub(in crate::model::answers) cidr: Option<At<String>>,
    /// The way out of it. In a lab, the address that this machine takes there; hosts that exist have
    /// theirs already. Default: in a lab the first address, else none.
    pub(in crate::model::answers) gateway: Option<At<String>>,
    /// Name servers for the hosts. Default: hosts keep what they have; in a lab, what this machine uses.
    pub(in crate::model::answers) dns: Option<Vec<At<String>>>,
}

/// The way out for instances.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::model::answers) struct ProviderTable {
    /// The NIC that goes into `br-ex`: its name (`"eth1"`), or `{ mac = "52:54:00:00:00:01" }`, or
    /// `{ cidr = "203.0.113.0/24" }` for the one with an address in there. It may be the NIC that you log
    /// in by: its address then moves to `br-ex`. Default: in a lab `eth1`, else it must be written, here
    /// or for each host.
    pub(in crate::model::answers) nic: Option<At<NicValue>>,
    /// The network: `203.0.113.0/24`. May be the management network itself.
    #[schemars(required)]
    pub(in crate::model::answers) cidr: Option<At<String>>,
    /// The router on it. In a lab, the address that this machine takes there.
    #[schemars(required)]
    pub(in crate::model::answers) gateway: Option<At<String>>,
    /// The addresses that Neutron may give away, first and last: `203.0.113.100-203.0.113.199`.
    #[schemars(required)]
    pub(in crate::model::answers) floating: Option<At<String>>,
    /// Name servers for instances that sit directly on it. Default: none.
    pub(in crate::model::answers) dns: Option<Vec<At<String>>>,
    /// Its name in OpenStack. Default: `public`.
    pub(in crate::model::answers) name: Option<At<String>>,
    /// Its name in Neutron's bridge mappings. Default: `external`.
    pub(in crate::model::answers) physical_network: Option<At<String>>,
    /// `flat`: untagged; `vlan`: tagged with `vlan`. Default: `flat`.
    #[serde(rename = "type")]
    pub(in crate::model::answers) kind: Option<At<ProviderType>>,
    /// The VLAN id, with `type = "vlan"`.
    #[schemars(range(min = 1, max = 4094))]
    pub(in crate::model::answers) vlan: Option<At<u16>>,
}

/// Tagged or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(in crate::model::answers) enum ProviderType {
    /// Untagged.
    Flat,
    /// Tagged with one VLAN id.
    Vlan,
}

/// What carries project networks from host to host.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::model::answers) struct TunnelTable {
    /// The encapsulation. Default: `vxlan`.
    #[serde(rename = "type")]
    pub(in crate::model::answers) kind: Option<TunnelType>,
    /// The network that the hosts' tunnel addresses are in. Default: the management network.
    pub(in crate::model::answers) cidr: Option<At<String>>,
    /// The MTU of that network; instances get what is left of it. Default: 1500.
    #[schemars(range(min = 1280, max = 9216))]
    pub(in crate::model::answers) mtu: Option<u16>,
}

/// The first project network.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::model::answers) struct PrivateTable {
    /// Its name in OpenStack. Default: `private`.
    pub(in crate::model::answers) name: Option<At<String>>,
    /// Its addresses. Default: `192.168.100.0/24`.
    pub(in crate::model::answers) cidr: Option<At<String>>,
    /// Name servers for its instances. Default: those of the management network.
    pub(in crate::model::answers) dns: Option<Vec<At<String>>>,
}

/// A NIC: a name, or a table that says how to find it.
#[derive(Debug)]
pub(in crate::model::answers) enum NicValue {
    /// Just text.
    Name(String),
    /// One of the keys.
    Table(NicTable),
}

/// How a NIC is found: one of the three.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::model::answers) struct NicTable {
    /// By its name.
    pub(in crate::model::answers) name: Option<At<String>>,
    /// By its hardware address.
    pub(in crate::model::answers) mac: Option<At<String>>,
    /// By an address that it has in this network.
    pub(in crate::model::answers) cidr: Option<At<String>>,
}

impl<'de> Deserialize<'de> for NicValue {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = NicValue;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a NIC, or a table with `name`, `mac` or `cidr`")
            }
            fn visit_str<E>(self, text: &str) -> Result<NicValue, E> {
                Ok(NicValue::Name(text.to_owned()))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<NicValue, A::Error> {
                NicTable::deserialize(MapAccessDeserializer::new(map)).map(NicValue::Table)
            }
        }
        from.deserialize_any(Either)
    }
}

impl JsonSchema for NicValue {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "NicValue".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let table = generator.subschema_for::<NicTable>();
        json_schema!({ "anyOf": [{ "type": "string" }, table] })
    }
}
