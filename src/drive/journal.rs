//! The record of a run: its events as JSON, one a line, only ever appended to.
//!
//! Each line is written whole as soon as its event happens, so that a crash costs at most the line
//! that was being written; the [`Reader`] takes such a torn last line for the end. Signs of life
//! ([`Event::Progress`]) are not kept. A journal that says something impossible is refused: it was
//! damaged, and replaying it would show what never happened.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::model::event::{Envelope, Event};
use crate::model::ledger::{Illegal, Ledger};
use crate::model::sink::Sink;
use crate::model::summary::Summary;

/// Writes a journal.
#[derive(Debug)]
pub struct Journal {
    file: File,
    line: Vec<u8>,
}

impl Journal {
    /// Begins a journal at `path`, which must not exist yet; only its owner can read it.
    ///
    /// # Errors
    /// The file exists or cannot be made.
    pub fn create(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .append(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        Ok(Self {
            file,
            line: Vec::new(),
        })
    }
}

impl Sink for Journal {
    fn name(&self) -> &'static str {
        "journal"
    }

    fn event(&mut self, envelope: &Envelope, _: &Summary) -> io::Result<()> {
        if matches!(envelope.event, Event::Progress { .. }) {
            return Ok(());
        }
        self.line.clear();
        serde_json::to_writer(&mut self.line, envelope)?;
        self.line.push(b'\n');
        self.file.write_all(&self.line)
    }

    fn finish(&mut self, _: &Summary) -> io::Result<()> {
        self.file.sync_all()
    }
}

/// Reads a journal, event by event; after an error it yields nothing more.
#[derive(Debug)]
pub struct Reader<R> {
    input: R,
    path: PathBuf,
    line: usize,
    ledger: Ledger,
    latest_seq: u64,
    over: bool,
}

/// Why a journal cannot be read.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum ReadError {
    #[error("cannot read the journal `{}`", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{}:{line}: not an event", path.display())]
    NotAnEvent {
        path: PathBuf,
        line: usize,
        source: serde_json::Error,
    },
    #[error("{}:{line}: this cannot have happened", path.display())]
    Illegal {
        path: PathBuf,
        line: usize,
        source: Illegal,
    },
    #[error("{}:{line}: event {seq} comes after event {latest}", path.display())]
    OutOfOrder {
        path: PathBuf,
        line: usize,
        seq: u64,
        latest: u64,
    },
}

impl Reader<BufReader<File>> {
    /// Opens the journal at `path`.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        let file = File::open(path).map_err(|source| ReadError::Io {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self::new(BufReader::new(file), path))
    }
}

impl<R: BufRead> Reader<R> {
    /// Reads from `input`; `path` is what messages call it.
    pub fn new(input: R, path: &Path) -> Self {
        Self {
            input,
            path: path.to_owned(),
            line: 0,
            ledger: Ledger::default(),
            latest_seq: 0,
            over: false,
        }
    }

    fn read(&mut self) -> Result<Option<Envelope>, ReadError> {
        let mut bytes = Vec::new();
        let read = self.input.read_until(b'\n', &mut bytes);
        read.map_err(|source| ReadError::Io {
            path: self.path.clone(),
            source,
        })?;
        if bytes.is_empty() {
            return Ok(None);
        }
        self.line += 1;
        let (path, line) = (self.path.clone(), self.line);
        let envelope: Envelope = match serde_json::from_slice(&bytes) {
            Ok(envelope) => envelope,
            Err(_) if bytes.last() != Some(&b'\n') => return Ok(None),
            Err(source) => return Err(ReadError::NotAnEvent { path, line, source }),
        };
        if envelope.seq <= self.latest_seq {
            let (seq, latest) = (envelope.seq, self.latest_seq);
            return Err(ReadError::OutOfOrder {
                path,
                line,
                seq,
                latest,
            });
        }
        self.latest_seq = envelope.seq;
        match self.ledger.admit(&envelope.event) {
            Ok(()) => Ok(Some(envelope)),
            Err(source) => Err(ReadError::Illegal { path, line, source }),
        }
    }
}

impl<R: BufRead> Iterator for Reader<R> {
    type Item = Result<Envelope, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let next = self.read().transpose();
        self.over = !matches!(next, Some(Ok(_)));
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGIN: &str = r#"{"version":1,"seq":1,"at":"2026-11-23T06:50:52.000Z","event":{"type":"run_started","run":"r","cloud":"c","mode":"apply","tool":"0.1.0","hosts":[]}}"#;

    fn line(seq: u64, event: &str) -> String {
        format!(r#"{{"version":1,"seq":{seq},"at":"2026-11-23T06:50:53.000Z","event":{event}}}"#)
    }

    fn read(text: &str) -> Result<Vec<Envelope>, ReadError> {
        Reader::new(text.as_bytes(), Path::new("journal.jsonl")).collect()
    }

    fn message(text: &str) -> String {
        let error = read(text).unwrap_err();
        let source = std::error::Error::source(&error).map(|s| format!(": {s}"));
        format!("{error}{}", source.unwrap_or_default())
    }

    #[test]
    fn what_was_written_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.jsonl");
        let events = read(&format!(
            "{BEGIN}\n{}\n{}\n",
            line(2, r#"{"type":"host_connecting","host":"a"}"#),
            line(4, r#"{"type":"stop_requested","now":true}"#)
        ))
        .unwrap();
        let mut journal = Journal::create(&path).unwrap();
        for event in &events {
            journal.event(event, &Summary::default()).unwrap();
        }
        let back: Result<Vec<_>, _> = Reader::open(&path).unwrap().collect();
        assert_eq!(back.unwrap(), events);
    }

    #[test]
    fn only_the_owner_can_read_it_and_it_is_never_begun_twice() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.jsonl");
        Journal::create(&path).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(
            Journal::create(&path).unwrap_err().kind(),
            io::ErrorKind::AlreadyExists
        );
    }

    #[test]
    fn a_torn_last_line_is_the_end() {
        let torn = &line(2, r#"{"type":"host_connecting","host":"a"}"#)[..40];
        assert_eq!(read(&format!("{BEGIN}\n{torn}")).unwrap().len(), 1);
        assert_eq!(read("").unwrap().len(), 0);
    }

    #[test]
    fn a_damaged_line_in_the_middle_is_named() {
        assert_eq!(
            message(&format!("{BEGIN}\n{{\n{BEGIN}\n")),
            "journal.jsonl:2: not an event: EOF while parsing an object at line 2 column 0"
        );
    }

    #[test]
    fn the_impossible_is_refused() {
        let output = line(
            2,
            r#"{"type":"output","step":"a/b@c","host":"c","stream":"stdout","line":"x"}"#,
        );
        assert_eq!(
            message(&format!("{BEGIN}\n{output}\n")),
            "journal.jsonl:2: this cannot have happened: step `a/b@c` was neither planned nor started"
        );
        let again = line(1, r#"{"type":"host_connecting","host":"a"}"#);
        assert_eq!(
            message(&format!("{BEGIN}\n{again}\n")),
            "journal.jsonl:2: event 1 comes after event 1"
        );
    }

    #[test]
    fn events_of_a_newer_version_are_passed_over() {
        let newer = line(2, r#"{"type":"moon_phase","full":true}"#);
        assert_eq!(
            read(&format!("{BEGIN}\n{newer}\n")).unwrap()[1].event,
            Event::Unknown
        );
    }
}
