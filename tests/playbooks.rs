//! The shipped playbooks, platforms and templates: everything they name is there, and everything that is there is
//! used, for every shipped answer file, every platform and hosts of different kinds. No host is needed for it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use provision::cli::library::Library;
use provision::model::answers;
use provision::model::cloud::Cloud;
use provision::model::host_facts::HostFacts;
use provision::model::playbook::schema::Step;
use provision::model::playbook::{Expanded, Inputs, expand};
use provision::model::refs;
use provision::model::resource::{Op, Resource, Until};
use serde_json::{Value, json};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn library() -> Library {
    Library::load(None).unwrap()
}

fn files(folder: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut open = vec![root().join(folder)];
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => open.push(path),
                false => files.push(path),
            }
        }
    }
    files.sort();
    files
}

fn texts(folder: &str) -> BTreeMap<PathBuf, String> {
    let read = |path: PathBuf| Some((path.clone(), std::fs::read_to_string(path).ok()?));
    files(folder).into_iter().filter_map(read).collect()
}

// ── Clouds and hosts of many kinds ──────────────────────────────────────────────────────────────

/// Settings that the shipped answer files leave at their defaults, and that steps depend on.
const OTHERWISE: &str = r#"
[cloud]
name = "otherwise"
platform = "debian13-epoxy"
region = "Elsewhere"
admin_email = "operator@example.org"

[hosts.controller]
address = "10.0.0.100"
roles = ["controller"]
[hosts.gateway]
address = "10.0.0.99"
roles = ["network"]
[hosts.compute1]
address = "10.0.0.101"
roles = ["compute"]
[hosts.compute2]
address = "10.0.0.102"
roles = ["compute"]

[networks.management]
cidr = "10.0.0.0/24"
dns = ["192.0.2.53", "192.0.2.54"]

[networks.provider]
nic = "eth1"
type = "vlan"
vlan = 100
cidr = "10.0.1.0/24"
gateway = "10.0.1.1"
floating = "10.0.1.100-10.0.1.199"
dns = ["192.0.2.53"]

[networks.tunnel]
type = "geneve"

[repositories]
mirror = "http://mirror.example.org/debian"
proxy = "http://proxy.example.org:3128"

[time]
servers = ["ntp.example.org"]
timezone = "Europe/Berlin"

[prepare]
firewalld = "keep"
network_manager = "keep"
selinux = "permissive"
upgrade = true
reboot = "never"

[services]
horizon = false

[nova]
workers = 3
virt_type = "qemu"
cpu_mode = "custom"
cpu_models = ["Nehalem"]

[config."nova.conf".libvirt]
hw_disk_discard = "unmap"
"#;

/// Every shipped answer file, and [`OTHERWISE`], each read for a platform.
fn clouds(library: &Library, platform: &str) -> Vec<(String, Cloud)> {
    let shipped = texts("answer-files").into_iter();
    let shipped =
        shipped.filter(|(path, _)| path.extension().is_some_and(|ending| ending == "toml"));
    let mut sources: Vec<(String, String)> = shipped
        .map(|(path, text)| (path.file_name().unwrap().to_str().unwrap().to_owned(), text))
        .collect();
    sources.push(("OTHERWISE".into(), OTHERWISE.into()));
    let read = |(name, text): (String, String)| {
        let (mut cloud, _) = answers::load(&name, &text, &library.known)
            .unwrap_or_else(|found| panic!("{name}: {found:#?}"));
        cloud.platform = provision::model::cloud::PlatformChoice::Named(platform.to_owned());
        (format!("{name} on {platform}"), cloud)
    };
    sources.into_iter().map(read).collect()
}

/// What hosts of different kinds say of themselves: a small container, and a big machine of metal.
const KINDS: [(&str, &str); 2] = [
    (
        "container",
        "cpus 2\nmemory_kib 6291456\nvirt systemd-nspawn\nkvm no\ncgroup 1\nopenvswitch no\n\
         selinux disabled\nclock no\n",
    ),
    (
        "metal",
        "cpus 64\nmemory_kib 268435456\nvirt none\nkvm yes\ncgroup 2\nopenvswitch yes\n\
         selinux Enforcing\nclock yes\n",
    ),
];

