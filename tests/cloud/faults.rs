//! Faults with real causes, on two bare hosts: each ends with the documented exit code and an error that names the host,
//! the step, the cause and the way out; the other host finishes; the next run goes on.
//!
//! A library of one small playbook stands for the services, so that each fault takes seconds.

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use provision::cli::exit::Exit;

use crate::cloud::{Cloud, state, workplace};
use crate::harness::{Case, Group};
use crate::program::{Ended, Running, eventually};

const LAB: &str = "t-fault";
const THIRD: u8 = 12;

/// All faults.
pub(crate) fn group() -> Group {
    let lab = Rc::new(Cloud::of("lab.toml", LAB, THIRD));
    let case = |name, run: fn(&Cloud)| {
        let lab = Rc::clone(&lab);
        Case::single(name, move || run(&lab))
    };
    let up = {
        let lab = Rc::clone(&lab);
        Case::foundation("hosts_come_up", move || {
            lab.run(&["lab", "up"], 10).expect(0);
        })
    };
    Group {
        name: "faults",
        cases: vec![
            up,
            case("unreachable_host", unreachable_host),
            case("refused_login", refused_login),
            case("no_sudo", no_sudo),
            case("wrong_host_key", wrong_host_key),
            case("full_disk", full_disk),
            case("port_in_use", port_in_use),
            case("unit_that_does_not_start", unit_that_does_not_start),
            case("dead_mirror", dead_mirror),
            case("package_that_does_not_exist", package_that_does_not_exist),
            case("database_that_refuses", database_that_refuses),
            case("step_that_takes_too_long", step_that_takes_too_long),
            case("cut_connection", cut_connection),
            case("lock_held_by_another_run", lock_held),
            case("lock_left_by_a_killed_run", stale_lock),
            case("two_ctrl_c_stop_at_once", two_ctrl_c),
        ],
    }
}

/// A library in which one playbook holds these steps.
fn library(steps: &str) -> PathBuf {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("playbooks");
    let folder = tempfile::tempdir_in(workplace()).unwrap().keep();
    let books = folder.join("playbooks");
    std::fs::create_dir_all(books.join("platforms")).unwrap();
    std::fs::create_dir_all(folder.join("templates")).unwrap();
    for file in [
        "apis.toml",
        "services.toml",
        "platforms/debian13-epoxy.toml",
    ] {
        std::fs::copy(shipped.join(file), books.join(file)).unwrap();
    }
    std::fs::write(books.join("contents.toml"), "playbooks = [\"fault\"]\n").unwrap();
    std::fs::write(
        books.join("fault.toml"),
        format!("title = \"A fault\"\n{steps}"),
    )
    .unwrap();
    folder
}

/// A step that succeeds on all hosts, so that one can see who got how far.
fn mark(name: &str) -> String {
    format!(
        "[[step]]\nid = \"mark\"\nname = \"Leave a mark\"\non = \"all\"\nlane = \"mark\"\n\
         ensure.file = {{ path = \"/root/mark-{name}\", content = \"here\\n\" }}\n"
    )
}

fn marked(lab: &Cloud, host: &str, name: &str) -> bool {
    lab.ssh(host, &format!("test -e /root/mark-{name}"))
        .status
        .success()
}

/// Applies these steps to the lab's hosts.
fn apply(lab: &Cloud, steps: &str) -> Ended {
    let library = library(steps);
    lab.run(
        &["--format", "lines", "--library", library.to_str().unwrap()],
        4,
    )
}

/// Everything that was said holds these texts, and a way out.
#[track_caller]
fn tells(ended: &Ended, texts: &[&str]) {
    for text in texts {
        assert!(
            ended.err.contains(text),
            "it does not say `{text}`\n{}",
            ended.story()
        );
    }
    assert!(ended.err.contains("help:"), "no way out\n{}", ended.story());
}

/// The lab's hosts as hosts that exist: `ssh` are the lines of that table, `compute` the lines of compute1's.
fn existing(
    name: &'static str,
    key: &Path,
    ssh: &str,
    compute_address: &str,
    compute: &str,
) -> Cloud {
    let cloud = Cloud::of("lab.toml", name, THIRD);
    let text = format!(
        "[cloud]\nname = \"{name}\"\nplatform = \"debian13-epoxy\"\n\
         [ssh]\nuser = \"root\"\nagent = false\nuse_ssh_config = false\nidentity = [\"{}\"]\nconnect_timeout = \"4s\"\n{ssh}\n\
         [hosts.controller]\naddress = \"10.94.12.100\"\nroles = [\"controller\", \"network\"]\ntunnel_address = \"10.94.13.10\"\n\
         [hosts.compute1]\naddress = \"{compute_address}\"\nroles = [\"compute\"]\ntunnel_address = \"10.94.13.11\"\n{compute}\n\
         [networks.management]\ncidr = \"10.94.12.0/24\"\n\
         [networks.provider]\nnic = \"eth1\"\ncidr = \"10.94.13.0/24\"\ngateway = \"10.94.13.1\"\n\
         floating = \"10.94.13.100-10.94.13.199\"\n",
        key.display()
    );
    std::fs::write(&cloud.answer_file, text).unwrap();
    cloud
}

