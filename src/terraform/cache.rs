//! Turns at the provider cache that tasks share.
//!
//! Terraform does not promise that two `init` may fill one `TF_PLUGIN_CACHE_DIR` at the same time. So those of tasks with the
//! same cache go one after the other; tasks without one do not wait.
//!
//! # Not here
//!
//! A cache that is named in Terraform's own CLI configuration file, and other agents of the same host.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OwnedMutexGuard;

/// The variable that names the cache.
const VARIABLE: &str = "TF_PLUGIN_CACHE_DIR";

/// A turn per cache directory.
#[derive(Debug, Default)]
pub struct Caches(Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<()>>>>);

impl Caches {
    /// Waits for the turn of an `init` with this environment; it ends when the answer is dropped. `None`: no cache.
    pub async fn turn(&self, env: &[(String, String)]) -> Option<OwnedMutexGuard<()>> {
        let (_, directory) = env.iter().find(|(name, value)| name == VARIABLE && !value.is_empty())?;
        let lock = {
            let mut caches = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(caches.entry(directory.clone()).or_default())
        };
        Some(lock.lock_owned().await)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn one_at_a_time_per_directory() {
        let env = |directory: &str| vec![(VARIABLE.to_owned(), directory.to_owned())];
        let caches = Caches::default();
        let (a, b) = (env("/a"), env("/b"));
        let first = caches.turn(&a).await;
        assert!(first.is_some());
        assert!(caches.turn(&a).now_or_never().is_none(), "the second waits");
        assert!(caches.turn(&b).now_or_never().flatten().is_some(), "another directory does not");
        drop(first);
        assert!(caches.turn(&a).now_or_never().flatten().is_some());
        assert!(caches.turn(&[]).await.is_none());
    }
}