fn facts(cloud: &Cloud, kind: &str) -> BTreeMap<String, HostFacts> {
    let networks = &cloud.networks;
    let prefix = networks.management.cidr.prefix_len();
    let of = |host: &provision::model::cloud::Host| {
        let last = host.address.octets()[3];
        let mac = match &host.provider_nic {
            Some(provision::model::cloud::NicSelector::Mac(mac)) => mac.clone(),
            _ => "52:54:00:00:00:01".into(),
        };
        let name = match &host.provider_nic {
            Some(provision::model::cloud::NicSelector::Name(name)) => name.clone(),
            _ => "eth1".into(),
        };
        let beside =
            std::net::Ipv4Addr::from(u32::from(networks.provider.cidr.network()) | u32::from(last));
        let provider = networks.provider.cidr.prefix_len();
        let tunnel =
            std::net::Ipv4Addr::from(u32::from(networks.tunnel.cidr.network()) | u32::from(last));
        let mut said = format!(
            "os_id debian\nos_version 13\nos_name Debian\nkernel 6.12.0\n{kind}boot_id b\nmachine_id m\n\
             hostname {}\nroot_free_kib 99999999\nlink lo 00:00:00:00:00:00 65536 up\n\
             link eth0 52:54:00:00:00:10 1500 up\naddress eth0 {}/{prefix}\n\
             route 10.0.0.1 eth0\n",
            host.name, host.address
        );
        if name != "eth0" {
            said += &format!("link {name} {mac} 1500 up\naddress {name} {beside}/{provider}\n");
        }
        said += &format!("link eth2 52:54:00:00:00:12 1500 up\naddress eth2 {tunnel}/24\n");
        let mut facts = HostFacts::parse(&said);
        facts.place(cloud, host);
        (host.name.to_string(), facts)
    };
    cloud.hosts.iter().map(of).collect()
}

/// Every cloud on every platform and kind of host.
fn all() -> &'static [(String, Cloud, Expanded)] {
    static ALL: LazyLock<Vec<(String, Cloud, Expanded)>> = LazyLock::new(|| expand_all(&library()));
    &ALL
}

fn expand_all(library: &Library) -> Vec<(String, Cloud, Expanded)> {
    let secrets: BTreeMap<String, String> = library
        .secrets()
        .into_iter()
        .map(|name| (name.clone(), format!("secret of {name}")))
        .collect();
    let mut all = Vec::new();
    for (platform, own) in &library.platforms {
        for (name, cloud) in clouds(library, platform) {
            for (kind, said) in KINDS {
                let name = format!("{name}, {kind}");
                let expanded = expand(&Inputs {
                    cloud: &cloud,
                    platform: own,
                    facts: &facts(&cloud, said),
                    secrets: &secrets,
                    playbooks: &library.playbooks,
                    collections: &library.apis.collection,
                    templates: &library.templates,
                    extra: json!({ "image": { "path": "/i.qcow2", "sha256": "0".repeat(64), "format": "qcow2" } }),
                });
                let expanded = expanded.unwrap_or_else(|error| panic!("{name}: {error}"));
                all.push((name, cloud.clone(), expanded));
            }
        }
    }
    assert!(all.len() >= 20, "{}", all.len());
    all
}

// ── What comes of them ──────────────────────────────────────────────────────────────────────────

#[test]
fn every_cloud_becomes_a_plan_with_sentences_and_no_id_twice() {
    for (name, cloud, expanded) in all() {
        assert_eq!(expanded.unused_config, [""; 0], "{name}");
        let mut seen = BTreeSet::new();
        let steps = || expanded.plan.steps.iter().chain(&expanded.proof.steps);
        for step in steps() {
            assert!(
                seen.insert(step.id().clone()),
                "{name}: {} twice",
                step.id()
            );
            let says = &step.shown.name;
            let sentence = says.starts_with(|first: char| first.is_uppercase())
                && says.split(' ').count() > 1
                && !says.ends_with('.')
                && !says.contains("  ")
                && !says.contains("{{");
            assert!(sentence, "{name}: {}: {says:?} is no sentence", step.id());
            assert!(step.deadline > 0, "{name}: {}", step.id());
        }
        for host in &cloud.hosts {
            let own = |step: &&_| provision::model::plan::Step::host(step) == host.name.as_str();
            assert!(
                steps().filter(own).count() > 10,
                "{name}: {} has few steps",
                host.name
            );
        }
        for check in &expanded.checks {
            assert!(
                !check.help.is_empty(),
                "{name}: {}: {} gives no help",
                check.service,
                check.name
            );
        }
    }
}

/// A step that no cloud here has is a step that nobody has tried.
#[test]
fn every_step_and_check_is_part_of_some_plan() {
    let library = library();
    let mut seen = BTreeSet::new();
    let mut asked = BTreeSet::new();
    for (_, _, expanded) in all() {
        for step in expanded.plan.steps.iter().chain(&expanded.proof.steps) {
            let id = step.id().as_str();
            seen.insert(id.split(['@', '[']).next().unwrap().to_owned());
        }
        asked.extend(
            expanded
                .checks
                .iter()
                .map(|check| (&check.service, &check.help)),
        );
    }
    for (name, book) in &library.playbooks {
        for step in book.step.iter().chain(&book.proof) {
            let id = format!("{name}/{}", step.id);
            assert!(seen.contains(&id), "{id} is in no plan");
        }
    }
    assert!(asked.len() > 10);
}

