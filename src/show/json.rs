//! Events for other programs: one JSON object a line, the shape and version of [`Envelope`].

use std::io::{self, Write};

use crate::model::event::Envelope;
use crate::model::sink::Sink;
use crate::model::summary::Summary;

/// Writes events as JSON lines.
#[derive(Debug)]
pub struct Json<W> {
    out: W,
}

impl<W: Write> Json<W> {
    /// Writes to `out`.
    pub fn new(out: W) -> Self {
        Self { out }
    }
}

impl<W: Write + Send> Sink for Json<W> {
    fn name(&self) -> &'static str {
        "output"
    }

    fn event(&mut self, envelope: &Envelope, _: &Summary) -> io::Result<()> {
        serde_json::to_writer(&mut self.out, envelope)?;
        self.out.write_all(b"\n")?;
        self.out.flush()
    }
}
