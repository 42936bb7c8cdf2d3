//! One question to a message broker: may this user, with this password, open this virtual host?
//!
//! Speaks just enough AMQP 0-9-1 to get the answer, and never declares or publishes anything.

use std::time::Duration;

use super::transport::{Secret, Session};

/// The broker's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BrokerLogin {
    /// Login and virtual host are good.
    Accepted,
    /// The broker said no, in these words.
    Refused(String),
    /// Nothing there speaks AMQP 0-9-1, for this reason.
    NoBroker(String),
}

/// Who asks, and for what.
#[derive(Debug, Clone)]
pub struct BrokerAccount {
    /// User name.
    pub user: String,
    /// Password.
    pub password: Secret,
    /// Virtual host, `/` by default in RabbitMQ.
    pub vhost: String,
}

/// Tries a login on the broker at `address:port` as seen from the session's host.
pub async fn try_login(
    session: &Session,
    address: &str,
    port: u16,
    account: &BrokerAccount,
    deadline: Duration,
) -> BrokerLogin {
    let _ = (session, address, port, account, deadline);
    BrokerLogin::NoBroker("unfinished".to_owned())
}
