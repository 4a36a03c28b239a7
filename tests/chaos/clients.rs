//! Clients of the API: they make, switch and delete tasks all the time, and remember what was acknowledged.
//!
//! Every name is used once, so what must be true of it later needs no clock: a task whose creation was acknowledged exists
//! until its deletion is asked for; one whose deletion was acknowledged never comes back; a flag that was acknowledged
//! stands. What was answered with anything but success may or may not have happened.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

use crate::harness::http::Door;
use crate::harness::net;

/// What is known of one task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    /// Acknowledged, or seen: it is so.
    Yes,
    /// Acknowledged: it is not so, for ever.
    No,
    /// Asked, not acknowledged.
    Maybe,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Made {
    exists: Known,
    disabled: Known,
}

/// What the clients did and found.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    made: BTreeMap<String, Made>,
    pub(crate) acknowledged: u64,
    pub(crate) unknown: u64,
    pub(crate) refused: u64,
    pub(crate) reads: u64,
    pub(crate) lost: Vec<String>,
}

impl Ledger {
    /// Compares what the leader shows with what was acknowledged before it was asked. Names that somebody has changed, or
    /// asked to change, meanwhile say nothing.
    fn check(&mut self, before: &BTreeMap<String, Made>, shown: &BTreeMap<String, bool>) {
        self.reads += 1;
        for (name, made) in before.iter().filter(|(name, made)| self.made.get(*name) == Some(*made)) {
            match (made.exists, shown.get(name)) {
                (Known::Yes, None) => self.lost.push(format!("{name} was acknowledged and is gone")),
                (Known::No, Some(_)) => self.lost.push(format!("{name} was deleted and is back")),
                (Known::Yes, Some(true)) if made.disabled == Known::Yes => {
                    self.lost.push(format!("{name} was disabled and is enabled"));
                }
                _ => {}
            }
        }
    }
}

/// The running clients.
#[derive(Debug)]
pub(crate) struct Clients {
    doors: Vec<Door>,
    ledger: Arc<Mutex<Ledger>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Clients {
    pub(crate) fn start(doors: Vec<Door>, count: usize, seed: u64) -> Self {
        let (ledger, stop) = (Arc::new(Mutex::new(Ledger::default())), Arc::new(AtomicBool::new(false)));
        let threads = (0..count).map(|client| {
            let (doors, ledger, stop) = (doors.clone(), ledger.clone(), stop.clone());
            let mut rng = StdRng::seed_from_u64(seed.wrapping_add(client as u64));
            std::thread::spawn(move || {
                let mut number = 0;
                while !stop.load(Ordering::Relaxed) {
                    let door = &doors[rng.random_range(0..doors.len())];
                    step(door, &ledger, &mut rng, client, &mut number);
                    std::thread::sleep(Duration::from_millis(rng.random_range(50..250)));
                }
            })
        });
        let threads = threads.collect();
        Self { doors, ledger, stop, threads }
    }

    /// Stops them and, with everything healed, compares every agent's answer with what was acknowledged.
    pub(crate) fn end(self) -> Ledger {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().expect("a client");
        }
        for door in &self.doors {
            let before = self.ledger.lock().expect("the ledger").made.clone();
            let shown = read(door).expect("a healed cluster answers on every agent");
            self.ledger.lock().expect("the ledger").check(&before, &shown);
        }
        std::mem::take(&mut self.ledger.lock().expect("the ledger"))
    }
}

