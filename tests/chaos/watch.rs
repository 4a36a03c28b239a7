//! Who leads, asked all the time; and how long nobody did although a majority was connected.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::faults::Fault;
use crate::harness::http::Door;

/// Between two looks at all agents.
const LOOK: Duration = Duration::from_millis(40);

/// The running watch.
#[derive(Debug)]
pub(crate) struct Watch {
    gaps: Arc<Mutex<Gaps>>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

/// Times without a leader that count.
#[derive(Debug, Default)]
pub(crate) struct Gaps {
    /// Since when a majority has been connected without interruption.
    majority_since: Option<Instant>,
    led_at: Option<Instant>,
    pub(crate) longest: Duration,
    pub(crate) changes: u64,
    leader: Option<usize>,
}

impl Gaps {
    /// A majority is connected from now on, or not any more.
    fn majority(&mut self, connected: bool, now: Instant) {
        if connected && self.majority_since.is_none() {
            self.majority_since = Some(now);
        }
        if !connected {
            self.majority_since = None;
        }
    }

    /// Who leads now, if anybody.
    fn look(&mut self, leader: Option<usize>, now: Instant) {
        if let Some(since) = self.majority_since {
            let from = self.led_at.map_or(since, |led| led.max(since));
            self.longest = self.longest.max(now.saturating_duration_since(from));
        }
        if let Some(leader) = leader {
            self.led_at = Some(now);
            self.changes += u64::from(self.leader.replace(leader) != Some(leader));
        }
    }
}

impl Watch {
    pub(crate) fn start(doors: Vec<Door>) -> Self {
        let (gaps, stop) = (Arc::new(Mutex::new(Gaps::default())), Arc::new(AtomicBool::new(false)));
        let (shared, stopped) = (gaps.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let leader = doors.iter().position(|door| {
                    let answer = door.ask("GET", "/leader", Duration::from_millis(300));
                    answer.is_some_and(|answer| answer.status == 200)
                });
                shared.lock().expect("the watch").look(leader, Instant::now());
                std::thread::sleep(LOOK);
            }
        });
        Self { gaps, stop, thread }
    }

    /// Tells what the faults leave of the cluster.
    pub(crate) fn faults(&self, faults: &[Fault], hosts: usize) {
        self.gaps.lock().expect("the watch").majority(majority_is_connected(faults, hosts), Instant::now());
    }

    pub(crate) fn end(self) -> Gaps {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the watching thread");
        std::mem::take(&mut self.gaps.lock().expect("the watch"))
    }
}

/// Whether a majority of all hosts runs and hears each other, undisturbed.
fn majority_is_connected(faults: &[Fault], hosts: usize) -> bool {
    if faults.iter().any(Fault::disturbs) {
        return false;
    }
    let down = |host: usize| faults.iter().any(|fault| fault.removes() == Some(host));
    let hears = |a: usize, b: usize| {
        !faults.iter().any(|fault| match fault {
            Fault::Split(group) => group.contains(&a) != group.contains(&b),
            Fault::Mute(group) => group.contains(&b) && !group.contains(&a),
            Fault::OneWay { deaf, to } => a == *deaf && b == *to,
            _ => false,
        })
    };
    (0_u32..1 << hosts).any(|mask| {
        let members: Vec<usize> = (0..hosts).filter(|n| mask & (1 << n) != 0).collect();
        members.len() > hosts / 2
            && members.iter().all(|a| !down(*a) && members.iter().all(|b| a == b || hears(*a, *b)))
    })
}

/// The watch must bite.
pub(crate) fn prove() {
    assert!(majority_is_connected(&[], 5) && majority_is_connected(&[Fault::Split(vec![0, 1])], 5));
    assert!(!majority_is_connected(&[Fault::Split(vec![0, 1]), Fault::Kill(2)], 5));
    assert!(!majority_is_connected(&[Fault::Split(vec![0, 1]), Fault::OneWay { deaf: 2, to: 3 }], 5));
    assert!(!majority_is_connected(&[Fault::Loss(5)], 5));
    let (start, second) = (Instant::now(), Duration::from_secs(1));
    let mut gaps = Gaps::default();
    gaps.majority(true, start);
    gaps.look(Some(0), start + second);
    gaps.look(None, start + second * 3);
    gaps.majority(false, start + second * 3);
    gaps.look(None, start + second * 9);
    gaps.majority(true, start + second * 9);
    gaps.look(Some(1), start + second * 10);
    assert_eq!((gaps.longest, gaps.changes), (second * 2, 2));
}
