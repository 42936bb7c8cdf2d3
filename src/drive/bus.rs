//! The one place that puts events in order.
//!
//! Workers only [`Bus::send`], which never waits and never fails. A thread of its own takes each
//! event, removes secrets, checks it against the rules of a run, stamps and numbers it, and hands it
//! to the sinks one after another, so that a terminal that stands still cannot hold up a deployment.
//! Whoever opens the bus closes it: [`BusEnd::close`] returns when everything sent before has arrived.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::model::event::{Envelope, Event, Priority, Problem, SCHEMA_VERSION, Severity};
use crate::model::ledger::{Illegal, Ledger};
use crate::model::redact::Redactor;
use crate::model::sink::Sink;
use crate::model::summary::Summary;

/// Beyond this many waiting events, those of low priority are dropped.
const CROWDED: usize = 50_000;
const TICK: Duration = Duration::from_millis(100);

/// Where workers send what happens. Clones send to the same place.
#[derive(Clone, Debug)]
pub struct Bus {
    sender: Sender<Message>,
    waiting: Arc<AtomicUsize>,
}

/// The other end, for whoever opened the bus.
#[derive(Debug)]
pub struct BusEnd {
    sender: Sender<Message>,
    thread: JoinHandle<Arrived>,
}

/// What had arrived when the bus was closed.
#[derive(Debug, Default)]
pub struct Arrived {
    /// The state of the run after the last event.
    pub summary: Summary,
    /// Events that cannot have happened and went nowhere: faults of the program.
    pub illegal: Vec<(Event, Illegal)>,
    /// Sinks that could not be written, and why.
    pub lost_sinks: Vec<(&'static str, io::Error)>,
}

/// What travels: an event, or none when the bus is to close.
type Message = Option<Event>;

impl Bus {
    /// Opens a bus whose events reach `sinks`, in this order, without the secrets of `redactor`.
    ///
    /// # Errors
    /// The system refuses another thread.
    pub fn open(redactor: Redactor, sinks: Vec<Box<dyn Sink>>) -> io::Result<(Bus, BusEnd)> {
        let (sender, receiver) = channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let order = Order {
            redactor,
            sinks,
            ledger: Ledger::default(),
            next_seq: 1,
            latest: Timestamp::UNIX_EPOCH,
            arrived: Arrived::default(),
        };
        let bus = Bus {
            sender: sender.clone(),
            waiting: Arc::clone(&waiting),
        };
        let thread = std::thread::Builder::new()
            .name("events".to_owned())
            .spawn(move || order.run(&receiver, &waiting))?;
        Ok((bus, BusEnd { sender, thread }))
    }

