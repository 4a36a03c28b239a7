//! One output stream of a run: read as it comes, handed on as the agent reads, the oldest dropped in between.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::{Errno, ioctl_fionbio, read};

use crate::guardian::message::Stream;

/// Bytes in one message.
const CHUNK: usize = 8 * 1024;
/// Read in one turn: a run that prints without end does not keep the guardian from its other work.
const TURN: usize = 64 * 1024;

/// The reading end and what was not handed on yet.
#[derive(Debug)]
pub(super) struct Output {
    pub(super) stream: Stream,
    pipe: Option<OwnedFd>,
    kept: VecDeque<u8>,
    keep: usize,
    lost: u64,
}

impl Output {
    /// Of this pipe, of which at most `keep` bytes wait.
    pub(super) fn new(stream: Stream, pipe: OwnedFd, keep: u32) -> io::Result<Self> {
        ioctl_fionbio(&pipe, true)?;
        Ok(Self { stream, pipe: Some(pipe), kept: VecDeque::new(), keep: keep as usize, lost: 0 })
    }

    /// To poll, while it is open.
    pub(super) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(AsFd::as_fd)
    }

    /// Reads what is there, up to a turn.
    pub(super) fn fill(&mut self) {
        let mut piece = [0; CHUNK];
        let mut turn = 0;
        while let Some(pipe) = self.pipe.as_ref().filter(|_| turn < TURN) {
            match read(pipe, &mut piece) {
                Ok(count) if count > 0 => {
                    turn += count;
                    self.keep(&piece[..count]);
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Ok(_) | Err(_) => self.pipe = None,
            }
        }
    }

    /// Nothing of the run is left: takes what is still in the pipe and closes it.
    pub(super) fn finish(&mut self) {
        self.fill();
        self.pipe = None;
    }

    /// Whether everything was handed on.
    pub(super) fn is_empty(&self) -> bool {
        self.kept.is_empty() && self.lost == 0
    }

    /// The next piece to hand on, and how many bytes before it were dropped.
    pub(super) fn poll_chunk(&mut self) -> Option<(Vec<u8>, u64)> {
        if self.is_empty() {
            return None;
        }
        let count = self.kept.len().min(CHUNK);
        let bytes = self.kept.drain(..count).collect();
        if self.kept.is_empty() {
            self.kept = VecDeque::new();
        }
        Some((bytes, std::mem::take(&mut self.lost)))
    }

    fn keep(&mut self, bytes: &[u8]) {
        self.kept.extend(bytes);
        let over = self.kept.len().saturating_sub(self.keep);
        self.kept.drain(..over);
        self.lost += over as u64;
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn the_newest_bytes_stay_and_the_dropped_ones_are_counted() {
        let (reader, mut writer) = io::pipe().unwrap();
        let mut output = Output::new(Stream::Stdout, reader.into(), 5).unwrap();
        assert_eq!(output.poll_chunk(), None);
        writer.write_all(b"one two three").unwrap();
        output.fill();
        assert!(output.fd().is_some());
        drop(writer);
        output.finish();
        assert_eq!(output.poll_chunk(), Some((b"three".to_vec(), 8)));
        assert_eq!(output.poll_chunk(), None);
        assert!(output.fd().is_none());
    }
}
