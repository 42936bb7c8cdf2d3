//! `provision` turns a few Linux hosts into a working OpenStack cloud.

pub mod cli;
pub mod drive;
pub mod lab;
pub mod model;
pub mod show;
