//! HTTP/1.1 through a session's tunnel: how OpenStack's APIs are spoken to.
//!
//! Never follows redirects, never retries anything but an idempotent request on a kept connection
//! that had died meanwhile, and never shows headers or bodies in errors (they carry tokens).

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Body as HyperBody, Frame, SizeHint};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::io::{AsyncRead as _, ReadBuf};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};

use super::transport::{RunError, Session};

pub use hyper::Method;

/// Connections kept per endpoint.
const CONNECTIONS: usize = 3;
/// After that much idle time a connection gives its channel back.
const IDLE: Duration = Duration::from_secs(2);
/// Larger answers are an error.
const LARGEST_ANSWER: usize = 64 << 20;
/// File bodies are read and sent in pieces of this size.
const PIECE: usize = 64 * 1024;

/// Speaks to one endpoint as seen from one host. Cheap to clone; keeps up to three connections, and
/// lets go of idle ones after two seconds so that they do not hold the session's channels.
#[derive(Debug, Clone)]
pub struct HttpClient {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    session: Session,
    address: String,
    port: u16,
    connections: Semaphore,
    idle: Mutex<Vec<Idle>>,
}

#[derive(Debug)]
struct Idle {
    sender: SendRequest<Outgoing>,
    since: Instant,
}

/// What is asked. `Debug` leaves out header values and bodies: they carry tokens.
#[derive(Clone)]
pub struct Request {
    /// `GET`, `POST`, ...
    pub method: Method,
    /// Path and query, beginning with `/`.
    pub path: String,
    /// Header names and values; `Host` and `Content-Length` are added.
    pub headers: Vec<(String, String)>,
    /// What is sent.
    pub body: Body,
    /// From the call to the last byte of the answer.
    pub deadline: Duration,
}

/// What is sent.
#[derive(Clone)]
pub enum Body {
    /// Nothing.
    Empty,
    /// These bytes.
    Bytes(Bytes),
    /// A file of this machine, streamed: it may be larger than memory.
    File(PathBuf),
}

/// What came back, whatever its status. `Debug` shows status and size only.
#[derive(Clone)]
pub struct Response {
    /// `200`, `404`, ...
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The whole body, at most 64 MiB.
    pub body: Bytes,
}

/// No answer came back.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum HttpError {
    /// No tunnel: the session is lost, or nothing listens there.
    #[error("no connection for {method} {url}")]
    Connect {
        /// Method asked with.
        method: Method,
        /// `http://address:port/path` as the host sees it.
        url: String,
        /// What the session said.
        #[source]
        source: Box<RunError>,
    },
    /// The deadline passed.
    #[error("{host}: {method} {url} took longer than {} s", after.as_secs())]
    Deadline {
        /// Host name in the answer file.
        host: String,
        /// Method asked with.
        method: Method,
        /// `http://address:port/path` as the host sees it.
        url: String,
        /// The deadline that passed.
        after: Duration,
    },
    /// The connection broke, or the answer was no HTTP.
    #[error("{host}: {method} {url}: {cause}")]
    Broken {
        /// Host name in the answer file.
        host: String,
        /// Method asked with.
        method: Method,
        /// `http://address:port/path` as the host sees it.
        url: String,
        /// What was seen.
        cause: String,
    },
    /// The request itself is wrong (bad header, unreadable file).
    #[error("{host}: {method} {url} cannot be sent: {cause}")]
    Request {
        /// Host name in the answer file.
        host: String,
        /// Method asked with.
        method: Method,
        /// `http://address:port/path` as the host sees it.
        url: String,
        /// What is wrong.
        cause: String,
    },
}

impl Request {
    /// An empty request with 30 s.
    pub fn new(method: Method, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            headers: Vec::new(),
            body: Body::Empty,
            deadline: Duration::from_secs(30),
        }
    }

    /// Adds a header.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sends JSON.
    pub fn json(mut self, value: &serde_json::Value) -> Self {
        self.body = Body::Bytes(value.to_string().into());
        self.header("Content-Type", "application/json")
    }

    /// Sets how long it may take.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }
}

