//! Founding: how N fresh agents agree once on who votes (protocol-safety 8, F1 to F6).
//!
//! A fresh agent tells everybody what it looks for. When it sees all its seeds, filled up with the lowest other fresh
//! ids to `expect`, all with the same name, number and seed list, it durably accepts the proposal that these make: a
//! pure function of what it sees, so equal views propose the same. The cluster is formed when **all** have accepted.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use quorate_proto::message::{Body, Process, Proposal, VOTERS_KEY, Value, Voter, Voters};
use quorate_proto::{ClusterId, Epoch, Instance, MemberId, Seq, Stamp};

use super::{After, Leadership, Rule, is_here};
use crate::cluster::Now;
use crate::cluster::durable::{Change, Durable, Founding};
use crate::cluster::output::Event;
use crate::cluster::settings::{LeadershipMode, Settings};

/// How often a fresh agent tells what it looks for.
const FOUND_PERIOD: Duration = Duration::from_millis(300);
/// What a fresh agent said is believed this long.
const FOUND_MEMORY: Duration = Duration::from_secs(3);
/// How long everybody may take to accept before an operator is told what to do (F5).
const STUCK_AFTER: Duration = Duration::from_secs(30);

/// The stamp of the voter set that the founding itself makes: before every epoch, the same on every founder.
const FOUNDING_STAMP: Stamp = Stamp { epoch: Epoch(0), seq: Seq(1) };

/// [`Body::Found`], taken apart.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) name: String,
    pub(super) expect: u16,
    pub(super) seeds: [u8; 16],
    pub(super) accepted: Option<Proposal>,
    pub(super) acceptances: Vec<MemberId>,
}

#[derive(Debug, Clone, Hash)]
struct Fresh {
    instance: Instance,
    /// Where it spoke from: what gossip says of addresses must not decide who is a seed.
    addr: SocketAddr,
    expect: u16,
    seeds: [u8; 16],
    accepted: Option<Proposal>,
    seen_at: Duration,
}

/// What the founding knows. Useless once the cluster is formed.
#[derive(Debug, Clone, Hash)]
pub(super) struct FoundingMachine {
    name: String,
    expect: u16,
    seeds: Vec<String>,
    seeds_hash: [u8; 16],
    /// Seed to its address; several addresses make it a mere contact.
    addresses: BTreeMap<String, Vec<SocketAddr>>,
    own_addr: Option<SocketAddr>,
    record: Founding,
    durable_acceptance: bool,
    acceptances: BTreeSet<MemberId>,
    fresh: BTreeMap<MemberId, Fresh>,
    next_send: Option<Duration>,
    accepted_at: Option<Duration>,
    waits_for: String,
    asked_at: Option<Duration>,
}