/// One thing a client does.
fn step(door: &Door, ledger: &Mutex<Ledger>, rng: &mut StdRng, client: usize, number: &mut u64) {
    let own = format!("made-{client}-");
    let before = ledger.lock().expect("the ledger").made.clone();
    let mine: Vec<(&String, &Made)> =
        before.iter().filter(|(name, made)| name.starts_with(&own) && made.exists == Known::Yes).collect();
    let chosen = (!mine.is_empty()).then(|| mine[rng.random_range(0..mine.len())].0.clone());
    let note = |name: &str, made: Made| {
        ledger.lock().expect("the ledger").made.insert(name.to_owned(), made);
    };
    match (rng.random_range(0..10), chosen) {
        (0..=2, _) | (_, None) if mine.len() < 12 => {
            let name = format!("{own}{number}");
            *number += 1;
            let task = json!({"task": {"name": name, "command": ["true"], "enabled": true,
                "condition": {"schedule": {"cron": "0 0 1 1 *"}}}});
            note(&name, Made { exists: Known::Maybe, disabled: Known::Maybe });
            let outcome = call(door, "POST", "/v1/tasks", Some(&task));
            if count(ledger, &format!("POST {name} at {}", door.addr), outcome.as_ref()) {
                note(&name, Made { exists: Known::Yes, disabled: Known::Maybe });
            }
        }
        (3..=5, Some(name)) => {
            let made = before[&name].clone();
            let outcome = call(door, "PATCH", &format!("/v1/tasks/{name}"), Some(&json!({"enabled": false})));
            if count(ledger, &format!("PATCH {name} at {}", door.addr), outcome.as_ref()) {
                note(&name, Made { disabled: Known::Yes, ..made });
            }
        }
        (6, Some(name)) => {
            let made = before[&name].clone();
            note(&name, Made { exists: Known::Maybe, ..made.clone() });
            let outcome = call(door, "DELETE", &format!("/v1/tasks/{name}"), None);
            if count(ledger, &format!("DELETE {name} at {}", door.addr), outcome.as_ref()) {
                note(&name, Made { exists: Known::No, ..made });
            }
        }
        _ => {
            if let Some(shown) = read(door) {
                ledger.lock().expect("the ledger").check(&before, &shown);
            }
        }
    }
}

/// Counts an outcome; `true`: acknowledged.
fn count(ledger: &Mutex<Ledger>, asked: &str, outcome: Option<&(u16, Value)>) -> bool {
    let mut ledger = ledger.lock().expect("the ledger");
    match outcome {
        Some((200..=299, _)) => ledger.acknowledged += 1,
        Some((503, _)) => ledger.refused += 1,
        Some((504 | 500, _)) | None => ledger.unknown += 1,
        Some((status, body)) => ledger.lost.push(format!("an odd answer to {asked}: {status} {body}")),
    }
    matches!(outcome, Some((200..=299, _)))
}

/// The tasks as the leader shows them, name to enabled. Not those that are deleted and wait for the end of their run.
fn read(door: &Door) -> Option<BTreeMap<String, bool>> {
    let (status, body) = call(door, "GET", "/v1/cluster/tasks", None)?;
    // What an agent knows by itself may be old.
    let body = (status == 200 && body.get("stale_since").is_none()).then_some(body)?;
    let is_deleted = |task: &&Value| task["activity"]["why"].as_str().is_some_and(|why| why.starts_with("deleted"));
    let tasks = body["tasks"].as_array()?.iter().filter(|task| !is_deleted(task));
    Some(tasks.map(|task| (task["name"].as_str().unwrap_or_default().to_owned(), task["enabled"] == true)).collect())
}

fn call(door: &Door, method: &str, path: &str, body: Option<&Value>) -> Option<(u16, Value)> {
    let url = format!("http://{}{path}", door.addr);
    let ask = || {
        let config = ureq::Agent::config_builder().http_status_as_error(false).proxy(None);
        let agent = config.timeout_global(Some(Duration::from_secs(6))).build().new_agent();
        let request = ureq::http::Request::builder().method(method).uri(&url);
        let outcome = match body {
            Some(body) => agent.run(request.header("content-type", "application/json").body(body.to_string()).ok()?),
            None => agent.run(request.body(()).ok()?),
        };
        let mut answer = outcome.ok()?;
        let text = answer.body_mut().read_to_string().ok()?;
        Some((answer.status().as_u16(), serde_json::from_str(&text).unwrap_or(Value::String(text))))
    };
    match &door.namespace {
        Some(namespace) => net::inside(namespace, ask),
        None => ask(),
    }
}

/// The ledger must bite.
pub(crate) fn prove() {
    let found = |exists, disabled, shown: Option<bool>| {
        let before = BTreeMap::from([("m".to_owned(), Made { exists, disabled })]);
        let mut ledger = Ledger { made: before.clone(), ..Ledger::default() };
        ledger.check(&before, &shown.map(|enabled| ("m".to_owned(), enabled)).into_iter().collect());
        ledger.lost.len()
    };
    assert_eq!(found(Known::Yes, Known::Maybe, None), 1, "an acknowledged creation is gone");
    assert_eq!(found(Known::No, Known::Maybe, Some(true)), 1, "a deleted task is back");
    assert_eq!(found(Known::Yes, Known::Yes, Some(true)), 1, "a flag is lost");
    assert_eq!(found(Known::Maybe, Known::Yes, None) + found(Known::Yes, Known::Yes, Some(false)), 0);
}
