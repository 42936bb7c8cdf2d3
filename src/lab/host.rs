//! One host's files: its own over the shared base, its keys, and the mount of both together.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use super::base::{create_dir, remove_tree};
use super::error::LabError;
use super::places::HostDir;
use super::program::Program;
use super::spec::{Distro, LabHost, LabSpec};

/// A file that makes a host itself, and not another host of the same base.
#[derive(Debug, PartialEq, Eq)]
struct OwnFile {
    path: &'static str,
    mode: u32,
    text: String,
}

fn own(path: &'static str, mode: u32, text: impl Into<String>) -> OwnFile {
    OwnFile {
        path,
        mode,
        text: text.into(),
    }
}

/// Writes the host's own files, once: afterwards they belong to whoever works on the host.
pub(crate) async fn make(
    spec: &LabSpec,
    host: &LabHost,
    directory: &HostDir,
    authorized_key: &str,
) -> Result<(), LabError> {
    if directory.made().exists() {
        return Ok(());
    }
    unmount(directory).await?;
    for path in [directory.upper(), directory.work()] {
        remove_tree(&path).await?;
        create_dir(&path).await?;
    }
    // It is the root directory of the host.
    allow(&directory.upper(), 0o755)?;
    create_dir(&directory.root()).await?;
    let host_key = keypair(&directory.host_key(), &host.name).await?;
    let private_key = read(&directory.host_key())?;
    let mut files = own_files(spec, host, &machine_resolvers()?);
    files.push(own(
        "root/.ssh/authorized_keys",
        0o600,
        format!("{authorized_key}\n"),
    ));
    files.push(own("etc/ssh/ssh_host_ed25519_key", 0o600, private_key));
    files.push(own(
        "etc/ssh/ssh_host_ed25519_key.pub",
        0o644,
        format!("{host_key}\n"),
    ));
    for file in files {
        write(&directory.upper(), &file)?;
    }
    fs::write(directory.made(), "").map_err(LabError::file("write", &directory.made()))
}

/// Forgets what the host changed; the next [`make`] starts from the base. Keys stay.
pub(crate) async fn forget(directory: &HostDir) -> Result<(), LabError> {
    let _ = fs::remove_file(directory.made());
    remove_tree(&directory.upper()).await?;
    remove_tree(&directory.work()).await
}

/// Mounts the host's file system where it is not mounted.
pub(crate) async fn mount(base: &Path, directory: &HostDir) -> Result<(), LabError> {
    let root = directory.root();
    if is_mounted(&root) {
        return Ok(());
    }
    let options = format!(
        "lowerdir={},upperdir={},workdir={}",
        base.display(),
        directory.upper().display(),
        directory.work().display()
    );
    let step = format!("mount the file system `{}`", root.display());
    let help = "the state directory must be on a file system that can be the upper layer of an overlay, \
                such as ext4 or xfs; set XDG_STATE_HOME to a directory on one";
    let mount = Program::new("mount")
        .args(["-t", "overlay", "overlay", "-o", &options])
        .arg(&root);
    mount
        .run()
        .await
        .map_err(LabError::step(step, help))
        .map(drop)
}

