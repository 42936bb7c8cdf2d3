//! Playbooks: what must be true, on which role, for one service. Data, never code.
//!
//! A playbook is a TOML file in `playbooks/`; its file name is its name. `playbooks/contents.toml`
//! lists them in the order in which an install is told. [`schema`] is the shape of a file;
//! [`render`] fills in templates; [`expand()`] turns playbooks, a cloud and a platform into steps.
//!
//! ```toml
//! title = "Image service"
//! service = "glance"                    # follows this switch of the answer file; absent: always on
//! secrets = ["glance_database", "glance_identity"]     # made once per cloud: {{secret.glance_database}}
//!
//! [packages.core]                       # wanted in the transaction named `core`, by role
//! controller = ["{{platform.glance.packages}}"]
//!
//! [[step]]
//! id = "config"
//! name = "Write the Image service's settings"          # a sentence
//! on = "controller"                     # a role, or "all"
//! needs = ["packages/core@here"]        # `playbook/step`: on all its hosts; `@here`: on this host
//! ensure.file = { path = "/etc/glance/glance-api.conf", template = "glance/glance-api.conf", group = "glance", mode = "0640" }
//! ```
//!
//! Steps of one `lane` (the playbook's own, when a step does not say) run one after another on a
//! host; different lanes and different hosts run at the same time. A step therefore needs the step
//! before it in its lane, and what `needs` says. A need for a step that is not in this plan (its
//! service is off, its host has no such role) is met; a need for one that no playbook has is an error.
//!
//! Every string may be a Handlebars template over one context: `cloud`, `network`, `service`, `host`
//! ([`crate::model::cloud::context`]), `host.facts` ([`crate::model::host_facts`]), `platform` (the platform's file, as it
//! is), `packages.<transaction>` (names for this host), `secret.<name>`, and in a `for_each` step `item` and `index`.
//! A string that is nothing but one `{{path}}` becomes the value at that path, whatever its type; a
//! list inside a list is joined into it. A variable that does not exist is an error. Helpers: `eq ne
//! gt lt and or not len lookup` (Handlebars' own), `join`, `default`.
//!
//! `when` is an expression, as inside `{{#if ...}}`: `when = "(eq service.neutron.mechanism 'openvswitch')"`.
//! `for_each` is a path to a list or an object (then `item.key`, `item.value`), or a list itself.
//!
//! A `[[check]]` has the same form with `expect` for `ensure`: the resource is asked and never made;
//! in sync means healthy. A `[[proof]]` step is made and, at the end, removed again in reverse order.

pub mod expand;
mod helpers;
pub mod render;
pub mod schema;

pub use expand::{Expanded, Inputs, expand};
pub use render::Templates;
pub use schema::{Playbook, Step};
