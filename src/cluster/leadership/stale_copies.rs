//! Old copies and clones of a data directory are recognised by their peers (protocol-safety 10).
//!
//! Every message says how many transactions its sender's disk had taken when the sender started, and how many now. A start
//! is a transaction itself, so a process that starts on the true directory is above everything that any earlier process
//! ever told. One that is not has forgotten something: promises perhaps, or acknowledged writes. Nothing it says is
//! believed, and it is told, by its boot nonce, so that no other process takes it for itself.
//!
//! A message of a process that is known to have had a successor is merely late, unless such messages keep coming: then two
//! processes run on copies of one directory, and none of them is believed any more.
//!
//! # Not here
//!
//! A peer remembers this as long as its process lives: after all have restarted, nobody knows.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use quorate_proto::message::{Body, Header, Process};
use quorate_proto::{BootNonce, Instance, MemberId};

use super::{Leadership, Rule};
use crate::cluster::Now;
use crate::cluster::output::Event;

/// Data directories that are remembered; membership bounds them as well.
const DIRECTORIES_MAX: usize = 1_024;
/// Earlier processes of one directory that are remembered, to tell late messages from old copies.
const PAST_MAX: usize = 16;
/// Times the length of a grant: what an ended process has sent is no longer under way.
const ECHO: u32 = 3;
/// Times the length of a grant: a second process that was not heard for so long is gone.
const GONE: u32 = 10;

/// What is known of every data directory that was heard of.
#[derive(Debug, Clone, Default)]
pub(super) struct Processes(BTreeMap<(MemberId, Instance), Directory>);

#[derive(Debug, Clone)]
struct Directory {
    boot: BootNonce,
    since: Duration,
    /// The most transactions that it told of.
    commits: u64,
    past: VecDeque<BootNonce>,
    rival: Option<OtherProcess>,
}

/// An earlier process that is still heard.
#[derive(Debug, Clone)]
struct OtherProcess {
    boot: BootNonce,
    first: Duration,
    last: Duration,
    alive: bool,
}

/// What to make of a message's sender.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Fine,
    /// An ended process.
    Late,
    /// An old copy; the directory was known to have had so many transactions. Whether people are told.
    OldCopy {
        known: u64,
        told: bool,
    },
    Twin,
}

impl Processes {
    /// Whether this process is known to have had a successor on its data directory.
    pub(super) fn is_past(&self, process: &Process) -> bool {
        let directory = self.0.get(&(process.id.clone(), process.instance));
        directory.is_some_and(|directory| directory.past.contains(&process.boot))
    }

    fn judge(&mut self, header: &Header, grant: Duration, now: Duration) -> Verdict {
        let Process { id, instance, boot } = &header.from;
        let full = self.0.len() >= DIRECTORIES_MAX;
        let Some(known) = self.0.get_mut(&(id.clone(), *instance)) else {
            if !full {
                let commits = header.commits.now;
                let fresh = Directory { boot: *boot, since: now, commits, past: VecDeque::new(), rival: None };
                self.0.insert((id.clone(), *instance), fresh);
            }
            return Verdict::Fine;
        };
        known.rival.take_if(|rival| now > rival.last + grant * GONE);
        if known.boot == *boot {
            known.commits = known.commits.max(header.commits.now);
            return if known.rival.as_ref().is_some_and(|r| r.alive) { Verdict::Twin } else { Verdict::Fine };
        }
        if known.past.contains(boot) {
            return known.hear_past(*boot, grant, now);
        }
        if header.commits.started > known.commits {
            if known.past.len() == PAST_MAX {
                known.past.pop_front();
            }
            known.past.push_back(known.boot);
            known.boot = *boot;
            known.since = now;
            known.commits = header.commits.now;
            known.rival = None;
            return Verdict::Fine;
        }
        // Shortly after a process was heard for the first time, this may be what its predecessor had sent.
        Verdict::OldCopy { known: known.commits, told: now >= known.since + grant * ECHO }
    }
}

impl Directory {
    fn hear_past(&mut self, boot: BootNonce, grant: Duration, now: Duration) -> Verdict {
        if now < self.since + grant * ECHO {
            return Verdict::Late;
        }
        match &mut self.rival {
            Some(rival) if rival.boot == boot => {
                rival.last = now;
                rival.alive |= now >= rival.first + grant * ECHO;
                if rival.alive { Verdict::Twin } else { Verdict::Late }
            }
            Some(_) | None => {
                self.rival = Some(OtherProcess { boot, first: now, last: now, alive: false });
                Verdict::Late
            }
        }
    }
}

