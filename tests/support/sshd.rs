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
        std::fs::create_dir_all("/run/sshd").expect("sshd needs /run/sshd (are you root?)");
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

    /// Ends the listener and every connection, as a crash would.
    pub(crate) fn stop(&mut self) {
        let _ = Command::new("pkill")
            .args(["-KILL", "-P", &self.child.id().to_string()])
            .status();
        self.child.kill().unwrap();
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
    let mut command = Command::new("ssh-keygen");
    command
        .args(["-q", "-N", "", "-C", "test", "-t", kind, "-f"])
        .arg(file);
    assert!(command.status().expect("ssh-keygen").success());
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
