//! What must hold on CentOS 7.

use std::rc::Rc;

use crate::cloud::Cloud;
use crate::harness::{Case, Group};
use crate::world::{HOSTS, World};

pub(crate) fn all(world: World) -> Group {
    let cloud = Rc::new(world.cloud("lab.toml"));
    let up = move || world.up();
    Group {
        name: "rocky",
        cases: vec![
            Case::foundation("hosts_come_up", up),
            Case::single("hosts_are_as_centos_7_is_today", on(&cloud, today)),
        ],
    }
}

fn on(cloud: &Rc<Cloud>, case: fn(&Cloud)) -> impl Fn() + 'static {
    let cloud = Rc::clone(cloud);
    move || case(&cloud)
}

/// The stand-in itself: what a fresh host answers.
fn today(cloud: &Cloud) {
    for host in HOSTS {
        let ask = |command: &str| cloud.ask(host, command);
        assert_eq!(ask("uname -n"), host);
        assert_eq!(ask(". /etc/os-release; echo $ID $VERSION_ID"), "centos 7");
        assert_eq!(ask("getenforce"), "Enforcing");
        assert_eq!(
            ask("rpm -q centos-release"),
            "centos-release-7-9.2009.1.el7.centos.x86_64"
        );
        assert_eq!(ask("command -v apt-get dpkg dnf || true"), "");
        for unit in ["NetworkManager", "firewalld", "network", "sshd"] {
            assert_eq!(
                ask(&format!("systemctl is-active {unit}")),
                "active",
                "{unit}"
            );
        }
        let said = ask("yum -y makecache fast 2>&1; echo $?");
        assert!(said.contains("Could not retrieve mirrorlist"), "{said}");
        assert!(said.ends_with("\n1"), "{said}");
    }
}
