//! Drives one script on one backend to its end, and never leaves one behind: a deadline or a dropped
//! future ends the process group on the host and closes the channel, always.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::Instant;

use super::exchange::{Exchange, Failure, Next};
use super::{Command, Output, RunError, Sudo, Target, shell};

/// For greeting, killing and closing after the fact.
const CLEANUP: Duration = Duration::from_secs(5);

/// How long a script that has exited may stay silent before we stop listening.
const AFTER_EXIT: Duration = Duration::from_secs(2);

/// What comes from a running script.
#[derive(Debug)]
pub(super) enum Event {
    Stdout(Bytes),
    Stderr(Bytes),
    /// The exit status; data may still follow.
    Exit(i32),
    /// Nothing more will come.
    End,
}

/// The stdin of a script.
pub(super) type Input = Box<dyn AsyncWrite + Send + Unpin>;

/// A started shell.
pub(super) trait Process: Send + 'static {
    /// The next event; dropping the future loses none.
    fn next(&mut self) -> impl Future<Output = Event> + Send;

    /// Lets go of it, whatever it does.
    fn close(self) -> impl Future<Output = ()> + Send;
}

/// A place where shells start.
pub(super) trait Backend: Clone + Send + Sync + 'static {
    type Process: Process;

    /// Starts `command_line`. Dropping the future leaves nothing behind.
    fn start(
        &self,
        command_line: &str,
    ) -> impl Future<Output = Result<(Self::Process, Input), RunError>> + Send;

    /// Why the connection is gone, if it is.
    fn lost(&self) -> Option<String>;
}

/// Runs `command` to its end; `permit` is held until nothing of it is left.
pub(super) async fn run<B: Backend>(
    backend: &B,
    target: &Target,
    command: &Command,
    permit: OwnedSemaphorePermit,
) -> Result<Output, RunError> {
    let began = Instant::now();
    let deadline = began + command.deadline;
    let sudo = shell::become_root(target, command);
    let line = shell::command_line(command.script.len(), sudo);
    let exchange = Exchange::new(command, sudo.is_some());
    let late = |last_lines| RunError::Deadline {
        host: target.name.clone(),
        after: command.deadline,
        last_lines,
    };
    let started = tokio::time::timeout_at(deadline, backend.start(&line)).await;
    let (process, input) = started.map_err(|_| late(Vec::new()))??;
    let mut running = Running {
        backend: backend.clone(),
        target: target.clone(),
        sudo: command.sudo,
        parts: Some((process, exchange, permit)),
    };
    let Some((process, exchange, _)) = running.parts.as_mut() else {
        return Err(late(Vec::new()));
    };
    let talk = converse(process, input, exchange, sudo, shell::payload(command));
    let Ok(ending) = tokio::time::timeout_at(deadline, talk).await else {
        return Err(late(exchange.last_lines()));
    };
    let cause = exchange.sudo_failure();
    let Some((process, exchange, _permit)) = running.parts.take() else {
        return Err(late(Vec::new()));
    };
    process.close().await;
    let host = target.name.clone();
    let status = match ending {
        Ending::Status(status) => status,
        Ending::WrongPassword => return Err(sudo_error(target, cause)),
        Ending::Cut => {
            let cause = backend.lost();
            let cause = cause.unwrap_or_else(|| "it ended without a status".to_owned());
            return Err(RunError::Lost { host, cause });
        }
    };
    let finished = exchange.finish(status, began.elapsed());
    finished.map_err(|failure| not_begun(target, status, failure))
}

fn not_begun(target: &Target, status: i32, failure: Failure) -> RunError {
    match failure {
        Failure::Sudo(cause) => sudo_error(target, cause),
        Failure::NoShell(lines) => RunError::Refused {
            host: target.name.clone(),
            what: "a POSIX shell".to_owned(),
            cause: lines
                .last()
                .cloned()
                .unwrap_or_else(|| format!("status {status}")),
        },
    }
}

fn sudo_error(target: &Target, cause: super::SudoError) -> RunError {
    let user = match &target.reach {
        super::Reach::Local => std::env::var("USER").unwrap_or_default(),
        super::Reach::Ssh(ssh) => ssh.user.clone(),
    };
    RunError::Sudo {
        host: target.name.clone(),
        user,
        cause,
    }
}

