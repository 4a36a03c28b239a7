//! Exit codes: those of CTS.

use std::process::ExitCode;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// What the command says happened, happened.
    Ok = 0,
    /// It did not.
    Error = 11,
    /// Shutdown did not finish in time.
    Shutdown = 12,
    /// A required flag or argument is missing.
    Missing = 13,
    /// The flags could not be parsed.
    Flags = 14,
    /// The configuration is wrong, or what it names cannot be set up.
    Config = 15,
    /// Terraform is missing or not supported.
    Driver = 16,
    /// There is no such command.
    UnknownCommand = 127,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
