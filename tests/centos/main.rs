//! CentOS 7 with Rocky, on stand-ins of its hosts: `tests/standin/README.md` says what they are, and what they cannot show.
//!
//! `cargo test --test centos [FILTER]` runs it, as root; the options are those of the `cloud` test. To try things by hand:
//!
//! ```sh
//! STANDIN=mine,10.79.0 cargo test --test centos -- --keep hosts_come_up
//! ```
//!
//! makes hosts of the name and in the networks that are said (here 10.79.0.0/24 and the next), leaves them running, and
//! says how to reach them. What the program said is kept in `target/tmp/centos/logs`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::format_push_string,
    clippy::exit,
    dead_code,
    reason = "a test fails where it panics, and tells how far it is; what is shared is not all used here"
)]

mod cases;
mod world;

#[path = "../cloud/cloud.rs"]
mod cloud;
#[path = "../cloud/harness.rs"]
mod harness;
#[path = "../cloud/listing.rs"]
mod listing;
#[path = "../support/platform.rs"]
mod platform;
#[path = "../cloud/program.rs"]
mod program;
#[path = "../standin/mod.rs"]
mod standin;
#[path = "../cloud/stop.rs"]
mod stop;

use std::process::ExitCode;

use harness::Wanted;

fn main() -> ExitCode {
    let wanted = Wanted::from_args();
    let keep = std::env::args().any(|arg| arg == "--keep");
    if !wanted.list {
        assert!(
            nix::unistd::geteuid().is_root(),
            "these tests make containers and bridges: run them as root"
        );
    }
    let world = world::World::from_env();
    if !wanted.list && !wanted.on_existing {
        world.remove();
    }
    let (cleaner, groups) = (world.clone(), [cases::all(world)]);
    stop::when_asked({
        let world = cleaner.clone();
        move || {
            if !keep {
                world.remove();
            }
        }
    });
    harness::run(&groups, &wanted, |_| {
        program::end_all();
        match keep {
            true => cleaner.introduce(),
            false => cleaner.remove(),
        }
    })
}
