//! Package transactions for real, in throw-away Debian file systems: byte-compilation that was put
//! off leaves exactly what the package manager would have left, and errors say what to do.
//!
//! Needs root, mmdebstrap and a Debian mirror, so it is ignored by default:
//! `cargo test --test packages -- --ignored --nocapture`. `PROVISION_TEST_SUITE` (`trixie`) names the
//! release, `PROVISION_TEST_PACKAGES` other packages, `PROVISION_TEST_CACHE` a directory that keeps
//! the base file system and the downloads from run to run.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test that cannot go on has failed"
)]

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Instant;

use provision::model::facts::Facts;
use provision::model::probe::ProbeSet;
use provision::model::resource::{Answer, Diff, Op, Question, Resource};

/// Small, and with everything that byte-compilation has to get right: private modules, exclusions,
/// version ranges, a package script that runs Python.
const PACKAGES: &str = "python3-keystoneclient python3-sqlalchemy python3-twisted python3-pip \
                        gdebi-core reportbug python3-docutils python3-setuptools";

struct Base {
    cache: PathBuf,
    root: PathBuf,
    _temporary: Option<tempfile::TempDir>,
}

impl Base {
    fn new() -> Self {
        let suite = std::env::var("PROVISION_TEST_SUITE").unwrap_or_else(|_| "trixie".into());
        let temporary = match std::env::var_os("PROVISION_TEST_CACHE") {
            Some(_) => None,
            None => Some(tempfile::tempdir().unwrap()),
        };
        let cache = match &temporary {
            Some(folder) => folder.path().to_owned(),
            None => std::env::var_os("PROVISION_TEST_CACHE").unwrap().into(),
        };
        let root = cache.join(format!("{suite}.base"));
        if !root.join("etc/debian_version").exists() {
            println!("making {}", root.display());
            let status = Command::new("mmdebstrap")
                .args([
                    "--quiet",
                    "--variant=minbase",
                    "--include=systemd,dbus,iproute2",
                    &suite,
                ])
                .arg(&root)
                .status()
                .expect("this test needs mmdebstrap");
            assert!(status.success(), "this test needs root and a Debian mirror");
        }
        std::fs::create_dir_all(cache.join("archives/partial")).unwrap();
        Self {
            cache,
            root,
            _temporary: temporary,
        }
    }

    /// A host: the base file system with a writable layer of its own.
    fn host(&self) -> Host<'_> {
        let layer = tempfile::tempdir_in(&self.cache).unwrap();
        for name in ["upper", "work", "root"] {
            std::fs::create_dir(layer.path().join(name)).unwrap();
        }
        Host { base: self, layer }
    }
}

struct Host<'a> {
    base: &'a Base,
    layer: tempfile::TempDir,
}