fn lab_key() -> PathBuf {
    state().join("provision/labs").join(LAB).join("id_ed25519")
}

fn unreachable_host(lab: &Cloud) {
    let cloud = existing(
        "f-away",
        &lab_key(),
        "host_keys = \"pin-first\"",
        "10.94.12.250",
        "",
    );
    let ended = apply(&cloud, &mark("away")).expect(Exit::Unreachable.code());
    tells(&ended, &["compute1", "10.94.12.250"]);
    assert!(
        marked(lab, "controller", "away"),
        "the other host did not finish\n{}",
        ended.story()
    );
}

fn refused_login(_: &Cloud) {
    let key = new_key("stranger");
    let cloud = existing(
        "f-login",
        &key,
        "host_keys = \"pin-first\"",
        "10.94.12.101",
        "",
    );
    let ended = apply(&cloud, &mark("login")).expect(Exit::Unreachable.code());
    tells(
        &ended,
        &["compute1", "controller", "stranger", "root@10.94.12.101"],
    );
}

fn no_sudo(lab: &Cloud) {
    lab.ask("compute1", "useradd -m -s /bin/sh bob && mkdir -p /home/bob/.ssh && cp /root/.ssh/authorized_keys /home/bob/.ssh/ && chown -R bob: /home/bob/.ssh");
    let bob = "[hosts.compute1.ssh]\nuser = \"bob\"";
    let cloud = existing(
        "f-sudo",
        &lab_key(),
        "host_keys = \"pin-first\"",
        "10.94.12.101",
        bob,
    );
    let ended = apply(&cloud, &mark("sudo")).expect(Exit::Unreachable.code());
    tells(&ended, &["compute1", "bob", "sudo"]);
    assert!(
        marked(lab, "controller", "sudo"),
        "the other host did not finish\n{}",
        ended.story()
    );
}

fn wrong_host_key(lab: &Cloud) {
    let cloud = existing(
        "f-key",
        &lab_key(),
        "host_keys = \"pin-first\"",
        "10.94.12.101",
        "",
    );
    apply(&cloud, &mark("key")).expect(0);
    // The host that answers now is not the one that was pinned.
    let pins = cloud.directory().join("known_hosts");
    let other = std::fs::read_to_string(new_key("impostor").with_extension("pub")).unwrap();
    let other = other.split_whitespace().nth(1).unwrap().to_owned();
    let text = std::fs::read_to_string(&pins).unwrap();
    let changed: String = text
        .lines()
        .map(|line| match line.split_once(" ssh-ed25519 ") {
            Some((host, _)) if host.contains("10.94.12.101") => {
                format!("{host} ssh-ed25519 {other}\n")
            }
            _ => format!("{line}\n"),
        })
        .collect();
    assert_ne!(text, changed);
    std::fs::write(&pins, &changed).unwrap();
    let number = changed
        .lines()
        .position(|line| line.contains(&other))
        .unwrap()
        + 1;
    let ended = apply(&cloud, &mark("key2")).expect(Exit::Unreachable.code());
    tells(
        &ended,
        &["compute1", &format!("{}:{number}", pins.display())],
    );
    assert!(
        !marked(lab, "compute1", "key2"),
        "the run went on with a host whose key has changed"
    );
}

fn full_disk(lab: &Cloud) {
    lab.ask(
        "compute1",
        "mkdir -p /srv/full && mount -t tmpfs -o size=16k none /srv/full",
    );
    lab.ask("controller", "mkdir -p /srv/full");
    let content = "0123456789abcdef".repeat(4096);
    let steps = format!(
        "[[step]]\nid = \"big\"\nname = \"Write a big file\"\non = \"all\"\n\
         ensure.file = {{ path = \"/srv/full/file\", content = \"{content}\" }}\n"
    ) + &mark("disk");
    let ended = apply(lab, &steps).expect(Exit::StepFailed.code());
    tells(
        &ended,
        &["compute1", "Write a big file", "No space left on device"],
    );
    assert!(
        lab.ask("controller", "wc -c < /srv/full/file")
            .starts_with("65536")
    );
    assert!(
        marked(lab, "compute1", "disk"),
        "what did not need it was not done"
    );
    assert_eq!(
        lab.ask("compute1", "ls -A /srv/full"),
        "",
        "half a file is left"
    );
    // The next run goes on where this one could not.
    lab.ask("compute1", "umount /srv/full");
    apply(lab, &steps).expect(0);
    assert_eq!(lab.journal().finished().totals.changed, 1);
}

