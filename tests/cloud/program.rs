//! Running programs: with a deadline, signs of life, and all that they said kept in files.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Processes that are ours, for the case that this one has to end early.
static RUNNING: Mutex<Vec<u32>> = Mutex::new(Vec::new());

/// A program that is running.
pub(crate) struct Running {
    child: Child,
    started: Instant,
    out: PathBuf,
    err: PathBuf,
    what: String,
}

/// A program that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) out: String,
    pub(crate) err: String,
    pub(crate) took: Duration,
    what: String,
    log: PathBuf,
}

/// Starts a program; what it says goes to `<log>.out` and `<log>.err`.
pub(crate) fn start(mut command: Command, log: &Path) -> Running {
    let what = format!("{:?}", command)
        .replace('"', "")
        .split_whitespace()
        .filter(|word| !word.contains('=') || word.starts_with('-'))
        .map(|word| word.rsplit('/').next().unwrap_or(word))
        .collect::<Vec<_>>()
        .join(" ");
    std::fs::create_dir_all(log.parent().unwrap()).unwrap();
    let (out, err) = (log.with_extension("out"), log.with_extension("err"));
    command
        .stdin(Stdio::null())
        .stdout(File::create(&out).unwrap())
        .stderr(File::create(&err).unwrap());
    let child = command
        .spawn()
        .unwrap_or_else(|error| panic!("{what}: {error}"));
    RUNNING.lock().unwrap().push(child.id());
    Running {
        child,
        started: Instant::now(),
        out,
        err,
        what,
    }
}

impl Running {
    /// Waits for the end; a program that takes longer is killed, and the test fails.
    pub(crate) fn wait(mut self, deadline: Duration) -> Ended {
        let mut spoken = Duration::ZERO;
        let mut in_time = true;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            let elapsed = self.started.elapsed();
            if elapsed > deadline && in_time {
                in_time = false;
                self.signal(Signal::SIGKILL);
            }
            if elapsed > spoken + Duration::from_secs(30) {
                spoken = elapsed;
                let last = last_line(&self.err);
                println!("    {:>4} s  {last}", elapsed.as_secs());
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        let ended = Ended {
            status,
            out: read(&self.out),
            err: read(&self.err),
            took: self.started.elapsed(),
            what: self.what.clone(),
            log: self.err.clone(),
        };
        assert!(
            in_time,
            "took longer than {} s\n{}",
            deadline.as_secs(),
            ended.story()
        );
        ended
    }

    /// Sends a signal to this process alone.
    pub(crate) fn signal(&self, signal: Signal) {
        kill(pid(self.child.id()), signal).unwrap();
    }

    /// The process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until the program has said something on standard error.
    pub(crate) fn until_it_says(&mut self, text: &str, deadline: Duration) {
        while !read(&self.err).contains(text) {
            let ended = self.child.try_wait().unwrap();
            let said = || read(&self.err);
            assert!(
                ended.is_none(),
                "ended before it said `{text}`:\n{}",
                said()
            );
            assert!(
                self.started.elapsed() < deadline,
                "never said `{text}`:\n{}",
                said()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        let id = self.child.id();
        RUNNING.lock().unwrap().retain(|other| *other != id);
    }
}

impl Ended {
    /// The exit code.
    pub(crate) fn code(&self) -> i32 {
        self.status.code().unwrap_or(-1)
    }

    /// The exit code must be this one.
    #[track_caller]
    pub(crate) fn expect(self, code: u8) -> Self {
        assert!(
            self.code() == i32::from(code),
            "exit code {} expected\n{}",
            code,
            self.story()
        );
        self
    }

    /// What was run, how it ended, and the last lines it said.
    pub(crate) fn story(&self) -> String {
        let tail = |text: &str| {
            let lines: Vec<_> = text.lines().collect();
            lines[lines.len().saturating_sub(40)..].join("\n")
        };
        format!(
            "{}: {} after {:.1} s\n{}\n{}\nall of it: {}",
            self.what,
            self.status,
            self.took.as_secs_f64(),
            tail(&self.out),
            tail(&self.err),
            self.log.display()
        )
    }
}

/// Ends what is still running, gently where `gently`.
pub(crate) fn end_all() {
    for id in std::mem::take(&mut *RUNNING.lock().unwrap()) {
        let _ = kill(pid(id), Signal::SIGKILL);
    }
}

fn pid(id: u32) -> Pid {
    Pid::from_raw(id.try_into().unwrap())
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
}

fn last_line(path: &Path) -> String {
    let text = read(path);
    text.lines().last().unwrap_or_default().trim().to_owned()
}

/// Asks again and again until there is an answer.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, within: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + within;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < until, "never came true: {what}");
        std::thread::sleep(Duration::from_millis(200));
    }
}
