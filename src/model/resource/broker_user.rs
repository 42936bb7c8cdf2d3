//! Users of RabbitMQ.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Diff, Op};
use crate::model::edit::Edit;
use crate::model::facts::ServiceFact;
use crate::model::quote::word;

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
    pub(super) fn diff(&self, fact: &ServiceFact) -> Diff {
        let Self { user, vhost, .. } = self;
        let said = match fact {
            ServiceFact::Unknown(why) => return Diff::later(why),
            ServiceFact::Answer { found: Some(_), .. } => {
                return Diff::in_sync(format!("`{user}` may log in to `{vhost}`"));
            }
            ServiceFact::Answer { said, .. } => said.as_deref().unwrap_or("not let in"),
            ServiceFact::Refused(why) => why,
        };
        let edit = Edit::attribute(
            format!("user {user} on {vhost}"),
            Some(said),
            Some("all permissions, its password set"),
        );
        let script = format!(
            "user={} vhost={}\n{}",
            word(user),
            word(vhost),
            include_str!("broker_user.sh")
        );
        let stdin = format!("{}\n", self.password).into_bytes();
        Diff::change(vec![edit], vec![Op::Run { script, stdin }])
    }
}
