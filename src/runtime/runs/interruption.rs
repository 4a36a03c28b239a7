//! What ends a run before its own end: somebody cancels it, or its time is up.
//!
//! A run is several processes, one after the other, with work of the agent's own in between. So it is not enough to stop the
//! process of the moment: each step looks here before it begins.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Runner;
use super::exec::Stopped;
use crate::guardian::RunKey;
use crate::runtime::clock;
use crate::task::{RunId, Start, duration};

/// Of each run under way.
#[derive(Debug, Default)]
pub(in crate::runtime) struct Interruptions(Mutex<BTreeMap<RunId, Interruption>>);

/// Of one try of one run. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Interruption {
    token: CancellationToken,
    asked: Arc<Mutex<Asked>>,
}

#[derive(Debug, Default)]
struct Asked {
    /// Who has cancelled it, for people.
    by: String,
    /// Between SIGINT and SIGKILL, if not the run's own.
    grace: Option<Duration>,
    /// When it has taken too long, by `Now::mono`, and how long that is.
    limit: Option<(Duration, Duration)>,
}

impl Interruptions {
    pub(super) fn of(&self, run: RunId) -> Interruption {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(run).or_default().clone()
    }

    /// The try is over.
    pub(in crate::runtime) fn forget(&self, run: RunId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&run);
    }
}

impl Interruption {
    fn asked(&self) -> std::sync::MutexGuard<'_, Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The try begins now.
    pub(super) fn begin(&self, timeout: Option<Duration>) {
        self.asked().limit = timeout.map(|timeout| (clock::now().mono.saturating_add(timeout), timeout));
    }

    fn cancel(&self, by: &str, grace: Option<Duration>) {
        {
            let mut asked = self.asked();
            if asked.by.is_empty() {
                by.clone_into(&mut asked.by);
            }
            asked.grace = grace.or(asked.grace);
        }
        self.token.cancel();
    }

    /// The grace that was asked for.
    pub(super) fn grace(&self) -> Option<Duration> {
        self.asked().grace
    }

    /// Why nothing of it may begin any more.
    pub(super) fn check(&self) -> Result<(), Stopped> {
        let asked = self.asked();
        if self.token.is_cancelled() {
            return Err(Stopped::Cancelled(asked.by.clone()));
        }
        match asked.limit {
            Some((at, limit)) if clock::now().mono >= at => Err(Stopped::TimedOut(timed_out(limit))),
            Some(_) | None => Ok(()),
        }
    }

    /// Until one of the two.
    pub(super) async fn pulled(&self) -> Stopped {
        let limit = self.asked().limit;
        let late = async {
            match limit {
                Some((at, _)) => tokio::time::sleep(at.saturating_sub(clock::now().mono)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.token.cancelled() => Stopped::Cancelled(self.asked().by.clone()),
            () = late => Stopped::TimedOut(timed_out(limit.map_or(Duration::ZERO, |(_, limit)| limit))),
        }
    }
}

fn timed_out(limit: Duration) -> String {
    format!("timed out: it took longer than its `timeout` of {}", duration::show(limit))
}

impl Runner {
    /// Ends a run: SIGINT to the process of the moment, its grace (or this one), SIGKILL; nothing of it begins any more.
    pub(in crate::runtime) fn cancel(&self, task: &str, run: RunId, by: &str, grace: Option<Duration>) {
        self.interruptions.of(run).cancel(by, grace);
        self.guardian.stop(&RunKey::new(task, run.0), by, grace);
    }

    /// Work of the agent's own for a run, given up when the run ends.
    pub(super) async fn leashed<T>(
        &self,
        start: &Start,
        work: impl Future<Output = Result<T, Stopped>>,
    ) -> Result<T, Stopped> {
        let interruption = self.interruptions.of(start.run);
        let work = Box::pin(work);
        tokio::select! {
            done = work => done,
            stopped = interruption.pulled() => Err(stopped),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_leash_says_who_pulled_it_first() {
        let interruptions = Interruptions::default();
        let run = RunId(uuid::Uuid::from_u128(1));
        let interruption = interruptions.of(run);
        interruption.begin(Some(Duration::from_hours(1)));
        assert!(interruption.check().is_ok());
        interruptions.of(run).cancel("cancelled by a", None);
        interruptions.of(run).cancel("cancelled by b", Some(Duration::ZERO));
        assert!(matches!(interruption.check(), Err(Stopped::Cancelled(by)) if by == "cancelled by a"));
        assert!(matches!(interruption.pulled().await, Stopped::Cancelled(by) if by == "cancelled by a"));
        assert_eq!(interruption.grace(), Some(Duration::ZERO), "the second one was in a hurry");
        interruptions.forget(run);
        assert!(interruptions.of(run).check().is_ok());
    }

    #[tokio::test]
    async fn a_leash_has_an_end() {
        let interruption = Interruption::default();
        interruption.begin(Some(Duration::ZERO));
        assert!(matches!(interruption.check(), Err(Stopped::TimedOut(_))));
        assert!(matches!(interruption.pulled().await, Stopped::TimedOut(text) if text.contains("`timeout` of 0s")));
    }
}
