//! Pure: what is wanted, what is known, what would change. No async, no files, no clock.

pub mod edit;
pub mod event;