#[test]
fn every_script_is_a_shell_script() {
    let mut scripts = BTreeSet::new();
    for (_, _, expanded) in all() {
        let steps = expanded.plan.steps.iter().chain(&expanded.proof.steps);
        let checks = expanded.checks.iter().map(|check| &check.resource);
        for resource in steps.map(|step| &step.resource).chain(checks) {
            match resource {
                Resource::Command(command) => {
                    scripts.insert(&command.run);
                    scripts.extend(command.unless.iter().chain(&command.undo));
                }
                Resource::Reboot(reboot) => {
                    scripts.insert(&reboot.when);
                }
                Resource::Wait(wait) => {
                    if let Until::Script(script) = &wait.until {
                        scripts.insert(script);
                    }
                }
                _ => {}
            }
        }
    }
    assert!(scripts.len() > 20);
    for script in scripts {
        let mut shell = Command::new("sh");
        shell.arg("-n").stdin(Stdio::piped()).stderr(Stdio::piped());
        let mut shell = shell.spawn().unwrap();
        shell
            .stdin
            .take()
            .unwrap()
            .write_all(script.as_bytes())
            .unwrap();
        let output = shell.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}\n{script}");
        assert!(!script.contains("{{"), "{script}");
    }
}

/// A need that is not met because its step is not on this host would hold nothing back: it must at least exist.
#[test]
fn every_need_names_a_step() {
    let library = library();
    let known: BTreeSet<String> = library
        .playbooks
        .iter()
        .flat_map(|(name, book)| {
            book.step
                .iter()
                .chain(&book.proof)
                .map(move |step| format!("{name}/{}", step.id))
        })
        .collect();
    for (name, book) in &library.playbooks {
        let mut ids = BTreeSet::new();
        for step in book.step.iter().chain(&book.proof) {
            assert!(ids.insert(&step.id), "{name}/{} twice", step.id);
            for need in &step.needs {
                let step_named = need.strip_suffix("@here").unwrap_or(need);
                assert!(
                    known.contains(step_named),
                    "{name}/{} needs {need}",
                    step.id
                );
            }
        }
        let mut checks = BTreeSet::new();
        for check in &book.check {
            assert!(checks.insert(&check.id), "check {name}/{} twice", check.id);
        }
    }
}

#[test]
fn every_reference_is_to_a_collection() {
    let library = library();
    let collections = &library.apis.collection;
    let mut found = Vec::new();
    for (_, book) in &library.playbooks {
        refs::find_all(&serde_json::to_value(book).unwrap(), &mut found);
    }
    assert!(found.len() > 10, "{found:?}");
    for reference in found {
        // Templates stand in names; what is before the colon is plain.
        let collection = reference.trim_start_matches('@').split(':').next().unwrap();
        assert!(collections.contains_key(collection), "{reference}");
    }
}

/// Files that no wish of an answer file leads to are seen by nobody.
#[test]
fn every_template_is_used() {
    let users: Vec<(PathBuf, String)> = ["playbooks", "templates", "src"]
        .into_iter()
        .flat_map(texts)
        .collect();
    for path in files("templates") {
        let name = path
            .strip_prefix(root().join("templates"))
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned();
        if name == "README" {
            continue;
        }
        let file = name.rsplit('/').next().unwrap();
        // Those of the program itself are taken in by their whole folder or by their path.
        let own = name.starts_with("report/") || name.starts_with("guest/");
        let wanted = if own { file } else { &name };
        let used = users
            .iter()
            .any(|(user, text)| *user != path && text.contains(wanted));
        assert!(used, "nobody uses templates/{name}");
    }
}

/// Words that follow `secret.` in a text.
fn secrets_in(text: &str) -> BTreeSet<String> {
    let word = |rest: &str| -> String {
        rest.chars()
            .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
            .collect()
    };
    text.split("secret.")
        .skip(1)
        .map(word)
        .filter(|word| !word.is_empty())
        .collect()
}

