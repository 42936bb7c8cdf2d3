//! The transport against real OpenSSH servers on loopback ports.

#[path = "support/sshd.rs"]
mod sshd;

use provision::drive::transport::{Command, Connector};
use sshd::Sshd;

#[tokio::test]
async fn a_script_gets_its_input_and_we_get_its_output() {
    let server = Sshd::start("");
    let session = Connector::new().connect(&server.ed25519()).await.unwrap();
    let data: Vec<u8> = (0..1u32 << 18).flat_map(u32::to_le_bytes).collect();
    let command = Command::new("cat; echo to stderr >&2; exit 3").stdin(data.clone());
    let output = session.run(command.capture_all()).await.unwrap();
    assert_eq!(output.status, 3);
    assert!(output.stdout == data);
    assert_eq!(output.stderr, b"to stderr\n");
}
