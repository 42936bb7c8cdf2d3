//! Runs one program of this machine and says exactly what went wrong when it fails.
//!
//! Every command the lab needs goes through [`Program`], so that each error carries the command, how it
//! ended and its last lines. Nothing secret may be put into the arguments: any user can read those.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::Command;

/// How many of a program's last lines an error keeps.
const TAIL: usize = 12;

/// A command line that has not run yet.
#[derive(Debug)]
pub(crate) struct Program {
    name: String,
    args: Vec<OsString>,
    env: Vec<(String, String)>,
    input: Option<String>,
    directory: Option<PathBuf>,
    deadline: Duration,
    uninterrupted: bool,
}

/// Why a program did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// It could not be started at all.
    #[error("cannot start `{command}`")]
    Start {
        /// The command line.
        command: String,
        /// The system's reason.
        source: io::Error,
    },
    /// It ran and ended with an error.
    #[error("`{command}` {outcome}{}", indented(tail))]
    Failed {
        /// The command line.
        command: String,
        /// The exit status, in words.
        outcome: String,
        /// The last lines it printed, standard error and output mixed.
        tail: Vec<String>,
    },
    /// It was still running at its deadline and was stopped.
    #[error("`{command}` was stopped after {} s without an end{}", seconds.as_secs(), indented(tail))]
    Deadline {
        /// The command line.
        command: String,
        /// How long it had.
        seconds: Duration,
        /// The last lines it printed until then.
        tail: Vec<String>,
    },
}

fn indented(lines: &[String]) -> String {
    lines.iter().map(|line| format!("\n    {line}")).collect()
}

