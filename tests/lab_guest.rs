//! The test guest for real: made from the distribution's packages, and booted under an emulator.
//!
//! Needs no root where the emulator (`qemu-system-x86`) is installed; as root it is installed.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails where it panics, and says what it sees"
)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use provision::lab::Happening;
use provision::lab::guest::{self, GuestImage, GuestRecipe, READY};
use sha2::{Digest as _, Sha256};

/// Answers as a cloud's metadata service does, one request on standard input.
const METADATA: &str = r#"#!/bin/sh
read -r _ path _
case $path in
/latest/meta-data/instance-id) body=i-0000002a ;;
/latest/meta-data/hostname) body=proof.example.org ;;
/latest/user-data) body='#!/bin/sh
echo user data speaks' ;;
*) printf 'HTTP/1.0 404 Not Found\r\n\r\n' && exit ;;
esac
printf 'HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n%s' "$body"
"#;

#[tokio::test]
async fn a_guest_boots_finds_its_metadata_answers_and_stops_when_asked() {
    let directory = tempfile::tempdir().unwrap();
    let image = build(directory.path(), GuestRecipe::default()).await;
    let guest = Guest::boot(&image, directory.path());

    let ready = guest.console_line(READY);
    for wanted in [
        "instance-id=i-0000002a",
        "hostname=proof",
        "address=169.254.169.15",
    ] {
        assert!(ready.contains(wanted), "{ready}");
    }
    guest.console_line("user data speaks");

    let page = String::from_utf8(guest.get("/")).unwrap();
    for wanted in [
        "hostname=proof\n",
        "instance-id=i-0000002a\n",
        "disks=vda:65536",
    ] {
        assert!(page.contains(wanted), "{page}");
    }
    assert_eq!(guest.get("/blob").len(), 1 << 20);

    guest.press_power_button();
    guest.console_line("provision-guest stops");
    guest.ended();
}

#[tokio::test]
async fn a_guest_with_offload_works_too() {
    let directory = tempfile::tempdir().unwrap();
    let image = build(directory.path(), GuestRecipe { offload: true }).await;
    let guest = Guest::boot(&image, directory.path());
    guest.console_line(READY);
    assert_eq!(guest.get("/blob").len(), 1 << 20);
}

#[tokio::test]
async fn an_image_is_small_is_made_once_and_is_always_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let image = build(directory.path(), GuestRecipe::default()).await;
    assert!(image.bytes < 16 << 20, "{} bytes", image.bytes);
    let bytes = std::fs::read(&image.path).unwrap();
    assert_eq!(image.bytes, bytes.len() as u64);
    assert_eq!(
        image.sha256,
        data_encoding::HEXLOWER.encode(&Sha256::digest(&bytes))
    );

    let silent = |what: Happening| panic!("it is there already: {what:?}");
    let again = guest::build(directory.path(), GuestRecipe::default(), &silent)
        .await
        .unwrap();
    assert_eq!(again, image);

    let elsewhere = tempfile::tempdir().unwrap();
    let other = build(elsewhere.path(), GuestRecipe::default()).await;
    assert_eq!(other.sha256, image.sha256);
}

async fn build(cache: &Path, recipe: GuestRecipe) -> GuestImage {
    let progress = |what: Happening| println!("{what:?}");
    guest::build(cache, recipe, &progress)
        .await
        .unwrap_or_else(|error| panic!("{error}: {error:?}\n{}", error.help()))
}

/// A running guest, ended with the test.
struct Guest {
    emulator: std::cell::RefCell<Child>,
    console: PathBuf,
    monitor: PathBuf,
    port: u16,
}

impl Guest {
    fn boot(image: &GuestImage, directory: &Path) -> Self {
        let emulator = emulator();
        let (console, monitor) = (directory.join("console"), directory.join("monitor"));
        let metadata = directory.join("metadata");
        std::fs::write(&metadata, METADATA).unwrap();
        std::fs::set_permissions(&metadata, std::fs::Permissions::from_mode(0o755)).unwrap();
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let network = format!(
            "user,id=net,restrict=on,net=169.254.169.0/24,host=169.254.169.2,\
             dhcpstart=169.254.169.15,hostfwd=tcp:127.0.0.1:{port}-:80,\
             guestfwd=tcp:169.254.169.254:80-cmd:{}",
            metadata.display()
        );
        let child = Command::new(emulator)
            .args(["-machine", "pc,accel=tcg", "-cpu", "qemu64", "-nodefaults"])
            .args(["-m", &GuestImage::MEMORY.to_string(), "-display", "none"])
            .args(["-serial", &format!("file:{}", console.display())])
            .args(["-qmp", &format!("unix:{},server,nowait", monitor.display())])
            .args([
                "-drive",
                &format!("file={},if=virtio,snapshot=on", image.path.display()),
            ])
            .args(["-netdev", &network, "-device", "virtio-net-pci,netdev=net"])
            .spawn()
            .unwrap();
        Self {
            emulator: child.into(),
            console,
            monitor,
            port,
        }
    }

    /// Waits for a line with this text on the console.
    fn console_line(&self, wanted: &str) -> String {
        self.eventually(wanted, || {
            let console = std::fs::read(&self.console).unwrap_or_default();
            let console = String::from_utf8_lossy(&console);
            console
                .lines()
                .find(|line| line.contains(wanted))
                .map(str::to_owned)
        })
    }

    /// The body of a page.
    fn get(&self, path: &str) -> Vec<u8> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let start = String::from_utf8_lossy(&answer[..answer.len().min(12)]).into_owned();
        assert_eq!(start, "HTTP/1.1 200");
        let end = answer
            .windows(4)
            .position(|window| window == b"\r\n\r\n")
            .unwrap();
        answer.split_off(end + 4)
    }

    fn press_power_button(&self) {
        let mut monitor = UnixStream::connect(&self.monitor).unwrap();
        let mut answers = BufReader::new(monitor.try_clone().unwrap()).lines();
        answers.next().unwrap().unwrap();
        for command in ["qmp_capabilities", "system_powerdown"] {
            writeln!(monitor, r#"{{"execute":"{command}"}}"#).unwrap();
            answers.next().unwrap().unwrap();
        }
    }

    fn ended(&self) {
        let ended = || self.emulator.borrow_mut().try_wait().unwrap();
        assert!(self.eventually("the emulator ends", ended).success());
    }

    fn eventually<T>(&self, what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
        let deadline = Instant::now() + Duration::from_secs(180);
        loop {
            if let Some(answer) = ask() {
                return answer;
            }
            let console = std::fs::read(&self.console).unwrap_or_default();
            let console = String::from_utf8_lossy(&console);
            assert!(
                Instant::now() < deadline,
                "never came true: {what}\n{console}"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let mut emulator = self.emulator.borrow_mut();
        let _ = emulator.kill();
        let _ = emulator.wait();
    }
}

/// The emulator; installed where it is missing and this is root.
fn emulator() -> PathBuf {
    let name = "qemu-system-x86_64";
    if let Ok(path) = which::which(name) {
        return path;
    }
    let install = "apt-get install --yes --no-install-recommends qemu-system-x86";
    assert!(
        nix::unistd::geteuid().is_root(),
        "this test needs `{name}`: run `{install}` as root"
    );
    let status = Command::new("sh").args(["-c", install]).status().unwrap();
    assert!(status.success(), "`{install}` did not work");
    which::which(name).unwrap()
}
