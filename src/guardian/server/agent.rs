//! The guardian's end of the socket: never waits. What the agent does not read is kept up to a limit, output beyond it is not.

use std::io;

use quorate_proto::codec::Wire;
use rustix::fd::AsFd;
use rustix::io::{Errno, ioctl_fionbio, read, write};
use rustix::stdio;

use crate::guardian::frames::{Frames, frame};

/// Output is queued only while less than this waits to be read: a slow agent costs output, not memory.
const OUTPUT_ROOM: usize = 64 * 1024;
/// Above this the agent's requests are not read either: it sends requests and never reads the answers.
const REQUEST_ROOM: usize = 1024 * 1024;
const PIECE: usize = 32 * 1024;

/// The agent, as the guardian hears it.
#[derive(Debug)]
pub(super) struct Agent {
    open: bool,
    incoming: Frames,
    outgoing: Vec<u8>,
}

impl Agent {
    /// On descriptor 0, which must be a socket.
    pub(super) fn on_stdin() -> io::Result<Self> {
        ioctl_fionbio(stdio::stdin(), true)?;
        Ok(Self { open: true, incoming: Frames::default(), outgoing: Vec::new() })
    }

    /// Whether the other end is there.
    pub(super) fn is_open(&self) -> bool {
        self.open
    }

    /// Whether to read now.
    pub(super) fn wants_read(&self) -> bool {
        self.open && self.outgoing.len() < REQUEST_ROOM
    }

    /// Whether something waits to be written.
    pub(super) fn wants_write(&self) -> bool {
        self.open && !self.outgoing.is_empty()
    }

    /// Whether output may be queued.
    pub(super) fn has_room(&self) -> bool {
        self.outgoing.len() < OUTPUT_ROOM
    }

    /// Queues a message. When nobody listens any more it is dropped.
    pub(super) fn send<T: Wire>(&mut self, message: &T) {
        if let (true, Ok(bytes)) = (self.open, frame(message)) {
            self.outgoing.extend_from_slice(&bytes);
        }
    }

    /// Writes what can be written now.
    pub(super) fn flush(&mut self) {
        let mut written = 0;
        while self.open && written < self.outgoing.len() {
            match write(stdio::stdin().as_fd(), &self.outgoing[written..]) {
                Ok(count) => written += count,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(_) => self.close(),
            }
        }
        self.outgoing.drain(..written.min(self.outgoing.len()));
        if self.outgoing.is_empty() {
            self.outgoing = Vec::new();
        }
    }

    /// Reads what is there. Ends in `!is_open()` when the agent closed it.
    pub(super) fn fill(&mut self) {
        let mut piece = vec![0; PIECE];
        while self.wants_read() {
            match read(stdio::stdin().as_fd(), &mut piece) {
                Ok(0) => self.close(),
                Ok(count) => self.incoming.push(&piece[..count]),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(_) => self.close(),
            }
        }
    }

    /// The next message. What cannot be read is not from our agent: the connection counts as closed.
    pub(super) fn poll_message<T: Wire>(&mut self) -> Option<T> {
        self.incoming.poll_message().unwrap_or_else(|_| {
            self.close();
            self.incoming = Frames::default();
            None
        })
    }

    fn close(&mut self) {
        self.open = false;
        self.outgoing = Vec::new();
    }
}
