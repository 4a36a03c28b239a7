//! How far a run is in ending: SIGINT, grace, SIGKILL, nothing left. Pure: what is seen and the time go in, a signal comes out.

use std::time::Duration;

use crate::cluster::Now;
use crate::guardian::message::Cause;

/// What is left after its main process ended has this long between SIGTERM and SIGKILL. Long enough for a plugin to
/// say goodbye, short enough not to delay the next run.
pub(super) const LEFTOVER_GRACE: Duration = Duration::from_millis(500);

/// Where a run is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Phase {
    /// Under way.
    Running,
    /// Told to end by SIGINT.
    Interrupted { cause: Cause, since: Now, grace: Duration },
    /// Its main process (and, if it was interrupted, its group) is gone, the rest was told to end by SIGTERM.
    Leftovers { cause: Cause, since: Now, grace: Duration },
    /// Nothing is asked any more.
    Killing { cause: Cause },
}

/// What a look at the processes of the run showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    /// Its main process was not yet waited for.
    pub(super) main: bool,
    /// Living processes in the main process's group.
    pub(super) group: usize,
    /// Living processes in all.
    pub(super) all: usize,
}

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// Nothing.
    Wait,
    /// SIGTERM to all that is left.
    Terminate,
    /// SIGKILL to all that is left.
    Kill,
    /// Nothing is left.
    Finish,
}

impl Phase {
    /// Begins to stop. Returns whether SIGINT is to be sent: once in a run's life.
    pub(super) fn stop(&mut self, cause: Cause, grace: Duration, now: Now) -> bool {
        match self {
            Self::Running => {
                *self = Self::Interrupted { cause, since: now, grace };
                true
            }
            // The first cause stays; a shorter grace counts.
            Self::Interrupted { since, grace: given, .. } | Self::Leftovers { since, grace: given, .. } => {
                *given = (*given).min(now.since(*since) + grace);
                false
            }
            Self::Killing { .. } => false,
        }
    }

    /// Whether the processes must be looked at now, rather than only the main one and the time.
    pub(super) fn wants_look(&self, main: bool, now: Now) -> bool {
        match self {
            Self::Running => !main,
            Self::Interrupted { since, grace, .. } => !main || now.since(*since) >= *grace,
            Self::Leftovers { .. } | Self::Killing { .. } => true,
        }
    }

    /// Moves on.
    pub(super) fn advance(&mut self, seen: Seen, now: Now) -> Action {
        if !seen.main && seen.all == 0 {
            return Action::Finish;
        }
        match self {
            Self::Running if !seen.main => {
                *self = Self::Leftovers { cause: Cause::Itself, since: now, grace: LEFTOVER_GRACE };
                Action::Terminate
            }
            Self::Interrupted { cause, since, grace } | Self::Leftovers { cause, since, grace }
                if now.since(*since) >= *grace =>
            {
                *self = Self::Killing { cause: cause.clone() };
                Action::Kill
            }
            Self::Interrupted { cause, since, grace } if !seen.main && seen.group == 0 => {
                let left = grace.saturating_sub(now.since(*since)).min(LEFTOVER_GRACE);
                *self = Self::Leftovers { cause: cause.clone(), since: now, grace: left };
                Action::Terminate
            }
            Self::Running | Self::Interrupted { .. } | Self::Leftovers { .. } => Action::Wait,
            Self::Killing { .. } => Action::Kill,
        }
    }

    /// How long until the next look or decision; `None`: only an event can change something.
    pub(super) fn poll_timeout(&self, main: bool, now: Now) -> Option<(Duration, &'static str)> {
        /// Between looks at what is left. A look reads all of /proc: about a millisecond.
        const LOOK: Duration = Duration::from_millis(50);
        /// Between rounds of killing.
        const AGAIN: Duration = Duration::from_millis(5);
        match self {
            Self::Running => (!main).then_some((Duration::ZERO, "main process ended")),
            Self::Interrupted { since, grace, .. } if main => {
                Some((grace.saturating_sub(now.since(*since)), "end of the grace"))
            }
            Self::Interrupted { since, grace, .. } | Self::Leftovers { since, grace, .. } => {
                Some((grace.saturating_sub(now.since(*since)).min(LOOK), "look at what is left"))
            }
            Self::Killing { .. } => Some((AGAIN, "kill what is left")),
        }
    }

