//! How the program ends: one code for each kind of end, the same in every command.

use std::{fmt, process::ExitCode};

use crate::config::Problems;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    Failed = 1,
    /// Bad usage or configuration.
    Usage = 2,
    /// The service answered with an error.
    Answered = 3,
    TimedOut = 4,
    /// Streams were cut at the end of a drain.
    Cut = 5,
}

/// Why a command did not succeed.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) exit: Exit,
    message: String,
    /// Whether each line already starts with the place it is about.
    placed: bool,
}

impl Failure {
    pub(super) fn new(exit: Exit, message: impl fmt::Display) -> Self {
        Self {
            exit,
            message: message.to_string(),
            placed: false,
        }
    }

    pub(super) fn failed(message: impl fmt::Display) -> Self {
        Self::new(Exit::Failed, message)
    }

    /// Problems of a configuration: an editor that reads `file:line:column` wants them bare.
    pub(super) fn placed(problems: &Problems) -> Self {
        Self {
            exit: Exit::Usage,
            message: problems.to_string(),
            placed: true,
        }
    }

    /// On standard error, as the last word of the program.
    pub(super) fn report(&self) {
        let name = if self.placed { "" } else { "jackfield: " };
        eprintln!("{name}{}", self.message);
    }

    pub(super) fn usage(message: impl fmt::Display) -> Self {
        Self::new(Exit::Usage, message)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
