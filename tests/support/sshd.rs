//! A real OpenSSH server on a loopback port, with keys and settings of its own, for one test.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::fs::{OpenOptions, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use provision::drive::transport::{HostKeys, Login, Reach, SshReach, Sudo, Target};
use tempfile::TempDir;

/// Runs until dropped.
pub(crate) struct Sshd {
    pub(crate) dir: TempDir,
    pub(crate) port: u16,
    child: Child,
}

impl Sshd {
    /// A server that lets `authorized` public keys in; `extra` goes to the top of its configuration,
    /// where it wins.
    pub(crate) fn start(extra: &str) -> Self {
        let sshd = Path::new("/usr/sbin/sshd");
        assert!(
            sshd.exists(),
            "/usr/sbin/sshd is missing: apt-get install -y openssh-server"
        );
        std::fs::create_dir_all("/run/sshd").unwrap();
        let dir = tempfile::tempdir().unwrap();
        keygen(&dir.path().join("host"), "ed25519");
        std::fs::write(dir.path().join("authorized"), "").unwrap();
        let port = free_port();
        let at = dir.path().display();
        // With a higher SHLVL bash leaves this machine's ~/.bashrc out of the test.
        let config = format!(
            "{extra}\nPort {port}\nListenAddress 127.0.0.1\nHostKey {at}/host\nPidFile none\n\
             AuthorizedKeysFile {at}/authorized\nStrictModes no\nUsePAM no\nPermitRootLogin yes\n\
             PasswordAuthentication no\nKbdInteractiveAuthentication no\n\
             SetEnv SHLVL=5\n"
        );
        std::fs::write(dir.path().join("config"), config).unwrap();
        let child = spawn(dir.path());
        let mut it = Self { dir, port, child };
        it.wait();
        it
    }

