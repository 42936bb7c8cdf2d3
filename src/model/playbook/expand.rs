//! From playbooks, a cloud and a platform to steps, checks and proof steps bound to hosts.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::render::{RenderError, Templates};
use super::schema::{Check, Playbook, Seconds, Step};
use crate::model::cloud::{Cloud, ConfigValue, Host};
use crate::model::event::{self, StepId};
use crate::model::host_facts::HostFacts;
use crate::model::plan::{self, Plan, order};
use crate::model::resource::{Collections, File, Format, Resource, Until};
use crate::model::{ini, refs};

/// Everything a plan is made of.
#[derive(Debug)]
pub struct Inputs<'a> {
    /// What is wanted.
    pub cloud: &'a Cloud,
    /// The platform's file, as it is.
    pub platform: &'a Value,
    /// What kind of machine each host is, by name. Hosts that are not here are left out.
    pub facts: &'a BTreeMap<String, HostFacts>,
    /// Secrets by name.
    pub secrets: &'a BTreeMap<String, String>,
    /// Playbooks by name, in the order of `contents.toml`.
    pub playbooks: &'a [(String, Playbook)],
    /// The collections of `apis.toml`.
    pub collections: &'a Collections,
    /// Templates.
    pub templates: &'a Templates,
    /// More of the context: what the caller alone knows (`image.path`, say).
    pub extra: Value,
}

/// What comes of them.
#[derive(Debug, Clone, Default)]
pub struct Expanded {
    /// The steps of an install.
    pub plan: Plan,
    /// The steps of the proof, made in order and removed in reverse order.
    pub proof: Plan,
    /// Health questions.
    pub checks: Vec<plan::Check>,
    /// Names under `[config]` in the answer file that no file of this plan has.
    pub unused_config: Vec<String>,
}

/// Why a playbook cannot be turned into steps. A slip in a playbook, not in the answer file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("playbooks/{playbook}.toml, `{step}`: {cause}")]
pub struct ExpandError {
    /// The playbook.
    pub playbook: String,
    /// The id of the step or check.
    pub step: String,
    /// What is wrong.
    pub cause: String,
}

/// Turns playbooks into steps bound to hosts.
///
/// # Errors
/// The first slip: an unknown variable, a resource that does not parse, a need that no playbook
/// has, steps that need each other in a circle.
pub fn expand(inputs: &Inputs<'_>) -> Result<Expanded, ExpandError> {
    let mut work = Work {
        inputs,
        contexts: contexts(inputs)?,
        used_config: Vec::new(),
    };
    let enabled: Vec<_> = inputs
        .playbooks
        .iter()
        .filter(|(_, book)| is_on(book, inputs.cloud))
        .collect();
    let mut install = Vec::new();
    let mut proof = Vec::new();
    let mut checks = Vec::new();
    for (name, book) in &enabled {
        for step in &book.step {
            install.extend(work.bind(name, step)?);
        }
        for step in &book.proof {
            proof.extend(work.bind(name, step)?);
        }
        for check in &book.check {
            checks.extend(work.bind_check(name, book, check)?);
        }
    }
    let config = inputs
        .cloud
        .hosts
        .iter()
        .flat_map(|host| inputs.cloud.config_for(host).into_keys());
    let mut unused: Vec<String> = config
        .filter(|name| !work.used_config.contains(name))
        .collect();
    unused.sort();
    unused.dedup();
    Ok(Expanded {
        plan: connect(install, inputs.playbooks)?,
        proof: connect(proof, inputs.playbooks)?,
        checks,
        unused_config: unused,
    })
}

fn is_on(book: &Playbook, cloud: &Cloud) -> bool {
    book.service
        .as_ref()
        .is_none_or(|service| cloud.has_service(service))
}

/// The context of each host that is there.
fn contexts(inputs: &Inputs<'_>) -> Result<BTreeMap<String, Value>, ExpandError> {
    let mut base = inputs.cloud.context();
    put(&mut base, "platform", inputs.platform.clone());
    put(&mut base, "secret", json!(inputs.secrets));
    if let Value::Object(extra) = &inputs.extra {
        for (key, value) in extra {
            put(&mut base, key, value.clone());
        }
    }
    // What is asked of hosts is seen from every host: a tunnel address, a NIC.
    let describe = |host: &Host| {
        let mut own = host.context();
        put(
            &mut own,
            "facts",
            json!(inputs.facts.get(host.name.as_str())),
        );
        own
    };
    let all: Map<String, Value> = inputs
        .cloud
        .hosts
        .iter()
        .map(|host| (host.name.to_string(), describe(host)))
        .collect();
    put(&mut base, "hosts", Value::Object(all));
    let mut contexts = BTreeMap::new();
    for host in &inputs.cloud.hosts {
        if !inputs.facts.contains_key(host.name.as_str()) {
            continue;
        }
        let mut context = base.clone();
        put(&mut context, "host", describe(host));
        let packages = packages(inputs, host, &context)?;
        put(&mut context, "packages", packages);
        contexts.insert(host.name.to_string(), context);
    }
    Ok(contexts)
}

