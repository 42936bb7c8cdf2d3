//! Users of RabbitMQ.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Diff;
use crate::model::facts::ServiceFact;

/// A RabbitMQ user with its password and its permissions on one virtual host. The question is a
/// login over AMQP, which is thousands of times cheaper than starting Erlang to ask.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BrokerUser {
    /// The user's name.
    pub user: String,
    /// Its password.
    pub password: String,
    /// The broker's address, as seen from the step's host.
    pub address: String,
    /// The broker's port.
    #[serde(default = "amqp")]
    pub port: u16,
    /// The virtual host, on which the user gets all permissions.
    #[serde(default = "slash")]
    pub vhost: String,
}

fn amqp() -> u16 {
    5672
}

fn slash() -> String {
    "/".into()
}

impl BrokerUser {
    pub(super) fn diff(&self, _fact: &ServiceFact) -> Diff {
        Diff::later("unfinished")
    }
}
