//! Thousands of connections that say nothing useful, against the leader of three.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::harness::{Site, Task, eventually};
use super::sockets::{ask, connect, metric, raise_descriptors};

const HEAD: &[u8] = b"GET /v1/status HTTP/1.1\r\nhost: localh";
/// Connections that the flood wants to have, all the time.
const WANTED: usize = 10_000;
/// Addresses that it comes from.
const SOURCES: u8 = 20;
/// Descriptors that the test needs for itself.
const OWN: usize = 500;
/// Of the configuration.
const MAX: f64 = 768.0;

/// Keeps connections open, each with half a head, and opens a new one for each that is ended.
struct Flood {
    stop: Arc<AtomicBool>,
    opened: Arc<AtomicUsize>,
    threads: Vec<JoinHandle<()>>,
}

impl Flood {
    fn start(to: SocketAddr, connections: usize) -> Self {
        let (stop, opened) = <(Arc<AtomicBool>, Arc<AtomicUsize>)>::default();
        let each = connections / usize::from(SOURCES);
        let threads = (1..=SOURCES).map(|source| {
            let (stop, opened) = (Arc::clone(&stop), Arc::clone(&opened));
            std::thread::spawn(move || hold(Ipv4Addr::new(127, 0, 1, source), to, each, &stop, &opened))
        });
        Self { threads: threads.collect(), stop, opened }
    }

    fn opened(&self) -> usize {
        self.opened.load(Ordering::Relaxed)
    }

    fn end(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().unwrap();
        }
        self.opened.load(Ordering::Relaxed)
    }
}

fn hold(from: Ipv4Addr, to: SocketAddr, wanted: usize, stop: &AtomicBool, opened: &AtomicUsize) {
    let mut held: Vec<TcpStream> = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        held.retain_mut(is_open);
        while held.len() < wanted && !stop.load(Ordering::Relaxed) {
            let Ok(mut stream) = connect(from, to, None) else { break };
            let _refused = stream.write_all(HEAD);
            stream.set_nonblocking(true).unwrap();
            held.push(stream);
            opened.fetch_add(1, Ordering::Relaxed);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Whether the other side has not ended it.
fn is_open(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0; 256]) {
        Ok(bytes) => bytes > 0,
        Err(error) => error.kind() == ErrorKind::WouldBlock,
    }
}

/// Resident memory of a process in MiB.
fn memory(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
}

#[test]
fn ten_thousand_slow_connections_cost_neither_the_lease_nor_anybody_elses_answers() {
    let limit = usize::try_from(raise_descriptors()).unwrap_or(usize::MAX);
    let connections = WANTED.min(limit.saturating_sub(OWN));
    if connections < WANTED {
        println!("the hard limit of open files is {limit}: {connections} connections at a time instead of {WANTED}");
    }
    let mut site = Site::new(3, "lan", "10s", vec![Task::ticking("tick")]);
    site.found();
    let (addr, pid) = (site[0].addr, site[0].pid());
    let (epoch, before) = (site.view(0).unwrap().epoch, memory(pid));
    let flood = Flood::start(addr, connections);
    eventually("the flood has opened as many as it wants", || flood.opened() >= connections);

    // Whoever asks from elsewhere is answered: an orchestrator, a client of the API, a scraper.
    let elsewhere = Ipv4Addr::new(127, 0, 9, 9);
    let (mut longest, mut greatest, mut held) = (Duration::ZERO, 0.0, 0.0);
    for round in 0..200 {
        let path = ["/readyz", "/v1/status/tasks", "/metrics", "/leader"][round % 4];
        let begun = Instant::now();
        let answer = ask(elsewhere, addr, path).unwrap_or_else(|| panic!("{path} in round {round}: no answer"));
        longest = longest.max(begun.elapsed());
        assert!(answer.starts_with("HTTP/1.1 200 "), "{path} in round {round}: {answer}");
        if path == "/metrics" {
            held = f64::max(held, metric(&answer, "quorate_http_connections ").unwrap());
        }
        greatest = f64::max(greatest, memory(pid));
    }
    // Whoever shares an address with the flood gets in too: what gives way are connections that do nothing.
    eventually("a client at an address of the flood is answered", || {
        ask(Ipv4Addr::new(127, 0, 1, 1), addr, "/readyz").is_some_and(|answer| answer.starts_with("HTTP/1.1 200 "))
    });
    let status = site.command(0, &["status"]);
    assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stderr));
    let opened = flood.end();

    assert!(held <= MAX, "{held} connections at a time");
    assert!(greatest < before + 128.0, "memory grew from {before} to {greatest} MiB");
    let view = site.view(0).unwrap();
    assert_eq!((view.epoch, view.leader.as_deref()), (epoch, Some("a1")), "the leader kept its lease");
    eventually("the places of the flood are free again", || {
        ask(elsewhere, addr, "/metrics").and_then(|text| metric(&text, "quorate_http_connections ")).unwrap() < 10.0
    });
    let runs = site.resource.runs().len();
    eventually("tasks go on", || site.resource.runs().len() > runs);
    println!(
        "{opened} slow connections opened, at most {held} held, longest answer {longest:?}, \
         memory {before:.0} to {greatest:.0} MiB, epoch {epoch} before and after"
    );
    site.end();
}