impl Response {
    /// The first header of that name (lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }
}

impl HttpClient {
    /// Connects nothing yet.
    pub fn new(session: Session, address: impl Into<String>, port: u16) -> Self {
        let shared = Shared {
            session,
            address: address.into(),
            port,
            connections: Semaphore::new(CONNECTIONS),
            idle: Mutex::default(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// The session it speaks through.
    pub fn session(&self) -> &Session {
        &self.shared.session
    }

    /// Asks, and reads the whole answer.
    pub async fn request(&self, request: Request) -> Result<Response, HttpError> {
        let after = request.deadline;
        let asked = timeout(after, self.ask(&request)).await;
        asked.unwrap_or_else(|_| {
            let (host, method, url) = self.names(&request);
            Err(HttpError::Deadline {
                host,
                method,
                url,
                after,
            })
        })
    }

    async fn ask(&self, request: &Request) -> Result<Response, HttpError> {
        let _turn = self.shared.connections.acquire().await;
        if let Some(mut sender) = self.idle() {
            match self.exchange(&mut sender, request).await {
                Ok(response) => return Ok(self.finish(sender, response)),
                // The server closed the kept connection meanwhile.
                Err(Trouble { error, unsent }) if !unsent && !request.method.is_idempotent() => {
                    return Err(error);
                }
                Err(_) => {}
            }
        }
        let mut sender = self.connect(request).await?;
        match self.exchange(&mut sender, request).await {
            Ok(response) => Ok(self.finish(sender, response)),
            Err(trouble) => Err(trouble.error),
        }
    }

    async fn connect(&self, request: &Request) -> Result<SendRequest<Outgoing>, HttpError> {
        let (host, method, url) = self.names(request);
        let tunnel = self
            .shared
            .session
            .tunnel(&self.shared.address, self.shared.port)
            .await;
        let unconnected = |source| HttpError::Connect {
            method: method.clone(),
            url: url.clone(),
            source: Box::new(source),
        };
        let tunnel = tunnel.map_err(unconnected)?;
        let (sender, connection) =
            handshake(TokioIo::new(tunnel))
                .await
                .map_err(|error| HttpError::Broken {
                    host,
                    method,
                    url,
                    cause: error.to_string(),
                })?;
        // It ends, and closes the tunnel, when the sender is dropped.
        tokio::spawn(connection);
        Ok(sender)
    }

    async fn exchange(
        &self,
        sender: &mut SendRequest<Outgoing>,
        request: &Request,
    ) -> Result<Response, Trouble> {
        let (host, method, url) = self.names(request);
        let wrong = |cause: String| Trouble {
            error: HttpError::Request {
                host: host.clone(),
                method: method.clone(),
                url: url.clone(),
                cause,
            },
            unsent: false,
        };
        let broken = |cause: String, unsent| Trouble {
            error: HttpError::Broken {
                host: host.clone(),
                method: method.clone(),
                url: url.clone(),
                cause,
            },
            unsent,
        };
        let body = Outgoing::open(&request.body)
            .await
            .map_err(|error| wrong(error.to_string()))?;
        let mut message = hyper::Request::builder()
            .method(&request.method)
            .uri(&request.path)
            .header(
                "Host",
                format!("{}:{}", self.shared.address, self.shared.port),
            );
        if !matches!(request.body, Body::Empty) || request.method == Method::POST {
            message = message.header("Content-Length", body.length());
        }
        for (name, value) in &request.headers {
            message = message.header(name, value);
        }
        let message = message
            .body(body)
            .map_err(|error| wrong(error.to_string()))?;
        let answer = sender
            .try_send_request(message)
            .await
            .map_err(|mut failed| {
                let unsent = failed.take_message().is_some();
                broken(chain(failed.error()), unsent)
            })?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, LARGEST_ANSWER).collect().await;
        let body = body.map_err(|error| broken(format!("answer cut short: {error}"), false))?;
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        let headers = head.headers.iter();
        Ok(Response {
            status: head.status.as_u16(),
            headers: headers
                .map(|(k, v)| (k.to_string(), text(v.as_bytes())))
                .collect(),
            body: body.to_bytes(),
        })
    }

    fn idle(&self) -> Option<SendRequest<Outgoing>> {
        let mut idle = self
            .shared
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        std::iter::from_fn(|| idle.pop())
            .map(|it| it.sender)
            .find(|it| !it.is_closed())
    }

    /// Keeps the connection for the next request, but not for long, and not while somebody else waits
    /// for a channel of the session.
    fn finish(&self, sender: SendRequest<Outgoing>, response: Response) -> Response {
        if self.shared.session.is_crowded() {
            return response;
        }
        let wanted = self.shared.session.channel_wanted();
        let kept = Idle {
            sender,
            since: Instant::now(),
        };
        self.shared
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(kept);
        let shared = Arc::downgrade(&self.shared);
        tokio::spawn(async move {
            let keep = tokio::select! {
                () = sleep(IDLE) => IDLE,
                () = wanted => Duration::ZERO,
            };
            if let Some(shared) = shared.upgrade() {
                let mut idle = shared.idle.lock().unwrap_or_else(PoisonError::into_inner);
                idle.retain(|it| it.since.elapsed() < keep);
            }
        });
        response
    }

    fn names(&self, request: &Request) -> (String, Method, String) {
        let Shared {
            session,
            address,
            port,
            ..
        } = &*self.shared;
        let url = format!("http://{address}:{port}{}", request.path);
        (session.target().name.clone(), request.method.clone(), url)
    }
}

/// A request that failed, and whether none of it had left us.
struct Trouble {
    error: HttpError,
    unsent: bool,
}

fn chain(error: &hyper::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// A body on its way out.
#[derive(Debug)]
enum Outgoing {
    Bytes(Option<Bytes>),
    File { file: tokio::fs::File, left: u64 },
}

impl Outgoing {
    async fn open(body: &Body) -> io::Result<Self> {
        Ok(match body {
            Body::Empty => Self::Bytes(None),
            Body::Bytes(bytes) => Self::Bytes(Some(bytes.clone())),
            Body::File(path) => {
                let named = |error: io::Error| {
                    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
                };
                let file = tokio::fs::File::open(path).await.map_err(named)?;
                let left = file.metadata().await.map_err(named)?.len();
                Self::File { file, left }
            }
        })
    }

    fn length(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.as_ref().map_or(0, |bytes| bytes.len() as u64),
            Self::File { left, .. } => *left,
        }
    }
}

impl HyperBody for Outgoing {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match &mut *self {
            Self::Bytes(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::File { left: 0, .. } => Poll::Ready(None),
            Self::File { file, left } => {
                let size = usize::try_from(*left).unwrap_or(PIECE).min(PIECE);
                let mut piece = BytesMut::zeroed(size);
                let mut buffer = ReadBuf::new(&mut piece);
                ready!(Pin::new(file).poll_read(cx, &mut buffer))?;
                let read = buffer.filled().len();
                if read == 0 {
                    let error = io::Error::new(io::ErrorKind::UnexpectedEof, "the file shrank");
                    return Poll::Ready(Some(Err(error)));
                }
                *left -= read as u64;
                piece.truncate(read);
                Poll::Ready(Some(Ok(Frame::data(piece.freeze()))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.length() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.length())
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("Empty"),
            Self::Bytes(bytes) => write!(f, "Bytes({})", bytes.len()),
            Self::File(path) => write!(f, "File({})", path.display()),
        }
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} with {} bytes", self.status, self.body.len())
    }
}