impl Leadership {
    /// Whether the sender is the process that its data directory stands for; if not, it is told.
    pub(super) fn is_no_amnesiac(&mut self, addr: SocketAddr, header: &Header, body: &Body, now: Now) -> bool {
        if !self.rules.keep(Rule::OldCopies) {
            return true;
        }
        let Process { id, instance, boot } = header.from.clone();
        let key = format!("copy:{id}");
        let (known, text) = match self.processes.judge(header, self.timing.grant, now.mono) {
            Verdict::Fine => {
                self.alarms.remove(&key);
                return true;
            }
            // It acts no more, nothing of it runs any more: that stays true however late it is heard.
            Verdict::Late => return matches!(body, Body::Release { .. } | Body::LeaseEnded { .. }),
            Verdict::OldCopy { known, told } => {
                let text = format!(
                    "{id} ({addr}) runs on an old copy of its data directory: it began with {} transactions, {known} of it \
                     are known here; it is told to stop and nothing it says counts; move its data directory away, then \
                     it comes back as a new agent",
                    header.commits.started
                );
                (known, told.then_some(text))
            }
            Verdict::Twin => {
                let text = format!(
                    "two processes run as {id} on copies of one data directory (instance {instance}), one at {addr}: \
                     neither counts, both are told to stop; start one again, the other with an empty data directory"
                );
                (0, Some(text))
            }
        };
        if let Some(text) = text {
            self.alarm(&key, text);
        }
        self.send(addr, Body::Amnesia { instance, boot, known });
        false
    }

    /// Told that this process's data directory is not what peers know.
    pub(super) fn handle_amnesia(&mut self, from: &Process, instance: Instance, boot: BootNonce, known: u64, now: Now) {
        let meant = instance == self.me.instance && boot == self.me.boot;
        let started = self.commits.started;
        if !meant || (known != 0 && known < started) {
            return;
        }
        self.lose("its data directory is not the newest", now);
        let text = if known == 0 {
            format!(
                "{} hears two processes that run as {} on copies of one data directory; start one of them again, and the \
                 other with an empty data directory",
                from.id, self.me.id
            )
        } else {
            format!(
                "the data directory is an old copy: {} knows of {known} transactions on it, it had {started} when this \
                 process started; what was promised and stored since is missing, so this agent may not vote with it; move \
                 the whole data directory away and start again with an empty one: it then joins as a new agent and \
                 catches up by itself",
                from.id
            )
        };
        self.event(Event::Fatal { text });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quorate_proto::Stamp;
    use quorate_proto::message::Commits;

    const D: Duration = Duration::from_secs(1);

    fn header(boot: u8, started: u64, now: u64) -> Header {
        let id = MemberId::new("a").unwrap();
        let from = Process { id, instance: Instance([1; 16]), boot: BootNonce([boot; 16]) };
        Header { cluster: None, from, voters: Stamp::default(), commits: Commits { started, now } }
    }

    #[test]
    fn a_restart_is_above_all_that_was_told_and_an_old_copy_is_not() {
        let mut known = Processes::default();
        assert_eq!(known.judge(&header(1, 10, 10), D, D), Verdict::Fine);
        assert_eq!(known.judge(&header(1, 10, 14), D, D), Verdict::Fine);
        let copy = header(2, 14, 20);
        assert_eq!(known.judge(&copy, D, D * 2), Verdict::OldCopy { known: 14, told: false });
        assert_eq!(known.judge(&copy, D, D * 9), Verdict::OldCopy { known: 14, told: true });
        assert_eq!(known.judge(&header(3, 15, 15), D, D * 9), Verdict::Fine);
        assert_eq!(known.judge(&copy, D, D * 20), Verdict::OldCopy { known: 15, told: true }, "whatever it writes");
    }

    #[test]
    fn late_messages_of_an_ended_process_do_no_harm() {
        let mut known = Processes::default();
        known.judge(&header(1, 10, 12), D, D);
        known.judge(&header(2, 13, 13), D, D * 2);
        for at in [2, 4, 6] {
            assert_eq!(known.judge(&header(1, 10, 12), D, D * at), Verdict::Late, "after {at} s");
        }
        assert_eq!(known.judge(&header(2, 13, 14), D, D * 7), Verdict::Fine);
    }

    #[test]
    fn two_live_processes_of_one_directory_count_no_more_until_one_is_gone() {
        let mut known = Processes::default();
        known.judge(&header(1, 10, 12), D, D);
        known.judge(&header(2, 13, 13), D, D * 2);
        let verdicts = |known: &mut Processes, from: u32, to: u32| {
            let one = |at| (known.judge(&header(1, 10, 12), D, D * at), known.judge(&header(2, 13, 13), D, D * at));
            (from..to).map(one).last()
        };
        assert_eq!(verdicts(&mut known, 3, 12), Some((Verdict::Twin, Verdict::Twin)));
        assert_eq!(known.judge(&header(2, 13, 13), D, D * 30), Verdict::Fine);
    }
}
