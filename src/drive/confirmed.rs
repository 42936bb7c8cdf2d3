//! Changes that may cut our own way to the host: confirmed over a new connection, or undone by the host itself.
//!
//! The host is given both scripts first. It starts the change on its own, so that the change goes on
//! when our connection dies with it, and it arms a timer that undoes it. Only a new connection, made
//! after the change, disarms the timer. If none can be made the host is back where it was, without us.

use std::time::{Duration, Instant};

use super::transport::{Command, Connector, Output, Session};
use crate::model::probe::script_key;
use crate::model::quote::word;

/// How long the host waits for our confirmation.
const GRACE: Duration = Duration::from_secs(60);

/// How a change ended that did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unconfirmed {
    /// The change could not even be begun.
    #[error("the change was not begun: {0}")]
    NotBegun(String),
    /// The change itself failed, and was undone.
    #[error("the change ended with status {status} and was undone")]
    Failed {
        /// Its status.
        status: i32,
        /// Its last lines.
        tail: Vec<String>,
    },
    /// No new connection: the host has undone it by itself.
    #[error("no new connection could be made after the change, so the host undid it: {0}")]
    CutOff(String),
}

/// Carries out `change` on the session's host, and keeps it only if the host can still be reached.
///
/// # Errors
/// The host is as it was before.
pub async fn run(session: &Session, change: &str, undo: &str) -> Result<(), Unconfirmed> {
    let names = Names::of(change);
    begin(session, &names, change, undo).await?;
    let until = Instant::now() + GRACE.saturating_sub(Duration::from_secs(5));
    let mut last = String::from("the change did not end in time");
    while Instant::now() < until {
        tokio::time::sleep(Duration::from_secs(1)).await;
        // A connection that stands from before proves nothing.
        let fresh = match Connector::new().connect(session.target()).await {
            Ok(fresh) => fresh,
            Err(error) => {
                last = error.to_string();
                continue;
            }
        };
        let status = fresh.run(Command::new(names.settle())).await;
        fresh.close().await;
        match status {
            Ok(output) if output.status == STILL_RUNNING => {}
            Ok(output) => {
                come_back(session).await;
                return ended(&output);
            }
            Err(error) => last = error.to_string(),
        }
    }
    tokio::time::sleep(Duration::from_secs(10)).await;
    come_back(session).await;
    Err(Unconfirmed::CutOff(last))
}

/// Status of [`Names::settle`] while the change is under way.
const STILL_RUNNING: i32 = 75;

fn ended(output: &Output) -> Result<(), Unconfirmed> {
    match output.status {
        0 => Ok(()),
        status => Err(Unconfirmed::Failed {
            status,
            tail: output.last_lines(20),
        }),
    }
}

async fn begin(
    session: &Session,
    names: &Names,
    change: &str,
    undo: &str,
) -> Result<(), Unconfirmed> {
    let command = Command::new(names.begin(change, undo));
    let output = session
        .run(command)
        .await
        .map_err(|e| Unconfirmed::NotBegun(e.to_string()))?;
    if output.success() {
        return Ok(());
    }
    Err(Unconfirmed::NotBegun(output.last_lines(3).join("; ")))
}

/// The run's own connection may be dead, or wait for a TCP timeout: make it anew.
async fn come_back(session: &Session) {
    // When this fails, the next step on this host says so.
    let _ = session.reconnect(Duration::from_secs(30)).await;
}

/// The scripts that go to the host, and the names of what they make there.
struct Names {
    folder: String,
    unit: String,
}

impl Names {
    fn of(change: &str) -> Self {
        let key = script_key(change);
        Self {
            folder: format!("/run/provision/{key}"),
            unit: format!("provision-{key}"),
        }
    }

    fn begin(&self, change: &str, undo: &str) -> String {
        let Self { folder, unit } = self;
        format!(
            "set -e\numask 077\nmkdir -p {folder}\nrm -f {folder}/status\n\
             printf '%s\\n' {change} > {folder}/change\nprintf '%s\\n' {undo} > {folder}/undo\n\
             systemctl stop {unit}-undo.timer 2>/dev/null || true\n\
             systemctl reset-failed {unit}-undo.service {unit}.service 2>/dev/null || true\n\
             systemd-run --quiet --unit={unit}-undo --on-active={grace} sh {folder}/undo\n\
             systemd-run --quiet --unit={unit} sh -c 'sh {folder}/change > {folder}/log 2>&1; echo $? > {folder}/status'\n",
            change = word(change),
            undo = word(undo),
            grace = GRACE.as_secs(),
        )
    }

    /// Disarms the timer when the change has succeeded, undoes it at once when it has failed.
    fn settle(&self) -> String {
        let Self { folder, unit } = self;
        format!(
            "[ -s {folder}/status ] || exit {STILL_RUNNING}\n\
             systemctl stop {unit}-undo.timer\nstatus=$(cat {folder}/status)\ncat {folder}/log >&2\n\
             [ \"$status\" = 0 ] || sh {folder}/undo >&2\nrm -rf {folder}\nexit \"$status\"\n"
        )
    }
}
