//! Flags of every command that lists something.

use clap::Args;

use super::address::Address;

/// Which agent to ask, and how to print.
#[derive(Debug, Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    pub(super) address: Address,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}