/// Takes the mount away. Just after the end of a host's processes the kernel may still hold it for a moment.
pub(crate) async fn unmount(directory: &HostDir) -> Result<(), LabError> {
    let root = directory.root();
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(10);
    while is_mounted(&root) {
        match Program::new("umount").arg(&root).run().await {
            Ok(_) => {}
            Err(_) if tokio::time::Instant::now() < deadline => {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
            Err(error) => {
                let step = format!("unmount `{}`", root.display());
                let help = format!("see who uses it with `fuser -vm {}`", root.display());
                return Err(LabError::step(step, help)(error));
            }
        }
    }
    Ok(())
}

/// Makes an SSH key pair without a passphrase where there is none; returns the public line without its comment.
pub(crate) async fn keypair(private: &Path, comment: &str) -> Result<String, LabError> {
    let public = private.with_extension("pub");
    if !(private.exists() && public.exists()) {
        let _ = fs::remove_file(private);
        let keygen = Program::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-C", comment, "-f"])
            .arg(private);
        let step = format!("make the key pair `{}`", private.display());
        keygen
            .run()
            .await
            .map_err(LabError::step(step, "see whether the disk is full"))?;
    }
    let text = read(&public)?;
    Ok(text
        .split_whitespace()
        .take(2)
        .collect::<Vec<_>>()
        .join(" "))
}

fn own_files(spec: &LabSpec, host: &LabHost, resolvers: &str) -> Vec<OwnFile> {
    let LabHost { name, .. } = host;
    let gateway = spec.management.gateway;
    let mut files = vec![
        own("etc/hostname", 0o644, format!("{name}\n")),
        own(
            "etc/hosts",
            0o644,
            format!("127.0.0.1\tlocalhost\n127.0.1.1\t{name}\n"),
        ),
        own(
            "etc/machine-id",
            0o444,
            format!("{:032x}\n", rand::random::<u128>()),
        ),
        own("etc/resolv.conf", 0o644, resolvers),
        address_file(spec, host),
    ];
    if spec.distro == Distro::Debian13 {
        // This server refuses addresses that often connect without a login; the lab asks often whether it answers.
        let exempt = format!("PerSourcePenaltyExemptList {gateway}\n");
        files.push(own("etc/ssh/sshd_config.d/lab-machine.conf", 0o644, exempt));
    }
    files
}

/// Tells a host its address, in the way that its base keeps addresses.
fn address_file(spec: &LabSpec, host: &LabHost) -> OwnFile {
    let address = host.address;
    let prefix = spec.management.network.prefix_len();
    let gateway = spec.management.gateway;
    let scripts = "etc/sysconfig/network-scripts";
    let base = spec.base.as_ref();
    if base.is_some_and(|base| base.join(scripts).is_dir()) {
        return own(
            "etc/sysconfig/network-scripts/ifcfg-eth0",
            0o644,
            format!(
                "TYPE=Ethernet\nBOOTPROTO=none\nNAME=eth0\nDEVICE=eth0\nONBOOT=yes\n\
                 IPADDR={address}\nPREFIX={prefix}\nGATEWAY={gateway}\n"
            ),
        );
    }
    own(
        "etc/systemd/network/10-eth0.network",
        0o644,
        format!(
            "[Match]\nName=eth0\n\n[Network]\nAddress={address}/{prefix}\nGateway={gateway}\n\
             IPv6AcceptRA=no\n"
        ),
    )
}

/// This machine's name servers, as far as its hosts can reach them.
fn machine_resolvers() -> Result<String, LabError> {
    // Where systemd-resolved answers on a loopback address, its own list of servers is beside it.
    let candidates = ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"];
    for path in candidates {
        let text = resolvers(&fs::read_to_string(path).unwrap_or_default());
        if text.contains("nameserver") {
            return Ok(text);
        }
    }
    // Nothing that a host could use: names are not resolved there, which apt will say.
    Ok(String::new())
}

fn resolvers(text: &str) -> String {
    let useful = |line: &&str| {
        let mut words = line.split_whitespace();
        match (words.next(), words.next()) {
            (Some("nameserver"), Some(address)) => address
                .parse::<std::net::Ipv4Addr>()
                .is_ok_and(|address| !address.is_loopback()),
            (Some("search" | "domain" | "options"), Some(_)) => true,
            _ => false,
        }
    };
    text.lines()
        .filter(useful)
        .map(|line| format!("{line}\n"))
        .collect()
}

fn write(root: &Path, file: &OwnFile) -> Result<(), LabError> {
    let path = root.join(file.path);
    if let Some((parent, _)) = file.path.rsplit_once('/') {
        directories(root, parent)?;
    }
    // Never open to others, not even for a moment; then as told, whatever this process masks.
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut open = options
        .open(&path)
        .map_err(LabError::file("write", &path))?;
    open.write_all(file.text.as_bytes())
        .map_err(LabError::file("write", &path))?;
    allow(&path, file.mode)
}

/// Makes a directory of the host with its parents. What is made here hides the mode that the base's has.
pub(crate) fn directories(root: &Path, below: &str) -> Result<(), LabError> {
    let mut path = root.to_owned();
    for name in below.split('/') {
        path.push(name);
        if !path.is_dir() {
            fs::create_dir(&path).map_err(LabError::file("make", &path))?;
            let private = below.starts_with("root");
            allow(&path, if private { 0o700 } else { 0o755 })?;
        }
    }
    Ok(())
}

fn allow(path: &Path, mode: u32) -> Result<(), LabError> {
    let mode = fs::Permissions::from_mode(mode);
    fs::set_permissions(path, mode).map_err(LabError::file("set the mode of", path))
}

fn read(path: &Path) -> Result<String, LabError> {
    fs::read_to_string(path).map_err(LabError::file("read", path))
}

/// Whether something is mounted exactly there.
pub(crate) fn is_mounted(path: &Path) -> bool {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    mount_points(&mounts).any(|mounted| Path::new(&mounted) == path)
}

/// Something mounted there or below.
pub(crate) fn mounted_below(path: &Path) -> Option<String> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    mount_points(&mounts).find(|mounted| Path::new(mounted).starts_with(path))
}

