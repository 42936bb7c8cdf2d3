//! The conversation with one running script, as a state machine over bytes: finds our two marker
//! lines, answers sudo's prompt, splits output into lines, keeps what has to be kept. Pure.

use std::collections::VecDeque;
use std::time::Duration;

use super::command::{Capture, Command, LineSink, Output, Stream};
use super::error::SudoError;
use super::shell::{self, MARK, PROMPT};

/// Longer lines are cut for `on_line` and for errors (never in captured output).
const LONGEST_LINE: usize = 4096;
/// Lines of both streams kept for errors.
const LAST_LINES: usize = 20;

/// What the driver has to do next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Go on reading.
    Read,
    /// sudo waits for its password.
    SendPassword,
    /// The script can be sent now.
    SendPayload,
    /// sudo asked a second time: the password is wrong.
    GiveUp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Greeting,
    Launching,
    Running,
}

/// State of one conversation.
pub(super) struct Exchange {
    stage: Stage,
    wants_sudo: bool,
    asked: u32,
    prelude: Vec<u8>,
    groups: Vec<u32>,
    stdout: Kept,
    stderr: Kept,
    last: VecDeque<String>,
    on_line: Option<LineSink>,
}

impl Exchange {
    pub(super) fn new(command: &Command, wants_sudo: bool) -> Self {
        Self {
            stage: Stage::Greeting,
            wants_sudo,
            asked: 0,
            prelude: Vec::new(),
            groups: Vec::new(),
            stdout: Kept::new(command.capture),
            stderr: Kept::new(command.capture),
            last: VecDeque::new(),
            on_line: command.on_line.clone(),
        }
    }

    /// Process groups to end when the script has to stop; empty until it has greeted us.
    pub(super) fn groups(&self) -> &[u32] {
        &self.groups
    }

    /// The last lines of both streams, in the order they came.
    pub(super) fn last_lines(&self) -> Vec<String> {
        self.last.iter().cloned().collect()
    }

    pub(super) fn stdout(&mut self, data: &[u8]) -> Next {
        if self.stage == Stage::Running {
            self.take(Stream::Stdout, data);
            return Next::Read;
        }
        self.prelude.extend_from_slice(data);
        let mut next = Next::Read;
        while self.stage != Stage::Running {
            let Some(line) = self.marked_line() else {
                return next;
            };
            match (self.stage, line.strip_prefix("go ")) {
                (Stage::Launching, Some(pid)) => {
                    self.groups
                        .extend(pid.parse().ok().filter(|pid| !self.groups.contains(pid)));
                    self.stage = Stage::Running;
                    next = Next::SendPayload;
                }
                (_, None) => {
                    self.groups.extend(line.parse::<u32>().ok());
                    self.stage = Stage::Launching;
                }
                _ => {}
            }
        }
        let rest = std::mem::take(&mut self.prelude);
        self.take(Stream::Stdout, &rest);
        next
    }

    pub(super) fn stderr(&mut self, data: &[u8]) -> Next {
        self.take(Stream::Stderr, data);
        if self.stage == Stage::Running || !self.wants_sudo {
            return Next::Read;
        }
        let seen = self.stderr.text();
        let asked = seen.matches(PROMPT).count() + seen.matches("[sudo] password for").count();
        let before = std::mem::replace(&mut self.asked, u32::try_from(asked).unwrap_or(u32::MAX));
        match (before, self.asked) {
            (0, 1) => Next::SendPassword,
            (_, 2..) => Next::GiveUp,
            _ => Next::Read,
        }
    }

    /// Flushes lines without an end, and tells how it went.
    pub(super) fn finish(mut self, status: i32, elapsed: Duration) -> Result<Output, Failure> {
        for stream in [Stream::Stdout, Stream::Stderr] {
            if let Some(line) = self.kept(stream).rest() {
                self.line(stream, line);
            }
        }
        match self.stage {
            Stage::Running => Ok(Output {
                status,
                dropped: self.stdout.dropped + self.stderr.dropped,
                stdout: self.stdout.bytes.into(),
                stderr: self.stderr.bytes.into(),
                elapsed,
            }),
            Stage::Launching if self.wants_sudo => Err(Failure::Sudo(self.sudo_failure())),
            _ => Err(Failure::NoShell(self.last_lines())),
        }
    }

    /// What sudo said, ours left out.
    pub(super) fn sudo_failure(&self) -> SudoError {
        if self.asked > 1 {
            return SudoError::WrongPassword;
        }
        shell::sudo_error(&self.stderr.text().replace(PROMPT, ""))
    }

    fn take(&mut self, stream: Stream, data: &[u8]) {
        for line in self.kept(stream).push(data) {
            self.line(stream, line);
        }
    }

    fn kept(&mut self, stream: Stream) -> &mut Kept {
        match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        }
    }

    fn line(&mut self, stream: Stream, line: String) {
        if let Some(sink) = &self.on_line {
            sink(stream, &line);
        }
        if !line.trim().is_empty() {
            if self.last.len() == LAST_LINES {
                self.last.pop_front();
            }
            self.last.push_back(line);
        }
    }

    /// The next whole line of ours; what stands before its mark is noise from login files.
    fn marked_line(&mut self) -> Option<String> {
        let start = self.prelude.iter().position(|&byte| byte == MARK)?;
        let length = self.prelude[start..]
            .iter()
            .position(|&byte| byte == b'\n')?;
        let line = String::from_utf8_lossy(&self.prelude[start + 1..start + length]).into_owned();
        self.prelude.drain(..=start + length);
        Some(line)
    }
}

