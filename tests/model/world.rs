//! The world as a `stateright` model: agents, everything that was ever sent, and what was seen.
//!
//! A message that was sent stays deliverable for ever: so it may be lost (never delivered), late, reordered and repeated
//! without further actions. Agents are shared between states, and a state's fingerprint is made of theirs.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use quorate_proto::Stamp;
use quorate_proto::message::{Body, VOTERS_KEY, Voter};
use stateright::{Model, Property};

use crate::config::{Clocks, Config, KINDS, Kind, Slip, instance, member};
use crate::ghost::Ghost;
use crate::host::Host;
use crate::input::{Envelope, Fact, Input, Step, hash64};
use crate::memo::Memo;
use crate::script;

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct State {
    pub(crate) hosts: Vec<Arc<Host>>,
    /// Sorted by hash, each once.
    pub(crate) net: Arc<Vec<Arc<Envelope>>>,
    pub(crate) ghost: Arc<Ghost>,
    ghost_hash: u64,
    pub(crate) spent: [u8; KINDS],
}

impl Hash for State {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for host in &self.hosts {
            host.hash.hash(state);
        }
        let sum = self.net.iter().fold(0u64, |sum, envelope| sum.wrapping_add(envelope.hash));
        (sum, self.ghost_hash, self.spent).hash(state);
    }
}

impl PartialEq for State {
    fn eq(&self, other: &Self) -> bool {
        hash64(self) == hash64(other)
    }
}

/// One thing that happens.
#[derive(Clone)]
pub(crate) enum Action {
    One(usize, Input, Option<Kind>),
    /// Time passes for all.
    Pass,
}

impl PartialEq for Action {
    fn eq(&self, other: &Self) -> bool {
        format!("{self:?}") == format!("{other:?}")
    }
}

impl std::fmt::Debug for Action {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Pass => write!(f, "a step of time"),
            Self::One(agent, Input::Message(envelope), _) => {
                let from = crate::config::agent_at(envelope.from).map_or(0, |from| from + 1);
                write!(f, "n{} gets from n{from}: {:?}", agent + 1, Brief(&envelope.message.body))
            }
            Self::One(agent, input, _) => write!(f, "n{} {input:?}", agent + 1),
        }
    }
}

/// A message in a trace.
struct Brief<'a>(&'a Body);

impl std::fmt::Debug for Brief<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = format!("{:?}", self.0);
        let short: String = text.chars().take(110).collect();
        f.write_str(&short)
    }
}

/// See the module.
pub(crate) struct World {
    pub(crate) config: Config,
    pub(crate) memo: Memo,
    /// States that were generated, with repeats.
    generated: AtomicUsize,
    /// For what should be reachable: how many states had been generated when it was first seen.
    first_seen: BTreeMap<&'static str, OnceLock<usize>>,
}

/// The invariants that are always checked.
pub(crate) const INVARIANTS: [&str; 12] = ["I1", "I2", "I3", "I4", "I5", "I6", "I8", "I9", "I10", "I11", "R1", "R5"];

pub(crate) const LEADER: &str = "a leader is elected";
pub(crate) const WRITE: &str = "a write is acknowledged";
pub(crate) const SUCCESSION: &str = "another leader follows";
pub(crate) const HAND_OVER: &str = "leadership is handed over";
pub(crate) const PROMISED: &str = "a promise is on a disk";
pub(crate) const ACCEPTED: &str = "founders are accepted";
pub(crate) const FOUNDED: &str = "a cluster is founded";
pub(crate) const CHANGED: &str = "the voter set changes";
pub(crate) const RUN: &str = "a run is journalled, and another after it";

fn holds(invariant: &'static str) -> Property<World> {
    macro_rules! always {
        ($($name:literal)*) => {
            match invariant {
                $($name => Property::always($name, |_: &World, s: &State| !s.ghost.broken.contains($name)),)*
                _ => panic!("no invariant {invariant}"),
            }
        };
    }
    always!("I1" "I2" "I3" "I4" "I5" "I6" "I8" "I9" "I10" "I11" "R1" "R5")
}

fn happens(what: &'static str) -> Property<World> {
    let condition: fn(&World, &State) -> bool = match what {
        LEADER => |w, s| w.see(LEADER, s.ghost.has_leader()),
        PROMISED => |w, s| w.see(PROMISED, s.hosts.iter().any(|host| host.disk.promised.is_some())),
        ACCEPTED => |w, s| w.see(ACCEPTED, s.hosts.iter().any(|host| host.disk.founding.accepted.is_some())),
        WRITE => |w, s| w.see(WRITE, s.ghost.has_acknowledged()),
        SUCCESSION => |w, s| w.see(SUCCESSION, s.ghost.leaders() > 1),
        HAND_OVER => |w, s| w.see(HAND_OVER, s.ghost.handed_over && s.ghost.leaders() > 1),
        FOUNDED => |w, s| w.see(FOUNDED, s.ghost.is_founded()),
        CHANGED => |w, s| w.see(CHANGED, s.ghost.sets() > 1),
        RUN => |w, s| w.see(RUN, s.ghost.runs > 1),
        _ => panic!("no property {what}"),
    };
    Property::sometimes(what, condition)
}

