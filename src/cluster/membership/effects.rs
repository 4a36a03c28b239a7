//! What one call into foca wants done, gathered so that it can be carried out after the call returned.
//!
//! It is drained after every call, also after one that failed: an error may come after the next timer was asked for,
//! and losing that timer would end failure detection for good.

use std::net::SocketAddr;
use std::time::Duration;

use foca::{BroadcastHandler, Incarnation, Message, Notification, Runtime, Timer};

use super::peer::Peer;
use super::short_acks::shorten;

/// What foca says about itself. What it says about members is read from its table instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Note {
    /// There is somebody to probe; timers run.
    Active,
    /// The last active member is gone; timers stopped.
    Idle,
    /// Somebody holds us as down.
    Defunct,
    /// A probe began.
    Pinged,
    /// The probe before failed.
    ProbeFailed(Peer),
    /// A packet went out with this incarnation of ours.
    Sent(Incarnation),
}

/// The gathered effects, in order within each kind.
#[derive(Debug, Default)]
pub(super) struct Effects {
    pub(super) notes: Vec<Note>,
    pub(super) timers: Vec<(Timer<Peer>, Duration)>,
    pub(super) sends: Vec<(SocketAddr, Vec<u8>)>,
}

impl Runtime<Peer> for Effects {
    fn notify(&mut self, notification: Notification<'_, Peer>) {
        match notification {
            Notification::Active => self.notes.push(Note::Active),
            Notification::Idle => self.notes.push(Note::Idle),
            Notification::Defunct => self.notes.push(Note::Defunct),
            Notification::ProbeFailed(_, peer) => self.notes.push(Note::ProbeFailed(peer.clone())),
            Notification::DataSent(header) => {
                if matches!(header.message, Message::Ping(_)) {
                    self.notes.push(Note::Pinged);
                }
                self.notes.push(Note::Sent(header.src_incarnation));
            }
            Notification::MemberUp(_)
            | Notification::MemberDown(_)
            | Notification::Rename(..)
            | Notification::Rejoin(_)
            | Notification::DataReceived(_) => {}
        }
    }

    fn send_to(&mut self, to: Peer, data: &[u8]) {
        if let Some(addr) = to.destination() {
            self.sends.push((addr, shorten(&to, data).into_owned()));
        }
    }

    fn submit_after(&mut self, event: Timer<Peer>, after: Duration) {
        // Members are forgotten by the table's own rule; foca is configured never to ask for this.
        if !matches!(event, Timer::RemoveDown(_)) {
            self.timers.push((event, after));
        }
    }
}

/// Takes custom broadcasts of later versions without minding them, so that they do not count as errors.
#[derive(Debug)]
pub(super) struct Unheeded;

impl BroadcastHandler<Peer> for Unheeded {
    type Key = &'static [u8];
    type Error = std::convert::Infallible;

    fn receive_item(&mut self, _: &[u8], _: Option<&Peer>) -> Result<Option<Self::Key>, Self::Error> {
        Ok(None)
    }
}
