//! Effects: connections, processes, time.

pub mod amqp;
pub mod http;
pub mod transport;
