//! Events and plans in; text, JSON and HTML out. Never asks anything.

pub mod diagnostic;
pub mod diff;
pub mod html;
pub mod json;
pub mod junit;
pub mod lines;
pub mod live;
pub mod matrix;
pub mod plan;
pub mod problem;
pub mod story;
pub mod style;
pub mod summary;
pub mod term;
pub mod words;
