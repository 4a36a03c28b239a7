//! Turns the configured seeds into addresses, again and again: a name may not answer yet, or answer otherwise tomorrow.
//! Runs beside the gossip thread, because the resolver blocks.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::mpsc;
use tracing::{debug, info};

use super::core::Command;

/// First wait after a name did not resolve; doubles up to [`CALM`].
const HASTE: Duration = Duration::from_millis(500);
/// Between look-ups when all names resolve.
const CALM: Duration = Duration::from_secs(30);

/// Looks the seeds up for ever and tells the core.
pub(super) async fn run(seeds: Vec<String>, commands: mpsc::Sender<Command>) {
    let mut last: BTreeMap<String, Vec<SocketAddr>> = BTreeMap::new();
    let mut wait = HASTE;
    loop {
        let mut found = BTreeMap::new();
        let mut answered = true;
        for seed in &seeds {
            let mut addrs = look_up(seed).await;
            if addrs.is_empty() {
                debug!(seed, "seed does not resolve now");
                answered = false;
                // A name server that is away takes no seed away: what it said last is the best that is known.
                addrs = last.get(seed).cloned().unwrap_or_default();
            }
            found.insert(seed.clone(), addrs);
        }
        if found != last {
            let known = found.values().filter(|addrs| !addrs.is_empty()).count();
            info!(known, seeds = seeds.len(), "seeds looked up");
            if commands.send(Command::Seeds(found.clone())).await.is_err() {
                return;
            }
            last = found;
            wait = HASTE;
        }
        wait = if answered { CALM } else { (wait * 2).min(CALM) };
        tokio::time::sleep(wait).await;
    }
}

async fn look_up(seed: &str) -> Vec<SocketAddr> {
    if let Ok(addr) = seed.parse() {
        return vec![addr];
    }
    let mut addrs: Vec<SocketAddr> = tokio::net::lookup_host(seed).await.map_or(Vec::new(), Iterator::collect);
    addrs.sort();
    addrs.dedup();
    addrs
}