/// A unit file and the unit, as playbooks have them.
fn unit(name: &str, text: &str) -> String {
    format!(
        "[[step]]\nid = \"file\"\nname = \"Write the unit\"\non = \"compute\"\n\
         ensure.file = {{ path = \"/etc/systemd/system/{name}\", content = '''{text}''' }}\n\
         [[step]]\nid = \"unit\"\nname = \"Start the unit\"\non = \"compute\"\n\
         ensure.unit = {{ names = [\"{name}\"], reads = [\"/etc/systemd/system/{name}\"], enabled = false }}\n"
    )
}

fn port_in_use(lab: &Cloud) {
    let socket = "[Socket]\nListenStream=0.0.0.0:7777\nAccept=yes\n";
    lab.ask("compute1", &format!(
        "printf '{}' > /etc/systemd/system/first.socket; printf '[Service]\\nExecStart=/bin/true\\n' | tee /etc/systemd/system/first@.service > /etc/systemd/system/second@.service; systemctl daemon-reload; systemctl start first.socket",
        socket.replace('\n', "\\n")
    ));
    let steps = unit("second.socket", socket);
    let ended = apply(lab, &steps).expect(Exit::StepFailed.code());
    tells(
        &ended,
        &[
            "compute1",
            "Start the unit",
            "second.socket",
            "Address already in use",
        ],
    );
    lab.ask("compute1", "systemctl stop first.socket");
    apply(lab, &steps).expect(0);
}

fn unit_that_does_not_start(lab: &Cloud) {
    let text =
        "[Service]\nType=oneshot\nExecStart=/bin/sh -c \"echo the reason is told here; exit 3\"\n";
    let ended = apply(lab, &unit("broken.service", text)).expect(Exit::StepFailed.code());
    tells(
        &ended,
        &[
            "compute1",
            "Start the unit",
            "broken.service",
            "the reason is told here",
        ],
    );
}

fn packages(name: &str) -> String {
    format!(
        "[[step]]\nid = \"packages\"\nname = \"Install a package\"\non = \"compute\"\ndeadline = 120\n\
         ensure.packages = {{ names = [\"{name}\"] }}\n"
    ) + &mark("packages")
}

fn dead_mirror(lab: &Cloud) {
    // Nothing listens at port 9 of this machine.
    lab.ask("compute1", "mv /etc/apt/sources.list.d /etc/apt/sources.away; mv /etc/apt/sources.list /etc/apt/sources.list.away; echo 'deb [trusted=yes] http://10.94.12.1:9/debian trixie main' > /etc/apt/sources.list; mv /var/lib/apt/lists /var/lib/apt/lists.away; mkdir -p /var/lib/apt/lists/partial /etc/apt/sources.list.d; mv /var/cache/apt/archives /var/cache/apt/archives.away; mkdir -p /var/cache/apt/archives/partial");
    let ended = apply(lab, &packages("hello"));
    lab.ask("compute1", "rm -rf /etc/apt/sources.list.d /etc/apt/sources.list /var/lib/apt/lists /var/cache/apt/archives; mv /etc/apt/sources.away /etc/apt/sources.list.d; mv /etc/apt/sources.list.away /etc/apt/sources.list; mv /var/lib/apt/lists.away /var/lib/apt/lists; mv /var/cache/apt/archives.away /var/cache/apt/archives");
    let ended = ended.expect(Exit::StepFailed.code());
    tells(&ended, &["compute1", "Install a package", "10.94.12.1"]);
    apply(lab, &packages("hello")).expect(0);
}

fn package_that_does_not_exist(lab: &Cloud) {
    let ended = apply(lab, &packages("no-such-package")).expect(Exit::StepFailed.code());
    tells(
        &ended,
        &["compute1", "Install a package", "no-such-package"],
    );
    assert!(marked(lab, "controller", "packages"));
}

