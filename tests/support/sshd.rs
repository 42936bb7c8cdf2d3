//! A real OpenSSH server on a loopback port, with keys and settings of its own, for one test.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use provision::drive::transport::{HostKeys, Login, SshReach, Target};
use tempfile::TempDir;

/// Runs until dropped.
pub(crate) struct Sshd {
    pub(crate) dir: TempDir,
    pub(crate) port: u16,
    child: Child,
}

impl Sshd {
    /// A server that lets `authorized` public keys in; `extra` goes into its configuration.
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
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {at}/host\nPidFile none\n\
             AuthorizedKeysFile {at}/authorized\nStrictModes no\nUsePAM no\nPermitRootLogin yes\n\
             PasswordAuthentication no\nKbdInteractiveAuthentication no\n\
             SetEnv SHLVL=5\n{extra}\n"
        );
        std::fs::write(dir.path().join("config"), config).unwrap();
        let child = spawn(dir.path());
        let mut it = Self { dir, port, child };
        it.wait();
        it
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Makes a key pair that the server lets in, and returns the private file.
    pub(crate) fn login_key(&self, kind: &str) -> PathBuf {
        let file = self.path(&format!("id_{kind}"));
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
    let log = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(dir.join("log"))
        .unwrap();
    let mut command = Command::new("/usr/sbin/sshd");
    command.args(["-D", "-e", "-f"]).arg(dir.join("config"));
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

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}
