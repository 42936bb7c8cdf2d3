//! What must hold for a cloud, from its answer file to the removal of its lab.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use nix::sys::signal::Signal;
use provision::model::event::{Event, Mode, Outcome, RunOutcome, Verdict};

use crate::browser::Browser;
use crate::cloud::{Cloud, artifacts, workplace};
use crate::harness::{Case, Group};
use crate::identity::Administrator;
use crate::listing;
use crate::program::eventually;
use crate::secrecy::{self, Watcher};

const HOSTS: [&str; 2] = ["controller", "compute1"];

/// A shipped answer file, and the cloud made of it.
pub(crate) struct Platform {
    pub(crate) group: &'static str,
    pub(crate) answer_file: &'static str,
    pub(crate) cloud: &'static str,
    pub(crate) third: u8,
}

/// What the fresh install leaves for later cases to look at.
#[derive(Default)]
struct Fresh {
    command_lines: BTreeSet<String>,
    run: Option<std::path::PathBuf>,
}

/// The least that every platform must pass.
pub(crate) fn short(platform: &Platform) -> Group {
    let cloud = Rc::new(platform.make());
    let fresh = Rc::new(RefCell::new(Fresh::default()));
    Group {
        name: platform.group,
        cases: vec![
            Case::foundation("hosts_come_up", on(&cloud, hosts_come_up)),
            Case::foundation(
                "fresh_install_is_proved",
                with(&cloud, &fresh, fresh_install),
            ),
            Case::single("second_run_changes_nothing", on(&cloud, second_run)),
            Case::foundation("hosts_come_back_after_a_reboot", on(&cloud, reboot)),
            Case::foundation("lab_down_leaves_nothing", on(&cloud, down)),
        ],
    }
}

/// Everything.
pub(crate) fn all(platform: &Platform) -> Group {
    let cloud = Rc::new(platform.make());
    let fresh = Rc::new(RefCell::new(Fresh::default()));
    Group {
        name: platform.group,
        cases: vec![
            Case::foundation("answer_file_is_valid", on(&cloud, valid)),
            Case::foundation("hosts_come_up", on(&cloud, hosts_come_up)),
            Case::single("plan_touches_nothing", on(&cloud, plan_touches_nothing)),
            Case::foundation(
                "fresh_install_is_proved",
                with(&cloud, &fresh, fresh_install),
            ),
            Case::single("second_run_changes_nothing", on(&cloud, second_run)),
            Case::single("nothing_is_pending", on(&cloud, nothing_is_pending)),
            Case::single("secrets_stay_secret", with(&cloud, &fresh, secrets)),
            Case::single("status_shows_services_by_hosts", on(&cloud, status)),
            Case::single("report_opens_in_a_browser", with(&cloud, &fresh, report)),
            Case::single("dashboard_works_in_a_browser", on(&cloud, dashboard)),
            Case::single("drift_is_shown_and_mended_alone", on(&cloud, drift)),
            Case::single("ctrl_c_stops_cleanly", on(&cloud, ctrl_c)),
            Case::foundation("a_killed_run_is_finished_by_the_next", on(&cloud, killed)),
            Case::foundation("hosts_come_back_after_a_reboot", on(&cloud, reboot)),
            Case::single("another_lab_lives_beside_it", on(&cloud, beside)),
            Case::foundation("lab_down_leaves_nothing", on(&cloud, down)),
        ],
    }
}

impl Platform {
    fn make(&self) -> Cloud {
        Cloud::of(self.answer_file, self.cloud, self.third)
    }
}

fn on(cloud: &Rc<Cloud>, case: fn(&Cloud)) -> impl Fn() + 'static {
    let cloud = Rc::clone(cloud);
    move || case(&cloud)
}