#[test]
fn secrets_are_declared_where_they_are_used_and_used_where_they_are_declared() {
    let library = library();
    let templates: BTreeMap<String, String> = texts("templates")
        .into_iter()
        .map(|(path, text)| {
            let name = path.strip_prefix(root().join("templates")).unwrap();
            (name.to_str().unwrap().to_owned(), text)
        })
        .collect();
    let mut declared = BTreeSet::new();
    let mut used = BTreeSet::new();
    for (name, book) in &library.playbooks {
        let text = serde_json::to_string(book).unwrap();
        let mut here = secrets_in(&text);
        let own = templates
            .iter()
            .filter(|(template, _)| text.contains(template.as_str()));
        here.extend(own.flat_map(|(_, text)| secrets_in(text)));
        for secret in &book.secrets {
            assert!(
                declared.insert(secret.clone()) || here.contains(secret),
                "{name}: {secret}"
            );
        }
        used.extend(here);
    }
    used.extend(templates.values().flat_map(|text| secrets_in(text)));
    assert_eq!(declared, used);
}

// ── Platforms ───────────────────────────────────────────────────────────────────────────────────

/// Every text in a platform's file, with the key that it stands under.
fn leaves(value: &Value, key: &str, found: &mut Vec<(String, String)>) {
    match value {
        Value::String(text) => found.push((key.to_owned(), text.clone())),
        Value::Array(list) => list.iter().for_each(|item| leaves(item, key, found)),
        Value::Object(map) => map.iter().for_each(|(key, item)| leaves(item, key, found)),
        _ => {}
    }
}

/// What has been seen on real hosts of a platform.
fn seen(platform: &str) -> BTreeMap<String, BTreeSet<String>> {
    let path = root().join(format!("tests/platforms/{platform}.toml"));
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    toml::from_str(&text).unwrap()
}

#[test]
fn what_platforms_name_has_been_seen_on_their_hosts() {
    let mut looked_at = 0;
    for (platform, own) in &library().platforms {
        let seen = seen(platform);
        let mut named = Vec::new();
        leaves(own, "", &mut named);
        for (key, text) in named {
            let is_unit = [".service", ".socket", ".timer"]
                .iter()
                .any(|ending| text.ends_with(ending));
            let is_path = text.starts_with('/') && !text.contains(' ') && !text.ends_with('/');
            let kind = match key.as_str() {
                _ if text.starts_with("/var/lib/provision") => continue,
                _ if is_path => "paths",
                "packages" | "library" => "packages",
                "group" | "owner" => "groups",
                _ if is_unit && !text.contains('/') => "units",
                _ => continue,
            };
            looked_at += 1;
            let folder = text.rsplit_once('/').map(|(folder, _)| folder);
            let is_there = seen[kind].contains(&text)
                || kind == "paths" && folder.is_some_and(|folder| seen["folders"].contains(folder));
            assert!(
                is_there,
                "{platform}: `{text}` ({key}) is not in tests/platforms/{platform}.toml: look at it on a host, \
                 and add it to `{kind}`"
            );
        }
    }
    assert!(looked_at > 100, "{looked_at}");
}

/// Templates ask every platform for the same things.
#[test]
fn platforms_have_the_same_keys() {
    fn keys(value: &Value, path: &str, into: &mut BTreeSet<String>) {
        for (key, inner) in value.as_object().into_iter().flatten() {
            into.insert(format!("{path}{key}"));
            keys(inner, &format!("{path}{key}."), into);
        }
    }
    let library = library();
    let mut all: Vec<(String, BTreeSet<String>)> = Vec::new();
    for (name, own) in &library.platforms {
        let mut found = BTreeSet::new();
        keys(own, "", &mut found);
        all.push((name.clone(), found));
    }
    for pair in all.windows(2) {
        let differ: Vec<_> = pair[0].1.symmetric_difference(&pair[1].1).collect();
        assert!(
            differ.is_empty(),
            "{} and {}: {differ:?}",
            pair[0].0,
            pair[1].0
        );
    }
}

// ── Settings that change a plan ─────────────────────────────────────────────────────────────────

fn find<'a>(expanded: &'a Expanded, id: &str) -> Option<&'a provision::model::plan::Step> {
    expanded
        .plan
        .steps
        .iter()
        .chain(&expanded.proof.steps)
        .find(|step| step.id().as_str() == id)
}

