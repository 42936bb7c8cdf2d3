//! One question to a message broker: may this user, with this password, open this virtual host?
//!
//! Speaks just enough AMQP 0-9-1 to get the answer, and never declares or publishes anything.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use super::transport::{Secret, Session, Tunnel};

/// The broker's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BrokerLogin {
    /// Login and virtual host are good.
    Accepted,
    /// The broker said no, in these words.
    Refused(String),
    /// Nothing there speaks AMQP 0-9-1, for this reason.
    NoBroker(String),
}

/// Who asks, and for what.
#[derive(Debug, Clone)]
pub struct BrokerAccount {
    /// User name.
    pub user: String,
    /// Password.
    pub password: Secret,
    /// Virtual host, `/` by default in RabbitMQ.
    pub vhost: String,
}

const GREETING: &[u8] = b"AMQP\0\0\x09\x01";
const METHOD_FRAME: u8 = 1;
const FRAME_END: u8 = 0xce;
/// No method of the handshake comes near it.
const LARGEST_FRAME: u32 = 128 * 1024;

const START: (u16, u16) = (10, 10);
const START_OK: (u16, u16) = (10, 11);
const TUNE: (u16, u16) = (10, 30);
const TUNE_OK: (u16, u16) = (10, 31);
const OPEN: (u16, u16) = (10, 40);
const OPEN_OK: (u16, u16) = (10, 41);
const CLOSE: (u16, u16) = (10, 50);

/// Tries a login on the broker at `address:port` as seen from the session's host.
pub async fn try_login(
    session: &Session,
    address: &str,
    port: u16,
    account: &BrokerAccount,
    deadline: Duration,
) -> BrokerLogin {
    let asking = async {
        match session.tunnel(address, port).await {
            Ok(tunnel) => handshake(tunnel, account).await,
            Err(error) => BrokerLogin::NoBroker(error.to_string()),
        }
    };
    let late = || BrokerLogin::NoBroker(format!("no answer within {} s", deadline.as_secs()));
    timeout(deadline, asking).await.unwrap_or_else(|_| late())
}

async fn handshake(mut tunnel: Tunnel, account: &BrokerAccount) -> BrokerLogin {
    let mut started = false;
    if let Err(error) = tunnel.write_all(GREETING).await {
        return BrokerLogin::NoBroker(error.to_string());
    }
    loop {
        let (method, arguments) = match read_method(&mut tunnel).await {
            Ok(read) => read,
            // A broker that cannot say why just hangs up on a wrong password.
            Err(error) if started && error.kind() == io::ErrorKind::UnexpectedEof => {
                return BrokerLogin::Refused("the broker closed the connection".to_owned());
            }
            Err(error) => return BrokerLogin::NoBroker(error.to_string()),
        };
        let reply = match method {
            START => {
                started = true;
                frame(START_OK, &start_ok(account))
            }
            // Its limits are fine; no heartbeats for so short a visit.
            TUNE if arguments.len() >= 6 => {
                let limits = [&arguments[..6], &[0, 0]].concat();
                let open = [&short_string(&account.vhost)[..], &[0, 0]].concat();
                [frame(TUNE_OK, &limits), frame(OPEN, &open)].concat()
            }
            OPEN_OK => {
                let done = [&200u16.to_be_bytes()[..], &[0, 0, 0, 0, 0]].concat();
                let _ = tunnel.write_all(&frame(CLOSE, &done)).await;
                return BrokerLogin::Accepted;
            }
            CLOSE => return BrokerLogin::Refused(close_reason(&arguments)),
            (class, method) => {
                return BrokerLogin::NoBroker(format!("unexpected method {class}.{method}"));
            }
        };
        if let Err(error) = tunnel.write_all(&reply).await {
            return BrokerLogin::NoBroker(error.to_string());
        }
    }
}

