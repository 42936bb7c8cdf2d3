//! A script to run on a host, and what came back.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

/// Which of a script's two output streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Called for each line of output as it comes, without its line end. Must not block.
pub type LineSink = Arc<dyn Fn(Stream, &str) + Send + Sync>;

/// How much of each stream is kept in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Capture {
    /// The last so many bytes.
    Tail(usize),
    /// Everything: for probes, whose output is parsed.
    All,
}

/// A POSIX `sh` script, what it reads on stdin, and how long it may take.
///
/// Neither script nor stdin ever appears in an argument list, here or on the host.
#[derive(Clone)]
pub struct Command {
    /// POSIX shell. Must not contain NUL.
    pub script: String,
    /// The script's standard input; may be binary.
    pub stdin: Bytes,
    /// From the start to the last byte; then the whole remote process group is killed. Waiting for one
    /// of the session's eight channels does not count.
    pub deadline: Duration,
    /// Run as root (see [`Sudo`](super::Sudo)); otherwise as the login user.
    pub sudo: bool,
    /// How much output is kept; everything reaches `on_line` regardless.
    pub capture: Capture,
    /// Sees each line as it comes.
    pub on_line: Option<LineSink>,
}

/// What a script that ran to its end left behind.
#[derive(Clone, PartialEq, Eq)]
pub struct Output {
    /// Exit status; 128 + n when signal n ended it, as a shell says it.
    pub status: i32,
    /// Standard output, bounded by [`Capture`].
    pub stdout: Vec<u8>,
    /// Standard error, bounded by [`Capture`].
    pub stderr: Vec<u8>,
    /// Bytes that did not fit [`Capture::Tail`], both streams together.
    pub dropped: u64,
    /// From the start to the last byte.
    pub elapsed: Duration,
}

impl Command {
    /// A script as root with empty stdin, 60 s, and 1 MiB of output kept per stream.
    pub fn new(script: impl Into<String>) -> Self {
        Self {
            script: script.into(),
            stdin: Bytes::new(),
            deadline: Duration::from_secs(60),
            sudo: true,
            capture: Capture::Tail(1 << 20),
            on_line: None,
        }
    }

    /// Gives the script something to read.
    pub fn stdin(mut self, data: impl Into<Bytes>) -> Self {
        self.stdin = data.into();
        self
    }

    /// Sets how long it may take.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Runs as the login user.
    pub fn as_login_user(mut self) -> Self {
        self.sudo = false;
        self
    }

    /// Keeps all output.
    pub fn capture_all(mut self) -> Self {
        self.capture = Capture::All;
        self
    }

    /// Streams lines as they come.
    pub fn on_line(mut self, sink: LineSink) -> Self {
        self.on_line = Some(sink);
        self
    }
}

impl Output {
    /// Whether the status is 0.
    pub fn success(&self) -> bool {
        self.status == 0
    }

    /// Standard output as text; broken UTF-8 becomes `U+FFFD`.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// The last `n` non-empty lines, of stderr if it has any, else of stdout: the cause of a failure.
    pub fn last_lines(&self, n: usize) -> Vec<String> {
        let of = |bytes: &[u8]| -> Vec<String> {
            let text = String::from_utf8_lossy(bytes);
            let lines: Vec<_> = text
                .lines()
                .filter(|line| !line.trim().is_empty())
                .collect();
            lines[lines.len().saturating_sub(n)..]
                .iter()
                .map(|line| (*line).to_owned())
                .collect()
        };
        let errors = of(&self.stderr);
        if errors.is_empty() {
            of(&self.stdout)
        } else {
            errors
        }
    }
}

// Scripts, input and output may hold secrets, so `Debug` shows sizes only.
impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Command")
            .field("script_bytes", &self.script.len())
            .field("stdin_bytes", &self.stdin.len())
            .field("deadline", &self.deadline)
            .field("sudo", &self.sudo)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Output")
            .field("status", &self.status)
            .field("stdout_bytes", &self.stdout.len())
            .field("stderr_bytes", &self.stderr.len())
            .field("elapsed", &self.elapsed)
            .finish_non_exhaustive()
    }
}
