//! `quorate config check`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::env::World;
use super::exit::Exit;
use super::obstacle::Obstacle;
use super::output::{Failure, say};
use super::preflight::{self, Uses};
use crate::config::{self, Overrides, Program, Settings};
use crate::task::spec::Work;
use crate::terraform::binary::{self, BinaryError};

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
    let mut check = config::check(&args.config, &Overrides::default(), &world.env, &world.hostname, &world.cwd);
    if let Some(settings) = &check.settings {
        let uses = Uses { data_dir: true, listens: true };
        let found = preflight::obstacles(settings, &world.env, uses);
        check = check.on_machine(found.into_iter().map(Obstacle::finding).collect());
    }
    check.terraform = check.settings.as_ref().and_then(|settings| program(settings, &world));
    let missing = check.terraform.as_ref().is_some_and(|program| program.needed && !program.found);
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
        Ok(()) if check.ok && missing => Exit::Driver.into(),
        Ok(()) if check.ok => Exit::Ok.into(),
        Ok(()) => Exit::Config.into(),
    }
}

/// Looks for Terraform as a start would, but downloads nothing.
fn program(settings: &Settings, world: &World) -> Option<Program> {
    let needed = settings.tasks.iter().any(|task| matches!(task.work, Work::Terraform(_)));
    let path = world.env.get("PATH").map(String::as_str).unwrap_or_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    let (found, said) = match runtime.block_on(binary::find(&settings.terraform, path)) {
        Ok(binary) => {
            let mut said = format!("{} {} at {}", binary.kind, binary.version, binary.path.display());
            if let Some(warning) = binary::version_warning(&settings.terraform, &binary) {
                said = format!("{said}; {warning}");
            }
            (true, said)
        }
        Err(error @ BinaryError::NotFound(_)) if needed => {
            (false, format!("{error}; without that, a start tries to download Terraform"))
        }
        Err(error) if needed => (false, error.to_string()),
        Err(_) => (false, "no usable Terraform or OpenTofu here, and no task needs one".to_owned()),
    };
    Some(Program { found, needed, said })
}