impl Program {
    /// A program by name, looked up in `PATH` and in the `sbin` directories that a plain `su` leaves out.
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            args: Vec::new(),
            env: Vec::new(),
            input: None,
            directory: None,
            uninterrupted: false,
            deadline: Duration::from_secs(60),
        }
    }

    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    pub(crate) fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args
            .extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Text for the program's standard input; without it, the input is empty.
    pub(crate) fn input(mut self, text: impl Into<String>) -> Self {
        self.input = Some(text.into());
        self
    }

    /// The directory it works in; this process's unless told.
    pub(crate) fn directory(mut self, directory: &Path) -> Self {
        self.directory = Some(directory.to_owned());
        self
    }

    /// Lets it go on when nobody waits for it any more: half of its work would be worse than none or all.
    pub(crate) fn uninterrupted(mut self) -> Self {
        self.uninterrupted = true;
        self
    }

    /// How long it may take; one minute unless told.
    pub(crate) fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Runs it and returns what it wrote to standard output.
    pub(crate) async fn run(self) -> Result<String, ProgramError> {
        self.run_seen(|_| ()).await
    }

    /// Runs it for its exit status alone: `Ok(false)` where it ended with an error.
    pub(crate) async fn succeeds(self) -> Result<bool, ProgramError> {
        match self.run().await {
            Ok(_) => Ok(true),
            Err(ProgramError::Failed { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Runs it and shows each line of either stream while it runs.
    pub(crate) async fn run_seen(self, mut seen: impl FnMut(&str)) -> Result<String, ProgramError> {
        let command = self.text();
        let start = |source| ProgramError::Start {
            command: command.clone(),
            source,
        };
        let mut child = self.command().spawn().map_err(start)?;
        let input = child.stdin.take();
        let mut out = lines_of(child.stdout.take());
        let mut err = lines_of(child.stderr.take());

        let mut stdout = String::new();
        let mut tail = Vec::new();
        let reading = async {
            let feed = async {
                if let (Some(mut pipe), Some(text)) = (input, &self.input) {
                    // A program that stops reading early says why itself.
                    let _ = pipe.write_all(text.as_bytes()).await;
                }
            };
            let read = async {
                let (mut out_open, mut err_open) = (out.is_some(), err.is_some());
                while out_open || err_open {
                    let (line, is_output) = tokio::select! {
                        line = next_line(&mut out), if out_open => (line, true),
                        line = next_line(&mut err), if err_open => (line, false),
                    };
                    match line {
                        Some(line) => {
                            seen(&line);
                            keep(&mut tail, &line);
                            if is_output {
                                stdout.push_str(&line);
                                stdout.push('\n');
                            }
                        }
                        None if is_output => out_open = false,
                        None => err_open = false,
                    }
                }
            };
            tokio::join!(feed, read);
            child.wait().await
        };
        match tokio::time::timeout(self.deadline, reading).await {
            Ok(Ok(status)) if status.success() => Ok(stdout),
            Ok(Ok(status)) => Err(ProgramError::Failed {
                command,
                outcome: outcome(status),
                tail,
            }),
            Ok(Err(source)) => Err(ProgramError::Start { command, source }),
            Err(_) => Err(ProgramError::Deadline {
                command,
                seconds: self.deadline,
                tail,
            }),
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.name);
        command
            .args(&self.args)
            .env("PATH", search_path())
            .env("LC_ALL", "C.UTF-8")
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(if self.input.is_some() {
                Stdio::piped()
            } else {
                Stdio::null()
            })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(!self.uninterrupted);
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        command
    }

    /// The command line as a person would type it.
    fn text(&self) -> String {
        let words = self.args.iter().map(|arg| arg.to_string_lossy());
        std::iter::once(self.name.as_str().into())
            .chain(words)
            .collect::<Vec<_>>()
            .join(" ")
    }
}

/// `PATH` with the system administration directories, which `su` without `-` leaves out.
pub(crate) fn search_path() -> String {
    let given = std::env::var("PATH").unwrap_or_default();
    let mut path = given.clone();
    for directory in ["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin"] {
        if !given.split(':').any(|known| known == directory) {
            if !path.is_empty() {
                path.push(':');
            }
            path.push_str(directory);
        }
    }
    path
}

/// Whether a program can be found.
pub(crate) fn is_installed(name: &str) -> bool {
    which::which_in(name, Some(search_path()), "/").is_ok()
}

type Lines<R> = Option<tokio::io::Split<BufReader<R>>>;

fn lines_of<R: tokio::io::AsyncRead + Unpin>(stream: Option<R>) -> Lines<R> {
    stream.map(|stream| BufReader::new(stream).split(b'\n'))
}

async fn next_line<R: tokio::io::AsyncRead + Unpin>(lines: &mut Lines<R>) -> Option<String> {
    let bytes = lines.as_mut()?.next_segment().await.ok()??;
    Some(
        String::from_utf8_lossy(&bytes)
            .trim_end_matches('\r')
            .to_owned(),
    )
}

fn keep(tail: &mut Vec<String>, line: &str) {
    if line.trim().is_empty() {
        return;
    }
    if tail.len() == TAIL {
        tail.remove(0);
    }
    tail.push(line.to_owned());
}

/// How a program ended, in words.
pub(crate) fn outcome(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with exit status {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => status.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn output_is_returned_and_input_is_fed() {
        let text = Program::new("cat").input("one\ntwo\n").run().await.unwrap();
        assert_eq!(text, "one\ntwo\n");
    }

    #[tokio::test]
    async fn a_failure_names_the_command_the_status_and_the_last_lines() {
        let error = Program::new("sh").args(["-c", "echo going; echo wrong >&2; exit 7"]);
        let text = error.run().await.unwrap_err().to_string();
        assert!(
            text.starts_with("`sh -c echo going; echo wrong >&2; exit 7` ended with exit status 7")
        );
        assert!(text.contains("\n    wrong"), "{text}");
    }

    #[tokio::test]
    async fn a_program_that_does_not_exist_is_said_to() {
        let error = Program::new("no-such-program-here")
            .run()
            .await
            .unwrap_err();
        assert!(matches!(error, ProgramError::Start { .. }), "{error:?}");
    }

    #[tokio::test]
    async fn a_deadline_stops_the_program() {
        let error = Program::new("sleep")
            .arg("100")
            .deadline(Duration::from_millis(50));
        assert!(matches!(
            error.run().await.unwrap_err(),
            ProgramError::Deadline { .. }
        ));
    }
}
