//! The keys of one agent: those that the cluster agreed on, as far as it knows; before that, those of its configuration.

use quorate_proto::seal::{Fingerprint, Key, RING_MAX, Ring};

use super::{Agreed, Report};

/// See the module.
#[derive(Debug, Clone)]
pub struct Own {
    ring: Ring,
    agreed: Option<Agreed>,
    /// The configuration counts instead of what was agreed.
    is_overridden: bool,
}

/// What became of a key of the configuration, when the cluster has agreed on others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Configured {
    /// It was removed from the cluster's ring: it is not used.
    Removed(Fingerprint),
    /// The ring as this agent knows it does not have it, but others of the configuration. It is taken too, until the agent hears
    /// what the cluster agreed on: this agent may have been away while the key was changed.
    Added(Fingerprint),
    /// The configuration has only keys that the cluster never agreed on, this one first: they are used instead of what was
    /// agreed, until something else is. The key was changed while this agent was away, or all agents were stopped to change it.
    Instead(Fingerprint),
    /// There is no room for it in the ring.
    NoRoom(Fingerprint),
    /// It is the first of the configuration, and the cluster seals with another.
    NotPrimary(Fingerprint),
}

impl Own {
    /// At start. `configured`: the keys of the configuration; `stored`: what is in the store of this agent.
    pub fn new(configured: Ring, stored: Option<Agreed>) -> (Self, Vec<Configured>) {
        let Some(agreed) = stored else {
            return (Self { ring: configured, agreed: None, is_overridden: false }, Vec::new());
        };
        let is_foreign = |print| !agreed.ring.contains(print) && !agreed.removed.contains(&print);
        if configured.fingerprints().all(is_foreign) {
            let told = vec![Configured::Instead(configured.primary())];
            return (Self { ring: configured, agreed: Some(agreed), is_overridden: true }, told);
        }
        let mut keys: Vec<Key> = agreed.ring.keys().cloned().collect();
        let mut told = Vec::new();
        for (print, key) in configured.fingerprints().zip(configured.keys()) {
            if agreed.ring.contains(print) {
                let is_first = print == configured.primary() && print != agreed.ring.primary();
                told.extend(is_first.then_some(Configured::NotPrimary(print)));
            } else if agreed.removed.contains(&print) {
                told.push(Configured::Removed(print));
            } else if keys.len() >= RING_MAX {
                told.push(Configured::NoRoom(print));
            } else {
                told.push(Configured::Added(print));
                keys.push(key.clone());
            }
        }
        // No key is there twice, and there are not too many.
        let ring = Ring::new(keys).unwrap_or_else(|_| agreed.ring.clone());
        (Self { ring, agreed: Some(agreed), is_overridden: false }, told)
    }

    /// The register has this value now. True: the keys are others from now on.
    pub fn apply(&mut self, agreed: Agreed) -> bool {
        if self.agreed.as_ref() == Some(&agreed) {
            return false;
        }
        let changed = self.ring != agreed.ring;
        self.ring = agreed.ring.clone();
        self.agreed = Some(agreed);
        self.is_overridden = false;
        changed
    }

    /// What the next change begins with, if this agent leads. `register`: what the register says.
    pub fn base(&self, register: Option<Agreed>) -> Agreed {
        match register {
            Some(agreed) if self.is_overridden && self.agreed.as_ref() == Some(&agreed) => agreed.replaced(&self.ring),
            Some(agreed) => agreed,
            None => Agreed::first(self.ring.clone()),
        }
    }

    /// The keys.
    pub fn ring(&self) -> &Ring {
        &self.ring
    }

    /// What the cluster agreed on, as far as this agent knows.
    pub fn agreed(&self) -> Option<&Agreed> {
        self.agreed.as_ref()
    }

    /// For people and other agents.
    pub fn report(&self) -> Report {
        Report::new(self.agreed.as_ref().map_or(0, |agreed| agreed.revision), &self.ring)
    }
}
