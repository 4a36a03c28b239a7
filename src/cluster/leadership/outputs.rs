//! What leaves the machine, in order: durable changes, what waits for them, messages and events (R2, R4).

use std::net::SocketAddr;

use quorate_proto::message::{Body, Header, Message};

use super::{After, Leadership, Output, Rule};
use crate::cluster::Now;
use crate::cluster::durable::Change;
use crate::cluster::output::{Event, Ticket};

impl Leadership {
    /// Stores changes; what follows happens when they are on disk.
    pub(super) fn persist(&mut self, changes: Vec<Change>, after: Vec<After>, now: Now) {
        let (early, after): (Vec<_>, Vec<_>) = after.into_iter().partition(|after| !self.must_wait(after));
        for after in early {
            self.handle_after(after, now);
        }
        if changes.is_empty() {
            // Nothing new, but what it repeats may still be on its way to the disk.
            if let Some(mut newest) = self.after.last_entry() {
                newest.get_mut().extend(after);
            } else {
                for after in after {
                    self.handle_after(after, now);
                }
            }
            return;
        }
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.after.insert(ticket, after);
        self.persisting.insert(ticket, now.mono);
        self.output(Output::Persist { ticket, changes });
    }

    /// R2 and R4: everything waits, unless the simulator took the rule away.
    pub(super) fn must_wait(&self, after: &After) -> bool {
        self.rules.keep(match after {
            After::Promised(_) | After::Grant { .. } => Rule::PromiseIsDurable,
            After::Claim(_) => Rule::OwnPromiseFirst,
            After::Ack { .. } | After::OwnAck { .. } | After::CaughtUp { .. } => Rule::WriteIsDurable,
            After::Accepted | After::Formed => return true,
        })
    }

    pub(super) fn handle_after(&mut self, after: After, now: Now) {
        match after {
            After::Promised(number) => self.acceptor.handle_durable(number),
            After::Grant { to, claimant, epoch, round, asked } => {
                self.grant(to, &claimant, epoch, round, asked, now);
            }
            After::Claim(epoch) => self.send_claim_first(epoch, now),
            After::Ack { to, epoch, seq } => {
                self.acceptor.handle_applied(epoch, seq);
                self.send(to, Body::Ack { epoch, seq });
            }
            After::CaughtUp { epoch, upto } => self.acceptor.handle_caught_up(epoch, upto),
            After::OwnAck { epoch, seq } => {
                self.acceptor.handle_applied(epoch, seq);
                self.handle_own_ack(epoch, seq, now);
            }
            After::Accepted => self.handle_accepted(now),
            After::Formed => self.handle_formed_durable(),
        }
    }

    /// The newest promise, once it is on disk.
    pub(super) fn promised(&self) -> After {
        After::Promised(self.acceptor.promise_number())
    }

    pub(super) fn header(&self) -> Header {
        Header {
            cluster: self.acceptor.durable.cluster,
            from: self.me.clone(),
            voters: self.acceptor.voters_stamp(),
            commits: self.commits,
        }
    }

    pub(super) fn send(&mut self, to: SocketAddr, body: Body) {
        let message = Message { header: self.header(), body };
        self.output(Output::Send { to, message });
    }

    pub(super) fn event(&mut self, event: Event) {
        let last = matches!(event, Event::Fatal { .. });
        self.output(Output::Event(event));
        self.ended |= last;
    }

    pub(super) fn output(&mut self, output: Output) {
        if !self.ended {
            self.outputs.push_back(output);
        }
    }

    pub(super) fn alarm(&mut self, key: &str, text: String) {
        if self.alarms.insert(key.to_owned(), text.clone()).as_ref() != Some(&text) {
            self.event(Event::Alarm { text });
        }
    }
}
