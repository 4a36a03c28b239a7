//! The command line: one file a command, thin over the HTTP API and the configuration.
//!
//! Flags are CTS's kind: one dash or two, `-a b` or `-a=b` (`argv`). Exit codes are CTS's (`exit`): 0 means that what
//! the command says happened, happened. What is printed comes from pure functions of answers, the time and a
//! `Paint`, so that tests hold every table to the letter.
//! Called by CTS's name, the program has that name in its help and version (`program`).
//!
//! # Not here
//!
//! Names of tasks in the completion of a shell.

mod address;
mod argv;
mod client;
mod client_error;
mod completion;
mod config;
mod descriptors;
mod env;
pub mod exit;
mod keygen;
mod keyring;
mod leave;
mod list_args;
mod logging;
mod manual;
mod members;
mod objects;
mod obstacle;
mod output;
mod paint;
mod preflight;
mod program;
mod providers;
mod ready;
mod registration;
mod reload;
mod service_manager;
mod signals;
mod stale;
pub mod start;
mod state;
mod status;
mod syslog;
mod table;
mod task;
mod time;
mod tls;
mod token;
mod token_source;
mod trail;
mod watch;

use std::ffi::{OsStr, OsString};
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};

use self::exit::Exit;
use self::program::{OldForm, Program};

/// Highly available network automation: runs your tasks on exactly one of N agents.
#[derive(Debug, Parser)]
#[command(
    name = "quorate",
    override_usage = "quorate <command> [-help] [options]",
    after_help = "Flags take one dash or two: -config-file x, --config-file=x. Without a command, flags are those of start.",
    disable_help_subcommand = true,
    disable_version_flag = true
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start an agent
    Start(Box<start::StartArgs>),
    /// Who is here, who leads and why, how the tasks are: one screen
    Status(status::StatusArgs),
    /// Whether an agent can serve a change now, as an exit code
    Ready(ready::ReadyArgs),
    /// The members of the cluster
    Members(members::MembersArgs),
    /// Take an agent out of the cluster for good, and stop it
    Leave(leave::LeaveArgs),
    /// Make the leader hand over now
    StepDown(leave::StepDownArgs),
    /// Read the configuration files of an agent again
    Reload(reload::ReloadArgs),
    /// Look at tasks, make and run them, enable and disable them
    #[command(subcommand, next_line_help = true)]
    Task(task::TaskCommand),
    /// Look at the Terraform state that the cluster keeps, take it out, put it in
    #[command(subcommand)]
    State(state::StateCommand),
    /// Who may use the API: make tokens, look at them, revoke them
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Look at the configuration
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Make a key for encrypt = "..."
    Keygen,
    /// Look at the keys of the cluster's traffic, and change them while it runs
    #[command(subcommand)]
    Keyring(keyring::KeyringCommand),
    /// Print the version
    Version,
    /// Print a completion script for a shell
    Completion(completion::CompletionArgs),
    /// Write the pages for man(1)
    Manual(manual::ManualArgs),
}

/// Runs the command of `args` (the program's name first) and says how it went.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let given: Vec<OsString> = args.into_iter().collect();
    let program = Program::of(given.first().map_or_else(|| OsStr::new(""), OsString::as_os_str));
    let args = argv::normalise(given.clone());
    if args.len() <= 1 {
        output::complain(&program.named(&help()));
        return Exit::Missing.into();
    }
    match program.old_form(&given, &args) {
        Some(OldForm::Deprecated(text)) => output::complain(&text),
        Some(OldForm::Refused(text)) => {
            output::complain(&text);
            return Exit::Flags.into();
        }
        None => {}
    }
    let group = args.get(1).and_then(|arg| arg.to_str()).map(str::to_owned);
    match Cli::try_parse_from(args) {
        Ok(cli) => dispatch(cli.command, program),
        Err(error) => refuse(&error, group.as_deref(), program).into(),
    }
}

fn dispatch(command: Command, program: Program) -> ExitCode {
    let outcome = match command {
        Command::Start(args) => return start::run(&args),
        Command::Config(command) => return config::run(command),
        Command::Status(args) => status::run(&args),
        Command::Ready(args) => ready::run(&args),
        Command::Members(args) => members::run(&args),
        Command::Leave(args) => leave::run_leave(&args),
        Command::StepDown(args) => leave::run_step_down(&args),
        Command::Reload(args) => reload::run(&args),
        Command::Task(command) => task::run(command, program),
        Command::State(command) => state::run(command),
        Command::Token(command) => token::run(command),
        Command::Keygen => keygen::run(),
        Command::Keyring(command) => keyring::run(command),
        Command::Version => output::say(&program.version()),
        Command::Completion(args) => completion::run(&args, &mut Cli::command(), program),
        Command::Manual(args) => manual::run(&args, Cli::command()),
    };
    match outcome {
        Ok(()) => Exit::Ok.into(),
        Err(failure) => {
            failure.complain();
            failure.exit.into()
        }
    }
}

fn help() -> String {
    Cli::command().render_help().to_string()
}

/// What clap would not take. `first`: the first argument, whose commands are shown when the unknown one belongs to it.
fn refuse(error: &clap::Error, first: Option<&str>, program: Program) -> Exit {
    let text = program.named(&error.render().to_string());
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => match output::say(&with_defaults(&text, first)) {
            Ok(()) => Exit::Ok,
            Err(failure) => failure.exit,
        },
        ErrorKind::InvalidSubcommand => {
            let mut cli = Cli::command();
            cli.build();
            let group = first.and_then(|name| cli.find_subcommand_mut(name));
            let known = group.map_or_else(help, |group| group.render_help().to_string());
            output::complain(&format!("{}\n\n{}", text.lines().next().unwrap_or_default(), program.named(&known)));
            Exit::UnknownCommand
        }
        ErrorKind::MissingRequiredArgument
        | ErrorKind::MissingSubcommand
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            output::complain(&text);
            Exit::Missing
        }
        _ => {
            output::complain(&format!("==> Error: unsupported arguments in flags\n{text}"));
            Exit::Flags
        }
    }
}

/// The help of a command about tasks, its defaults beside its flags: where CTS has them, and where scripts look for them.
fn with_defaults(help: &str, group: Option<&str>) -> String {
    if group != Some("task") {
        return help.to_owned();
    }
    let line = |line: &str| {
        let known = [("--auto-approve", "false"), ("--http-addr", address::DEFAULT), ("--ssl-verify", "true")];
        let flag = known.iter().find(|(flag, _)| {
            line.trim_start()
                .strip_prefix(flag)
                .is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_alphanumeric()))
        });
        match flag {
            Some((flag, default)) => {
                let indent = &line[..line.len() - line.trim_start().len()];
                format!("{indent}{flag} [Default: {default}]\n")
            }
            None => {
                line.replace(&format!(" [default: {}]", address::DEFAULT), "").replace(" [default: true]", "") + "\n"
            }
        }
    };
    help.lines().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_are_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_of_start_keep_their_order_and_take_both_dashes() {
        let args =
            ["quorate", "-config-file=a", "--config-dir", "b", "-config-file", "c", "-join", "x:1,y:2", "-once=false"];
        let cli = Cli::try_parse_from(argv::normalise(args.map(OsString::from))).unwrap();
        let Command::Start(start) = cli.command else { panic!("not start") };
        assert_eq!(start.config, ["a", "b", "c"].map(std::path::PathBuf::from));
        assert_eq!(start.join, ["x:1", "y:2"]);
        assert!(!start.once);
    }
}
