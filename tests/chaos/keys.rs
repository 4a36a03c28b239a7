//! An operator who changes the key of the cluster's traffic all the time, through any agent: install, use, remove, as far as the
//! cluster lets them, whatever else goes wrong. The old key is removed only when every member has told that it has the new one:
//! whoever would miss that is meant to be cut off.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use quorate::http::reply::{Keyring, KeyringChanged};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;

use crate::harness::http::Door;
use crate::harness::wait::within;

/// What was done: acknowledged steps by their name, and how many were refused or not answered.
#[derive(Debug, Default, Clone)]
pub(crate) struct Steps {
    pub(crate) done: BTreeMap<&'static str, u64>,
    pub(crate) refused: u64,
    /// Answers that no operator should see.
    pub(crate) odd: Vec<String>,
}

/// The running operator.
#[derive(Debug)]
pub(crate) struct Operator {
    doors: Vec<Door>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Steps>,
}

impl Operator {
    pub(crate) fn start(doors: Vec<Door>, seed: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (asked, stopped) = (doors.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            let (mut rng, mut steps) = (StdRng::seed_from_u64(seed ^ 0x6b_6579), Steps::default());
            while !stopped.load(Ordering::Relaxed) {
                let door = &asked[rng.random_range(0..asked.len())];
                step(door, asked.len(), &mut rng, &mut steps);
                std::thread::sleep(Duration::from_millis(rng.random_range(200..900)));
            }
            steps
        });
        Self { doors, stop, thread }
    }

    /// Stops it and, with everything healed, goes on until one key is left, which every agent has and seals with.
    pub(crate) fn end(self, limit: Duration) -> Steps {
        self.stop.store(true, Ordering::Relaxed);
        let mut steps = self.thread.join().expect("the operator");
        let (mut rng, count) = (StdRng::seed_from_u64(0), self.doors.len());
        let mut turn = 0;
        within(limit, "one key is left and every agent seals with it", || {
            let listed = list(&self.doors[turn % count]);
            turn += 1;
            let Some(listed) = listed else { return false };
            let one = listed.keys.len() == 1 && listed.keys[0].primary_on.len() == count;
            if !one {
                let door = &self.doors[turn % count];
                step(door, count, &mut rng, &mut steps);
            }
            one
        });
        steps
    }
}

fn list(door: &Door) -> Option<Keyring> {
    Some(door.ask("GET", "/v1/keyring", Duration::from_secs(6))?)
        .filter(|answer| answer.status == 200)
        .map(|it| it.json())
}

/// The next step of a rotation, as the list of this agent has it.
fn step(door: &Door, members: usize, rng: &mut StdRng, steps: &mut Steps) {
    let Some(listed) = list(door) else { return };
    let all = |ids: &[String]| ids.len() == members;
    let primary = listed.keys.iter().find(|key| all(&key.primary_on));
    let (name, body) = match (primary, &listed.keys[..]) {
        (Some(_), [_]) => ("install", json!({"key": STANDARD.encode(rng.random::<[u8; 32]>())})),
        // The key that everybody seals with is the older one when it was not used a moment ago: half of the time.
        (Some(primary), keys) => {
            let other = keys.iter().find(|key| key.fingerprint != primary.fingerprint).expect("another key");
            let name = if rng.random() { "use" } else { "remove" };
            (name, json!({"fingerprint": other.fingerprint}))
        }
        // Agents differ: the one that somebody seals with is used by everybody.
        (None, keys) => match keys.iter().find(|key| !key.primary_on.is_empty()) {
            Some(key) => ("use", json!({"fingerprint": key.fingerprint})),
            None => return,
        },
    };
    if name == "remove" && listed.members.iter().any(|member| member.unknown.is_some()) {
        return;
    }
    match door.send("POST", &format!("/v1/keyring/{name}"), Some(&body)) {
        Some(answer) if answer.status == 200 => {
            let changed: KeyringChanged = answer.json();
            *steps.done.entry(name).or_default() += u64::from(changed.changed);
        }
        Some(answer) if [404, 409, 500, 503, 504].contains(&answer.status) => steps.refused += 1,
        Some(answer) => steps.odd.push(format!("keyring {name} at {}: {} {}", door.addr, answer.status, answer.body)),
        None => steps.refused += 1,
    }
}
