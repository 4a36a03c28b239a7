//! `quorate config check`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::exit::Exit;
use super::output::Failure;

/// Commands about the configuration.
#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Read the configuration and say what is wrong with it, without starting anything
    Check(CheckArgs),
}

/// Flags of `config check`.
#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// File or directory of the configuration; repeatable, in order
    #[arg(long = "config-file", visible_alias = "config-dir", value_name = "PATH")]
    pub(super) config: Vec<PathBuf>,
}

pub(super) fn run(command: ConfigCommand) -> ExitCode {
    let ConfigCommand::Check(args) = command;
    if args.config.is_empty() {
        let failure = Failure::with(Exit::Missing, "no config file provided");
        failure.complain();
        return failure.exit.into();
    }
    let failure = Failure::new("this build cannot read configurations yet");
    failure.complain();
    failure.exit.into()
}
