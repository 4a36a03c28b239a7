//! Large values: a register that names contents is taken only when they are on this disk.
//!
//! What names contents that are missing here is *held*: a write is not acknowledged, a catch-up not finished, a claim not
//! won. The contents are asked for ([`Output::Fetch`]) from whoever sent the name, later from anybody; when they are
//! durable (`handle_blob`) what was held goes on. So whatever is on a majority is there with its contents (I4, I5).
//!
//! Contents that nothing names any more are *loose*. They are kept for a while, because a member that is behind may
//! still ask for them and a claim that failed is tried again, and then dropped. The store drops the rest when it is opened.
//!
//! # Not here
//!
//! How contents travel and where they lie. Values that fit inside a register.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use quorate_proto::message::{Process, Put, Register, VALUE_MAX, Value};
use quorate_proto::{BlobHash, Epoch, Seq, Stamp};

use super::{After, Leadership, Output, Role, Rule, registers};
use crate::cluster::Now;

/// How long contents that nothing names are kept.
const KEEP: Duration = Duration::from_secs(30);
/// When contents are asked for again, elsewhere. A driver that still receives them ignores it.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// Writes held at once; one more is dropped, since the leader repeats it, or this member catches up later.
const HELD_MAX: usize = 256;

/// What waits for contents, and who may have them.
#[derive(Debug, Clone, Hash, Default)]
pub(super) struct Blobs {
    writes: BTreeMap<(Epoch, Seq), HeldWrite>,
    values: Option<HeldValues>,
    wanted: BTreeMap<BlobHash, Wanted>,
    /// Here, and perhaps not needed: since when.
    loose: BTreeMap<BlobHash, Duration>,
}

#[derive(Debug, Clone, Hash)]
struct HeldWrite {
    addr: SocketAddr,
    from: Process,
    entries: Vec<Put>,
}

/// The answer to a pull, or what is left of it.
#[derive(Debug, Clone, Hash)]
pub(super) struct HeldValues {
    pub(super) addr: SocketAddr,
    pub(super) from: Process,
    pub(super) epoch: Epoch,
    /// What the leader had committed when it was asked.
    pub(super) upto: Seq,
    /// Nothing was left out of the answer.
    pub(super) complete: bool,
    pub(super) registers: Vec<Register>,
}

#[derive(Debug, Clone, Hash)]
struct Wanted {
    len: u32,
    /// Who named them.
    from: BTreeSet<SocketAddr>,
    tries: usize,
    next: Duration,
}

impl Blobs {
    pub(super) fn poll_timeout(&self) -> Option<(Duration, &'static str)> {
        let wanted = self.wanted.values().map(|w| w.next).min().map(|at| (at, "ask for contents again"));
        let loose = self.loose.values().min().map(|since| (*since + KEEP, "drop contents that nothing names"));
        [wanted, loose].into_iter().flatten().min()
    }

    /// Whether an answer of the leader of this epoch waits for contents: no need to pull again.
    pub(super) fn holds_values_of(&self, epoch: Epoch) -> bool {
        self.values.as_ref().is_some_and(|held| held.epoch == epoch)
    }
}

impl Leadership {
    // Inputs.

    /// These contents are on disk now, whole.
    pub fn handle_blob(&mut self, hash: BlobHash, now: Now) {
        self.acceptor.durable.blobs.insert(hash);
        self.blobs.wanted.remove(&hash);
        self.blobs.loose.insert(hash, now.mono);
        let names = |put: &Put| put.value.as_ref().and_then(Value::blob).is_some_and(|(named, _)| named == hash);
        let ready: Vec<(Epoch, Seq)> =
            self.blobs.writes.iter().filter(|(_, w)| w.entries.iter().any(names)).map(|(at, _)| *at).collect();
        for at in ready {
            if let Some(HeldWrite { addr, from, entries }) = self.blobs.writes.remove(&at) {
                self.handle_write(addr, &from, at.0, at.1, &entries, now);
            }
        }
        if let Some(held) = self.blobs.values.take() {
            self.take_values(held, now);
        }
        if matches!(self.role, Role::Claiming(_)) {
            self.check_won(now);
        }
        self.advance(now);
    }