/// The names that this host wants in each transaction, sorted, each once.
fn packages(inputs: &Inputs<'_>, host: &Host, context: &Value) -> Result<Value, ExpandError> {
    let mut transactions: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for (name, book) in inputs.playbooks {
        for (transaction, by_role) in &book.packages {
            let names = transactions.entry(transaction.clone()).or_default();
            if !is_on(book, inputs.cloud) {
                continue;
            }
            for (role, wanted) in by_role {
                if !is_for(host, role) {
                    continue;
                }
                let wanted = Value::Array(wanted.iter().cloned().map(Value::String).collect());
                let rendered = inputs.templates.all(&wanted, context);
                match rendered.map_err(|error| slip(name, "packages", error))? {
                    Value::Array(list) => names.extend(list),
                    other => names.push(other),
                }
            }
        }
    }
    for names in transactions.values_mut() {
        names.retain(|name| name.as_str().is_some_and(|name| !name.is_empty()));
        names.sort_by(|a, b| a.as_str().cmp(&b.as_str()));
        names.dedup();
    }
    // A package belongs to the first transaction that wants it, in the order of their names in
    // `contents.toml`; asking for it twice does no harm.
    Ok(json!(transactions))
}

fn is_for(host: &Host, role: &str) -> bool {
    role == "all" || host.roles.iter().any(|own| own.as_str() == role)
}

struct Work<'a> {
    inputs: &'a Inputs<'a>,
    contexts: BTreeMap<String, Value>,
    used_config: Vec<String>,
}

/// A step before its needs have become indexes.
struct Bound {
    step: plan::Step,
    id: String,
    needs: Vec<String>,
}

/// One host's turn of a step, or one item's.
struct Instance<'a> {
    host: &'a Host,
    item: Option<String>,
    context: Value,
}

impl<'a> Work<'a> {
    fn bind(&mut self, playbook: &str, step: &Step) -> Result<Vec<Bound>, ExpandError> {
        let at = |error: RenderError| slip(playbook, &step.id, error);
        let mut bound = Vec::new();
        for turn in self
            .instances(&step.on, step.when.as_deref(), step.for_each.as_ref())
            .map_err(at)?
        {
            let name = self
                .inputs
                .templates
                .text(&step.name, &turn.context)
                .map_err(at)?;
            let resource = self.resource(&step.ensure, &turn).map_err(at)?;
            let shown = event::Step {
                id: StepId::new(
                    playbook,
                    &step.id,
                    turn.item.as_deref(),
                    turn.host.name.as_str(),
                ),
                name,
                playbook: playbook.to_owned(),
                host: turn.host.name.to_string(),
                index: 0,
                of: 0,
                lane: step.lane.clone().unwrap_or_else(|| playbook.to_owned()),
            };
            let deadline = self.seconds(&step.deadline, &turn).map_err(at)?;
            let retries = step.retries;
            bound.push(Bound {
                step: plan::Step {
                    shown,
                    resource,
                    needs: Vec::new(),
                    deadline,
                    retries,
                },
                id: step.id.clone(),
                needs: step.needs.clone(),
            });
        }
        Ok(bound)
    }

    fn seconds(&self, time: &Seconds, turn: &Instance<'_>) -> Result<u64, RenderError> {
        let template = match time {
            Seconds::Number(seconds) => return Ok(*seconds),
            Seconds::Template(template) => template,
        };
        let text = self.inputs.templates.text(template, &turn.context)?;
        text.trim().parse().map_err(|_| RenderError {
            place: format!("deadline = \"{template}\""),
            cause: format!("`{text}` is no number of seconds"),
        })
    }

    fn bind_check(
        &mut self,
        playbook: &str,
        book: &Playbook,
        check: &Check,
    ) -> Result<Vec<plan::Check>, ExpandError> {
        let at = |error: RenderError| slip(playbook, &check.id, error);
        let mut bound = Vec::new();
        for turn in self
            .instances(&check.on, check.when.as_deref(), check.for_each.as_ref())
            .map_err(at)?
        {
            bound.push(plan::Check {
                service: book.row.clone().unwrap_or_else(|| playbook.to_owned()),
                name: self
                    .inputs
                    .templates
                    .text(&check.name, &turn.context)
                    .map_err(at)?,
                host: turn.host.name.to_string(),
                resource: self.resource(&check.expect, &turn).map_err(at)?,
                patience: check.patience,
                help: self
                    .inputs
                    .templates
                    .text(&check.help, &turn.context)
                    .map_err(at)?,
            });
        }
        Ok(bound)
    }

