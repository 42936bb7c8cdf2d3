//! Effects: connections, processes, time.

pub mod transport;
