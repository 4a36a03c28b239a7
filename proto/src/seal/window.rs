//! Remembers which counters of which sessions were heard, in bounded memory.
//!
//! A window is a ring of bits that moves up with the highest counter heard (the idea of RFC 6479): a counter
//! inside it is new if its bit is clear, above it the window moves, below it nothing can be known and the datagram
//! is refused. 1,024 is far more than any network reorders at a few hundred datagrams a second.

use std::collections::BTreeMap;

use super::{Fingerprint, Secret};

/// Counters remembered per session.
const WINDOW: u64 = 1_024;
const WORDS: usize = 16;
/// Sessions remembered: ten times the largest cluster we expect, about 400 bytes each. When one more proves
/// itself, the one that was silent for longest is forgotten.
const SESSIONS_MAX: usize = 1_024;

/// Windows of the sessions heard last.
#[derive(Default)]
pub(super) struct Sessions {
    known: BTreeMap<[u8; 8], Session>,
    /// Counts accepted datagrams: the order of last use, without a clock.
    tick: u64,
}

struct Session {
    secret: Secret,
    window: Window,
    last_used: u64,
}

impl Sessions {
    /// The derived key of a session that proved itself before.
    pub(super) fn secret(&self, session: [u8; 8]) -> Option<&Secret> {
        self.known.get(&session).map(|known| &known.secret)
    }

    /// Forgets the sessions of group keys for which this is false.
    pub(super) fn retain(&mut self, keeps: impl Fn(Option<Fingerprint>) -> bool) {
        self.known.retain(|_, known| keeps(known.secret.by()));
    }

    /// Records an authentic counter; false when it was heard before or is too old to tell.
    pub(super) fn accept(&mut self, session: [u8; 8], secret: Secret, counter: u64) -> bool {
        self.tick += 1;
        let tick = self.tick;
        if let Some(known) = self.known.get_mut(&session) {
            known.last_used = tick;
            return known.window.accept(counter);
        }
        if self.known.len() >= SESSIONS_MAX {
            let oldest = self.known.iter().min_by_key(|(_, known)| known.last_used).map(|(session, _)| *session);
            oldest.map(|oldest| self.known.remove(&oldest));
        }
        let mut window = Window::default();
        let new = window.accept(counter);
        self.known.insert(session, Session { secret, window, last_used: tick });
        new
    }
}

/// Which of the [`WINDOW`] counters up to the highest were heard.
#[derive(Default)]
struct Window {
    highest: u64,
    heard: [u64; WORDS],
}

impl Window {
    /// Marks a counter as heard; false when it was already, or lies below the window. Senders count from 1.
    fn accept(&mut self, counter: u64) -> bool {
        if counter == 0 || self.highest.saturating_sub(counter) >= WINDOW {
            return false;
        }
        if counter > self.highest {
            if counter - self.highest >= WINDOW {
                self.heard = [0; WORDS];
            } else {
                for passed in self.highest + 1..=counter {
                    let (word, bit) = place(passed);
                    self.heard[word] &= !bit;
                }
            }
            self.highest = counter;
        }
        let (word, bit) = place(counter);
        let new = self.heard[word] & bit == 0;
        self.heard[word] |= bit;
        new
    }
}

fn place(counter: u64) -> (usize, u64) {
    let index = counter % WINDOW;
    (usize::try_from(index / 64).unwrap_or(0), 1 << (index % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Secret = Secret::Plain { check: [0; 32] };

    #[test]
    fn a_counter_is_accepted_once_in_any_order() {
        let mut window = Window::default();
        for counter in [1, 3, 2, 1_500, 700, 1_499, 477] {
            assert!(window.accept(counter), "{counter} is new");
        }
        for counter in [1_500, 700, 1_499, 477] {
            assert!(!window.accept(counter), "{counter} was heard");
        }
    }

    #[test]
    fn what_fell_out_of_the_window_is_refused_heard_or_not() {
        let mut window = Window::default();
        assert!(window.accept(2_000));
        assert!(!window.accept(2_000 - WINDOW));
        assert!(window.accept(2_000 - WINDOW + 1));
        assert!(!window.accept(0));
    }

    #[test]
    fn a_slot_of_the_ring_is_clean_when_the_window_comes_round_again() {
        let mut window = Window::default();
        for counter in 1..5_000 {
            assert!(window.accept(counter));
            assert!(!window.accept(counter));
        }
        assert!(window.accept(u64::MAX));
        assert!(!window.accept(u64::MAX));
        assert!(window.accept(u64::MAX - WINDOW + 1));
    }

    #[test]
    fn the_session_that_was_silent_for_longest_is_forgotten() {
        let mut sessions = Sessions::default();
        let name = |n: usize| (n as u64).to_be_bytes();
        for n in 0..SESSIONS_MAX {
            assert!(sessions.accept(name(n), PLAIN, 1));
        }
        assert!(sessions.accept(name(0), PLAIN, 2), "session 0 is the freshest now");
        assert!(sessions.accept(name(SESSIONS_MAX), PLAIN, 1));
        assert_eq!(sessions.known.len(), SESSIONS_MAX);
        assert!(!sessions.accept(name(0), PLAIN, 2), "session 0 is still known");
        assert!(sessions.secret(name(1)).is_none(), "session 1 was forgotten");
    }
}
