//! `quorate config check`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::env::World;
use super::exit::Exit;
use super::output::{Failure, say};
use crate::config::{self, Overrides};

/// Columns that diagnostics may take.
pub(super) const WIDTH: usize = 100;

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
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

pub(super) fn run(command: ConfigCommand) -> ExitCode {
    let ConfigCommand::Check(args) = command;
    if args.config.is_empty() {
        let failure = Failure::with(Exit::Missing, "no config file provided");
        failure.complain();
        return failure.exit.into();
    }
    let world = World::read();
    let check = config::check(&args.config, &Overrides::default(), &world.env, &world.hostname, &world.cwd);
    let said = if args.json {
        say(&format!("{}\n", serde_json::to_string_pretty(&check).unwrap_or_default()))
    } else {
        let terminal = std::io::IsTerminal::is_terminal(&std::io::stdout());
        say(&check.render(terminal, WIDTH))
    };
    match said {
        Err(failure) => {
            failure.complain();
            failure.exit.into()
        }
        Ok(()) if check.ok => Exit::Ok.into(),
        Ok(()) => Exit::Config.into(),
    }
}
