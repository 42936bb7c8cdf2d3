//! Pure: what is wanted, what is known, what would change. No async, no files, no clock.

pub mod answers;
pub mod at;
pub mod cloud;
pub mod diagnostic;
pub mod edit;
pub mod event;
pub mod facts;
pub mod host_facts;
pub mod ini;
pub mod ledger;
pub mod name;
pub mod plan;
pub mod playbook;
pub mod preflight;
pub mod probe;
pub mod problem;
pub mod quote;
pub mod redact;
pub mod refs;
pub mod resource;
pub mod sink;
pub mod summary;
