//! Two live processes under one name: another data directory, or a copy of the same one (protocol-safety 10).
//!
//! Seeing two identities is no proof: one may have just ended. Hearing the older one, then the newer one half a second
//! later, then the older one again is: both are running. At the agent itself hearing any other user of its own name is
//! proof, once its own earlier life cannot be in the network any more.
//!
//! # Not here
//!
//! Which of the two counts is for leadership to say: membership does not know the voters.

use std::collections::BTreeMap;
use std::time::Duration;

use quorate_proto::{Generation, Identity, Instance, MemberId};

use super::Event;

/// How long a packet of a process that ended may still be under way.
const ECHO: Duration = Duration::from_millis(500);
/// An alarm about one name is repeated no sooner than this.
const QUIET: Duration = Duration::from_secs(10);
/// Names watched at once; a bound on memory.
const WATCHED_MAX: usize = 64;

/// One process as far as its identity tells.
type Process = (Instance, Generation);

#[derive(Debug)]
struct Watch {
    loser: Process,
    winner: Process,
    loser_heard: Duration,
    winner_heard_after: bool,
}

/// The alternation of each contested name.
#[derive(Debug, Default)]
pub(super) struct IdConflicts {
    watched: BTreeMap<MemberId, Watch>,
    quiet_until: BTreeMap<MemberId, Duration>,
}

impl IdConflicts {
    /// A packet of `heard` came, and `known` is held under that name (before the packet is applied).
    pub(super) fn handle_packet(&mut self, heard: &Identity, known: &Identity, now: Duration) -> Option<Event> {
        let (loser, winner) = (process(heard), process(known));
        if loser == winner {
            if let Some(watch) = self.watched.get_mut(&heard.id).filter(|watch| watch.winner == winner) {
                watch.winner_heard_after |= now.saturating_sub(watch.loser_heard) >= ECHO;
            }
            return None;
        }
        if heard.generation > known.generation {
            return None;
        }
        match self.watched.get_mut(&heard.id).filter(|watch| (watch.loser, watch.winner) == (loser, winner)) {
            Some(watch) if watch.winner_heard_after => {
                watch.winner_heard_after = false;
                watch.loser_heard = now;
                self.alarm(known, heard, now)
            }
            Some(_) => None,
            None => {
                if self.watched.len() < WATCHED_MAX || self.watched.contains_key(&heard.id) {
                    let watch = Watch { loser, winner, loser_heard: now, winner_heard_after: false };
                    self.watched.insert(heard.id.clone(), watch);
                }
                None
            }
        }
    }

    /// Somebody else uses our own name. `age` is how long we have been running.
    pub(super) fn handle_namesake(
        &mut self,
        own: &Identity,
        other: &Identity,
        age: Duration,
        now: Duration,
    ) -> Option<Event> {
        if process(own) == process(other) || age < ECHO { None } else { self.alarm(own, other, now) }
    }

    fn alarm(&mut self, one: &Identity, other: &Identity, now: Duration) -> Option<Event> {
        if self.quiet_until.get(&one.id).is_some_and(|until| now < *until) {
            return None;
        }
        self.quiet_until.retain(|_, until| now < *until);
        self.quiet_until.insert(one.id.clone(), now + QUIET);
        let id = one.id.clone();
        Some(if one.instance == other.instance {
            Event::Twin {
                id,
                instance: one.instance,
                generations: [one.generation, other.generation],
                addresses: [one.gossip_addr, other.gossip_addr],
            }
        } else {
            Event::Conflict {
                id,
                instances: [one.instance, other.instance],
                addresses: [one.gossip_addr, other.gossip_addr],
            }
        })
    }
}

fn process(identity: &Identity) -> Process {
    (identity.instance, identity.generation)
}

#[cfg(test)]
mod tests {
    use super::super::testing::identity;
    use super::*;

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn an_old_life_that_ended_is_no_rival_and_one_that_goes_on_is() {
        let (old, new) = (identity("a", 1), identity("a", 2));
        let mut conflicts = IdConflicts::default();
        assert_eq!(conflicts.handle_packet(&old, &new, ms(0)), None);
        assert_eq!(conflicts.handle_packet(&new, &new, ms(10)), None, "too soon to mean anything");
        assert_eq!(conflicts.handle_packet(&old, &new, ms(20)), None);
        assert_eq!(conflicts.handle_packet(&new, &new, ms(900)), None);
        let alarm = conflicts.handle_packet(&old, &new, ms(1_000));
        assert!(matches!(alarm, Some(Event::Twin { .. })), "{alarm:?}");
        assert_eq!(conflicts.handle_packet(&new, &new, ms(2_000)), None);
        assert_eq!(conflicts.handle_packet(&old, &new, ms(2_100)), None, "said a moment ago");
    }

    #[test]
    fn another_data_directory_under_our_own_name_is_a_conflict_once_our_last_life_is_silent() {
        let ours = identity("a", 5);
        let theirs = Identity { instance: Instance([9; 16]), ..identity("a", 3) };
        assert_eq!(IdConflicts::default().handle_namesake(&ours, &theirs, ms(100), ms(100)), None, "our last life");
        let alarm = IdConflicts::default().handle_namesake(&ours, &theirs, ms(600), ms(600));
        assert!(matches!(alarm, Some(Event::Conflict { .. })), "{alarm:?}");
    }
}