impl FoundingMachine {
    pub(super) fn new(settings: &Settings, durable: &Durable) -> Self {
        let mut hasher = blake3::Hasher::new();
        for seed in &settings.seeds {
            hasher.update(&(seed.len() as u64).to_le_bytes());
            hasher.update(seed.as_bytes());
        }
        let mut seeds_hash = [0; 16];
        seeds_hash.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        let accepted = durable.founding.accepted.is_some();
        Self {
            name: settings.name.clone(),
            expect: settings.expect,
            seeds: settings.seeds.clone(),
            seeds_hash,
            addresses: BTreeMap::new(),
            own_addr: None,
            record: durable.founding.clone(),
            durable_acceptance: accepted,
            acceptances: accepted.then(|| durable.id.clone()).into_iter().collect(),
            fresh: BTreeMap::new(),
            next_send: None,
            accepted_at: None,
            waits_for: String::new(),
            asked_at: None,
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<(Duration, &'static str)> {
        self.next_send.map(|at| (at, "look for founders"))
    }

    /// What the founding waits for; `None` when it is over.
    pub(super) fn reason(&self) -> Option<String> {
        self.next_send.is_some().then(|| self.waits_for.clone())
    }
}

/// The name of a cluster for ever: the hash of its founding proposal.
fn cluster_id(proposal: &Proposal) -> ClusterId {
    let bytes = quorate_proto::codec::encode(proposal).unwrap_or_default();
    let mut id = [0; 16];
    id.copy_from_slice(&blake3::hash(&bytes).as_bytes()[..16]);
    ClusterId(id)
}

impl Leadership {
    /// Configured seeds and what each resolves to; the own gossip address.
    pub fn handle_seeds(&mut self, seeds: BTreeMap<String, Vec<SocketAddr>>, own: SocketAddr, now: Now) {
        self.founding.addresses = seeds;
        self.founding.own_addr = Some(own);
        self.advance(now);
    }

    /// At the start of the process.
    pub(super) fn begin_founding(&mut self, now: Now) {
        if self.is_formed() {
            return;
        }
        if self.mode == LeadershipMode::Alive {
            // Nobody votes: the name alone makes the cluster.
            let mut id = [0; 16];
            id.copy_from_slice(&blake3::hash(format!("alive:{}", self.founding.name).as_bytes()).as_bytes()[..16]);
            let changes = vec![Change::Cluster(ClusterId(id))];
            self.acceptor.durable.cluster = Some(ClusterId(id));
            self.persist(changes, vec![After::Formed], now);
            return;
        }
        self.founding.next_send = Some(now.mono);
    }

    pub(super) fn advance_founding(&mut self, now: Now) {
        let Some(at) = self.founding.next_send else { return };
        self.founding.fresh.retain(|_, fresh| now.mono < fresh.seen_at + FOUND_MEMORY);
        if self.founding.record.accepted.is_none() {
            match self.candidate_proposal() {
                Ok(proposal) => self.accept(proposal, now),
                Err(waits_for) => self.founding.waits_for = waits_for,
            }
        } else {
            self.check_formed(now);
            self.explain_acceptance(now);
        }
        if self.founding.next_send.is_some() && now.mono >= at {
            self.founding.next_send = Some(now.mono + FOUND_PERIOD);
            let body = self.found_body();
            for addr in self.founding_targets() {
                self.send(addr, body.clone());
            }
        }
    }

    fn founding_targets(&self) -> BTreeSet<SocketAddr> {
        let seeds = self.founding.addresses.values().flatten().copied();
        let own = self.founding.own_addr;
        self.reachable().into_iter().chain(seeds).filter(|addr| Some(*addr) != own).collect()
    }

    fn found_body(&self) -> Body {
        let f = &self.founding;
        let accepted = f.record.accepted.clone().filter(|_| f.durable_acceptance);
        let acceptances = if accepted.is_some() { f.acceptances.iter().cloned().collect() } else { Vec::new() };
        Body::Found { name: f.name.clone(), expect: f.expect, seeds: f.seeds_hash, accepted, acceptances }
    }

    /// F2: all seeds, filled up to N with the lowest other fresh ids; or what is missing.
    fn candidate_proposal(&self) -> Result<Proposal, String> {
        let f = &self.founding;
        let me = &self.me;
        let mut seen: BTreeMap<&MemberId, Instance> = BTreeMap::from([(&me.id, me.instance)]);
        let mut odd = Vec::new();
        for (id, fresh) in &f.fresh {
            if fresh.expect != f.expect {
                odd.push(format!("{id} was started with expect = {}, this one with {}", fresh.expect, f.expect));
            } else if fresh.seeds != f.seeds_hash {
                odd.push(format!("{id} was started with another join list; all founders need the same"));
            } else {
                seen.insert(id, fresh.instance);
            }
        }
        let mut founders: BTreeMap<MemberId, Instance> = BTreeMap::new();
        for seed in &f.seeds {
            let addrs = f.addresses.get(seed).map_or(&[][..], Vec::as_slice);
            let [addr] = addrs else {
                if addrs.is_empty() {
                    odd.push(format!("the seed {seed} does not resolve yet"));
                }
                continue; // Several addresses: a contact, not a seed.
            };
            let at = |id: &&MemberId| {
                if **id == me.id {
                    f.own_addr == Some(*addr)
                } else {
                    f.fresh.get(*id).is_some_and(|fresh| fresh.addr == *addr)
                }
            };
            match seen.iter().find(|(id, _)| at(id)) {
                Some((id, instance)) => {
                    founders.insert((*id).clone(), *instance);
                }
                None if self.rules.keep(Rule::SeedsInProposal) => odd.push(format!("the seed {seed} is not here yet")),
                None => {}
            }
        }
        if !odd.is_empty() {
            return Err(format!("founding: {}", odd.join("; ")));
        }
        let wanted = usize::from(f.expect);
        for (id, instance) in seen {
            if founders.len() < wanted {
                founders.entry(id.clone()).or_insert(instance);
            }
        }
        if founders.len() != wanted {
            return Err(format!("founding: {} of {wanted} expected agents are here", founders.len()));
        }
        let founders: Vec<Voter> = founders.into_iter().map(|(id, instance)| Voter { id, instance }).collect();
        if !founders.iter().any(|v| v.id == me.id && v.instance == me.instance) {
            return Err("founding: enough other agents found the cluster; this one will join it".to_owned());
        }
        Ok(Proposal { name: f.name.clone(), expect: f.expect, seeds: f.seeds_hash, founders })
    }

    /// F3: one proposal in the life of a data directory.
    fn accept(&mut self, proposal: Proposal, now: Now) {
        let names: Vec<&str> = proposal.founders.iter().map(|v| v.id.as_str()).collect();
        self.event(Event::Founding { text: format!("accepted {} as the founders", names.join(", ")) });
        self.founding.record.accepted = Some(proposal);
        self.founding.accepted_at = Some(now.mono);
        let record = self.founding.record.clone();
        self.acceptor.durable.founding = record.clone();
        self.persist(vec![Change::Founding(record)], vec![After::Accepted], now);
    }

    pub(super) fn handle_accepted(&mut self, now: Now) {
        self.founding.durable_acceptance = true;
        self.founding.acceptances.insert(self.me.id.clone());
        self.founding.next_send = self.founding.next_send.map(|_| now.mono);
    }

    pub(super) fn handle_found(&mut self, addr: SocketAddr, from: &Process, found: Found, now: Now) {
        if found.name != self.founding.name || self.mode == LeadershipMode::Alive {
            return;
        }
        if let Some(proposal) = self.founding.record.formed.clone() {
            self.send(addr, Body::Formed { proposal });
            return;
        }
        let same = found.accepted.is_some() && found.accepted == self.founding.record.accepted;
        if same && self.founding.durable_acceptance {
            self.founding.acceptances.extend(found.acceptances);
            self.founding.acceptances.insert(from.id.clone());
        }
        let fresh = Fresh {
            instance: from.instance,
            addr,
            expect: found.expect,
            seeds: found.seeds,
            accepted: found.accepted,
            seen_at: now.mono,
        };
        self.founding.fresh.insert(from.id.clone(), fresh);
    }

    /// F4: formed when all N have accepted.
    fn check_formed(&mut self, now: Now) {
        let Some(proposal) = self.founding.record.accepted.clone() else { return };
        if !self.founding.durable_acceptance {
            return;
        }
        let accepted = |v: &&Voter| self.founding.acceptances.contains(&v.id);
        let count = proposal.founders.iter().filter(accepted).count();
        let all = proposal.founders.len();
        let enough = if self.rules.keep(Rule::AllFounders) { all } else { all / 2 + 1 };
        if count >= enough {
            self.form(proposal, now);
        }
    }

    /// F5: a founder that died or was wiped before all had accepted.
    fn explain_acceptance(&mut self, now: Now) {
        let f = &mut self.founding;
        let Some(proposal) = &f.record.accepted else { return };
        let missing: Vec<&str> =
            proposal.founders.iter().filter(|v| !f.acceptances.contains(&v.id)).map(|v| v.id.as_str()).collect();
        let mut text = format!("founding: waiting for {} to accept", missing.join(", "));
        if f.fresh.values().any(|fresh| fresh.accepted.as_ref().is_some_and(|p| p != proposal)) {
            text.push_str("; another agent has accepted other founders");
        }
        let since = *f.accepted_at.get_or_insert(now.mono);
        if now.mono > since + STUCK_AFTER {
            text.push_str(
                "; nothing has run yet: if it does not come back, stop all agents that wait here, \
                 delete their data directories and start again",
            );
        }
        f.waits_for = text;
    }

    pub(super) fn handle_formed(&mut self, cluster: Option<ClusterId>, proposal: Proposal, now: Now) {
        let fits = cluster == Some(cluster_id(&proposal)) && proposal.name == self.founding.name;
        if fits && self.founding.next_send.is_some() && self.founding.record.formed.is_none() {
            self.form(proposal, now);
        }
    }

    /// Founders and learners alike: the cluster exists, its first voter set is the proposal's.
    fn form(&mut self, proposal: Proposal, now: Now) {
        let cluster = cluster_id(&proposal);
        let voters = Voters(proposal.founders.clone());
        self.founding.record.formed = Some(proposal);
        self.founding.next_send = None;
        self.founding.fresh.clear();
        let record = self.founding.record.clone();
        let value = quorate_proto::codec::encode(&voters).ok().map(Value::Inline);
        let mut changes = vec![Change::Founding(record), Change::Cluster(cluster)];
        if self.acceptor.voters_stamp() < FOUNDING_STAMP {
            changes.push(Change::Register { key: VOTERS_KEY.to_owned(), stamp: FOUNDING_STAMP, value });
        }
        self.acceptor.apply(&changes);
        let voters = voters.0.into_iter().map(|v| v.id).collect();
        self.event(Event::Formed { voters });
        self.backoff_until = now.mono;
        self.leaderless_since = Some(now.mono);
        self.persist(changes, vec![After::Formed], now);
    }

    pub(super) fn handle_formed_durable(&mut self) {
        self.founding.asked_at = None;
        let body = self.founding.record.formed.clone().map(|proposal| Body::Formed { proposal });
        let Some(body) = body else { return };
        for addr in self.founding_targets() {
            self.send(addr, body.clone());
        }
    }

    /// A member of a formed cluster spoke to this fresh agent: ask it for the proof.
    pub(super) fn ask_to_join(&mut self, addr: SocketAddr, now: Now) {
        if self.founding.asked_at.is_none_or(|at| now.mono >= at + FOUND_PERIOD) {
            self.founding.asked_at = Some(now.mono);
            let body = self.found_body();
            self.send(addr, body);
        }
    }

    /// Whether any member of the own view is here: for explanations.
    pub(super) fn sees(&self, id: &MemberId) -> bool {
        *id == self.me.id || self.peers.get(id).is_some_and(|p| is_here(p.state))
    }
}