fn with(
    cloud: &Rc<Cloud>,
    fresh: &Rc<RefCell<Fresh>>,
    case: fn(&Cloud, &RefCell<Fresh>),
) -> impl Fn() + 'static {
    let (cloud, fresh) = (Rc::clone(cloud), Rc::clone(fresh));
    move || case(&cloud, &fresh)
}

fn valid(cloud: &Cloud) {
    let ended = cloud.run(&["validate"], 1).expect(0);
    assert!(
        ended.err.contains("controller, compute1"),
        "{}",
        ended.story()
    );
}

fn hosts_come_up(cloud: &Cloud) {
    cloud.run(&["lab", "up"], 10).expect(0);
    for host in HOSTS {
        assert_eq!(cloud.ask(host, "uname -n"), host);
    }
    let again = cloud.run(&["lab", "up"], 1).expect(0);
    assert!(again.took < Duration::from_secs(5), "{}", again.story());
}

fn plan_touches_nothing(cloud: &Cloud) {
    // Once for nothing: an overlay notes on first reading which of its directories are mixed.
    let _ = HOSTS.map(|host| listing::of(cloud, host));
    let before = HOSTS.map(|host| listing::of(cloud, host));
    let ended = cloud.run(&["plan"], 3).expect(0);
    let after = HOSTS.map(|host| listing::of(cloud, host));
    for ((host, before), after) in HOSTS.iter().zip(&before).zip(&after) {
        assert!(before.len() > 1000, "{host}: only {} files", before.len());
        let touched = listing::difference(before, after);
        let first: Vec<_> = touched.iter().take(20).map(String::as_str).collect();
        let all = touched.len();
        assert!(all == 0, "{host}, {all} in all: {}", first.join("\n"));
    }
    for text in [
        "/etc/keystone/keystone.conf",
        "compute1",
        "Nothing was touched",
    ] {
        assert!(
            (ended.out.clone() + &ended.err).contains(text),
            "no {text}: {}",
            ended.story()
        );
    }
    cloud.run(&["plan", "--detailed-exitcode"], 3).expect(10);
}

fn fresh_install(cloud: &Cloud, fresh: &RefCell<Fresh>) {
    let watcher = Watcher::start();
    let ended = cloud.run(&["--format", "lines"], 25).expect(0);
    fresh.borrow_mut().command_lines = watcher.stop();
    fresh.borrow_mut().run = Some(cloud.latest());
    let journal = cloud.journal();
    let finished = journal.finished();
    assert_eq!(finished.outcome, RunOutcome::Done);
    assert_eq!((finished.totals.failed, finished.totals.skipped), (0, 0));
    assert!(finished.totals.changed > 100, "{:?}", finished.totals);
    // The proof ran, and what it made was removed again.
    for step in ["instance", "floating-address"] {
        for id in [
            format!("proof/{step}@controller"),
            format!("remove proof/{step}@controller"),
        ] {
            let outcome = journal.outcome(&id);
            assert!(
                matches!(outcome, Some(Outcome::Changed { .. })),
                "{id}: {outcome:?}"
            );
        }
    }
    let answer = journal.outcome("proof/answer@controller");
    let heard = matches!(
        answer,
        Some(Outcome::Changed { .. } | Outcome::Unchanged { .. })
    );
    assert!(heard, "{answer:?}");
    assert_eq!(Administrator::of(cloud).instances(), [""; 0]);
    for text in ["/horizon/", "admin-openrc", "provision verify"] {
        assert!(
            ended.err.contains(text),
            "the end does not say {text}: {}",
            ended.story()
        );
    }
    println!(
        "    installed and proved in {:.0} s",
        ended.took.as_secs_f64()
    );
}

