//! Addresses to try when members are missing: configured seeds and members of an earlier life.
//!
//! A seed is known by the address it is dialled at, which need not be the one it advertises. Who answered from there is
//! remembered, so that a seed that is present under another address is not taken for missing.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use quorate_proto::MemberId;

/// More seeds than this are not kept: each is announced to in every round.
const SEEDS_MAX: usize = 64;
/// More remembered members than this are not kept.
const BOOK_MAX: usize = 1_024;

/// What is known besides the members themselves.
#[derive(Debug, Default)]
pub(super) struct JoinAddresses {
    seeds: BTreeSet<SocketAddr>,
    book: BTreeMap<MemberId, SocketAddr>,
    answered: BTreeMap<SocketAddr, MemberId>,
}

impl JoinAddresses {
    /// Replaces the seeds. True when one is new.
    pub(super) fn handle_seeds(&mut self, seeds: Vec<SocketAddr>) -> bool {
        let seeds: BTreeSet<_> = seeds.into_iter().take(SEEDS_MAX).collect();
        let news = seeds.iter().any(|addr| !self.seeds.contains(addr));
        self.answered.retain(|addr, _| seeds.contains(addr));
        self.seeds = seeds;
        news
    }

    /// Adds remembered members. True when there was room for one.
    pub(super) fn handle_book(&mut self, peers: Vec<(MemberId, SocketAddr)>) -> bool {
        for (id, addr) in peers {
            if self.book.len() < BOOK_MAX || self.book.contains_key(&id) {
                self.book.insert(id, addr);
            }
        }
        !self.book.is_empty()
    }

    /// A packet of `id` came from `from`.
    pub(super) fn handle_answer(&mut self, from: SocketAddr, id: &MemberId) {
        if self.seeds.contains(&from) && self.answered.get(&from) != Some(id) {
            self.answered.insert(from, id.clone());
        }
    }

    /// Seeds at which no present member is known to be.
    pub(super) fn missing_seeds(
        &self,
        present: &BTreeSet<SocketAddr>,
        is_present: impl Fn(&MemberId) -> bool,
    ) -> BTreeSet<SocketAddr> {
        let answered = |addr: &SocketAddr| self.answered.get(addr).is_some_and(&is_present);
        self.seeds.iter().filter(|addr| !present.contains(addr) && !answered(addr)).copied().collect()
    }

    /// Remembered members that are not present.
    pub(super) fn missing_book(&self, is_present: impl Fn(&MemberId) -> bool) -> Vec<SocketAddr> {
        self.book.iter().filter(|(id, _)| !is_present(id)).map(|(_, addr)| *addr).collect()
    }
}
