//! From the strike to the beginning of the next leader's first run, by kind of failure and size of cluster.
//!
//! Leadership is not given back within a measurement (`settle` is long): an agent that was struck comes back as a
//! follower and is the next to lead, or the one after.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;

use crate::failover::Arguments;
use crate::support::report::{Report, Summary, round, with};
use crate::support::site::Site;

/// How the leader is struck.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Strike {
    /// SIGKILL of the agent; its guardian lives on and says that nothing runs any more.
    Kill,
    /// SIGKILL of both: all that the others see is silence, as when a host dies.
    Host,
    /// SIGTERM.
    Term,
    /// Nothing goes in or out of its host.
    Cut,
}

impl Strike {
    const ALL: [Self; 4] = [Self::Kill, Self::Host, Self::Cut, Self::Term];

    fn name(self) -> &'static str {
        match self {
            Self::Kill => "SIGKILL of the agent",
            Self::Host => "SIGKILL of agent and guardian",
            Self::Term => "SIGTERM",
            Self::Cut => "network cut",
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Kill => "sigkill",
            Self::Host => "host-death",
            Self::Term => "sigterm",
            Self::Cut => "network-cut",
        }
    }

    /// What the project aims at: median and 99th percentile in seconds.
    fn aim(self) -> (f64, f64) {
        if self == Self::Term { (0.1, 0.1) } else { (1.5, 2.5) }
    }
}

/// Measured elsewhere on a machine like the one this was made on, in seconds.
const OTHERS: [(&str, &str); 4] = [
    ("Serf, detection alone", "5.3"),
    ("Consul session lock, as CTS Enterprise uses it", "25 to 42"),
    ("etcd lease of 2 s", "1.9"),
    ("etcd raft leader", "1.5"),
];

/// Prints the table of all kinds and sizes.
pub(crate) fn run(arguments: &Arguments, report: &mut Report) {
    println!("\nFrom the strike to the next leader's first run, seconds ({} rounds each)", arguments.rounds);
    println!("  {:<30} {:>3} {:>8} {:>8} {:>8}   aim: median, p99", "strike", "N", "median", "p99", "worst");
    for &nodes in &arguments.nodes {
        let mut site = Site::found(nodes, &arguments.profile);
        for strike in Strike::ALL {
            let times: Vec<Duration> = (0..arguments.rounds).map(|_| once(&mut site, strike)).collect();
            let summary = Summary::of(&times);
            let Summary { median, p99, worst, .. } = summary;
            let aim = strike.aim();
            println!(
                "  {:<30} {nodes:>3} {median:>8.3} {p99:>8.3} {worst:>8.3}   {}, {}{}",
                strike.name(),
                aim.0,
                aim.1,
                if median < aim.0 && p99 < aim.1 { "" } else { "  missed" }
            );
            let all: Vec<f64> = times.iter().map(|time| round(time.as_secs_f64())).collect();
            let line = json!({ "strike": strike.word(), "nodes": nodes, "profile": arguments.profile, "all_s": all });
            report.add("failover", &with(line, &summary.json()));
        }
    }
    println!("  To be beaten:");
    for (name, seconds) in OTHERS {
        println!("    {name:<50} {seconds}");
    }
}

/// One strike; afterwards everybody is there again.
pub(crate) fn once(site: &mut Site, strike: Strike) -> Duration {
    let mut struck = 0;
    let took = site.fail_over(|site, leader| {
        struck = leader;
        match strike {
            Strike::Kill => site[leader].signal(Signal::KILL),
            Strike::Host => site[leader].die(),
            Strike::Term => site[leader].signal(Signal::TERM),
            Strike::Cut => site.net.cut(leader),
        }
    });
    if strike == Strike::Cut {
        site.net.heal(struck);
    } else {
        site.revive(struck);
    }
    took
}
