//! Makes a lab, or what is missing of one.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use super::base::create_dir;
use super::cgroup::{Group, Part};
use super::error::LabError;
use super::forward::Forwarding;
use super::lock::Lock;
use super::places::{HostDir, LabDir, Places};
use super::process;
use super::progress::{Happening, Progress};
use super::record::Record;
use super::spec::{LabHost, LabSpec};
use super::verdict::{Evidence, Verdict, judge};
use super::{LabHosts, LabMachine, base, container, debs, firewall, host, needs, net, supervise};

/// How long a host may take until its SSH port answers.
const BOOT_LIMIT: Duration = Duration::from_secs(120);
const SSH_PORT: u16 = 22;

/// Makes the lab, or finds it running, or takes up what is left of it. Returns when all hosts answer on their
/// SSH ports.
pub async fn up(
    spec: &LabSpec,
    places: &Places,
    progress: &dyn Progress,
) -> Result<LabHosts, LabError> {
    spec.check()?;
    needs::root("namespaces, bridges and mounts", "sudo provision lab up")?;
    let directory = places.lab(&spec.name);
    let _lock = claim(&directory, &spec.name).await?;
    needs::meet(needs::HOSTS, progress).await?;
    if !net::bridges_are_there(spec) {
        let vacant = net::vacant(spec).await;
        vacant.inspect_err(|_| forget_empty(&directory))?;
    }
    let record = recorded(spec, places, &directory, progress).await?;
    let key = host::keypair(&directory.key(), &format!("provision lab {}", spec.name)).await?;
    Forwarding::new(places).allow().await?;
    net::raise(spec).await?;
    firewall::open(spec).await?;
    container::load_modules().await;

    let hosts = spec
        .hosts
        .iter()
        .map(|wanted| bring_up(places, &directory, &record, wanted, &key, progress));
    let machines = super::join_all(hosts)
        .await
        .into_iter()
        .collect::<Result<Vec<_>, _>>()?;
    let known_hosts = directory.known_hosts();
    let lines: String = machines.iter().map(known_hosts_line).collect();
    fs::write(&known_hosts, lines).map_err(LabError::file("write", &known_hosts))?;
    Ok(LabHosts {
        lab: spec.name.clone(),
        hosts: machines,
        known_hosts,
        key: directory.key(),
    })
}

/// Makes the lab's directories and locks the lab. A name is used once on a machine, whoever uses it.
pub(crate) async fn claim(directory: &LabDir, lab: &str) -> Result<Lock, LabError> {
    let mut private = fs::DirBuilder::new();
    private.recursive(true).mode(0o700);
    private
        .create(&directory.state)
        .map_err(LabError::file("make", &directory.state))?;
    create_dir(&directory.run).await?;
    let lock = Lock::take(&directory.lock)?;
    let lock = lock.ok_or_else(|| LabError::Busy {
        lab: lab.to_owned(),
    })?;
    let owner_file = directory.run.join("state");
    let owner = fs::read_to_string(&owner_file).unwrap_or_default();
    let owner = Path::new(owner.trim());
    if owner != directory.state && owner.join("lab.json").exists() {
        let problem = format!("a lab of this name lives in `{}`", owner.display());
        return Err(LabError::Spec {
            lab: lab.to_owned(),
            problem,
        });
    }
    let text = directory.state.display().to_string();
    fs::write(&owner_file, text).map_err(LabError::file("write", &owner_file))?;
    Ok(lock)
}

/// Removes what [`claim`] made for a lab that does not come to be.
fn forget_empty(directory: &LabDir) {
    if fs::remove_dir(&directory.state).is_ok() {
        let _ = fs::remove_dir_all(&directory.run);
        let _ = fs::remove_file(&directory.lock);
    }
}

/// The lab's record, made or brought up to date with the wanted hosts.
async fn recorded(
    spec: &LabSpec,
    places: &Places,
    directory: &LabDir,
    progress: &dyn Progress,
) -> Result<Record, LabError> {
    let mut record = match Record::read(directory)? {
        Some(record) if record.base.is_dir() => {
            spec.added_since(&record.spec)?;
            if record.spec == *spec {
                return Ok(record);
            }
            record
        }
        Some(record) => {
            let difference = format!("its base `{}` was deleted", record.base.display());
            return Err(LabError::Different {
                lab: spec.name.clone(),
                difference,
            });
        }
        None => {
            let base = match &spec.base {
                Some(own) => own.clone(),
                None => base::base(places, spec.distro, progress).await?,
            };
            Record {
                spec: spec.clone(),
                base,
                run: directory.run.clone(),
            }
        }
    };
    record.spec = spec.clone();
    record.write(directory)?;
    Ok(record)
}