fn database_that_refuses(lab: &Cloud) {
    let server = "[[step]]\nid = \"server\"\nname = \"Install a database server\"\non = \"controller\"\n\
        ensure.packages = { names = [\"mariadb-server\"] }\n\
        [[step]]\nid = \"unit\"\nname = \"Start it\"\non = \"controller\"\nensure.unit = { names = [\"mariadb.service\"] }\n";
    apply(lab, server).expect(0);
    lab.ask(
        "controller",
        "mariadb -e \"ALTER USER root@localhost IDENTIFIED BY 'somebody else set this'\"",
    );
    let steps = "[[step]]\nid = \"database\"\nname = \"Make a database\"\non = \"controller\"\ndeadline = 20\n\
        ensure.database = { names = [\"keystone\"], user = \"keystone\", password = \"not so secret\" }\n";
    let ended = apply(lab, steps).expect(Exit::StepFailed.code());
    tells(
        &ended,
        &[
            "controller",
            "Make a database",
            "Access denied for user 'root'@'localhost'",
        ],
    );
    assert!(!ended.err.contains("not so secret"));
}

fn sleeping(seconds: u32, deadline: u32) -> String {
    format!(
        "[[step]]\nid = \"sleep\"\nname = \"Sleep for long\"\non = \"compute\"\ndeadline = {deadline}\n\
         ensure.command = {{ run = \"echo nodding off; sleep {seconds}; touch /root/slept\", unless = \"test -e /root/slept\" }}\n"
    )
}

/// No `sleep` of the step may be left on the host.
fn nobody_sleeps(lab: &Cloud, seconds: u32) {
    eventually(
        "nothing is left on the host",
        Duration::from_secs(20),
        || {
            let there = lab.ssh("compute1", &format!("pgrep -fx 'sleep {seconds}'"));
            (!there.status.success()).then_some(())
        },
    );
}

fn step_that_takes_too_long(lab: &Cloud) {
    let started = Instant::now();
    let ended = apply(lab, &sleeping(301, 3)).expect(Exit::Deadline.code());
    assert!(
        started.elapsed() < Duration::from_secs(60),
        "{}",
        ended.story()
    );
    tells(&ended, &["compute1", "Sleep for long", "nodding off"]);
    nobody_sleeps(lab, 301);
}

fn cut_connection(lab: &Cloud) {
    let steps = "[[step]]\nid = \"cut\"\nname = \"Work while the connection is cut\"\non = \"compute\"\n\
        ensure.command = { run = \"[ -e /root/cut ] && { touch /root/whole; exit; }; touch /root/cut; \
        pkill -o -f 'sshd-session: root@notty' || pkill -f 'sshd: root@notty'; sleep 30\", unless = \"test -e /root/whole\" }\n";
    let ended = apply(lab, steps).expect(0);
    assert_eq!(
        lab.ask("compute1", "ls /root/cut /root/whole | wc -l"),
        "2",
        "{}",
        ended.story()
    );
}

/// A run whose only step sleeps on compute1.
fn start_sleeping(lab: &Cloud, seconds: u32) -> Running {
    let steps = library(&sleeping(seconds, 120));
    let steps = steps.to_str().unwrap();
    let mut run = lab.start(&["-vv", "--format", "lines", "--library", steps]);
    run.until_it_says("nodding off", Duration::from_secs(30));
    run
}

/// Presses Ctrl-C, and again when the first was heard: signals that wait together count as one.
fn stop_at_once(mut run: Running) -> Ended {
    run.signal(Signal::SIGINT);
    run.until_it_says("Ctrl-C again", Duration::from_secs(40));
    run.signal(Signal::SIGINT);
    run.wait(Duration::from_secs(15))
}

fn lock_held(lab: &Cloud) {
    let first = start_sleeping(lab, 302);
    let latest = lab.latest();
    let second = apply(lab, &mark("lock")).expect(Exit::Locked.code());
    assert_eq!(
        lab.latest(),
        latest,
        "a run that was not begun is no latest run"
    );
    tells(&second, &[LAB, &format!("process {}", first.id())]);
    stop_at_once(first);
}

fn stale_lock(lab: &Cloud) {
    let first = start_sleeping(lab, 303);
    first.signal(Signal::SIGKILL);
    first.wait(Duration::from_secs(10));
    apply(lab, &mark("stale")).expect(0);
    lab.ask("compute1", "pkill -fx 'sleep 303' || true");
}

fn two_ctrl_c(lab: &Cloud) {
    let ended = stop_at_once(start_sleeping(lab, 304)).expect(Exit::Stopped.code());
    let on = "provision --answer-file";
    assert!(ended.err.contains(on), "no way on: {}", ended.story());
    nobody_sleeps(lab, 304);
}

fn new_key(name: &str) -> PathBuf {
    let path = workplace().join(name);
    if !path.exists() {
        let made = std::process::Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"])
            .arg(&path)
            .status();
        assert!(made.unwrap().success());
    }
    path
}