fn second_run(cloud: &Cloud) {
    let ended = cloud.run(&["-v", "--format", "lines"], 3).expect(0);
    let journal = cloud.journal();
    let totals = journal.finished().totals;
    assert_eq!(
        (totals.changed, totals.failed, totals.skipped),
        (0, 0, 0),
        "{:?}",
        journal.changed()
    );
    assert!(totals.unchanged > 100, "{totals:?}");
    for (step, outcome) in journal.outcomes() {
        let Outcome::Unchanged { reason } = outcome else {
            panic!("{step}: {outcome:?}");
        };
        assert!(!reason.is_empty(), "{step} gives no reason");
        let first = reason.lines().next().unwrap_or_default();
        assert!(
            ended.err.contains(first),
            "-v does not say of {step}: {first}"
        );
    }
    println!("    nothing to do in {:.1} s", ended.took.as_secs_f64());
}

fn nothing_is_pending(cloud: &Cloud) {
    cloud.run(&["plan", "--detailed-exitcode"], 2).expect(0);
}

fn secrets(cloud: &Cloud, fresh: &RefCell<Fresh>) {
    let secrets = cloud.secrets();
    assert!(secrets.len() > 8, "{} secrets", secrets.len());
    let fresh = fresh.borrow();
    assert!(
        fresh.command_lines.len() > 1000,
        "{} command lines",
        fresh.command_lines.len()
    );
    for line in &fresh.command_lines {
        let told = secrecy::told(&secrets, line);
        assert!(
            told.is_empty(),
            "a command line shows {}: {line}",
            told.join(", ")
        );
    }
    let written = secrecy::in_files(&secrets, &cloud.directory().join("runs"));
    assert!(written.is_empty(), "{written:#?}");
    let said = secrecy::in_files(&secrets, &workplace().join("logs"));
    assert!(said.is_empty(), "{said:#?}");
    for host in HOSTS {
        let open = secrecy::readable_by_others(&secrets, cloud, host);
        assert!(open.is_empty(), "anyone can read secrets in {open:#?}");
        // The search itself can find something: root sees what others do not.
    }
    let root_sees = cloud.ask("controller", "cat /etc/nova/nova.conf");
    assert!(!secrecy::told(&secrets, &root_sees).is_empty());
}

fn status(cloud: &Cloud) {
    let ended = cloud.run(&["status"], 2).expect(0);
    for text in [
        "controller",
        "compute1",
        "keystone",
        "glance",
        "placement",
        "nova",
        "neutron",
        "horizon",
    ] {
        assert!(ended.out.contains(text), "no {text}: {}", ended.story());
    }
}

fn report(cloud: &Cloud, fresh: &RefCell<Fresh>) {
    let run = fresh.borrow().run.clone().unwrap_or_else(|| cloud.latest());
    let file = run.join("report.html");
    let browser = Browser::open();
    browser.go(&format!("file://{}", file.display()));
    assert!(browser.title().contains(cloud.name), "{}", browser.title());
    let text = browser.text();
    for word in HOSTS {
        assert!(text.contains(word), "no {word} in {text}");
    }
    let shown = browser.script(
        "return [document.querySelectorAll('svg').length, performance.getEntriesByType('resource').length]",
    );
    assert!(shown[0].as_u64() > Some(0), "nothing is drawn");
    assert_eq!(shown[1], 0, "a single file needs no other");
    browser.screenshot(&artifacts().join(format!("{}-report.png", cloud.name)));
}

fn dashboard(cloud: &Cloud) {
    let browser = Browser::open();
    let base = format!("http://{}/horizon", cloud.controller());
    browser.go(&format!("{base}/auth/login/"));
    browser.fill("#id_username", "admin");
    browser.fill("#id_password", &cloud.secret("admin_password"));
    browser.click("#loginBtn");
    eventually("logged in", Duration::from_secs(90), || {
        let inside = !browser.url().contains("/auth/login");
        (inside && browser.text().contains("admin")).then_some(())
    });
    browser.go(&format!("{base}/project/instances/"));
    let title = browser.title();
    assert!(title.contains("Instances"), "{title}");
    let text = browser.text();
    for word in ["Launch Instance", "admin"] {
        assert!(text.contains(word), "no `{word}` in {text}");
    }
    // Style sheets and scripts are served, too.
    let styled = browser
        .script("return getComputedStyle(document.querySelector('nav, .navbar, body')).fontFamily");
    assert!(
        styled.as_str().is_some_and(|font| !font.contains("Times")),
        "{styled}"
    );
    browser.screenshot(&artifacts().join(format!("{}-instances.png", cloud.name)));
    browser.go(&format!("{base}/admin/instances/"));
    assert!(browser.title().contains("Instances"), "{}", browser.title());
}