enum Ending {
    Status(i32),
    WrongPassword,
    /// The stream ended and no status came.
    Cut,
}

async fn converse<P: Process>(
    process: &mut P,
    input: Input,
    exchange: &mut Exchange,
    sudo: Option<&Sudo>,
    payload: Bytes,
) -> Ending {
    let (feed, food) = mpsc::unbounded_channel();
    let mut feed = Some(feed);
    let mut payload = Some(payload);
    let password = match sudo {
        Some(Sudo::Password(secret)) => Some(Bytes::from(format!("{}\n", secret.reveal()))),
        _ => None,
    };
    // One round trip where no password can get in between.
    if password.is_none() {
        send(&mut feed, payload.take(), true);
    }
    let writing = write(input, food);
    tokio::pin!(writing);
    let mut written = false;
    let mut status = None;
    loop {
        let event = tokio::select! {
            event = process.next() => event,
            () = &mut writing, if !written => {
                written = true;
                continue;
            }
            // The script ended, and something it started holds its output open: let that be.
            () = tokio::time::sleep(AFTER_EXIT), if status.is_some() => Event::End,
        };
        let next = match event {
            Event::Stdout(data) => exchange.stdout(&data),
            Event::Stderr(data) => exchange.stderr(&data),
            Event::Exit(code) => {
                status = Some(code);
                Next::Read
            }
            Event::End => return status.map_or(Ending::Cut, Ending::Status),
        };
        match next {
            Next::Read => {}
            Next::SendPassword => send(&mut feed, password.clone(), false),
            Next::SendPayload => send(&mut feed, payload.take(), true),
            Next::GiveUp => return Ending::WrongPassword,
        }
    }
}

fn send(feed: &mut Option<mpsc::UnboundedSender<Bytes>>, data: Option<Bytes>, last: bool) {
    if let (Some(feed), Some(data)) = (feed.as_ref(), data) {
        // The writer is gone only when the script closed its stdin, which is its right.
        let _ = feed.send(data);
    }
    if last {
        *feed = None;
    }
}

async fn write(mut input: Input, mut food: mpsc::UnboundedReceiver<Bytes>) {
    while let Some(data) = food.recv().await {
        if input.write_all(&data).await.is_err() {
            return;
        }
    }
    let _ = input.shutdown().await;
}

/// Owns a script that runs; dropped with its parts still inside, it ends the script.
struct Running<B: Backend> {
    backend: B,
    target: Target,
    sudo: bool,
    parts: Option<(B::Process, Exchange, OwnedSemaphorePermit)>,
}

impl<B: Backend> Drop for Running<B> {
    fn drop(&mut self) {
        let Some((process, exchange, permit)) = self.parts.take() else {
            return;
        };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let (backend, target, sudo) = (self.backend.clone(), self.target.clone(), self.sudo);
        runtime.spawn(async move {
            end(&backend, &target, sudo, process, exchange).await;
            drop(permit);
        });
    }
}

async fn end<B: Backend>(
    backend: &B,
    target: &Target,
    sudo: bool,
    mut process: B::Process,
    mut exchange: Exchange,
) {
    let greeting = async {
        while exchange.groups().is_empty() {
            match process.next().await {
                Event::Stdout(data) => drop(exchange.stdout(&data)),
                Event::End => break,
                _ => {}
            }
        }
    };
    let _ = tokio::time::timeout(CLEANUP, greeting).await;
    if !exchange.groups().is_empty() && backend.lost().is_none() {
        let drain = async { while !matches!(process.next().await, Event::End) {} };
        let both = async { tokio::join!(kill(backend, target, sudo, exchange.groups()), drain) };
        let _ = tokio::time::timeout(CLEANUP, both).await;
    }
    let _ = tokio::time::timeout(CLEANUP, process.close()).await;
}

async fn kill<B: Backend>(backend: &B, target: &Target, sudo: bool, groups: &[u32]) {
    let mut command = Command::new(shell::kill_script(groups));
    command.sudo = sudo;
    let how = shell::become_root(target, &command);
    let line = shell::command_line(command.script.len(), how);
    if let Ok((mut killer, input)) = backend.start(&line).await {
        let mut answer = Exchange::new(&command, how.is_some());
        converse(
            &mut killer,
            input,
            &mut answer,
            how,
            shell::payload(&command),
        )
        .await;
        killer.close().await;
    }
}