#[test]
fn settings_reach_their_steps() {
    let all = all();
    let of = |name: &str| {
        &all.iter()
            .find(|(own, ..)| own.starts_with(name))
            .unwrap()
            .2
    };
    let (otherwise, lab) = (of("OTHERWISE on debian13"), of("lab.toml on debian13"));

    let file = |id: &str| match &find(otherwise, id).unwrap().resource {
        Resource::File(file) => file.content.clone(),
        other => panic!("{other:?}"),
    };
    assert!(
        file("software/proxy@compute1")
            .contains("Acquire::http::Proxy \"http://proxy.example.org:3128\";")
    );
    let mirror = file("software/mirror@compute1");
    assert!(
        mirror.contains("URIs: http://mirror.example.org/debian\n"),
        "{mirror}"
    );
    assert!(
        mirror.contains("Suites: trixie trixie-updates\n"),
        "{mirror}"
    );
    assert!(file("neutron/ml2@controller").contains("mechanism_drivers = openvswitch,"));

    let command = |id: &str| match &find(otherwise, id).unwrap().resource {
        Resource::Command(command) => (command.run.clone(), command.unless.clone().unwrap()),
        other => panic!("{other:?}"),
    };
    let (run, unless) = command("prepare/resolvers@compute1");
    assert!(
        run.contains("'nameserver 192.0.2.53' 'nameserver 192.0.2.54' "),
        "{run}"
    );
    assert!(
        unless.contains("wanted='192.0.2.53 192.0.2.54'"),
        "{unless}"
    );
    let (run, unless) = command("software/upgrade@compute1");
    assert!(
        run.contains("--with-new-pkgs upgrade") && unless.contains("apt-get -s"),
        "{run}"
    );

    match &find(otherwise, "keystone/admin-email@controller")
        .unwrap()
        .resource
    {
        Resource::Api(api) => assert_eq!(api.set["email"], "operator@example.org"),
        other => panic!("{other:?}"),
    }
    for id in [
        "software/proxy@compute1",
        "software/mirror@compute1",
        "software/upgrade@compute1",
        "prepare/resolvers@compute1",
        "keystone/admin-email@controller",
    ] {
        assert!(find(lab, id).is_none(), "{id} without its setting");
    }
    let proof = |id: &str| find(lab, id).unwrap().deadline;
    assert_eq!(proof("proof/instance@controller"), 300);
    assert_eq!(proof("proof/answer@controller"), 180);
}

/// A restart must neither meet packages half installed nor services half configured.
#[test]
fn a_restart_comes_before_the_first_package() {
    for (name, _, expanded) in all() {
        let steps = &expanded.plan.steps;
        let place = |id: &str| steps.iter().position(|step| step.id().as_str() == id);
        let needs = |from: usize, to: usize| {
            let mut open = vec![from];
            while let Some(next) = open.pop() {
                if next == to {
                    return true;
                }
                open.extend(&steps[next].needs);
            }
            false
        };
        for (at, step) in steps.iter().enumerate() {
            let first = format!("software/reboot@{}", step.host());
            let Some(first) = place(&first).filter(|_| step.resource.kind() == "packages") else {
                continue;
            };
            assert!(
                needs(at, first),
                "{name}: {} does not wait for the restart",
                step.id()
            );
        }
    }
}

#[test]
fn a_deadline_that_is_no_number_is_a_slip_of_the_playbook() {
    let mut library = library();
    let book = &mut library
        .playbooks
        .iter_mut()
        .find(|(name, _)| name == "proof")
        .unwrap()
        .1;
    let step: &mut Step = &mut book.proof[0];
    step.deadline = serde_json::from_value(json!("{{cloud.name}}")).unwrap();
    let (_, cloud) = clouds(&library, "debian13-epoxy").remove(0);
    let secrets = library
        .secrets()
        .into_iter()
        .map(|name| (name, "x".to_owned()))
        .collect();
    let error = expand(&Inputs {
        cloud: &cloud,
        platform: &library.platforms["debian13-epoxy"],
        facts: &facts(&cloud, KINDS[0].1),
        secrets: &secrets,
        playbooks: &library.playbooks,
        collections: &library.apis.collection,
        templates: &library.templates,
        extra: json!({ "image": { "path": "/i", "sha256": "0", "format": "raw" } }),
    });
    let error = error.unwrap_err().to_string();
    assert!(error.contains("is no number of seconds"), "{error}");
}

/// No step's script has a secret where others of the host can see it: in what a plan shows.
#[test]
fn plans_show_no_secret() {
    use provision::model::facts::Facts;
    use provision::model::resource::{Answer, Diff};
    let nothing = Facts::default();
    for (name, _, expanded) in all() {
        for step in &expanded.plan.steps {
            let Diff::Change(change) = step.resource.diff(Answer::Host(&nothing)) else {
                continue;
            };
            let shown = serde_json::to_string(&change.edits).unwrap();
            assert!(
                !shown.contains("secret of "),
                "{name}: {} shows {shown}",
                step.id()
            );
            let scripts = change.ops.iter().filter(|op| matches!(op, Op::Run { .. }));
            assert!(scripts.count() <= 1, "{name}: {}", step.id());
        }
    }
}