/// Two settings files, a unit and an endpoint are changed behind our back.
fn drift(cloud: &Cloud) {
    let file = "/etc/glance/glance-api.conf";
    let open = "/etc/chrony/chrony.conf";
    cloud.ask("controller", &format!("echo '# changed by hand' >> {open}"));
    cloud.ask("controller", &format!("echo '# changed by hand' >> {file}"));
    cloud.ask(
        "compute1",
        "systemctl stop neutron-openvswitch-agent.service",
    );
    let admin = Administrator::of(cloud);
    let service = admin.only("/v3/services?type=placement", "services");
    let list = format!("/v3/endpoints?service_id={service}&interface=internal");
    let endpoint = admin.only(&list, "endpoints");
    let gone = admin.ask(5000, "DELETE", &format!("/v3/endpoints/{endpoint}"));
    assert_eq!(gone.status, 204);

    let plan = cloud.run(&["plan", "--detailed-exitcode"], 2).expect(10);
    for text in [
        file,
        open,
        "-# changed by hand",
        "neutron-openvswitch-agent",
    ] {
        assert!(
            plan.out.contains(text),
            "the plan does not show {text}: {}",
            plan.story()
        );
    }
    let planned = cloud.journal();
    let pending: Vec<_> = planned
        .events
        .iter()
        .filter_map(|it| match &it.event {
            Event::StepPlanned { step, verdict } => {
                (!matches!(verdict, Verdict::InSync { .. })).then(|| step.id.as_str())
            }
            _ => None,
        })
        .collect();
    assert_drift(&pending);

    cloud.run(&["--format", "lines"], 6).expect(0);
    let journal = cloud.journal();
    let mended: Vec<_> = journal
        .changed()
        .into_iter()
        .filter(|step| !step.contains("proof/"))
        .collect();
    assert_drift(&mended);
    assert_eq!(
        cloud.ask(
            "compute1",
            "systemctl is-active neutron-openvswitch-agent.service"
        ),
        "active"
    );
    assert_eq!(
        cloud.ask(
            "controller",
            &format!("cat {file} {open} | grep -c 'by hand' || true")
        ),
        "0"
    );
    admin.only(&list, "endpoints");
    nothing_is_pending(cloud);
}

/// Four things were changed; two services are started again because of the files.
#[track_caller]
fn assert_drift(steps: &[&str]) {
    let about = |part: &str| steps.iter().any(|step| step.starts_with(part));
    assert!(about("glance/config") && about("time/config"), "{steps:?}");
    assert!(about("placement/endpoints"), "{steps:?}");
    assert!(
        steps.iter().any(|step| step.contains("@compute1")),
        "{steps:?}"
    );
    let allowed = |step: &&str| {
        [
            "glance/config",
            "glance/unit",
            "glance/answers",
            "time/",
            "placement/endpoints",
        ]
        .iter()
        .any(|part| step.starts_with(part))
            || step.ends_with("@compute1") && (step.contains("agent") || step.contains("unit"))
    };
    assert!(steps.iter().all(allowed), "more than the drift: {steps:?}");
}

/// Takes something away that takes a while to bring back.
fn take_dashboard_away(cloud: &Cloud) {
    let remove = "DEBIAN_FRONTEND=noninteractive apt-get -qy purge openstack-dashboard openstack-dashboard-apache \
                  python3-django-horizon >/dev/null 2>&1 && rm -rf /var/lib/openstack-dashboard";
    cloud.ask("controller", remove);
}

