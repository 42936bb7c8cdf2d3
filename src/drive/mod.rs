//! Effects: connections, processes, time.

pub mod amqp;
pub mod bus;
pub mod host_logs;
pub mod http;
pub mod journal;
pub mod lock;
pub mod run_directory;
pub mod transport;