    /// These contents could not be had from there. `gone`: it says that it has none of them.
    pub fn handle_blob_failed(&mut self, hash: BlobHash, from: SocketAddr, gone: bool, now: Now) {
        let named = |r: &Register| r.value.as_ref().and_then(Value::blob).is_some_and(|(named, _)| named == hash);
        if gone && self.blobs.values.as_ref().is_some_and(|held| held.addr == from && held.registers.iter().any(named))
        {
            // The leader has replaced that value since: what it has now is pulled at its next renewal.
            self.blobs.values = None;
        }
        let around = self.sources(hash).len();
        if let Some(wanted) = self.blobs.wanted.get_mut(&hash) {
            wanted.tries += 1;
            let pause = if around == 0 || wanted.tries % around == 0 { ASK_AGAIN } else { self.timing.retry };
            wanted.next = now.mono + pause;
        }
        self.advance(now);
    }

    // Inside.

    /// Whether these contents are here.
    fn is_here(&self, value: Option<&Value>) -> bool {
        let Some((hash, _)) = value.and_then(Value::blob) else { return true };
        self.acceptor.durable.blobs.contains(&hash) || !self.keeps(Rule::ContentsFirst)
    }

    /// The contents that a batch would need and that are not here.
    pub(super) fn lacks(&self, stamp: Stamp, entries: &[Put]) -> Vec<(BlobHash, u32)> {
        let newer = |key: &String| self.acceptor.registers().get(key).is_none_or(|(had, _)| *had < stamp);
        let missing = entries.iter().filter(|put| !self.is_here(put.value.as_ref()) && newer(&put.key));
        missing.filter_map(|put| put.value.as_ref()?.blob()).collect()
    }

    /// The contents that the merged registers of a claim name and that are not here.
    pub(super) fn claim_lacks(&self) -> Vec<(BlobHash, u32)> {
        let Role::Claiming(claiming) = &self.role else { return Vec::new() };
        if !self.keeps(Rule::ContentsFirst) {
            return Vec::new();
        }
        let here = &self.acceptor.durable.blobs;
        registers::blobs(&claiming.merged).into_iter().filter(|(hash, _)| !here.contains(hash)).collect()
    }

    /// Holds a write until what it names is here.
    pub(super) fn hold_write(
        &mut self,
        addr: SocketAddr,
        from: &Process,
        at: (Epoch, Seq),
        entries: &[Put],
        missing: Vec<(BlobHash, u32)>,
        now: Now,
    ) {
        if self.blobs.writes.len() >= HELD_MAX && !self.blobs.writes.contains_key(&at) {
            return;
        }
        let held = HeldWrite { addr, from: from.clone(), entries: entries.to_vec() };
        self.blobs.writes.insert(at, held);
        self.want(missing, &[addr], now);
    }

