//! What was computed already: the step of an agent with an input, since it is always the same.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crate::config::Config;
use crate::host::Host;
use crate::input::{Input, Step};

/// By agent and input.
type Known = BTreeMap<(u64, u64), Option<Arc<Step>>>;

/// See the module. In parts, so that threads seldom wait for each other.
pub(crate) struct Memo {
    shards: Vec<Mutex<Known>>,
}

impl Memo {
    pub(crate) fn new() -> Self {
        Self { shards: (0..64).map(|_| Mutex::default()).collect() }
    }

    pub(crate) fn step(&self, host: &Host, input: &Input, config: &Config) -> Option<Arc<Step>> {
        let key = (host.hash, input.hash());
        let shard = &self.shards[usize::try_from((key.0 ^ key.1) % 64).unwrap()];
        if let Some(known) = shard.lock().unwrap().get(&key) {
            return known.clone();
        }
        let step = host.step(input, config).map(Arc::new);
        shard.lock().unwrap().insert(key, step.clone());
        step
    }

    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().unwrap().len()).sum()
    }
}
