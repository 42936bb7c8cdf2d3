//! Where events go: what the bus in `drive` calls, and what every display in `show` is.

use std::io;

use crate::model::event::Envelope;
use crate::model::summary::Summary;

/// A reader of a run's events, in their order.
///
/// A sink that returns an error is not called again; the others are.
pub trait Sink: Send {
    /// What it is, for the message that says it cannot be written: `journal`, `terminal`.
    fn name(&self) -> &'static str;

    /// Takes the next event; `run` already counts it.
    ///
    /// # Errors
    /// It could not be written.
    fn event(&mut self, envelope: &Envelope, run: &Summary) -> io::Result<()>;

    /// Called about ten times a second, so that what is on a screen can show time passing.
    ///
    /// # Errors
    /// It could not be written.
    fn tick(&mut self, _now: jiff::Timestamp, _run: &Summary) -> io::Result<()> {
        Ok(())
    }

    /// The last call: nothing follows.
    ///
    /// # Errors
    /// It could not be written.
    fn finish(&mut self, _run: &Summary) -> io::Result<()> {
        Ok(())
    }
}
