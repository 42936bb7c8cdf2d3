//! The hosts under test, and the rest of the world as they see it: a mirror that carries the archive's name, and no other
//! name that leads anywhere.

use std::process::Stdio;

use ipnet::Ipv4Net;
use provision::lab::{Backend, Distro, LabHost, LabNet, LabSpec, Places};

use crate::cloud::{self, Cloud};
use crate::standin;

pub(crate) const HOSTS: [&str; 2] = ["controller", "compute1"];

/// Names that lead to the mirror; all others are dead.
const ALIVE: &str = "vault.centos.org";

/// A name and a network, and what is made of them.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) name: &'static str,
    /// The first three numbers of the management network's addresses.
    pub(crate) network: String,
}

impl World {
    /// As `STANDIN` says (`mine,10.79.0`), else the tests' own.
    pub(crate) fn from_env() -> Self {
        let said = std::env::var("STANDIN").unwrap_or_else(|_| "t-rocky,10.94.12".into());
        let (name, network) = said
            .split_once(',')
            .unwrap_or_else(|| panic!("STANDIN is `{said}`, not `name,10.79.0`"));
        Self {
            name: name.to_owned().leak(),
            network: network.to_owned(),
        }
    }

    /// The cloud of a shipped answer file on these hosts; it knows them as it would any others.
    pub(crate) fn cloud(&self, shipped: &str) -> Cloud {
        let text = cloud::renamed(shipped, self.name, &self.network);
        let key = self.places().state.join(self.name).join("id_ed25519");
        let login = format!(
            "[ssh]\nidentity = [\"{}\"]\nhost_keys = \"pin-first\"\nuse_ssh_config = false\n",
            key.display()
        );
        // Nothing is downloaded, and nothing boots: there is no OpenStack below the APIs.
        let text = match text.contains("\n[ssh]") {
            true => text.replacen("[ssh]", &login, 1),
            false => text + "\n" + &login,
        };
        Cloud::with(self.name, &self.network, &text)
    }

    /// Makes the hosts, or finds them running.
    pub(crate) fn up(&self) {
        let places = self.places();
        let spec = self.spec(standin::root(&places));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let lab = runtime.block_on(provision::lab::up(&spec, &places, &|_| {}));
        lab.unwrap();
        for host in HOSTS {
            let line = format!("{}.3 {ALIVE}", self.network);
            self.ssh(
                host,
                &format!("grep -qx '{line}' /etc/hosts || echo '{line}' >> /etc/hosts"),
            );
        }
    }

    /// Removes the hosts, where there are any.
    pub(crate) fn remove(&self) {
        if !self.places().state.join(self.name).exists() {
            return;
        }
        let down = cloud::provision(&["lab", "down", self.name])
            .output()
            .unwrap();
        if !down.status.success() {
            println!("the lab {} is not removed: {down:?}", self.name);
        }
    }

    /// Says how to go on by hand.
    pub(crate) fn introduce(&self) {
        let state = cloud::state();
        let program = env!("CARGO_BIN_EXE_provision");
        println!(
            "\nThe stand-ins keep running. Before the commands: export XDG_STATE_HOME={}",
            state.display()
        );
        println!("  {program} lab ssh {} controller", self.name);
        println!(
            "  {program} plan --answer-file {}",
            cloud::workplace()
                .join(format!("{}.toml", self.name))
                .display()
        );
        println!("  {program} lab down {}", self.name);
    }

    fn ssh(&self, host: &str, command: &str) {
        let status = cloud::provision(&["lab", "ssh", self.name, host, "--", command])
            .stdin(Stdio::null())
            .status()
            .unwrap();
        assert!(status.success(), "{host}: {command}");
    }

    fn places(&self) -> Places {
        Places {
            state: cloud::state().join("provision/labs"),
            supervisor: env!("CARGO_BIN_EXE_provision").into(),
            ..Places::from_env().unwrap()
        }
    }

    fn spec(&self, base: std::path::PathBuf) -> LabSpec {
        let net = |network: &str, last: u8| LabNet {
            network: format!("{network}.0/24").parse::<Ipv4Net>().unwrap(),
            gateway: format!("{network}.{last}").parse().unwrap(),
        };
        let host = |name: &str, last: u8| LabHost {
            name: name.to_owned(),
            address: format!("{}.{last}", self.network).parse().unwrap(),
            cpus: None,
            memory: None,
        };
        LabSpec {
            name: self.name.to_owned(),
            backend: Backend::Nspawn,
            distro: Distro::Debian12,
            base: Some(base),
            hosts: vec![
                host("controller", 100),
                host("compute1", 101),
                host("mirror", 3),
            ],
            management: net(&self.network, 2),
            provider: net(&cloud::next(&self.network), 1),
        }
    }
}
