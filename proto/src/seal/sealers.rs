//! What one process seals with: for each key of its ring a session of its own.

use super::{Fingerprint, Key, Ring, SealError, Sealer};

/// A [`Sealer`] for each key of the ring.
#[derive(Debug)]
pub struct Sealers {
    name: String,
    seed: [u8; 32],
    /// Sessions begun so far: a key that is removed and installed again gets another session, so that no nonce is used twice.
    begun: u64,
    /// The primary first. Without a key: one that does not encrypt.
    all: Vec<(Option<Fingerprint>, Sealer)>,
}

impl Sealers {
    /// `seed`: random, drawn anew at every process start and for every socket, never stored. `ring`: `None` does not encrypt.
    pub fn new(cluster_name: &str, ring: Option<&Ring>, seed: [u8; 32]) -> Self {
        let mut this = Self { name: cluster_name.to_owned(), seed, begun: 0, all: Vec::new() };
        if let Some(ring) = ring {
            this.set_ring(ring);
        } else {
            let sealer = this.begin(None);
            this.all.push((None, sealer));
        }
        this
    }

    /// Another ring from now on.
    pub fn set_ring(&mut self, ring: &Ring) {
        let mut before = std::mem::take(&mut self.all);
        for (print, key) in ring.fingerprints().zip(ring.keys()) {
            let known = before.iter().position(|(other, _)| *other == Some(print));
            let sealer = match known {
                Some(known) => before.swap_remove(known).1,
                None => self.begin(Some(key)),
            };
            self.all.push((Some(print), sealer));
        }
    }

    /// Seals a plain text whose first byte is the kind. `by`: by this key of the ring; otherwise by the primary.
    pub fn seal_plain(&mut self, plain: &[u8], by: Option<Fingerprint>) -> Result<Vec<u8>, SealError> {
        let chosen = self.all.iter().position(|(print, _)| by.is_some() && *print == by).unwrap_or(0);
        self.all[chosen].1.seal_plain(plain)
    }

    fn begin(&mut self, key: Option<&Key>) -> Sealer {
        self.begun += 1;
        let mut input = self.begun.to_be_bytes().to_vec();
        input.extend(key.map_or([0; 8], |key| Fingerprint::of(key).bytes()));
        let hash = blake3::keyed_hash(&self.seed, &input);
        let mut session = [0; 8];
        session.copy_from_slice(&hash.as_bytes()[..8]);
        Sealer::hinting(&self.name, key, session)
    }
}