fn mount_points(mounts: &str) -> impl Iterator<Item = String> {
    let unescaped = |path: &str| {
        path.replace("\\040", " ")
            .replace("\\011", "\t")
            .replace("\\134", "\\")
    };
    mounts
        .lines()
        .filter_map(move |line| line.split(' ').nth(4).map(unescaped))
}

#[cfg(test)]
mod tests {
    use super::super::spec::tests::spec;
    use super::*;

    #[test]
    fn a_host_is_told_its_name_and_address() {
        let lab = spec();
        let files = own_files(&lab, &lab.hosts[0], "nameserver 192.0.2.53\n");
        let text = |path: &str| &files.iter().find(|file| file.path == path).unwrap().text;
        assert_eq!(text("etc/hostname"), "controller\n");
        let network = text("etc/systemd/network/10-eth0.network");
        assert!(network.contains("Address=10.0.0.100/24\nGateway=10.0.0.1\n"));
        assert_eq!(text("etc/machine-id").trim().len(), 32);
        assert_eq!(text("etc/resolv.conf"), "nameserver 192.0.2.53\n");
    }

    #[test]
    fn a_host_with_network_scripts_is_told_its_address_there() {
        let base = tempfile::tempdir().unwrap();
        fs::create_dir_all(base.path().join("etc/sysconfig/network-scripts")).unwrap();
        let mut lab = spec();
        lab.base = Some(base.path().to_owned());
        let file = address_file(&lab, &lab.hosts[1]);
        assert_eq!(file.path, "etc/sysconfig/network-scripts/ifcfg-eth0");
        assert!(
            file.text
                .contains("IPADDR=10.0.0.101\nPREFIX=24\nGATEWAY=10.0.0.1\n")
        );
    }

    #[test]
    fn only_name_servers_that_a_host_can_reach_are_passed_on() {
        let machine = "\
# made by something
nameserver 127.0.0.53
nameserver ::1
nameserver 192.0.2.53
search example.org
";
        assert_eq!(
            resolvers(machine),
            "nameserver 192.0.2.53\nsearch example.org\n"
        );
    }

    #[test]
    fn modes_are_as_told_and_a_home_is_private() {
        let root = tempfile::tempdir().unwrap();
        let key = own("root/.ssh/authorized_keys", 0o644, "key");
        write(root.path(), &key).unwrap();
        write(root.path(), &own("etc/machine-id", 0o444, "1")).unwrap();
        let mode = |path: &str| {
            fs::metadata(root.path().join(path))
                .unwrap()
                .permissions()
                .mode()
                & 0o777
        };
        assert_eq!(
            [mode("root"), mode("root/.ssh"), mode("etc")],
            [0o700, 0o700, 0o755]
        );
        assert_eq!(
            [mode("root/.ssh/authorized_keys"), mode("etc/machine-id")],
            [0o644, 0o444]
        );
    }

    #[test]
    fn mount_points_with_spaces_are_read() {
        let mounts = "36 35 98:0 / /mnt/a\\040b rw - ext4 /dev/x rw\n37 35 98:0 / /mnt/c rw - ext4 /dev/x rw\n";
        assert_eq!(
            mount_points(mounts).collect::<Vec<_>>(),
            ["/mnt/a b", "/mnt/c"]
        );
    }
}
