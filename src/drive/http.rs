//! HTTP/1.1 through a session's tunnel: how OpenStack's APIs are spoken to.
//!
//! Never follows redirects, never retries anything but an idempotent request on a kept connection
//! that had died meanwhile, and never shows headers or bodies in errors (they carry tokens).

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use thiserror::Error;

use super::transport::{RunError, Session};

pub use hyper::Method;

/// Speaks to one endpoint as seen from one host. Cheap to clone; keeps up to three connections, and
/// lets go of idle ones after two seconds so that they do not hold the session's channels.
#[derive(Debug, Clone)]
pub struct HttpClient {
    session: Session,
    address: String,
    port: u16,
}

/// What is asked.
#[derive(Debug, Clone)]
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
#[derive(Debug, Clone)]
pub enum Body {
    /// Nothing.
    Empty,
    /// These bytes.
    Bytes(Bytes),
    /// A file of this machine, streamed: it may be larger than memory.
    File(PathBuf),
}

/// What came back, whatever its status.
#[derive(Debug, Clone)]
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
        source: RunError,
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
        Self {
            session,
            address: address.into(),
            port,
        }
    }

    /// Asks, and reads the whole answer.
    pub async fn request(&self, request: Request) -> Result<Response, HttpError> {
        Err(HttpError::Broken {
            host: self.session.target().name.clone(),
            method: request.method,
            url: format!("http://{}:{}{}", self.address, self.port, request.path),
            cause: "unfinished".to_owned(),
        })
    }
}
