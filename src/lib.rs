//! `provision` turns a few Linux hosts into a working OpenStack cloud, from one answer file, over SSH.
//!
//! This is the architecture page: the words, the flow, the rooms and the rules. Read it first, then
//! `playbooks/glance.toml` (what a service is), then [`model::resource`] (what one wanted thing is).
//!
//! # Words
//!
//! | word | meaning |
//! |---|---|
//! | answer file | what the user wants, in TOML; never written to |
//! | cloud | the answer file with defaults filled in and names resolved: [`model::cloud::Cloud`] |
//! | platform | a distribution release with an OpenStack release: `playbooks/platforms/`, data |
//! | host, role | a machine reached over SSH; what it is for |
//! | playbook | what must be true, for one service: `playbooks/*.toml`, data |
//! | resource | one wanted thing on a host or in a service: [`model::resource::Resource`], a closed enum |
//! | probe, fact | a question to a host, and its answer: [`model::probe`], [`model::facts`] |
//! | step | a resource bound to a host, with a name that is a sentence and what it needs |
//! | plan | steps and their edges: [`model::plan::Plan`]; making one touches nothing |
//! | run | one execution: an id, a journal, a directory |
//! | check | a resource that is only asked: in sync means healthy |
//! | lab | throw-away hosts that the tool makes itself |
//!
//! # Flow
//!
//! ```text
//! answer file ──► cloud ─┐
//! platform ──────────────┼─► resources ─► questions ─► facts ─► differences ─► operations ─► asked again
//! playbooks, templates ──┘   (expand)     (one script a host)    (diff)          (act)
//!                                 └──────────── events ────────────► journal ─► terminal, lines, JSON, report
//! ```
//!
//! - [`cli::main`] parses; `cli::run` opens a run: answer file, lock, secrets, journal, displays.
//! - `cli::reach` makes the lab if there is one, connects to all hosts at once, and asks each what it
//!   is ([`model::host_facts`]): one round trip.
//! - [`model::playbook::expand()`] turns playbooks into steps: pure, and everything is decided in it.
//! - [`drive::engine::survey`] asks every question of the plan: again one round trip a host, while the
//!   services' APIs are asked through the controller's connection.
//! - [`drive::engine::apply`] starts each step as soon as what it needs is there. Lanes and hosts work at the
//!   same time; a step that changed something is asked again, and must be in sync then.
//! - [`drive::health::check`] asks the checks; the proof boots an instance and removes it again.
//!
//! # Three answers
//!
//! A difference is *in sync* (with the reason), a *change* (for people and for the engine), or
//! *later*: it cannot be known before an earlier step has run. "Later" is never taken for "absent".
//! What will never be possible is *refused*, with the way out.
//!
//! # No state to lose
//!
//! Nothing that decides what is done is kept on the operator's side but secrets and pinned host keys. A unit is
//! restarted when a file that it reads is newer than its start; a half-finished run is finished
//! by the next one, because the next one asks again.
//!
//! # Rooms
//!
//! | room | what | imports |
//! |---|---|---|
//! | [`model`] | pure: no async, no files, no clock, no randomness | nothing of ours |
//! | [`drive`] | effects: engine, connections, journal, secrets, lock | `model` |
//! | [`lab`] | makes machines, hands back hosts | `model`, `drive::transport` |
//! | [`show`] | events in; terminal, lines, JSON, HTML, JUnit out | `model` |
//! | [`cli`] | a person's words in, an exit code out | all |
//!
//! `tests/layering.rs` keeps these doors.
//!
//! # Where to add things
//!
//! A service: a playbook and templates, no Rust. A distribution: a file in `playbooks/platforms/`. A
//! kind of resource: a file in `model/resource` and a line in the enum; the compiler names the rest. A
//! display: a [`model::sink::Sink`] in `show`.

pub mod cli;
pub mod drive;
pub mod lab;
pub mod model;
pub mod show;