/// The script never began.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Failure {
    Sudo(SudoError),
    /// With what came instead.
    NoShell(Vec<String>),
}

/// One stream: captured bytes and the line being built.
struct Kept {
    limit: usize,
    bytes: VecDeque<u8>,
    dropped: u64,
    line: Vec<u8>,
}

impl Kept {
    fn new(capture: Capture) -> Self {
        let limit = match capture {
            Capture::Tail(bytes) => bytes,
            Capture::All => usize::MAX,
        };
        Self {
            limit,
            bytes: VecDeque::new(),
            dropped: 0,
            line: Vec::new(),
        }
    }

    fn push(&mut self, data: &[u8]) -> Vec<String> {
        let surplus = (self.bytes.len() + data.len()).saturating_sub(self.limit);
        let old = surplus.min(self.bytes.len());
        self.bytes.drain(..old);
        self.bytes.extend(&data[surplus - old..]);
        self.dropped += surplus as u64;

        let mut lines = Vec::new();
        for piece in data.split_inclusive(|&byte| byte == b'\n' || byte == b'\r') {
            let (text, ended) = match piece.split_last() {
                Some((b'\n' | b'\r', text)) => (text, true),
                _ => (piece, false),
            };
            let room = LONGEST_LINE.saturating_sub(self.line.len()).min(text.len());
            self.line.extend_from_slice(&text[..room]);
            // A progress bar ends its lines with \r; an empty line that only \r or \r\n made is none.
            if ended && !(self.line.is_empty() && piece.ends_with(b"\r")) {
                lines.extend(self.rest().or(Some(String::new())));
            }
        }
        lines
    }

    fn rest(&mut self) -> Option<String> {
        (!self.line.is_empty()).then(|| {
            let line = String::from_utf8_lossy(&self.line).into_owned();
            self.line.clear();
            line
        })
    }

    fn text(&self) -> String {
        let bytes: Vec<u8> = self.bytes.iter().copied().collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    fn exchange(sudo: bool) -> Exchange {
        Exchange::new(&Command::new(""), sudo)
    }

    fn finish(exchange: Exchange) -> Result<Output, Failure> {
        exchange.finish(0, Duration::ZERO)
    }

    #[test]
    fn noise_of_login_files_is_no_output() {
        let mut it = exchange(false);
        assert_eq!(it.stdout(b"Welcome!\nno newline\x1e12"), Next::Read);
        assert_eq!(it.stdout(b"34\n\x1ego 1235\nfirst"), Next::SendPayload);
        assert_eq!(it.stdout(b" line\n\x1eraw"), Next::Read);
        assert_eq!(it.groups(), [1234, 1235]);
        assert_eq!(finish(it).unwrap().stdout, b"first line\n\x1eraw");
    }

    #[test]
    fn the_password_is_sent_once_and_only_when_asked() {
        let mut it = exchange(true);
        it.stdout(b"\x1e7\n");
        let (start, end) = PROMPT.split_at(9);
        assert_eq!(it.stderr(start.as_bytes()), Next::Read);
        assert_eq!(it.stderr(end.as_bytes()), Next::SendPassword);
        assert_eq!(it.stderr(b"\nSorry, try again.\n"), Next::Read);
        assert_eq!(it.stderr(PROMPT.as_bytes()), Next::GiveUp);
        assert_eq!(finish(it), Err(Failure::Sudo(SudoError::WrongPassword)));
    }

    #[test]
    fn an_end_before_the_greeting_is_no_shell() {
        let mut it = exchange(false);
        it.stdout(b"This account is currently not available.\n");
        assert_eq!(finish(it), Err(Failure::NoShell(vec![])));
        let mut it = exchange(false);
        it.stderr(b"sh: not found");
        assert_eq!(
            finish(it),
            Err(Failure::NoShell(vec!["sh: not found".to_owned()]))
        );
    }

    #[test]
    fn the_tail_is_kept_and_the_rest_counted() {
        let mut command = Command::new("");
        command.capture = Capture::Tail(4);
        let mut it = Exchange::new(&command, false);
        it.stdout(b"\x1e1\n\x1ego 1\n");
        it.stdout(b"ab");
        it.stdout(b"cdefgh");
        it.stdout(b"i");
        let output = finish(it).unwrap();
        assert_eq!(
            (output.stdout.as_slice(), output.dropped),
            (&b"fghi"[..], 5)
        );
    }

    #[test]
    fn lines_end_at_newlines_and_returns_and_are_bounded() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sink = seen.clone();
        let command = Command::new("").on_line(Arc::new(move |stream, line| {
            sink.lock().unwrap().push((stream, line.to_owned()));
        }));
        let mut it = Exchange::new(&command, false);
        it.stdout(b"\x1e1\n\x1ego 1\n");
        it.stdout(b"10%\r20%\r\ndone\n\nlast");
        it.stderr(&[b'x'; LONGEST_LINE + 10]);
        assert_eq!(finish(it).unwrap().stdout, b"10%\r20%\r\ndone\n\nlast");
        let seen = seen.lock().unwrap();
        let out: Vec<_> = seen.iter().filter(|(s, _)| *s == Stream::Stdout).collect();
        let out: Vec<_> = out.iter().map(|(_, line)| line.as_str()).collect();
        assert_eq!(out, ["10%", "20%", "", "done", "", "last"]);
        assert_eq!(seen.last().unwrap().1.len(), LONGEST_LINE);
    }
}