    /// A turn for each host of the role, and for each item where there is a list; those for which
    /// `when` is false are left out.
    fn instances(
        &self,
        on: &str,
        when: Option<&str>,
        for_each: Option<&Value>,
    ) -> Result<Vec<Instance<'a>>, RenderError> {
        let mut turns = Vec::new();
        for host in self
            .inputs
            .cloud
            .hosts
            .iter()
            .filter(|host| is_for(host, on))
        {
            let Some(context) = self.contexts.get(host.name.as_str()) else {
                continue;
            };
            match for_each {
                None => turns.push(Instance {
                    host,
                    item: None,
                    context: context.clone(),
                }),
                Some(list) => {
                    for (index, item) in self.items(list, context)?.into_iter().enumerate() {
                        let mut context = context.clone();
                        let label = label(&item, index);
                        put(&mut context, "item", item);
                        put(&mut context, "index", json!(index));
                        turns.push(Instance {
                            host,
                            item: Some(label),
                            context,
                        });
                    }
                }
            }
        }
        let mut kept = Vec::with_capacity(turns.len());
        for turn in turns {
            let holds = when.map(|when| self.inputs.templates.holds(when, &turn.context));
            if holds.transpose()?.unwrap_or(true) {
                kept.push(turn);
            }
        }
        Ok(kept)
    }

    /// The items of a `for_each`: a list, or an object as `{key, value}` pairs, or a path to one.
    fn items(&self, list: &Value, context: &Value) -> Result<Vec<Value>, RenderError> {
        let found = match list {
            Value::String(path) => refs::at(context, path)
                .cloned()
                .ok_or_else(|| RenderError {
                    place: format!("for_each = \"{path}\""),
                    cause: format!("there is no `{path}` here"),
                })?,
            other => self.inputs.templates.all(other, context)?,
        };
        match found {
            Value::Array(items) => Ok(items),
            Value::Object(map) => Ok(map
                .into_iter()
                .map(|(key, value)| json!({"key": key, "value": value}))
                .collect()),
            Value::Null => Ok(Vec::new()),
            other => Err(RenderError {
                place: "for_each".into(),
                cause: format!("`{other}` is neither a list nor an object"),
            }),
        }
    }

    fn resource(
        &mut self,
        ensure: &BTreeMap<String, Value>,
        turn: &Instance<'_>,
    ) -> Result<Resource, RenderError> {
        let value = self.inputs.templates.table(ensure, &turn.context)?;
        let parsed = serde_json::from_value(value.clone()).map_err(|error| RenderError {
            place: ensure.keys().cloned().collect::<Vec<_>>().join(" "),
            cause: error.to_string(),
        });
        let mut resource: Resource = parsed?;
        self.complete(&mut resource, turn)?;
        Ok(resource)
    }

    /// Fills in what a resource takes from elsewhere: the content of a file, the options that the
    /// answer file sets in it, how a collection is spoken to.
    fn complete(
        &mut self,
        resource: &mut Resource,
        turn: &Instance<'_>,
    ) -> Result<(), RenderError> {
        match resource {
            Resource::File(file) => self.complete_file(file, turn)?,
            Resource::Options(options) => {
                for (section, own) in self.overrides(&options.path, turn) {
                    let own = own
                        .into_iter()
                        .map(|(option, lines)| (option, json!(lines)));
                    options.set.entry(section).or_default().extend(own);
                }
            }
            Resource::Packages(packages) => {
                let manager = self.inputs.platform["package_manager"].clone();
                packages.manager =
                    serde_json::from_value(manager).map_err(|error| RenderError {
                        place: "package_manager".into(),
                        cause: error.to_string(),
                    })?;
            }
            Resource::Api(api) => {
                api.via = self.collection(&api.collection)?;
            }
            Resource::Wait(wait) => {
                if let Until::Call(call) = &wait.until {
                    self.check_refs(&call.ask.refs())?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn collection(&self, name: &str) -> Result<crate::model::resource::Collection, RenderError> {
        self.inputs
            .collections
            .get(name)
            .cloned()
            .ok_or_else(|| RenderError {
                place: "playbooks/apis.toml".into(),
                cause: format!("there is no collection `{name}`"),
            })
    }

    fn check_refs(&self, found: &[String]) -> Result<(), RenderError> {
        for reference in found.iter().filter_map(|text| refs::parse(text)) {
            self.collection(reference.collection)?;
        }
        Ok(())
    }

    /// What the answer file says about options of this file on this host.
    fn overrides(
        &mut self,
        path: &str,
        turn: &Instance<'_>,
    ) -> BTreeMap<String, BTreeMap<String, Vec<String>>> {
        let short = path.rsplit('/').next().unwrap_or_default();
        let mut found: BTreeMap<String, BTreeMap<String, Vec<String>>> = BTreeMap::new();
        for (name, sections) in self.inputs.cloud.config_for(turn.host) {
            if name != short && name != path {
                continue;
            }
            self.used_config.push(name);
            for (section, options) in sections {
                let options = options
                    .into_iter()
                    .map(|(option, value)| (option, lines(value)));
                found.entry(section).or_default().extend(options);
            }
        }
        found
    }

    fn complete_file(&mut self, file: &mut File, turn: &Instance<'_>) -> Result<(), RenderError> {
        if let Some(template) = &file.template {
            file.content = self.inputs.templates.file(template, &turn.context)?;
        }
        let format = file.format.unwrap_or_else(|| Format::of(&file.path));
        if format != Format::Ini {
            return Ok(());
        }
        for (section, options) in self.overrides(&file.path, turn) {
            file.options.entry(section).or_default().extend(options);
        }
        let options = std::mem::take(&mut file.options);
        file.content = ini::with_options(&file.content, &options);
        Ok(())
    }
}

fn lines(value: ConfigValue) -> Vec<String> {
    match value {
        ConfigValue::One(line) => vec![line],
        ConfigValue::Many(lines) => lines,
    }
}

/// Turns needs into indexes, lanes into needs, and brings everything into order.
fn connect(bound: Vec<Bound>, playbooks: &[(String, Playbook)]) -> Result<Plan, ExpandError> {
    let mut needs = Vec::with_capacity(bound.len());
    for (index, own) in bound.iter().enumerate() {
        let shown = &own.step.shown;
        let same_lane = |other: &&(usize, &Bound)| {
            other.1.step.shown.host == shown.host && other.1.step.shown.lane == shown.lane
        };
        let before = bound[..index].iter().enumerate().rev().collect::<Vec<_>>();
        let mut found: Vec<usize> = before
            .iter()
            .find(same_lane)
            .map(|(index, _)| *index)
            .into_iter()
            .collect();
        for need in &own.needs {
            let (name, here) = match need.strip_suffix("@here") {
                Some(name) => (name, true),
                None => (need.as_str(), false),
            };
            if !is_known(name, playbooks) {
                return Err(ExpandError {
                    playbook: shown.playbook.clone(),
                    step: own.id.clone(),
                    cause: format!("it needs `{name}`, which no playbook has"),
                });
            }
            let matching = bound.iter().enumerate().filter(|(other, candidate)| {
                *other != index
                    && format!("{}/{}", candidate.step.shown.playbook, candidate.id) == name
                    && (!here || candidate.step.shown.host == shown.host)
            });
            found.extend(matching.map(|(index, _)| index));
        }
        found.sort_unstable();
        found.dedup();
        needs.push(found);
    }
    let sorted = order(&needs).map_err(|circle| {
        let names: Vec<_> = circle
            .0
            .iter()
            .map(|step| bound[*step].step.id().as_str())
            .collect();
        let first = &bound[circle.0[0]];
        ExpandError {
            playbook: first.step.shown.playbook.clone(),
            step: first.id.clone(),
            cause: format!(
                "steps need each other in a circle: {}",
                names.join(" needs ")
            ),
        }
    })?;
    let mut place = vec![0; sorted.len()];
    for (new, old) in sorted.iter().enumerate() {
        place[*old] = new;
    }
    let mut steps: Vec<Option<plan::Step>> = bound.into_iter().map(|own| Some(own.step)).collect();
    let mut plan = Plan::default();
    for old in sorted {
        if let Some(mut step) = steps[old].take() {
            step.needs = needs[old].iter().map(|need| place[*need]).collect();
            plan.steps.push(step);
        }
    }
    plan.number();
    Ok(plan)
}

fn is_known(name: &str, playbooks: &[(String, Playbook)]) -> bool {
    let Some((playbook, step)) = name.split_once('/') else {
        return false;
    };
    playbooks.iter().any(|(known, book)| {
        known == playbook
            && book
                .step
                .iter()
                .chain(&book.proof)
                .any(|candidate| candidate.id == step)
    })
}

/// What tells an item from its siblings, for people.
fn label(item: &Value, index: usize) -> String {
    let named = ["name", "key", "id"]
        .iter()
        .find_map(|key| item.get(key).and_then(Value::as_str));
    match (item, named) {
        (_, Some(name)) => name.to_owned(),
        (Value::String(text), None) => text.clone(),
        _ => index.to_string(),
    }
}

fn put(object: &mut Value, key: &str, value: Value) {
    if let Value::Object(map) = object {
        map.insert(key.to_owned(), value);
    }
}

fn slip(playbook: &str, step: &str, error: RenderError) -> ExpandError {
    ExpandError {
        playbook: playbook.into(),
        step: step.into(),
        cause: error.to_string(),
    }
}
