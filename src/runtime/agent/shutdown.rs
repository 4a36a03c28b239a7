//! Hand-over, shutdown, and the end for a reason: each waits here until nothing runs.

use std::time::Duration;

use tracing::{error, info, warn};

use super::cycle::Loop;
use crate::cluster::leadership::Lease;
use crate::cluster::view::MemberState;
use crate::runtime::clock;
use crate::runtime::core::Command;
use crate::runtime::settings::SUCCESSOR_WAIT;

/// How long the thread of the core lives on to repeat what it has to tell the others.
const RELEASE_IS_SENT: Duration = Duration::from_millis(250);

/// The hand-over under way.
pub(super) struct HandOver {
    /// When runs that have not ended are stopped.
    pub(super) patience: Duration,
    pub(super) stopped: bool,
}

/// The shutdown under way.
pub(super) struct Stopping {
    /// When it goes on without a successor.
    pub(super) until: Duration,
    pub(super) said_goodbye: bool,
}

impl Loop {
    pub(super) async fn begin_hand_over(&mut self) {
        self.tasks.stop_starting();
        let grace = self.running.values().max().copied().unwrap_or_default();
        self.hand_over = Some(HandOver { patience: clock::now().mono + grace, stopped: false });
        if self.stopping.is_some() {
            self.stop_runs("this agent stops");
        }
        self.check_hand_over().await;
    }

    pub(super) fn stop_runs(&mut self, why: &str) {
        if let Some(hand_over) = &mut self.hand_over {
            hand_over.stopped = true;
        }
        self.guardian.stop_all(why, None);
    }

    pub(super) async fn check_hand_over(&mut self) {
        if self.hand_over.is_some() && self.running.is_empty() {
            self.hand_over = None;
            self.command(Command::RunsStopped).await;
        }
    }

    /// Tells the others when nothing of a lost epoch runs any more: whoever leads then need not wait for it.
    pub(super) async fn check_lost(&mut self) {
        if self.running.is_empty()
            && let Some(epoch) = self.lost.take()
        {
            self.command(Command::RunsEnded(epoch)).await;
        }
    }

    pub(super) async fn begin_stop(&mut self) {
        info!("stopping: leadership is handed over first");
        self.stopping = Some(Stopping { until: Duration::MAX, said_goodbye: false });
        self.publish();
        let why = "this agent stops".to_owned();
        if self.hand_over.is_some() {
            self.stop_runs(&why);
        }
        self.command(Command::StepDown { why, leaving: true }).await;
        self.check_stop().await;
    }

    /// When nothing runs and somebody else leads (or nobody can): say goodbye.
    pub(super) async fn check_stop(&mut self) {
        let view = self.views.borrow().clone();
        let now = clock::now().mono;
        let leading = self.lease.borrow().is_some();
        let Some(stopping) = &mut self.stopping else { return };
        if stopping.said_goodbye || leading || !self.running.is_empty() {
            return;
        }
        if stopping.until == Duration::MAX {
            stopping.until = now + SUCCESSOR_WAIT;
        }
        let others = view.members.iter().any(|m| m.id != self.me && m.state == MemberState::Alive && m.voter);
        let succeeded = view.leader.as_ref().is_some_and(|leader| *leader != self.me);
        if succeeded || !others || now >= stopping.until {
            stopping.said_goodbye = true;
            self.command(Command::Leave).await;
        }
    }

    pub(super) fn has_said_goodbye(&self) -> bool {
        self.stopping.as_ref().is_some_and(|stopping| stopping.said_goodbye)
    }

    pub(super) async fn end(mut self, result: Result<(), String>) -> Result<(), String> {
        match &result {
            Err(why) if self.orphaned => {
                error!(why, "the agent stops");
                self.end_without_guardian(why).await;
            }
            Err(why) => {
                error!(why, "the agent stops");
                // Neither a vote nor a renewal leaves an agent that is about to end, however long its runs take to.
                self.command(Command::Halt).await;
                self.lose(why);
                self.guardian.bye().await;
            }
            Ok(()) => self.guardian.bye().await,
        }
        result
    }

    /// Nothing can be started or watched any more. The lease is given up at once; the runs are ended here; the others are
    /// told when nothing is left of them.
    async fn end_without_guardian(&mut self, why: &str) {
        let epoch = self.lease.borrow().as_ref().map(Lease::epoch);
        self.lose(why);
        self.command(Command::EndLease(why.to_owned())).await;
        // Being a subreaper too, this agent has inherited what the guardian left.
        let guardian = self.guardian.clone();
        let swept = tokio::task::spawn_blocking(move || guardian.sweep_orphans()).await;
        let ended = match swept {
            Ok(Ok(0)) => true,
            Ok(Ok(killed)) => {
                warn!(killed, "ended what the lost guardian left");
                true
            }
            Ok(Err(error)) => {
                error!(%error, "could not end what the lost guardian left");
                false
            }
            Err(error) => {
                error!(%error, "could not end what the lost guardian left");
                false
            }
        };
        if let Some(epoch) = epoch.filter(|_| ended) {
            self.command(Command::RunsEnded(epoch)).await;
        }
        tokio::time::sleep(RELEASE_IS_SENT).await;
        self.command(Command::Halt).await;
    }
}
