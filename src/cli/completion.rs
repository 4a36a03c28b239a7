//! `quorate completion`: scripts that let a shell complete commands and flags.

use clap::Args;
use clap_complete::Shell;

use super::output::{Failure, say};
use super::program::Program;

/// Flags of `completion`.
#[derive(Debug, Args)]
pub(super) struct CompletionArgs {
    /// Which shell
    #[arg(value_enum)]
    shell: Shell,
}

pub(super) fn run(args: &CompletionArgs, command: &mut clap::Command, program: Program) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, command, program.name(), &mut script);
    say(&String::from_utf8_lossy(&script))
}
