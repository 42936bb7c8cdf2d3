//! This machine as a host: scripts run with the local `sh`, in a process group of their own.

use std::process::Stdio;

use bytes::{Bytes, BytesMut};
use std::os::unix::process::ExitStatusExt as _;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, ChildStderr, ChildStdout};

use super::RunError;
use super::running::{Backend, Event, Input, Process};

/// Starts local shells.
#[derive(Debug, Clone)]
pub(super) struct Local {
    /// Host name in the answer file, for errors.
    pub(super) name: String,
}

/// A local shell and what is still open of it.
#[derive(Debug)]
pub(super) struct LocalProcess {
    child: Child,
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
    exited: bool,
}

impl Backend for Local {
    type Process = LocalProcess;

    async fn start(&self, command_line: &str) -> Result<(LocalProcess, Input), RunError> {
        let failed = |cause: String| RunError::Spawn {
            host: self.name.clone(),
            cause,
        };
        let mut child = tokio::process::Command::new("sh")
            .args(["-c", command_line])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(|error| failed(error.to_string()))?;
        let stdin = child
            .stdin
            .take()
            .ok_or_else(|| failed("no stdin".to_owned()))?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        Ok((
            LocalProcess {
                child,
                stdout,
                stderr,
                exited: false,
            },
            Box::new(stdin),
        ))
    }

    fn lost(&self) -> Option<String> {
        None
    }
}

impl Process for LocalProcess {
    async fn next(&mut self) -> Event {
        loop {
            let open = self.stdout.is_some() || self.stderr.is_some();
            if !open && self.exited {
                return Event::End;
            }
            tokio::select! {
                biased;
                Some(data) = read(&mut self.stdout), if self.stdout.is_some() => {
                    return Event::Stdout(data);
                }
                Some(data) = read(&mut self.stderr), if self.stderr.is_some() => {
                    return Event::Stderr(data);
                }
                status = self.child.wait(), if !self.exited => {
                    self.exited = true;
                    let Ok(status) = status else { return Event::End };
                    let signalled = status.signal().map(|signal| 128 + signal);
                    return Event::Exit(status.code().or(signalled).unwrap_or(-1));
                }
                else => {}
            }
        }
    }

    async fn close(mut self) {
        if !self.exited {
            // Its group was ended before; this only collects the shell itself.
            let _ = self.child.start_kill();
            let _ = self.child.wait().await;
        }
    }
}

/// The next piece of a pipe, or `None` when it ends.
async fn read<R: AsyncRead + Unpin>(pipe: &mut Option<R>) -> Option<Bytes> {
    let open = pipe.as_mut()?;
    let mut buffer = BytesMut::with_capacity(32 * 1024);
    match open.read_buf(&mut buffer).await {
        Ok(1..) => Some(buffer.freeze()),
        _ => {
            *pipe = None;
            None
        }
    }
}