async fn bring_up(
    places: &Places,
    lab: &LabDir,
    record: &Record,
    wanted: &LabHost,
    key: &str,
    progress: &dyn Progress,
) -> Result<LabMachine, LabError> {
    let (spec, name) = (&record.spec, &wanted.name);
    let directory = lab.host(name);
    create_dir(&directory.state).await?;
    let recovered = |what: &str| {
        progress.happened(Happening::Recovered {
            host: name.clone(),
            what: what.to_owned(),
        });
    };
    let started = Instant::now();
    let boots = match judge(evidence(spec, wanted, &directory)) {
        Verdict::Runs => false,
        Verdict::Adopt => {
            recovered("it runs, but nothing looked after it");
            supervise::start(places, lab, &directory, name)?;
            false
        }
        Verdict::Restart(why) => {
            recovered(why);
            container::end(&spec.name, name, &directory).await?;
            true
        }
        Verdict::Boot(why) => {
            if let Some(why) = why {
                recovered(why);
            }
            true
        }
    };
    if boots {
        let is_new = !directory.made().exists();
        host::make(spec, wanted, &directory, key).await?;
        if is_new && spec.base.is_none() {
            debs::stock(places, spec.distro, &directory).await?;
        }
        progress.happened(Happening::Booting { host: name.clone() });
        supervise::start(places, lab, &directory, name)?;
    }
    answers(wanted, &directory).await?;
    let took = started.elapsed();
    progress.happened(if boots {
        Happening::Ready {
            host: name.clone(),
            took,
        }
    } else {
        Happening::AlreadyUp { host: name.clone() }
    });
    let host_key = host::keypair(&directory.host_key(), name).await?;
    Ok(LabMachine {
        name: name.clone(),
        address: wanted.address,
        port: SSH_PORT,
        user: "root".to_owned(),
        key: lab.key(),
        host_keys: vec![host_key],
        management_nic: "eth0".to_owned(),
        provider_nic: "eth1".to_owned(),
        booted_in: boots.then_some(took),
    })
}

pub(crate) fn evidence(spec: &LabSpec, host: &LabHost, directory: &HostDir) -> Evidence {
    Evidence {
        supervised: process::living(&directory.supervisor).is_some(),
        contained: process::living(&directory.nspawn).is_some(),
        populated: !Group::of(&spec.name, &host.name)
            .processes(Part::Container)
            .is_empty(),
        plugged: net::is_plugged(spec, host),
        made: directory.made().exists(),
    }
}

/// Waits until the host's SSH server greets. A host whose supervisor ends has failed at once.
async fn answers(host: &LabHost, directory: &HostDir) -> Result<(), LabError> {
    let address = SocketAddr::from((host.address, SSH_PORT));
    let deadline = Instant::now() + BOOT_LIMIT;
    loop {
        if greeted(address).await {
            return Ok(());
        }
        if process::living(&directory.supervisor).is_none() {
            let reason = "its container ended".to_owned();
            return Err(supervise::boot_error(&host.name, reason, directory));
        }
        if Instant::now() > deadline {
            let reason = format!("{} s are over", BOOT_LIMIT.as_secs());
            return Err(supervise::boot_error(&host.name, reason, directory));
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}

async fn greeted(address: SocketAddr) -> bool {
    let greeting = async {
        let mut stream = TcpStream::connect(address).await?;
        let mut start = [0; 4];
        stream
            .read_exact(&mut start)
            .await
            .map(|_| &start == b"SSH-")
    };
    // A host that is not there yet answers no ARP; the kernel would wait for seconds.
    let limited = tokio::time::timeout(Duration::from_millis(500), greeting).await;
    matches!(limited, Ok(Ok(true)))
}

fn known_hosts_line(machine: &LabMachine) -> String {
    let LabMachine {
        name,
        address,
        host_keys,
        ..
    } = machine;
    host_keys
        .iter()
        .map(|key| format!("{name},{address} {key}\n"))
        .collect()
}