impl World {
    pub(crate) fn new(config: Config) -> Self {
        let first_seen = config.sometimes.iter().map(|what| (*what, OnceLock::new())).collect();
        Self { config, memo: Memo::new(), generated: AtomicUsize::new(0), first_seen }
    }

    /// Notes when something was first seen, if it was.
    fn see(&self, what: &str, holds: bool) -> bool {
        if holds && let Some(first) = self.first_seen.get(what) {
            first.get_or_init(|| self.generated.load(Ordering::Relaxed));
        }
        holds
    }

    /// What should be reachable and was, and how many states had been generated by then.
    pub(crate) fn reached(&self) -> Vec<(&'static str, usize)> {
        self.first_seen.iter().filter_map(|(what, first)| Some((*what, *first.get()?))).collect()
    }

    /// An agent becomes what a step made of it.
    pub(crate) fn take(&self, state: &mut State, agent: usize, step: &Step) {
        if !step.sent.is_empty() {
            let news = step.sent.iter().filter(|e| state.net.binary_search_by_key(&e.hash, |had| had.hash).is_err());
            let news: Vec<_> = news.cloned().collect();
            if !news.is_empty() {
                let mut net = (*state.net).clone();
                net.extend(news);
                net.sort_unstable_by_key(|envelope| envelope.hash);
                state.net = Arc::new(net);
            }
        }
        let mut ghost = None;
        if !step.facts.is_empty() {
            let mut next = (*state.ghost).clone();
            for fact in &step.facts {
                let on_disk = || on_disk(&state.hosts);
                next.note(agent, fact, &on_disk);
                if let Fact::Promised { epoch } = fact
                    && !self.may_promise(state, agent, epoch.0)
                {
                    next.broken.insert("R5");
                }
            }
            ghost = Some(next);
        }
        state.hosts[agent] = Arc::clone(&step.host);
        if let Some(broken) = self.broken_now(state) {
            ghost.get_or_insert_with(|| (*state.ghost).clone()).broken.insert(broken);
        }
        if let Some(ghost) = ghost {
            state.ghost_hash = hash64(&ghost);
            state.ghost = Arc::new(ghost);
        }
    }

    /// R5: a majority has said that it would grant the epoch.
    fn may_promise(&self, state: &State, agent: usize, epoch: u64) -> bool {
        if self.config.bare || self.config.voters != self.config.agents || !self.config.prefix.is_empty() {
            return true; // The voters change, or messages were forgotten.
        }
        let yes = state.net.iter().filter(|envelope| {
            envelope.to == agent && matches!(envelope.message.body, Body::PreGrant { epoch: e, .. } if e.0 == epoch)
        });
        let yes: BTreeSet<_> = yes.map(|envelope| &envelope.message.header.from.id).collect();
        yes.len() + 1 > self.config.voters / 2
    }

