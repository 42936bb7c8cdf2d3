//! Exit codes: fixed, named, documented.

use std::process::ExitCode;

/// How the process ends. The numbers are part of the interface and never change their meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// All that was asked for is so.
    Done,
    /// A fault of `provision` itself.
    Fault,
    /// The command line or the answer file is wrong; nothing was touched.
    Usage,
    /// Preflight found something that would make the install fail; nothing was touched.
    Preflight,
    /// A host was not reached, or refused the login.
    Unreachable,
    /// A step failed.
    StepFailed,
    /// The cloud is not well, or the proof failed.
    VerifyFailed,
    /// Deadlines of steps passed, and nothing else failed.
    Deadline,
    /// Another run holds the lock of this cloud.
    Locked,
    /// Changes are pending (`plan --detailed-exitcode`).
    ChangesPending,
    /// The user stopped the run.
    Stopped,
}

impl Exit {
    /// Every code, in the order of its number.
    pub const ALL: [Self; 11] = [
        Self::Done,
        Self::Fault,
        Self::Usage,
        Self::Preflight,
        Self::Unreachable,
        Self::StepFailed,
        Self::VerifyFailed,
        Self::Deadline,
        Self::Locked,
        Self::ChangesPending,
        Self::Stopped,
    ];

    /// The number.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Fault => 1,
            Self::Usage => 2,
            Self::Preflight => 3,
            Self::Unreachable => 4,
            Self::StepFailed => 5,
            Self::VerifyFailed => 6,
            Self::Deadline => 7,
            Self::Locked => 8,
            Self::ChangesPending => 10,
            Self::Stopped => 130,
        }
    }

    /// What it means, in a few words.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Fault => "a fault of provision itself",
            Self::Usage => "the command line or the answer file is wrong; nothing was touched",
            Self::Preflight => {
                "preflight found what would make the install fail; nothing was touched"
            }
            Self::Unreachable => "a host was not reached, or refused the login",
            Self::StepFailed => "a step failed",
            Self::VerifyFailed => "the cloud is not well, or its proof failed",
            Self::Deadline => "deadlines of steps passed, and nothing else failed",
            Self::Locked => "another run holds the lock of this cloud",
            Self::ChangesPending => "changes are pending (`plan --detailed-exitcode`)",
            Self::Stopped => "stopped by the user",
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_different_and_in_order() {
        let codes = Exit::ALL.map(Exit::code);
        assert!(codes.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(Exit::ALL.iter().all(|exit| !exit.meaning().is_empty()));
    }
}