/// The next method frame; heartbeats are skipped.
async fn read_method(tunnel: &mut Tunnel) -> io::Result<((u16, u16), Vec<u8>)> {
    loop {
        let mut head = [0; 7];
        tunnel.read_exact(&mut head).await?;
        let (kind, size) = parse_head(&head).map_err(io::Error::other)?;
        let mut rest = vec![0; size + 1];
        tunnel.read_exact(&mut rest).await?;
        if rest.pop() != Some(FRAME_END) {
            return Err(io::Error::other("a frame without an end"));
        }
        if kind == METHOD_FRAME {
            let (&[a, b, c, d], arguments) = rest
                .split_first_chunk()
                .ok_or_else(|| io::Error::other("an empty method"))?;
            let method = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
            return Ok((method, arguments.to_vec()));
        }
    }
}

/// Kind and size of a frame from its first seven bytes.
fn parse_head(head: &[u8; 7]) -> Result<(u8, usize), String> {
    let [kind, _, _, size @ ..] = *head;
    let size = u32::from_be_bytes(size);
    if head.starts_with(b"AMQP") {
        return Err("it speaks another AMQP than 0-9-1".to_owned());
    }
    if size > LARGEST_FRAME {
        return Err("it does not speak AMQP".to_owned());
    }
    Ok((kind, size as usize))
}

fn frame((class, method): (u16, u16), arguments: &[u8]) -> Vec<u8> {
    let mut frame = vec![METHOD_FRAME, 0, 0];
    frame.extend((arguments.len() as u32 + 4).to_be_bytes());
    frame.extend(class.to_be_bytes());
    frame.extend(method.to_be_bytes());
    frame.extend(arguments);
    frame.push(FRAME_END);
    frame
}

fn start_ok(account: &BrokerAccount) -> Vec<u8> {
    // Asks for a reason instead of a closed connection when the login fails.
    let capability = [&short_string("authentication_failure_close")[..], b"t\x01"].concat();
    let capabilities = [
        &short_string("capabilities")[..],
        b"F",
        &long_string(&capability),
    ]
    .concat();
    let login = format!("\0{}\0{}", account.user, account.password.reveal());
    [
        &long_string(&capabilities)[..],
        &short_string("PLAIN"),
        &long_string(login.as_bytes()),
        &short_string("en_US"),
    ]
    .concat()
}

fn short_string(text: &str) -> Vec<u8> {
    let text = &text.as_bytes()[..text.len().min(255)];
    [&[text.len() as u8], text].concat()
}

fn long_string(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u32).to_be_bytes()[..], bytes].concat()
}

/// `403 ACCESS_REFUSED - …` from the arguments of a close.
fn close_reason(arguments: &[u8]) -> String {
    let Some((&[high, low, length], text)) = arguments.split_first_chunk() else {
        return "no reason given".to_owned();
    };
    let text = &text[..text.len().min(usize::from(length))];
    format!(
        "{} {}",
        u16::from_be_bytes([high, low]),
        String::from_utf8_lossy(text)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_laid_out_as_the_protocol_says() {
        assert_eq!(
            frame(OPEN, b"\x01/\0\0"),
            b"\x01\0\0\0\0\0\x08\0\x0a\0\x28\x01/\0\0\xce"
        );
        let account = BrokerAccount {
            user: "u".to_owned(),
            password: Secret::new("p"),
            vhost: "/".to_owned(),
        };
        let bytes = start_ok(&account);
        assert!(
            bytes.ends_with(b"\x05PLAIN\0\0\0\x04\0u\0p\x05en_US"),
            "{bytes:?}"
        );
        let table = u32::from_be_bytes(bytes[..4].try_into().unwrap()) as usize;
        assert_eq!(&bytes[4 + table..][..6], b"\x05PLAIN");
    }

    #[test]
    fn heads_of_other_protocols_are_no_frames() {
        assert_eq!(parse_head(b"\x01\0\0\0\0\x01\x02"), Ok((1, 0x102)));
        assert!(parse_head(b"AMQP\0\x01\0").unwrap_err().contains("0-9-1"));
        assert!(parse_head(b"HTTP/1.").is_err());
    }

    #[test]
    fn a_close_tells_code_and_text() {
        assert_eq!(close_reason(b"\x02\x12\x03NO!\0\x0a\0\x28"), "530 NO!");
        assert_eq!(close_reason(b"\x02"), "no reason given");
        assert_eq!(close_reason(b"\x01\x93\xffcut"), "403 cut");
    }
}