    /// A server in a mount namespace with an `/etc` of its own, where a user `bob` with the password
    /// `bob's password` and these sudoers lines exists.
    pub(crate) fn with_bob(extra: &str, sudoers: &str) -> Self {
        let sudo = Path::new("/usr/bin/sudo");
        assert!(
            sudo.exists(),
            "/usr/bin/sudo is missing: apt-get install -y sudo"
        );
        let mut it = Self::start(extra);
        it.stop();
        std::fs::set_permissions(it.dir.path(), Permissions::from_mode(0o755)).unwrap();
        std::fs::create_dir(it.path("etc")).unwrap();
        std::fs::write(it.path("sudoers"), format!("{sudoers}\n")).unwrap();
        let setup = "cd \"$1\" && mount -t tmpfs none etc && mkdir etc/up etc/work && \
             mount -t overlay none -o lowerdir=/etc,upperdir=etc/up,workdir=etc/work /etc && \
             useradd -s /bin/sh bob && echo \"bob:bob's password\" | chpasswd && \
             install -m 0440 sudoers /etc/sudoers.d/zz && exec /usr/sbin/sshd -D -e -f \"$1\"/config";
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "sh", "-c", setup, "sh"])
            .arg(it.dir.path());
        it.child = logged(command, it.dir.path());
        it.wait();
        it
    }

    /// A target that logs in as `bob`.
    pub(crate) fn bob(&self, sudo: Sudo) -> Target {
        let mut target = self.ed25519();
        if let Reach::Ssh(reach) = &mut target.reach {
            reach.user = "bob".to_owned();
        }
        target.sudo = sudo;
        target
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Makes a key pair that the server lets in, and returns the private file.
    pub(crate) fn login_key(&self, kind: &str) -> PathBuf {
        let file = self.path(&format!("id_{kind}"));
        if file.exists() {
            return file;
        }
        keygen(&file, kind);
        let mut authorized = std::fs::read_to_string(self.path("authorized")).unwrap();
        authorized += &std::fs::read_to_string(file.with_extension("pub")).unwrap();
        std::fs::write(self.path("authorized"), authorized).unwrap();
        file
    }

    /// A target with that login, pinning at first contact.
    pub(crate) fn target(&self, login: Login) -> Target {
        let mut reach = SshReach::new("127.0.0.1", self.path("known_hosts"));
        reach.port = self.port;
        reach.user = whoami();
        reach.login = login;
        reach.host_keys = HostKeys::PinFirst;
        Target::ssh("box", reach)
    }

    /// A target with a fresh ed25519 key.
    pub(crate) fn ed25519(&self) -> Target {
        let identities = vec![self.login_key("ed25519")];
        self.target(Login {
            identities,
            ..Login::default()
        })
    }

    /// Adds to the configuration, and starts again with it.
    pub(crate) fn configure(&mut self, extra: &str) {
        let mut config = std::fs::read_to_string(self.path("config")).unwrap();
        config += extra;
        config += "\n";
        std::fs::write(self.path("config"), config).unwrap();
        self.stop();
        self.restart();
    }

    /// Ends the listener and every connection, as a crash would.
    pub(crate) fn stop(&mut self) {
        let id = self.child.id();
        let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
        self.child.kill().unwrap();
        for child in children.split_whitespace() {
            Command::new("kill")
                .args(["-KILL", child])
                .status()
                .unwrap();
        }
        self.child.wait().unwrap();
    }

    /// Starts again on the same port.
    pub(crate) fn restart(&mut self) {
        self.child = spawn(self.dir.path());
        self.wait();
    }

    /// Another host key from the next start on.
    pub(crate) fn change_host_key(&self) {
        std::fs::remove_file(self.path("host")).unwrap();
        std::fs::remove_file(self.path("host.pub")).unwrap();
        keygen(&self.path("host"), "ed25519");
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    fn wait(&mut self) {
        let end = Instant::now() + Duration::from_secs(10);
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(
                self.child.try_wait().unwrap().is_none(),
                "sshd ended: {}",
                self.log()
            );
            assert!(Instant::now() < end, "sshd does not listen: {}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(dir: &Path) -> Child {
    let mut command = Command::new("/usr/sbin/sshd");
    command.args(["-D", "-e", "-f"]).arg(dir.join("config"));
    logged(command, dir)
}

fn logged(mut command: Command, dir: &Path) -> Child {
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(dir.join("log"))
        .unwrap();
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap()
}

pub(crate) fn keygen(file: &Path, kind: &str) {
    keygen_with(file, kind, "");
}

pub(crate) fn keygen_with(file: &Path, kind: &str, passphrase: &str) {
    let mut command = Command::new("ssh-keygen");
    command
        .args(["-q", "-N", passphrase, "-C", "test", "-t", kind, "-f"])
        .arg(file);
    assert!(command.status().unwrap().success());
}

/// Signs `<id>.pub` with a user authority; the certificate stands beside the key.
pub(crate) fn sign(ca: &Path, id: &Path, user: &str) {
    let mut command = Command::new("ssh-keygen");
    command
        .args(["-q", "-I", "test", "-n", user, "-s"])
        .arg(ca)
        .arg(id.with_extension("pub"));
    assert!(command.status().unwrap().success());
}

/// An agent with a socket of its own, until dropped.
pub(crate) struct Agent {
    pub(crate) socket: PathBuf,
    child: Child,
}

impl Agent {
    pub(crate) fn start(dir: &Path) -> Self {
        let socket = dir.join("agent");
        let mut command = Command::new("ssh-agent");
        command
            .arg("-D")
            .arg("-a")
            .arg(&socket)
            .stdout(Stdio::null());
        let child = command.spawn().unwrap();
        let end = Instant::now() + Duration::from_secs(10);
        while std::os::unix::net::UnixStream::connect(&socket).is_err() {
            assert!(Instant::now() < end, "ssh-agent does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
        Self { socket, child }
    }

    pub(crate) fn add(&self, key: &Path) {
        self.ssh_add(&["-q".as_ref(), key.as_os_str()]);
    }

    pub(crate) fn remove_all(&self) {
        self.ssh_add(&["-q".as_ref(), "-D".as_ref()]);
    }

    fn ssh_add(&self, arguments: &[&std::ffi::OsStr]) {
        let mut command = Command::new("ssh-add");
        command.args(arguments).env("SSH_AUTH_SOCK", &self.socket);
        assert!(command.status().unwrap().success());
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn whoami() -> String {
    let output = Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A free port that keeps being ours while the server restarts: below those the kernel gives out.
fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let first = std::process::id().wrapping_mul(97);
    loop {
        let n = first.wrapping_add(NEXT.fetch_add(1, Ordering::SeqCst));
        let port = 20_000 + u16::try_from(n % 12_000).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
