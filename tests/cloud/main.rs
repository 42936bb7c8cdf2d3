//! Whole clouds, for real: in labs of this machine, from the shipped answer files, with nothing pretended.
//!
//! `cargo test --test cloud [FILTER]` runs it, as root; plain `cargo test` leaves it out because it takes most of half an
//! hour. `-- --list` names the cases. A filter also runs what the filtered cases build upon; `--keep` leaves the labs
//! running at the end, and `--on-existing` then runs the filtered cases alone. What the program said is kept in
//! `target/tmp/cloud/logs`, screenshots in `target/artifacts`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::format_push_string,
    clippy::exit,
    reason = "a test fails where it panics, and tells how far it is"
)]

mod browser;
mod cases;
mod cloud;
mod faults;
mod harness;
mod http;
mod identity;
mod listing;
mod program;
mod secrecy;
mod stop;

use std::process::ExitCode;

use cases::Platform;
use harness::Wanted;

const DEBIAN_13: Platform = Platform {
    group: "debian13",
    answer_file: "lab.toml",
    cloud: "t-epoxy",
    third: 0,
};

const DEBIAN_12: Platform = Platform {
    group: "debian12",
    answer_file: "lab-debian12.toml",
    cloud: "t-zed",
    third: 4,
};

fn main() -> ExitCode {
    let wanted = Wanted::from_args();
    let keep = std::env::args().any(|arg| arg == "--keep");
    if !wanted.list {
        assert!(
            nix::unistd::geteuid().is_root(),
            "these tests make containers and bridges: run them as root"
        );
        stop::when_asked(move || {
            if !keep {
                cloud::remove_labs();
            }
        });
        if !wanted.on_existing {
            // What a run that was killed has left.
            cloud::remove_labs();
            let _ = std::fs::remove_dir_all(cloud::workplace());
        }
    }
    let groups = [
        faults::group(),
        cases::all(&DEBIAN_13),
        cases::short(&DEBIAN_12),
    ];
    harness::run(&groups, &wanted, |_| {
        program::end_all();
        if !keep {
            cloud::remove_labs();
        }
    })
}
