//! A flood of strange datagrams at the leader.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use quorate_proto::seal::{KIND_GOSSIP, Key, Ring, Sealers};
use rand::rngs::StdRng;
use rand::{Rng as _, RngExt, SeedableRng};

use crate::support::{founded, metric, undisturbed};

/// What CI can afford.
const SECONDS: u64 = 3;
/// Datagrams between two looks at the clock.
const BATCH: u32 = 64;

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

/// Datagrams of each kind of stranger.
struct Strange {
    noise: Vec<Vec<u8>>,
    wrong_key: Vec<Vec<u8>>,
    /// True ones, to be sent first; all that follow are repetitions.
    replayed: Vec<Vec<u8>>,
    damaged: Vec<Vec<u8>>,
}

impl Strange {
    fn new(name: &str, key: &str) -> Self {
        let mut rng = StdRng::seed_from_u64(7);
        let key = Key::from_bytes(&STANDARD.decode(key).unwrap()).unwrap();
        let other = Ring::of(Key::from_bytes(&[7; 32]).unwrap());
        let body = |rng: &mut StdRng| {
            let mut body = vec![0; rng.random_range(20..300)];
            rng.fill_bytes(&mut body);
            body[0] = KIND_GOSSIP;
            body
        };
        let noise = (0..1_000).map(|_| body(&mut rng)).collect();
        let wrong_key = (0..1_000).map(|_| {
            let mut sealers = Sealers::new(name, Some(&other), rng.random());
            sealers.seal_plain(&body(&mut rng), None).unwrap()
        });
        let wrong_key = wrong_key.collect();
        let mut sealers = Sealers::new(name, Some(&Ring::of(key)), rng.random());
        let replayed: Vec<Vec<u8>> = (0..1_000).map(|_| sealers.seal_plain(&body(&mut rng), None).unwrap()).collect();
        let damaged = replayed.iter().map(|true_one| {
            let mut damaged = true_one.clone();
            *damaged.last_mut().unwrap() ^= 1;
            damaged
        });
        let damaged = damaged.collect();
        Self { noise, wrong_key, replayed, damaged }
    }
}

#[test]
fn a_flood_of_strange_datagrams_does_not_cost_the_leader_its_lease() {
    let site = founded();
    let strange = Strange::new(&site.shape.name, site.shape.key.as_ref().unwrap());
    let (seconds, rate) = (setting("QUORATE_FLOOD_SECONDS").unwrap_or(SECONDS), setting("QUORATE_FLOOD_RATE"));
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(site[0].gossip).unwrap();
    for true_one in &strange.replayed {
        socket.send(true_one).unwrap();
        std::thread::sleep(Duration::from_micros(200));
    }
    let reasons = ["magic", "unknown_key", "replayed", "bad_seal", "too_short", "version"];
    let dropped =
        || reasons.map(|reason| metric(&site, 0, &format!("quorate_packets_dropped_total{{reason=\"{reason}\"}}")));
    let (before, begun) = (dropped(), Instant::now());
    let kinds = [&strange.noise, &strange.wrong_key, &strange.replayed, &strange.damaged];
    let (mut sent, mut failed) = (0_u64, 0_u64);
    while begun.elapsed() < Duration::from_secs(seconds) {
        for _ in 0..BATCH {
            let kind = kinds[usize::try_from(sent % 4).unwrap()];
            let datagram = &kind[usize::try_from(sent / 4).unwrap() % kind.len()];
            failed += u64::from(socket.send(datagram).is_err());
            sent += 1;
        }
        if let Some(rate) = rate {
            let due = Duration::from_nanos(sent * 1_000_000_000 / rate);
            std::thread::sleep(due.saturating_sub(begun.elapsed()));
        }
    }
    let took = begun.elapsed();
    let after = dropped();
    let counts: Vec<_> = reasons.iter().zip(before.iter().zip(after)).map(|(why, (b, a))| (*why, a - b)).collect();
    let counted: u64 = counts.iter().map(|(_, count)| count).sum();
    println!(
        "{sent} datagrams in {:.1} s, {} a second ({failed} not sent); the leader read and dropped {counted}: {counts:?}; the \
         kernel dropped {}",
        took.as_secs_f64(),
        u128::from(sent) * 1_000 / took.as_millis(),
        metric(&site, 0, "quorate_packets_dropped_by_kernel_total")
    );
    for (reason, count) in &counts[..4] {
        assert!(*count > 0, "{reason} is counted");
    }
    undisturbed(&site);
    site.end();
}
