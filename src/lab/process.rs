//! Processes by identity, not by number: a number is given again, a number with its start time is not.

use std::path::Path;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::error::LabError;

/// A process of this machine since its last restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    /// Clock ticks from the machine's start to the process's.
    started: u64,
}

impl Process {
    /// The living process that has this number now.
    pub(crate) fn of(pid: i32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let started = parse_stat(&stat)?;
        Some(Self { pid, started })
    }

    /// Reads what [`Process::write`] wrote; `None` also where the file is gone or says nonsense.
    pub(crate) fn read(file: &Path) -> Option<Self> {
        let text = std::fs::read_to_string(file).ok()?;
        let (pid, started) = text.trim().split_once(' ')?;
        Some(Self {
            pid: pid.parse().ok()?,
            started: started.parse().ok()?,
        })
    }

    pub(crate) fn write(self, file: &Path) -> Result<(), LabError> {
        let text = format!("{} {}\n", self.pid, self.started);
        std::fs::write(file, text).map_err(LabError::file("write", file))
    }

    /// Whether this very process still runs. A zombie does not.
    pub(crate) fn is_alive(self) -> bool {
        Self::of(self.pid) == Some(self)
    }

    pub(crate) fn signal(self, signal: Signal) {
        if self.is_alive() {
            // Gone meanwhile is as good.
            let _ = kill(Pid::from_raw(self.pid), signal);
        }
    }
}

/// The process recorded in a file, if it is the same one and alive.
pub(crate) fn living(file: &Path) -> Option<Process> {
    Process::read(file).filter(|process| process.is_alive())
}

/// The start time in the text of `/proc/PID/stat`; nothing for a zombie. The program's name, in parentheses,
/// may hold anything.
fn parse_stat(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X") {
        return None;
    }
    // The state is field 3 of the manual's list, the start time field 22.
    fields.nth(18)?.parse().ok()
}

/// Whether the text of `/proc/PID/status` is that of the first process of a namespace directly below ours.
pub(crate) fn is_init_of_child_namespace(status: &str, own_depth: usize) -> bool {
    let Some(numbers) = status.lines().find_map(|line| line.strip_prefix("NSpid:")) else {
        return false;
    };
    let numbers: Vec<_> = numbers.split_whitespace().collect();
    numbers.len() == own_depth + 1 && numbers.last() == Some(&"1")
}

/// In how many process namespaces this process is, itself included.
pub(crate) fn own_depth() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    numbers.map_or(1, |numbers| numbers.split_whitespace().count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_alive_and_another_start_time_is_another_process() {
        let me = Process::of(std::process::id().cast_signed()).unwrap();
        assert!(me.is_alive());
        assert!(
            !Process {
                started: me.started + 1,
                ..me
            }
            .is_alive()
        );
    }

    #[test]
    fn a_record_survives_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("pid");
        assert_eq!(Process::read(&file), None);
        let process = Process {
            pid: 42,
            started: 777,
        };
        process.write(&file).unwrap();
        assert_eq!(Process::read(&file), Some(process));
        std::fs::write(&file, "nonsense").unwrap();
        assert_eq!(Process::read(&file), None);
    }

    #[test]
    fn the_start_time_is_found_behind_any_program_name() {
        let fields = "S 1 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 98765 1000";
        assert_eq!(parse_stat(&format!("7 (a) b ( c) {fields}")), Some(98765));
        assert_eq!(
            parse_stat(&format!("7 (gone) {}", fields.replacen('S', "Z", 1))),
            None
        );
        assert_eq!(parse_stat("7"), None);
    }

    #[test]
    fn the_first_process_of_a_host_is_told_from_those_of_deeper_namespaces() {
        let status = |numbers: &str| format!("Name:\tsystemd\nNSpid:\t{numbers}\n");
        assert!(is_init_of_child_namespace(&status("812\t1"), 1));
        assert!(!is_init_of_child_namespace(&status("812\t17"), 1));
        assert!(!is_init_of_child_namespace(&status("812\t40\t1"), 1));
        assert!(!is_init_of_child_namespace(&status("1"), 1));
        assert!(!is_init_of_child_namespace("", 1));
    }
}