const DASHBOARD_STEP: &str = "Install the dashboard";

fn ctrl_c(cloud: &Cloud) {
    take_dashboard_away(cloud);
    let mut running = cloud.start(&["-v", "--format", "lines"]);
    running.until_it_says(DASHBOARD_STEP, Duration::from_secs(60));
    running.signal(Signal::SIGINT);
    let ended = running.wait(Duration::from_secs(180)).expect(130);
    let journal = cloud.journal();
    let finished = journal.finished();
    assert_eq!(finished.outcome, RunOutcome::Stopped);
    assert!(finished.totals.cancelled > 0, "{:?}", finished.totals);
    assert_eq!(finished.totals.failed, 0, "{:?}", finished.totals);
    assert!(journal.started().count() > 0);
    assert!(
        ended.err.contains("provision --answer-file"),
        "no way on: {}",
        ended.story()
    );
    cloud.ask(
        "controller",
        "! fuser /var/lib/dpkg/lock-frontend 2>/dev/null; test -z \"$(dpkg --audit)\"",
    );
}

fn killed(cloud: &Cloud) {
    take_dashboard_away(cloud);
    let mut running = cloud.start(&["-v", "--format", "lines"]);
    running.until_it_says(DASHBOARD_STEP, Duration::from_secs(60));
    eventually("dpkg is at work", Duration::from_secs(60), || {
        let working = "pgrep -x dpkg >/dev/null";
        cloud
            .ssh("controller", working)
            .status
            .success()
            .then_some(())
    });
    running.signal(Signal::SIGKILL);
    running.wait(Duration::from_secs(10));
    cloud.run(&["--format", "lines"], 12).expect(0);
    nothing_is_pending(cloud);
}

fn reboot(cloud: &Cloud) {
    let boot = "cat /proc/sys/kernel/random/boot_id";
    let before = HOSTS.map(|host| cloud.ask(host, boot));
    for host in HOSTS {
        cloud.ssh(host, "systemctl reboot");
    }
    for (host, before) in HOSTS.iter().zip(&before) {
        eventually("the host is back", Duration::from_secs(90), || {
            let output = cloud.ssh(host, boot);
            let now = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            (output.status.success() && now != *before).then_some(())
        });
    }
    let ended = cloud.run(&["verify", "--after-reboot"], 12).expect(0);
    let journal = cloud.journal();
    assert!(matches!(
        journal.outcome("proof/instance@controller"),
        Some(Outcome::Changed { .. })
    ));
    println!("    well again after {:.0} s", ended.took.as_secs_f64());
    nothing_is_pending(cloud);
}

fn beside(cloud: &Cloud) {
    let other = Cloud::of("lab-debian12.toml", "t-next", 8);
    other.run(&["lab", "up"], 10).expect(0);
    let journal = other.journal();
    assert!(
        journal
            .events
            .iter()
            .any(|it| matches!(&it.event, Event::RunStarted(run) if run.mode == Mode::Lab))
    );
    assert!(
        other
            .ask("compute1", "cat /etc/debian_version")
            .starts_with("12.")
    );
    assert!(
        cloud
            .ask("compute1", "cat /etc/debian_version")
            .starts_with("13.")
    );
    down(&other);
    cloud.run(&["status"], 2).expect(0);
}

fn down(cloud: &Cloud) {
    let ended = crate::program::start(
        crate::cloud::provision(&["lab", "down", cloud.name]),
        &workplace().join(format!("logs/{}-down", cloud.name)),
    );
    ended.wait(Duration::from_secs(60)).expect(0);
    assert_eq!(secrecy::traces(cloud.name), [""; 0]);
    assert!(
        !crate::cloud::state()
            .join("provision/labs")
            .join(cloud.name)
            .exists()
    );
}
