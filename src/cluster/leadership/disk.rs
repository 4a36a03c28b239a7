//! A disk that takes nothing: full, or hanging.
//!
//! A full disk: nothing can be promised or acknowledged, so this agent neither votes nor leads until there is room again
//! (protocol-safety 10). What it has stored stays readable, and renewals, which store nothing, are answered.

use super::{Leadership, Role};
use crate::cluster::Now;
use crate::cluster::output::Event;

/// Under which the alarm is kept.
const ALARM: &str = "disk";

impl Leadership {
    /// The disk has no room for what it was asked to keep; `why` is for people. What is under way waits.
    pub fn handle_disk_full(&mut self, why: &str, now: Now) {
        if self.full.replace(why.to_owned()).is_some() {
            return;
        }
        self.alarms.insert(ALARM.to_owned(), why.to_owned());
        self.event(Event::DiskFull { why: why.to_owned() });
        match self.role {
            // Runs can end in order: their results only need the disks of the others.
            Role::Leading(_) => self.begin_hand_over(None, "its disk is full", now),
            Role::PreClaiming(_) | Role::Claiming(_) => self.fail("the disk is full", self.timing.grant, now),
            Role::Follower => {}
        }
        self.advance(now);
    }

    /// There is room again, and what had waited is on disk.
    pub fn handle_disk_ok(&mut self, now: Now) {
        if self.full.take().is_some() {
            self.alarms.remove(ALARM);
            self.event(Event::DiskOk);
            for since in self.persisting.values_mut() {
                *since = now.mono; // It was not the disk's fault.
            }
        }
        self.advance(now);
    }

    /// Why the disk takes nothing more, while it is full.
    pub fn disk_full(&self) -> Option<&str> {
        self.full.as_deref()
    }

    /// A disk that hangs longer than a lease cannot hold a leader (protocol-safety 10).
    pub(super) fn watch_disk(&mut self, now: Now) {
        if self.full.is_some() {
            return; // It is known why: leadership is being handed over.
        }
        let oldest = self.persisting.values().min().copied();
        if oldest.is_some_and(|t| now.mono >= t + self.timing.grant) && matches!(self.role, Role::Leading(_)) {
            self.lose("the disk did not answer for longer than a lease", now);
        }
    }
}