impl Host<'_> {
    /// Runs a script in the host's file system, in namespaces that end with it.
    fn sh(&self, script: &str, stdin: &[u8]) -> Output {
        let enter = "set -e; mount --make-rprivate /
            mount -t overlay overlay -o lowerdir=\"$base\",upperdir=\"$layer/upper\",workdir=\"$layer/work\" \"$layer/root\"
            mount -t proc proc \"$layer/root/proc\"
            mount --rbind /dev \"$layer/root/dev\"
            mount --bind \"$cache/archives\" \"$layer/root/var/cache/apt/archives\"
            [ -e \"$layer/root/etc/resolv.conf\" ] || : > \"$layer/root/etc/resolv.conf\"
            mount --bind /etc/resolv.conf \"$layer/root/etc/resolv.conf\"
            exec chroot \"$layer/root\" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin sh -c \"$script\"";
        let mut child = Command::new("unshare")
            .args(["--mount", "--pid", "--fork", "sh", "-c", enter])
            .env("base", &self.base.root)
            .env("cache", &self.base.cache)
            .env("layer", self.layer.path())
            .env("script", script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("this test needs root");
        child.stdin.take().unwrap().write_all(stdin).ok();
        child.wait_with_output().unwrap()
    }

    fn ask(&self, resource: &Resource) -> Diff {
        let Question::Host(probes) = resource.question() else {
            panic!("not a question to a host")
        };
        let mut set = ProbeSet::new();
        set.extend(probes);
        let output = String::from_utf8(self.sh(&set.script(), b"").stdout).unwrap();
        resource.diff(Answer::Host(&Facts::parse(&output).unwrap()))
    }

    fn apply(&self, resource: &Resource) -> Output {
        let Diff::Change(change) = self.ask(resource) else {
            panic!("nothing to do: {:?}", self.ask(resource));
        };
        let [Op::Run { script, stdin }] = &change.ops[..] else {
            panic!("another operation: {:?}", change.ops)
        };
        self.sh(script, stdin)
    }

    fn converge(&self, resource: &Resource) {
        let start = Instant::now();
        let output = self.apply(resource);
        let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{said}");
        println!("{} took {:.1?}", resource.kind(), start.elapsed());
        let after = self.ask(resource);
        assert!(matches!(after, Diff::InSync(_)), "{after:?}\n{said}");
    }

    /// Owner, mode and digest of all that byte-compilation leaves.
    fn compiled(&self) -> BTreeMap<String, String> {
        let script =
            "find / -xdev \\( -name '*.pyc' -o -name __pycache__ \\) -printf '%u:%g %m %y %p\\n'
            find / -xdev -name '*.pyc' -print0 | xargs -0 sha256sum";
        let output = text(&self.sh(script, b"").stdout);
        let mut found = BTreeMap::<String, String>::new();
        for line in output.lines() {
            let (fact, path) = line.split_at(line.find(" /").unwrap());
            *found.entry(path.trim().to_owned()).or_default() += fact;
        }
        found
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn packages(names: &str, defer: &str) -> Resource {
    let names: Vec<_> = names.split_whitespace().collect();
    let fields = serde_json::json!({ "names": names, "defer_byte_compile": defer });
    serde_json::from_value(serde_json::json!({ "packages": fields })).unwrap()
}

#[test]
#[ignore = "needs root, mmdebstrap and a Debian mirror"]
fn byte_compilation_that_was_put_off_leaves_what_the_package_manager_would_have_left() {
    let names = std::env::var("PROVISION_TEST_PACKAGES").unwrap_or_else(|_| PACKAGES.into());
    let base = Base::new();
    let plain = base.host();
    let start = Instant::now();
    let output = plain.sh(
        &format!(
            "export DEBIAN_FRONTEND=noninteractive; apt-get -q update && apt-get -y -q \
             --no-install-recommends -o Dpkg::Options::=--force-confold install {names}"
        ),
        b"",
    );
    assert!(output.status.success(), "{}", text(&output.stderr));
    println!("plain apt-get took {:.1?}", start.elapsed());

    let host = base.host();
    host.converge(&packages(&names, "core"));
    let compile: Resource =
        serde_json::from_str(r#"{"byte_compile": {"queue": "core", "niceness": 0}}"#).unwrap();
    host.converge(&compile);
    compare(&plain, &host);
    leaves_nothing_behind(&host);
}

/// Every path, owner and mode, and every byte.
fn compare(plain: &Host<'_>, put_off: &Host<'_>) {
    let (before, after) = (plain.compiled(), put_off.compiled());
    let files = before.keys().filter(|path| path.ends_with(".pyc")).count();
    assert!(
        files > 500,
        "only {files} compiled files: this shows nothing"
    );
    let missing: Vec<_> = before
        .keys()
        .filter(|path| !after.contains_key(*path))
        .collect();
    let more: Vec<_> = after
        .keys()
        .filter(|path| !before.contains_key(*path))
        .collect();
    let differ = before
        .iter()
        .filter(|(path, fact)| after.get(*path).is_some_and(|f| f != *fact));
    // What a package script has generated differs from one installation to the next.
    let same_source = |path: &str| source(plain, path) == source(put_off, path);
    let differ: Vec<_> = differ
        .map(|(path, _)| path)
        .filter(|path| same_source(path))
        .collect();
    println!("{files} compiled files, {} paths", before.len());
    assert!(
        missing.is_empty() && more.is_empty() && differ.is_empty(),
        "missing: {missing:#?}\ntoo many: {more:#?}\ndifferent: {differ:#?}"
    );
}

/// Time and digest of the source of a compiled file.
fn source(host: &Host<'_>, compiled: &str) -> String {
    let (folder, name) = compiled.split_once("/__pycache__/").unwrap();
    let name = name.split('.').next().unwrap();
    text(
        &host
            .sh(
                &format!("cd {folder} && stat -c %y {name}.py && sha256sum {name}.py"),
                b"",
            )
            .stdout,
    )
}

fn leaves_nothing_behind(host: &Host<'_>) {
    let output = host.sh(
        "ls /usr/sbin/policy-rc.d; dpkg --audit; dpkg-divert --list '*py3compile*'
         ls /var/lib/provision/packages/byte-compile",
        b"",
    );
    let said = text(&output.stdout);
    let left: Vec<_> = said
        .lines()
        .filter(|line| line.contains("core") && !line.contains("lock"))
        .collect();
    assert!(left.is_empty(), "{said}");
    assert!(
        !said.contains("policy") && !said.contains("divert"),
        "{said}"
    );
}

/// What a failed transaction says at the end.
fn failure(host: &Host<'_>, names: &str, before: &str) -> String {
    let Diff::Change(change) = host.ask(&packages(names, "")) else {
        panic!("nothing to do");
    };
    let Op::Run { script, .. } = &change.ops[0] else {
        panic!("no script")
    };
    let output = host.sh(&format!("{before}\n{script}"), b"");
    assert!(!output.status.success(), "{}", text(&output.stdout));
    println!("--- {names}\n{}", text(&output.stderr));
    text(&output.stderr)
}

#[test]
#[ignore = "needs root, mmdebstrap and a Debian mirror"]
fn errors_say_what_is_wrong_and_what_to_do() {
    let base = Base::new();
    let host = base.host();
    let said = failure(&host, "tree nova-novncproxie", "");
    assert!(
        said.contains("has a package `nova-novncproxie`; alike: nova-"),
        "{said}"
    );

    let full = "mkdir -p /usr/share/perl5 && mount -t tmpfs -o size=16k tmpfs /usr/share/perl5";
    let said = failure(&host, "liburi-perl", full);
    assert!(said.contains("No space left on device"), "{said}");
    assert!(said.contains("make room"), "{said}");

    let dead =
        "echo 'deb http://127.0.0.1:9/debian trixie main' > /etc/apt/sources.list; apt-get clean";
    let said = failure(
        &host,
        "cowsay",
        &format!("umount /var/cache/apt/archives; {dead}"),
    );
    assert!(said.contains("127.0.0.1"), "{said}");
    assert!(said.contains("cannot be reached"), "{said}");
}

#[test]
#[ignore = "needs root, mmdebstrap and a Debian mirror"]
fn the_holder_of_the_lock_is_named() {
    let base = Base::new();
    let host = base.host();
    let hold = r#"perl -e 'use Fcntl; open(F, ">", "/var/lib/dpkg/lock-frontend");
        my $lock = pack("s s x4 q q l x4", F_WRLCK, 0, 0, 0, 0);
        fcntl(F, F_SETLK, $lock) or die; open(G, ">", "/held"); sleep 3' &
        until [ -e /held ] || ! kill -0 $!; do sleep 0.1; done"#;
    let Diff::Change(change) = host.ask(&packages("tree", "")) else {
        panic!("nothing to do");
    };
    let Op::Run { script, .. } = &change.ops[0] else {
        panic!("no script")
    };
    let output = host.sh(&format!("{hold}\n{script}"), b"");
    let said = text(&output.stdout);
    assert!(output.status.success(), "{said}{}", text(&output.stderr));
    assert!(
        said.contains("waiting for the package manager's lock: perl (process "),
        "{said}"
    );
}

#[test]
#[ignore = "needs root, mmdebstrap and a Debian mirror"]
fn a_transaction_that_was_killed_is_finished_by_the_next_run() {
    let base = Base::new();
    let host = base.host();
    let wanted = packages("python3-docutils", "core");
    let Diff::Change(change) = host.ask(&wanted) else {
        panic!("nothing to do");
    };
    let Op::Run { script, .. } = &change.ops[0] else {
        panic!("no script")
    };
    // The end of the first process of the namespaces is the end of all of them.
    let cut = "until [ -e /var/lib/dpkg/info/python3-docutils.list ]; do :; done; exit 9; tail -n";
    let output = host.sh(&script.replace("tail -n", cut), b"");
    assert_ne!(output.status.code(), Some(0), "{}", text(&output.stdout));
    assert!(
        matches!(host.ask(&wanted), Diff::Change(_)),
        "it was too late to be cut"
    );

    // As after a power failure: what was unpacked last never reached the disk.
    let lose = "set -e; cd /var/lib/provision/packages; ls unsettled.*; for f in unsettled.*; do touch -r $f /old; echo old > $f; touch -r /old $f; done
        : > /usr/lib/python3/dist-packages/docutils/core.py";
    let lost = host.sh(lose, b"");
    assert!(lost.status.success(), "{}", text(&lost.stderr));
    let output = host.apply(&wanted);
    let said = text(&output.stdout);
    assert!(output.status.success(), "{said}{}", text(&output.stderr));
    assert!(
        said.contains("had just been unpacked when the host went down"),
        "{said}"
    );
    let damage = text(
        &host
            .sh("dpkg --verify | grep -v ' c '; dpkg --audit", b"")
            .stdout,
    );
    assert_eq!(damage, "");
}
