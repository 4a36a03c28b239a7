//! How fast and how large the real program is: `scripts/bench-failover` and `scripts/bench-gossip`.
//!
//! Nothing here is asserted. Figures depend on the machine and on what else it does, so each line for programs carries
//! the load average, and what is compared is measured in one run.
//!
//! What is measured is the release build of the program itself, started with configuration files and asked over its
//! API. Times come from `CLOCK_MONOTONIC`, which all processes of a machine share: a strike is timed here, and the run
//! of the next leader notes its own beginning ([`support::marks`]).
#![expect(clippy::print_stdout, reason = "tables are what a benchmark is for")]
#![expect(clippy::cast_precision_loss, reason = "counters far below 2^52")]
#![expect(clippy::unchecked_time_subtraction, reason = "later times of one clock minus earlier ones")]

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod curve;
mod disturb;
mod failover;
mod gossip;
mod idle;
mod kills;
mod rounds;
mod serf;
mod support;

/// Measures the release build of quorate. Run it by scripts/bench-failover or scripts/bench-gossip.
#[derive(Debug, Parser)]
#[command(name = "bench")]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Failover(failover::Arguments),
    Gossip(gossip::Arguments),
    Kills(kills::Arguments),
}

fn main() -> ExitCode {
    // Cargo adds a word of its own.
    let words: Vec<String> = std::env::args().filter(|word| word != "--bench").collect();
    match words.get(1).map(String::as_str) {
        Some("mark") => {
            #[expect(clippy::disallowed_methods, reason = "this is the task; the agent tells it the epoch so")]
            let epoch = std::env::var("QUORATE_EPOCH").unwrap_or_default();
            return match support::marks::leave(&words[2..], &epoch) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    eprintln!("leave a mark: {error}");
                    ExitCode::FAILURE
                }
            };
        }
        Some("spin") => disturb::spin(),
        _ => {}
    }
    let arguments = Arguments::parse_from(words);
    support::wait::heed_signals();
    match arguments.what {
        What::Failover(arguments) => failover::run(&arguments),
        What::Gossip(arguments) => gossip::run(&arguments),
        What::Kills(arguments) => kills::run(&arguments),
    }
}
