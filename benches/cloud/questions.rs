//! The questions that a second run asks its hosts, as one script a host: the same text that we send.

use std::collections::BTreeMap;

use provision::cli::library::Library;
use provision::drive::secrets;
use provision::model::answers;
use provision::model::host_facts::{self, HostFacts};
use provision::model::playbook::{Inputs, expand};
use provision::model::probe::ProbeSet;
use provision::model::resource::Question;
use serde_json::json;

use crate::cloud::Cloud;

/// The script of each host.
pub(crate) fn of(cloud: &Cloud) -> Vec<(String, String)> {
    let library = Library::load(None).unwrap();
    let text = std::fs::read_to_string(&cloud.answer_file).unwrap();
    let (answer, _) = answers::load("answer.toml", &text, &library.known).unwrap();
    let mut facts = BTreeMap::new();
    for host in &answer.hosts {
        let mut own = HostFacts::parse(&cloud.ask(host.name.as_str(), host_facts::SCRIPT));
        own.place(&answer, host);
        facts.insert(host.name.to_string(), own);
    }
    let kept = cloud.directory().join("secrets.toml");
    let secrets = secrets::load(&kept, &library.secrets(), &answer.secrets).unwrap();
    let expanded = expand(&Inputs {
        cloud: &answer,
        platform: &library.platforms["debian13-epoxy"],
        facts: &facts,
        secrets: &secrets,
        playbooks: &library.playbooks,
        collections: &library.apis.collection,
        templates: &library.templates,
        extra: json!({ "image": { "path": "", "sha256": "", "format": "qcow2" } }),
    });
    let mut scripts: BTreeMap<String, ProbeSet> = BTreeMap::new();
    for step in &expanded.unwrap().plan.steps {
        if let Question::Host(probes) = step.resource.question() {
            scripts
                .entry(step.host().to_owned())
                .or_default()
                .extend(probes);
        }
    }
    let text = scripts.into_iter().map(|(host, set)| (host, set.script()));
    text.collect()
}
