//! Fail-over of real agents: how long it takes, what it tolerates, and what it costs while nothing happens.

use std::process::ExitCode;

use clap::{Args, ValueEnum};

use crate::support::net;
use crate::support::report::{Report, load};
use crate::{curve, disturb, idle, rounds};

/// Fail-over time, false fail-overs, the trade-off between the two, and what an idle agent costs
///
/// Each agent has a network namespace of its own on a bridge (needs root, iproute2, nftables). Prints tables, then one
/// JSON object a line for programs. Everything with the defaults takes about 50 minutes, --quick about 6.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Parts to measure
    #[arg(long, value_delimiter = ',', default_values_t = Part::ALL.to_vec(), value_enum)]
    only: Vec<Part>,
    /// Sizes of clusters
    #[arg(long, value_delimiter = ',', default_values_t = [3, 5, 7])]
    pub(crate) nodes: Vec<usize>,
    /// Rounds of each kind of failure
    #[arg(long, default_value_t = 30)]
    pub(crate) rounds: usize,
    /// How long to wait for false fail-overs, at each disturbance
    #[arg(long, default_value_t = 10.0)]
    pub(crate) minutes: f64,
    /// How long to watch idle agents
    #[arg(long, default_value_t = 60.0)]
    pub(crate) seconds: f64,
    /// gossip { profile } of everything but the trade-off
    #[arg(long, default_value = "lan")]
    pub(crate) profile: String,
    /// 5 rounds, half a minute, 15 seconds
    #[arg(long)]
    quick: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Time to the next leader's first run: SIGKILL, dead host, SIGTERM, cut network
    Rounds,
    /// False fail-overs at packet loss and with the CPU saturated
    False,
    /// Median fail-over against the longest pause tolerated, for each profile
    Curve,
    /// CPU, memory and traffic of an agent of three
    Idle,
}

impl Part {
    const ALL: [Self; 4] = [Self::Idle, Self::Rounds, Self::Curve, Self::False];
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let value = self.to_possible_value();
        f.write_str(value.as_ref().map_or("", |value| value.get_name()))
    }
}

/// Measures and prints.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    if let Some(what) = net::lacking() {
        eprintln!("bench-failover gives each agent a network namespace of its own, and cannot: {what}");
        return ExitCode::from(2);
    }
    let mut arguments = Arguments {
        only: arguments.only.clone(),
        nodes: arguments.nodes.clone(),
        profile: arguments.profile.clone(),
        ..*arguments
    };
    if arguments.quick {
        (arguments.rounds, arguments.minutes, arguments.seconds) = (5, 0.5, 15.0);
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    println!("{cores} cores, load average {} at the start; profile {}", load(), arguments.profile);
    let mut report = Report::default();
    for part in Part::ALL.into_iter().filter(|part| arguments.only.contains(part)) {
        match part {
            Part::Idle => idle::run(&arguments, &mut report),
            Part::Rounds => rounds::run(&arguments, &mut report),
            Part::Curve => curve::run(&arguments, &mut report),
            Part::False => disturb::run(&arguments, &mut report),
        }
    }
    report.print();
    ExitCode::SUCCESS
}