    /// Why it ended.
    pub(super) fn cause(&self) -> Cause {
        match self {
            Self::Running => Cause::Itself,
            Self::Interrupted { cause, .. } | Self::Leftovers { cause, .. } | Self::Killing { cause } => cause.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(10);

    fn at(ms: u64) -> Now {
        Now { mono: Duration::from_millis(ms), boot: Duration::from_millis(ms) }
    }

    fn seen(main: bool, group: usize, all: usize) -> Seen {
        Seen { main, group, all }
    }

    #[test]
    fn a_run_that_ends_alone_is_finished_at_once() {
        let mut phase = Phase::Running;
        assert_eq!(phase.advance(seen(true, 1, 1), at(0)), Action::Wait);
        assert_eq!(phase.advance(seen(false, 0, 0), at(1)), Action::Finish);
        assert_eq!(phase.cause(), Cause::Itself);
    }

    #[test]
    fn what_a_run_leaves_behind_is_terminated_then_killed() {
        let mut phase = Phase::Running;
        assert_eq!(phase.advance(seen(false, 1, 2), at(0)), Action::Terminate);
        assert_eq!(phase.advance(seen(false, 1, 2), at(499)), Action::Wait);
        assert_eq!(phase.advance(seen(false, 1, 1), at(500)), Action::Kill);
        assert_eq!(phase.advance(seen(false, 0, 1), at(505)), Action::Kill);
        assert_eq!(phase.advance(seen(false, 0, 0), at(510)), Action::Finish);
        assert_eq!(phase.cause(), Cause::Itself);
    }

    #[test]
    fn an_interrupted_run_has_its_whole_grace_and_then_no_more() {
        let mut phase = Phase::Running;
        assert!(phase.stop(Cause::Deadline, GRACE, at(0)));
        assert_eq!(phase.advance(seen(true, 1, 1), at(9_999)), Action::Wait);
        assert_eq!(phase.advance(seen(true, 1, 1), at(10_000)), Action::Kill);
        assert_eq!(phase.cause(), Cause::Deadline);
    }

    #[test]
    fn a_wrapper_that_dies_first_leaves_its_group_the_grace() {
        let mut phase = Phase::Running;
        phase.stop(Cause::AgentGone, GRACE, at(0));
        assert_eq!(phase.advance(seen(false, 1, 2), at(100)), Action::Wait);
        assert_eq!(phase.advance(seen(false, 0, 1), at(200)), Action::Terminate, "the group is gone, a daemon is left");
        assert_eq!(phase.advance(seen(false, 0, 1), at(700)), Action::Kill);
    }

    #[test]
    fn a_second_stop_sends_no_second_interrupt_and_can_only_shorten() {
        let mut phase = Phase::Running;
        phase.stop(Cause::Deadline, GRACE, at(0));
        assert!(!phase.stop(Cause::AgentGone, Duration::from_mins(1), at(1_000)));
        assert_eq!(phase.advance(seen(true, 1, 1), at(10_000 - 1)), Action::Wait);
        assert!(!phase.stop(Cause::Stop("now".into()), Duration::ZERO, at(2_000)));
        assert_eq!(phase.advance(seen(true, 1, 1), at(2_000)), Action::Kill);
        assert_eq!(phase.cause(), Cause::Deadline, "the first cause stays");
    }

    #[test]
    fn suspension_counts_as_grace() {
        let mut phase = Phase::Running;
        phase.stop(Cause::Deadline, GRACE, at(0));
        let resumed = Now { boot: Duration::from_hours(1), ..at(1) };
        assert_eq!(phase.advance(seen(true, 1, 1), resumed), Action::Kill);
    }
}
