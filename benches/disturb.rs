//! False fail-overs: leaderships that change although nobody failed, while packets are lost and while the CPU is busy.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::json;

use crate::failover::Arguments;
use crate::support::report::{Report, round};
use crate::support::site::Site;
use crate::support::wait::sleep;

const LOSSES: [u32; 3] = [0, 10, 20];
/// Busy loops for each core.
const SPINNERS: usize = 2;

/// Prints the table. All clusters with packet loss run at the same time; those with a busy CPU after them.
pub(crate) fn run(arguments: &Arguments, report: &mut Report) {
    println!("\nFalse fail-overs in {} minutes", arguments.minutes);
    println!(
        "  {:<24} {:>3} {:>12} {:>12} {:>12} {:>12} {:>10}",
        "disturbance", "N", "new leaders", "suspicions", "refutations", "held as down", "late by s"
    );
    let mut lossy: Vec<(u32, Site)> = Vec::new();
    for percent in LOSSES {
        for &nodes in &arguments.nodes {
            let site = Site::found(nodes, &arguments.profile);
            lossy.push((percent, site));
        }
    }
    for (percent, site) in &lossy {
        site.net.lose(*percent);
    }
    watch(arguments, report, &lossy.iter().map(|(p, site)| (format!("{p} % loss"), site)).collect::<Vec<_>>());
    drop(lossy);
    let sites: Vec<Site> = arguments.nodes.iter().map(|nodes| Site::found(*nodes, &arguments.profile)).collect();
    let spinners = Spinners::start();
    let name = format!("{} busy loops", spinners.0.len());
    watch(arguments, report, &sites.iter().map(|site| (name.clone(), site)).collect::<Vec<_>>());
}

fn watch(arguments: &Arguments, report: &mut Report, sites: &[(String, &Site)]) {
    const COUNTERS: [&str; 3] = ["suspicions_total", "refutations_total", "identity_renewals_total"];
    let count = |site: &Site| COUNTERS.map(|name| site.counter(name));
    let before: Vec<_> = sites.iter().map(|(_, site)| (site.marks().len(), count(site))).collect();
    sleep(Duration::from_secs_f64(arguments.minutes * 60.0));
    for ((name, site), (marks, counters)) in sites.iter().zip(before) {
        let leaders = site.marks().len() - marks;
        let mut after = count(site);
        after.iter_mut().zip(counters).for_each(|(after, before)| *after -= before);
        let [suspicions, refutations, renewals] = after;
        let late = (0..site.len()).map(|n| site[n].counter("timer_lateness_max_seconds", "")).fold(0.0, f64::max);
        let nodes = site.len();
        println!(
            "  {name:<24} {nodes:>3} {leaders:>12} {suspicions:>12} {refutations:>12} {renewals:>12} {late:>10.3}"
        );
        report.add(
            "false-failover",
            &json!({
                "disturbance": name, "nodes": nodes, "profile": arguments.profile, "minutes": arguments.minutes,
                "new_leaders": leaders, "suspicions": suspicions, "refutations": refutations, "renewals": renewals,
                "late_max_s": round(late),
            }),
        );
    }
}

/// Processes that only use CPU. Killed when dropped.
struct Spinners(Vec<Child>);

impl Spinners {
    fn start() -> Self {
        let exe = std::env::current_exe().expect("this program");
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let spinner = |_| Command::new(&exe).arg("spin").stdin(Stdio::null()).spawn().expect("start a busy loop");
        Self((0..cores * SPINNERS).map(spinner).collect())
    }
}

impl Drop for Spinners {
    fn drop(&mut self) {
        for child in &mut self.0 {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// Uses CPU until it is killed, or its parent is gone.
pub(crate) fn spin() -> ! {
    let parent = rustix::process::getppid();
    loop {
        for turn in 0..100_000_000_u64 {
            std::hint::black_box(turn);
        }
        if rustix::process::getppid() != parent {
            std::process::exit(0);
        }
    }
}
