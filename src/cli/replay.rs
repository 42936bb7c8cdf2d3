//! Shows a recorded run again, by the same displays that showed it.

use std::process::ExitCode;
use std::thread::sleep;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

use super::args::ReplayArgs;
use super::exit::Exit;
use super::{ending, report, run};
use crate::drive::journal::{ReadError, Reader};
use crate::model::event::Envelope;
use crate::model::sink::Sink;
use crate::model::summary::Summary;

/// How often a display that moves is drawn.
const TICK: Duration = Duration::from_millis(100);

/// `provision replay`
pub(crate) fn replay(args: &ReplayArgs) -> ExitCode {
    work(args).unwrap_or_else(|exit| exit).into()
}

fn work(args: &ReplayArgs) -> Result<Exit, Exit> {
    let directory = report::find(&args.cloud, &args.run)?;
    let unreadable = |error: ReadError| report::unreadable(&error);
    let journal = Reader::open(&directory.journal()).map_err(unreadable)?;
    let mut display = run::display(&args.output);
    let mut state = Summary::default();
    let mut drawn = Instant::now();
    // A reader that went away (`| head`) has seen enough.
    let mut watched = true;
    for envelope in journal {
        let envelope = envelope.map_err(unreadable)?;
        if let Some(speed) = args.speed {
            wait(&envelope, &state, speed, display.as_mut());
            if drawn.elapsed() >= TICK {
                drawn = Instant::now();
                // As below: the event that follows finds out that nobody reads.
                let _ = display.tick(envelope.at, &state);
            }
        }
        state.apply(&envelope);
        watched = watched && display.event(&envelope, &state).is_ok();
        if !watched {
            return Ok(Exit::Done);
        }
    }
    // What a display could not write at the end is lost with it.
    let _ = display.finish(&state);
    ending::say(&state, &args.output);
    Ok(Exit::Done)
}

/// Lets the time pass that passed before `envelope`, `speed` times as fast.
fn wait(envelope: &Envelope, state: &Summary, speed: f64, display: &mut dyn Sink) {
    let Some(mut now) = state.latest_at else {
        return;
    };
    let step = SignedDuration::try_from(TICK.mul_f64(speed)).unwrap_or(SignedDuration::MAX);
    while let Some(next) = after(now, step).filter(|next| *next < envelope.at) {
        sleep(TICK);
        now = next;
        // As in `work`: the event that follows finds out that nobody reads.
        let _ = display.tick(now, state);
    }
    let left = envelope.at.duration_since(now).unsigned_abs();
    sleep(left.div_f64(speed).min(TICK));
}

fn after(now: Timestamp, step: SignedDuration) -> Option<Timestamp> {
    now.checked_add(step).ok()
}
