//! The stand-in of a CentOS 7 host: a root file system that labs start hosts from, with a mirror of packages in it.
//!
//! ```text
//! lab's Debian 12 ─► tools: with rpm, dnf and the real servers ─────────────────► host: looks like CentOS 7
//! tests/platforms/centos7-rocky.toml ─► packages: built, signed, in repositories ──┘
//! ```
//!
//! Each of the three is kept in the cache under a digest of what it is made of. README.md says what is real in
//! it, and what it cannot show.

mod packages;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use data_encoding::HEXLOWER;
use provision::lab::{Distro, Places};
use sha2::{Digest as _, Sha256};

use crate::platform::Platform;

/// Where the sources of the stand-in are.
fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/standin")
}

/// The root file system, made where it is not there yet.
pub(crate) fn root(places: &Places) -> PathBuf {
    let folder = places.cache.join("standin");
    fs::create_dir_all(&folder).unwrap();
    let lock = fs::File::create(folder.join("lock")).unwrap();
    lock.lock().unwrap();
    let plain = plain(places);
    let from = sources();
    let script = |name: &str| from.join(name);

    let tools = Kept::new(&folder, "tools", &[&script("make-tools.sh")], &[&plain]);
    tools.make(|new| run(&script("make-tools.sh"), &[new, &plain]));

    let facts = from.join("../platforms/centos7-rocky.toml");
    let inputs = [
        &facts,
        &script("packages.rs"),
        &script("contents"),
        &script("make-repositories.sh"),
    ];
    let mirror = Kept::new(&folder, "mirror", &inputs, &[&tools.path]);
    mirror.make(|new| build(&script("make-repositories.sh"), &tools.path, new));

    let inputs = [&script("host"), &script("make-host.sh")];
    let host = Kept::new(&folder, "centos7", &inputs, &[&tools.path, &mirror.path]);
    host.make(|new| {
        run(
            &script("make-host.sh"),
            &[new, &tools.path, &mirror.path, &from.join("host")],
        )
    });
    [&tools, &mirror, &host]
        .iter()
        .for_each(|kept| kept.forget_others(&folder));
    host.path
}

/// The lab's own base.
fn plain(places: &Places) -> PathBuf {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let base = provision::lab::base(places, Distro::Debian12, &|_| {});
    runtime.block_on(base).unwrap()
}

/// Lays out the sources of the packages, then has them built.
fn build(script: &Path, tools: &Path, new: &Path) {
    let platform = Platform::read("centos7-rocky");
    let contents = sources().join("contents");
    let mut places = BTreeMap::new();
    let mut first = BTreeMap::new();
    for (set, name) in packages::sets(&platform).iter().zip(["first", "updates"]) {
        let tree = new.join("build").join(name);
        fs::create_dir_all(&tree).unwrap();
        let text = packages::specification(&platform, set, &contents, &tree);
        fs::write(new.join(format!("build/{name}.spec")), text).unwrap();
        let in_set = packages::places(&platform, set);
        let lines: String = in_set.values().map(|place| format!("{place}\n")).collect();
        places.insert(name, lines);
        for (package, place) in in_set {
            first.entry(package).or_insert(place);
        }
    }
    for (name, lines) in places {
        fs::write(new.join(format!("build/{name}.places")), lines).unwrap();
    }
    let keys: String = platform
        .repository
        .values()
        .map(|it| format!("{} {}\n", it.path, it.key))
        .collect();
    fs::write(new.join("build/keys"), keys).unwrap();
    let names = platform
        .host
        .installed
        .iter()
        .chain(platform.host.packages.keys());
    let names: String = names.map(|name| format!("{}\n", first[name])).collect();
    fs::write(new.join("installed"), names).unwrap();
    run(script, &[new, tools]);
}

/// A directory of the cache, named after what it is made of.
struct Kept {
    kind: &'static str,
    path: PathBuf,
}

impl Kept {
    /// Of files and folders by what is in them, and of earlier results by their names.
    fn new(folder: &Path, kind: &'static str, inputs: &[&PathBuf], made_of: &[&PathBuf]) -> Self {
        let mut digest = Sha256::new();
        for input in inputs {
            contents(input, &mut |bytes| digest.update(bytes));
        }
        for earlier in made_of {
            digest.update(earlier.as_os_str().as_encoded_bytes());
        }
        let digest = HEXLOWER.encode(&digest.finalize());
        let path = folder.join(format!("{kind}-{}", &digest[..12]));
        Self { kind, path }
    }

    /// Under another name until it is whole.
    fn make(&self, make: impl FnOnce(&Path)) {
        if self.path.is_dir() {
            return;
        }
        let new = self.path.with_extension("new");
        let _ = fs::remove_dir_all(&new);
        fs::create_dir_all(&new).unwrap();
        let began = std::time::Instant::now();
        make(&new);
        fs::rename(&new, &self.path).unwrap();
        println!(
            "    {}: {:.0} s",
            self.path.display(),
            began.elapsed().as_secs_f64()
        );
    }

    /// Removes earlier ones of its kind that no lab stands on.
    fn forget_others(&self, folder: &Path) {
        let mounted = fs::read_to_string("/proc/self/mountinfo").unwrap();
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            let ours = name.starts_with(&format!("{}-", self.kind)) && path != self.path;
            if ours && !mounted.contains(&*path.to_string_lossy()) {
                let _ = fs::remove_dir_all(path);
            }
        }
    }
}

/// Names, modes and bytes of everything below.
fn contents(path: &Path, take: &mut dyn FnMut(&[u8])) {
    take(path.file_name().unwrap().as_encoded_bytes());
    if let Ok(target) = fs::read_link(path) {
        take(target.as_os_str().as_encoded_bytes());
    } else if path.is_dir() {
        let mut inner: Vec<_> = fs::read_dir(path)
            .unwrap()
            .map(|it| it.unwrap().path())
            .collect();
        inner.sort();
        inner.iter().for_each(|path| contents(path, take));
    } else {
        take(&fs::read(path).unwrap());
    }
}

/// Runs a script with mounts and processes of its own; what it says is shown when it fails.
fn run(script: &Path, arguments: &[&Path]) {
    let output = Command::new("unshare")
        .args([
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
            "sh",
        ])
        .arg(script)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    };
    assert!(
        output.status.success(),
        "{}: {}\n{}\n{}",
        script.display(),
        output.status,
        said(&output.stdout),
        said(&output.stderr)
    );
}
