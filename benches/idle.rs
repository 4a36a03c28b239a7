//! What an agent of three costs while nothing happens: CPU, memory, datagrams. The guardian is part of it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;

use crate::failover::Arguments;
use crate::support::marks::now;
use crate::support::process;
use crate::support::report::{Report, round};
use crate::support::site::Site;
use crate::support::wait::sleep;

/// IPv4 and UDP.
const HEADERS: f64 = 28.0;

/// Prints the table of the three agents.
pub(crate) fn run(arguments: &Arguments, report: &mut Report) {
    let mut site = Site::found(3, &arguments.profile);
    let leader = site.calm().leader;
    // Joining costs something once.
    sleep(Duration::from_secs(10).min(Duration::from_secs_f64(arguments.seconds)));
    let pids: Vec<Vec<u32>> = (0..site.len()).map(|number| site[number].pids()).collect();
    let cpu = || pids.iter().map(|pids| pids.iter().map(|pid| process::cpu(*pid)).sum()).collect::<Vec<Duration>>();
    let threads = || pids.iter().map(|pids| by_thread(pids)).collect::<Vec<_>>();
    let traffic = || (0..site.len()).map(|n| sent(&site, n)).collect::<Vec<_>>();
    let (packets, names, used, begun) = (traffic(), threads(), cpu(), now());
    sleep(Duration::from_secs_f64(arguments.seconds));
    let (took, used_then, names_then, packets_then) = ((now() - begun).as_secs_f64(), cpu(), threads(), traffic());
    println!("\nAn idle agent of three, guardian included, over {took:.0} s");
    println!("  aim: below 0.5 % of a core, 16 MiB resident, 1.5 kB/s of datagrams");
    println!(
        "  {:<12} {:>7} {:>12} {:>12} {:>12} {:>14} {:>14} {:>14}",
        "agent", "CPU %", "agent MiB", "guardian MiB", "sum MiB", "shared once MiB", "sent packets/s", "sent B/s (UDP)"
    );
    for number in 0..site.len() {
        let percent = (used_then[number].saturating_sub(used[number])).as_secs_f64() / took * 100.0;
        let memory: Vec<process::Memory> = pids[number].iter().map(|pid| process::memory(*pid)).collect();
        let mib = |kib: u64| kib as f64 / 1024.0;
        let resident: Vec<f64> = memory.iter().map(|memory| mib(memory.resident)).collect();
        let sum: f64 = resident.iter().sum();
        let shared_once = mib(memory.iter().map(|memory| memory.proportional).sum());
        let rate = |index: usize| (packets_then[number][index] - packets[number][index]) / took;
        let (sent_packets, sent_bytes) = (rate(0), rate(1));
        let role = if number == leader { "leader" } else { "follower" };
        let of = |index: usize| resident.get(index).copied().unwrap_or(0.0);
        println!(
            "  {:<12} {percent:>7.3} {:>12.2} {:>12.2} {sum:>12.2} {shared_once:>14.2} {sent_packets:>14.1} {sent_bytes:>14.0}",
            format!("{} {role}", site[number].id),
            of(0),
            of(1),
        );
        let mut threads: Vec<(String, f64)> = names_then[number]
            .iter()
            .map(|(name, used)| {
                let before = names[number].get(name).copied().unwrap_or_default();
                (name.clone(), used.saturating_sub(before).as_secs_f64() / took * 100.0)
            })
            .collect();
        threads.sort_by(|left, right| right.1.total_cmp(&left.1));
        let shown = threads.iter().take(5).map(|(name, percent)| format!("{name} {percent:.3}"));
        println!("               by thread, %: {}", shown.collect::<Vec<_>>().join(", "));
        report.add(
            "idle",
            &json!({
                "agent": role, "profile": arguments.profile, "seconds": round(took), "cpu_percent": round(percent),
                "rss_agent_mib": round(of(0)), "rss_guardian_mib": round(of(1)), "rss_mib": round(sum),
                "pss_mib": round(shared_once), "sent_packets_per_s": round(sent_packets),
                "sent_bytes_per_s": round(sent_bytes),
                "sent_bytes_per_s_with_headers": round(sent_bytes + sent_packets * HEADERS),
            }),
        );
    }
}

fn sent(site: &Site, number: usize) -> [f64; 2] {
    ["packets_total", "packet_bytes_total"].map(|name| site[number].counter(name, "direction=\"out\""))
}

/// CPU time by name of thread; several of one name are added up.
fn by_thread(pids: &[u32]) -> BTreeMap<String, Duration> {
    let mut sum = BTreeMap::new();
    for (number, pid) in pids.iter().enumerate() {
        for (name, used) in process::threads(*pid) {
            let name = if number == 0 { name } else { "guardian".to_owned() };
            *sum.entry(name).or_default() += used;
        }
    }
    sum
}