    /// I6 and I9: what may not be at one moment.
    fn broken_now(&self, state: &State) -> Option<&'static str> {
        if matches!(self.config.clocks, Clocks::Free { .. }) {
            return None;
        }
        // While time passes for all, clocks are read at different moments.
        let together = state.hosts.windows(2).all(|pair| pair[0].steps == pair[1].steps);
        if !together {
            return None;
        }
        let open = state.hosts.iter().filter(|host| host.open.is_some()).count();
        let alive: usize = state.hosts.iter().map(|host| host.runs_alive()).sum();
        match (open > 1, alive > 1) {
            (true, _) => Some("I6"),
            (_, true) => Some("I9"),
            _ => None,
        }
    }

    fn inputs(&self, state: &State, agent: usize, host: &Host, actions: &mut Vec<Action>) {
        let config = &self.config;
        let mut can = |input: Input, kind: Option<Kind>| {
            if kind.is_none_or(|kind| state.spent[kind as usize] < config.limits[kind as usize]) {
                actions.push(Action::One(agent, input, kind));
            }
        };
        if !host.pending.is_empty() {
            can(Input::Persisted, None);
        }
        match config.clocks {
            Clocks::Free { each } if host.steps < each && config.ticks >> agent & 1 == 1 => {
                can(Input::Pass { wakes: true }, Some(Kind::Tick));
            }
            Clocks::Bound { .. } if host.asleep => can(Input::Wake, None),
            _ => {}
        }
        if config.crashes >> agent & 1 == 1 {
            can(Input::Crash, Some(Kind::Crash));
            can(Input::LoseDisk, Some(Kind::LoseDisk));
        }
        if host.active.is_some() {
            can(Input::Propose(state.spent[Kind::Propose as usize] + 1), Some(Kind::Propose));
            can(Input::StepDown, Some(Kind::StepDown));
            for other in 0..config.agents {
                can(Input::Remove(other), Some(Kind::Remove));
            }
        }
        if host.may_finish_hand_over(config.slip) {
            can(Input::RunsStopped, None);
        }
        for (who, sees) in &config.advices {
            if *who == agent {
                let instances = state.hosts.iter().map(|host| host.instance).collect();
                can(Input::Advise { sees: *sees, instances }, Some(Kind::Advise));
            }
        }
        if config.runs {
            if host.may_start() {
                can(Input::StartRun, Some(Kind::Run));
            }
            for (number, guard) in host.guards.iter().enumerate() {
                let interrupted = guard.run.as_ref().is_some_and(|run| run.kill_at.is_some());
                if interrupted {
                    can(Input::RunDies(number), None);
                } else if guard.run.is_some() {
                    can(Input::RunEnds, None);
                }
                let may_release = guard.run.is_none() || config.slip == Slip::EarlyRelease;
                if !guard.agent_lives && guard.release.is_some() && may_release {
                    can(Input::SendRelease(number), None);
                }
                let may_tell = !guard.agent_lives || config.slip == Slip::EarlyDeath;
                if guard.run.is_some() && guard.lease_ended.is_some() && may_tell {
                    can(Input::TellOfDeath(number), None);
                }
            }
        }
    }
}

/// What every disk holds of the voter set.
fn on_disk(hosts: &[Arc<Host>]) -> BTreeMap<Voter, Stamp> {
    let held = |host: &Arc<Host>| {
        let (stamp, _) = host.disk.registers.get(VOTERS_KEY)?;
        Some((Voter { id: member(host.id), instance: instance(host.id, host.instance) }, *stamp))
    };
    hosts.iter().filter_map(held).collect()
}

impl Model for World {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let config = &self.config;
        let start = |fast: &u8| {
            let steps: Vec<Step> =
                (0..config.agents).map(|agent| Host::start(config, agent, fast >> agent & 1 == 1)).collect();
            let mut state = State {
                hosts: steps.iter().map(|step| Arc::clone(&step.host)).collect(),
                net: Arc::default(),
                ghost: Arc::default(),
                ghost_hash: 0,
                spent: [0; KINDS],
            };
            for (agent, step) in steps.iter().enumerate() {
                self.take(&mut state, agent, step);
            }
            if config.prefix.is_empty() { state } else { script::play(self, state, &config.prefix) }
        };
        config.fast.iter().map(start).collect()
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        // A rule of one agent (R1, R5) may be broken on the way to what the rule is for.
        let ends = |broken: &&str| broken.starts_with('I') || self.config.rules_end;
        if state.ghost.broken.iter().any(ends) {
            return;
        }
        for (agent, host) in state.hosts.iter().enumerate() {
            self.inputs(state, agent, host, actions);
        }
        for envelope in state.net.iter() {
            actions.push(Action::One(envelope.to, Input::Message(Arc::clone(envelope)), None));
        }
        let time = matches!(self.config.clocks, Clocks::Bound { .. });
        if time && state.spent[Kind::Tick as usize] < self.config.limits[Kind::Tick as usize] {
            actions.push(Action::Pass);
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::One(agent, input, kind) => {
                let step = self.memo.step(&last.hosts[agent], &input, &self.config)?;
                if step.host.machine.epoch().0 > self.config.max_epoch {
                    return None;
                }
                self.take(&mut state, agent, &step);
                if let Some(kind) = kind {
                    state.spent[kind as usize] += 1;
                }
            }
            Action::Pass => {
                let Clocks::Bound { lazy } = self.config.clocks else { return None };
                for agent in 0..state.hosts.len() {
                    let input = Input::Pass { wakes: lazy >> agent & 1 == 0 };
                    if let Some(step) = self.memo.step(&last.hosts[agent], &input, &self.config) {
                        if step.host.machine.epoch().0 > self.config.max_epoch {
                            return None;
                        }
                        self.take(&mut state, agent, &step);
                    }
                }
                state.spent[Kind::Tick as usize] += 1;
            }
        }
        self.generated.fetch_add(1, Ordering::Relaxed);
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let always = INVARIANTS.into_iter().map(holds);
        always.chain(self.config.sometimes.iter().copied().map(happens)).collect()
    }
}