    /// Sends `event`. After the bus was closed it goes nowhere.
    pub fn send(&self, event: Event) {
        let waiting = self.waiting.load(Ordering::Relaxed);
        if waiting >= CROWDED && event.priority() == Priority::Low {
            return;
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        // An error means that the bus is closed, and then nobody listens.
        let _ = self.sender.send(Some(event));
    }
}

impl BusEnd {
    /// Waits until everything sent so far has reached the sinks, and ends them.
    ///
    /// # Panics
    /// When a sink panicked.
    pub fn close(self) -> Arrived {
        // An error means that the thread has ended already; `join` tells how.
        let _ = self.sender.send(None);
        match self.thread.join() {
            Ok(arrived) => arrived,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

struct Order {
    redactor: Redactor,
    sinks: Vec<Box<dyn Sink>>,
    ledger: Ledger,
    next_seq: u64,
    latest: Timestamp,
    arrived: Arrived,
}

impl Order {
    fn run(mut self, receiver: &Receiver<Message>, waiting: &AtomicUsize) -> Arrived {
        let mut next_tick = Instant::now() + TICK;
        loop {
            match receiver.recv_timeout(next_tick.saturating_duration_since(Instant::now())) {
                Ok(Some(event)) => {
                    waiting.fetch_sub(1, Ordering::Relaxed);
                    self.take(event);
                }
                Ok(None) | Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {}
            }
            if Instant::now() >= next_tick {
                next_tick = Instant::now() + TICK;
                let now = Timestamp::now();
                self.each_sink(|sink, run| sink.tick(now, run));
            }
        }
        self.each_sink(|sink, run| sink.finish(run));
        self.arrived
    }

    fn take(&mut self, event: Event) {
        let mut events = VecDeque::from([event]);
        while let Some(mut event) = events.pop_front() {
            if let Err(illegal) = self.ledger.admit(&event) {
                self.arrived.illegal.push((event, illegal));
                continue;
            }
            self.redactor.event(&mut event);
            if let Event::RunFinished(finished) = &mut event {
                finished.totals = self.arrived.summary.totals();
            }
            self.latest = self.latest.max(Timestamp::now());
            let seq = self.next_seq;
            self.next_seq += 1;
            let envelope = Envelope {
                version: SCHEMA_VERSION,
                seq,
                at: self.latest,
                event,
            };
            self.arrived.summary.apply(&envelope);
            let known = self.arrived.lost_sinks.len();
            self.each_sink(|sink, run| sink.event(&envelope, run));
            events.extend(self.arrived.lost_sinks[known..].iter().filter_map(lost));
        }
    }

    /// Calls every sink, and parts with those that fail.
    fn each_sink(&mut self, mut call: impl FnMut(&mut dyn Sink, &Summary) -> io::Result<()>) {
        let Self {
            sinks,
            arrived:
                Arrived {
                    summary,
                    lost_sinks,
                    ..
                },
            ..
        } = self;
        sinks.retain_mut(|sink| match call(sink.as_mut(), summary) {
            Ok(()) => true,
            Err(error) => {
                lost_sinks.push((sink.name(), error));
                false
            }
        });
    }
}

/// What the other sinks are told about one that failed; a reader that went away is no news.
fn lost((name, error): &(&'static str, io::Error)) -> Option<Event> {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return None;
    }
    Some(Event::Diagnosed(Problem {
        severity: Severity::Warning,
        causes: vec![error.to_string()],
        help: Some("the run goes on without it; see that its disk has room".to_owned()),
        ..Problem::error(
            "events::lost",
            format!("the {name} cannot be written any more"),
        )
    }))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::model::event::{Mode, RunStarted};

    #[derive(Default)]
    struct Recorder {
        seen: Arc<Mutex<Vec<Envelope>>>,
        fails_from: Option<u64>,
    }

    impl Sink for Recorder {
        fn name(&self) -> &'static str {
            "recorder"
        }

        fn event(&mut self, envelope: &Envelope, _: &Summary) -> io::Result<()> {
            if self.fails_from.is_some_and(|seq| envelope.seq >= seq) {
                return Err(io::Error::other("no space left on device"));
            }
            self.seen.lock().unwrap().push(envelope.clone());
            Ok(())
        }
    }

    fn begin() -> Event {
        Event::RunStarted(RunStarted {
            run: "r".into(),
            cloud: "c".into(),
            mode: Mode::Apply,
            tool: "0".into(),
            platform: None,
            hosts: vec![],
            networks: vec![],
            answer_file: None,
        })
    }

    fn connecting(host: &str) -> Event {
        Event::HostConnecting { host: host.into() }
    }

    #[test]
    fn events_of_many_senders_get_one_order() {
        let recorder = Recorder::default();
        let seen = Arc::clone(&recorder.seen);
        let (bus, end) = Bus::open(Redactor::default(), vec![Box::new(recorder)]).unwrap();
        bus.send(begin());
        std::thread::scope(|scope| {
            for n in 0..4 {
                let bus = bus.clone();
                scope.spawn(move || (0..50).for_each(|_| bus.send(connecting(&n.to_string()))));
            }
        });
        let arrived = end.close();
        let seen = seen.lock().unwrap();
        assert!(seen.iter().map(|e| e.seq).eq(1..=201));
        assert!(seen.windows(2).all(|w| w[0].at <= w[1].at));
        assert!(arrived.illegal.is_empty());
        assert_eq!(arrived.summary.hosts.len(), 4);
    }

    #[test]
    fn an_illegal_event_goes_nowhere_and_is_reported() {
        let recorder = Recorder::default();
        let seen = Arc::clone(&recorder.seen);
        let (bus, end) = Bus::open(Redactor::default(), vec![Box::new(recorder)]).unwrap();
        bus.send(connecting("a"));
        bus.send(begin());
        let arrived = end.close();
        assert_eq!(arrived.illegal, [(connecting("a"), Illegal::BeforeStart)]);
        assert_eq!(seen.lock().unwrap().len(), 1);
    }

    #[test]
    fn secrets_never_reach_a_sink() {
        let recorder = Recorder::default();
        let seen = Arc::clone(&recorder.seen);
        let redactor = Redactor::new([("nova".to_owned(), "s3cr3t-word".to_owned())]);
        let (bus, end) = Bus::open(redactor, vec![Box::new(recorder)]).unwrap();
        bus.send(begin());
        bus.send(Event::Diagnosed(Problem::error("x", "said s3cr3t-word")));
        end.close();
        let seen = seen.lock().unwrap();
        let Event::Diagnosed(problem) = &seen[1].event else {
            panic!()
        };
        assert_eq!(problem.message, "said ‹secret nova›");
    }

    #[test]
    fn a_sink_that_fails_is_left_behind_and_the_others_are_told() {
        let (good, bad) = (
            Recorder::default(),
            Recorder {
                fails_from: Some(2),
                ..<_>::default()
            },
        );
        let seen = Arc::clone(&good.seen);
        let sinks: Vec<Box<dyn Sink>> = vec![Box::new(bad), Box::new(good)];
        let (bus, end) = Bus::open(Redactor::default(), sinks).unwrap();
        bus.send(begin());
        bus.send(connecting("a"));
        bus.send(connecting("b"));
        let arrived = end.close();
        assert_eq!(arrived.lost_sinks.len(), 1);
        let codes: Vec<_> = arrived
            .summary
            .notes
            .iter()
            .map(|p| p.code.as_str())
            .collect();
        assert_eq!(codes, ["events::lost"]);
        assert_eq!(seen.lock().unwrap().len(), 4);
    }

    #[test]
    fn what_is_sent_after_the_end_goes_nowhere() {
        let (bus, end) = Bus::open(Redactor::default(), vec![]).unwrap();
        bus.send(begin());
        end.close();
        bus.send(connecting("a"));
    }
}