    /// Takes what is whole of an answer to a pull, and holds the rest.
    pub(super) fn take_values(&mut self, mut values: HeldValues, now: Now) {
        let all = std::mem::take(&mut values.registers);
        let newer = |r: &Register| self.acceptor.registers().get(&r.key).is_none_or(|(had, _)| *had < r.stamp);
        let (waiting, ready): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|r| !self.is_here(r.value.as_ref()) && newer(r));
        let HeldValues { addr, ref from, epoch, upto, complete, .. } = values;
        let Ok(changes) = self.acceptor.catch_up(epoch, ready, from) else { return };
        self.yield_to(epoch, now);
        let mut after = vec![self.promised()];
        if waiting.is_empty() && complete {
            after.push(After::CaughtUp { epoch, upto });
        }
        self.persist(changes, after, now);
        if !waiting.is_empty() {
            let missing = waiting.iter().filter_map(|r| r.value.as_ref()?.blob()).collect();
            self.blobs.values = Some(HeldValues { registers: waiting, ..values });
            self.want(missing, &[addr], now);
        } else if !complete {
            let from = from.clone();
            self.pull_from_leader(addr, &from, epoch, upto, now);
        }
    }

    /// Asks for contents, unless they are being asked for.
    pub(super) fn want(&mut self, missing: Vec<(BlobHash, u32)>, from: &[SocketAddr], now: Now) {
        for (hash, len) in missing {
            if usize::try_from(len).map_or(true, |len| len > VALUE_MAX) {
                continue; // Nobody of ours wrote that.
            }
            let fresh = Wanted { len, from: BTreeSet::new(), tries: 0, next: now.mono };
            let wanted = self.blobs.wanted.entry(hash).or_insert(fresh);
            wanted.from.extend(from);
        }
        self.ask(now);
    }

    /// Who may have these contents: those that named them first.
    fn sources(&self, hash: BlobHash) -> Vec<SocketAddr> {
        let named = self.blobs.wanted.get(&hash).map(|w| w.from.clone()).unwrap_or_default();
        let others = self.reachable().into_iter().filter(|addr| !named.contains(addr));
        named.iter().copied().chain(others).collect()
    }

    fn ask(&mut self, now: Now) {
        let due: Vec<BlobHash> =
            self.blobs.wanted.iter().filter(|(_, w)| now.mono >= w.next).map(|(hash, _)| *hash).collect();
        for hash in due {
            let sources = self.sources(hash);
            let Some(wanted) = self.blobs.wanted.get_mut(&hash) else { continue };
            wanted.next = now.mono + ASK_AGAIN;
            if let Some(from) = sources.get(wanted.tries % sources.len().max(1)).copied() {
                let len = wanted.len;
                self.output(Output::Fetch { hash, len, from });
            }
        }
    }

    pub(super) fn advance_blobs(&mut self, now: Now) {
        for hash in self.acceptor.take_replaced() {
            self.blobs.loose.insert(hash, now.mono);
        }
        let due = self.blobs.poll_timeout().is_some_and(|(at, _)| at <= now.mono);
        if !due {
            return;
        }
        let promised = self.acceptor.promised();
        self.blobs.writes.retain(|(epoch, _), _| *epoch >= promised);
        self.blobs.values.take_if(|held| held.epoch < promised);
        let kept = registers::blobs(self.acceptor.registers());
        let (kept, busy) = (kept.into_iter().map(|(hash, _)| hash).collect::<BTreeSet<_>>(), self.named_on_the_way());
        self.blobs.wanted.retain(|hash, _| busy.contains(hash) || kept.contains(hash));
        self.drop_loose(&kept, &busy, now);
        self.ask(now);
    }

    /// What is named by something that is not in a register here, and may come to be.
    fn named_on_the_way(&self) -> BTreeSet<BlobHash> {
        let held = self.blobs.writes.values().flat_map(|w| &w.entries);
        let pending = match &self.role {
            Role::Leading(leading) => leading.pending_puts(),
            Role::Follower | Role::PreClaiming(_) | Role::Claiming(_) => Vec::new(),
        };
        let puts = held.chain(pending).filter_map(|put| put.value.as_ref()?.blob());
        let values = self.blobs.values.iter().flat_map(|held| &held.registers);
        let values = values.filter_map(|register| register.value.as_ref()?.blob());
        let claimed = match &self.role {
            Role::Claiming(claiming) => registers::blobs(&claiming.merged),
            Role::Follower | Role::PreClaiming(_) | Role::Leading(_) => BTreeSet::new(),
        };
        puts.chain(values).chain(claimed).map(|(hash, _)| hash).collect()
    }

    fn drop_loose(&mut self, kept: &BTreeSet<BlobHash>, busy: &BTreeSet<BlobHash>, now: Now) {
        // What replaced it must be on disk first: until then a restart would need it.
        let oldest = self.persisting.values().min().copied();
        let due = |since: Duration| now.mono >= since + KEEP && oldest.is_none_or(|asked| asked > since);
        let mut dropped = Vec::new();
        for (hash, since) in &mut self.blobs.loose {
            if kept.contains(hash) {
                dropped.push((*hash, false));
            } else if busy.contains(hash) || !due(*since) {
                // Looked at again later; never at once.
                if now.mono >= *since + KEEP {
                    *since = now.mono;
                }
            } else {
                dropped.push((*hash, true));
            }
        }
        for (hash, gone) in dropped {
            self.blobs.loose.remove(&hash);
            if gone && self.acceptor.durable.blobs.remove(&hash) {
                self.output(Output::DropBlob { hash });
            }
        }
    }

    /// At the start: contents that registers name and that the disk does not have (it found them damaged).
    pub(super) fn want_damaged(&mut self, now: Now) {
        let here = &self.acceptor.durable.blobs;
        let missing = registers::blobs(self.acceptor.registers());
        let missing = missing.into_iter().filter(|(hash, _)| !here.contains(hash)).collect();
        self.want(missing, &[], now);
    }
}
