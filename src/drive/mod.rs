//! Effects: connections, processes, time.

mod act;
pub mod amqp;
pub mod bus;
pub mod confirmed;
pub mod engine;
pub mod health;
pub mod host_logs;
pub mod http;
pub mod journal;
pub mod lock;
pub mod openstack;
pub mod run_directory;
pub mod secrets;
pub mod transport;
pub mod world;
