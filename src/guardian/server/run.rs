//! One run as the guardian holds it: its main process, its streams, what is left of it.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::Duration;

use quorate_proto::Epoch;
use rustix::io::{Errno, ioctl_fionbio, write};
use rustix::process::Signal;

use super::output::Output;
use super::phase::{Phase, Seen};
use crate::cluster::Now;
use crate::guardian::bounds::Bounded;
use crate::guardian::cgroup::Cgroup;
use crate::guardian::message::{Cause, Ends, Exit, Order, Stream};
use crate::guardian::signals;
use crate::guardian::tree::{self, Proc};

/// A run under way or being stopped.
#[derive(Debug)]
pub(super) struct Run {
    /// Of the main process; also the number of its group.
    pub(super) pid: i32,
    /// How the main process ended, once it was waited for.
    pub(super) exit: Option<Exit>,
    pub(super) phase: Phase,
    pub(super) epoch: Epoch,
    pub(super) ends: Ends,
    pub(super) cgroup: Option<Cgroup>,
    /// What limits it.
    bounded: Option<Bounded>,
    /// Looks in a row that found nothing left.
    pub(super) empty_looks: u8,
    grace: Duration,
    stdin: Option<(OwnedFd, Vec<u8>, usize)>,
    outputs: Vec<Output>,
    swept: BTreeSet<(i32, u64)>,
}

/// A run of which nothing is left but what the agent has not read.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) outputs: Vec<Output>,
    pub(super) exit: Exit,
    pub(super) by: Cause,
    pub(super) swept: u32,
    /// The kernel killed something of it because it needed more memory than it may have.
    pub(super) out_of_memory: bool,
}

/// Starts the main process. The error's text says what could not be started.
pub(super) fn start(order: &Order, cgroups: &[PathBuf]) -> Result<Child, String> {
    let mut command = order.command(cgroups);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().map_err(|error| {
        let cwd = command.get_current_dir().filter(|cwd| !cwd.is_dir());
        match cwd {
            Some(cwd) => format!("start {:?} in {}: there is no such directory", order.program(), cwd.display()),
            None => format!("start {:?}: {error}", order.program()),
        }
    })
}

impl Run {
    /// Of a process just started. On an error the caller must still get rid of the process.
    pub(super) fn new(
        order: Order,
        child: &mut Child,
        cgroup: Option<Cgroup>,
        bounded: Option<Bounded>,
    ) -> io::Result<(Self, Proc)> {
        let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
        let main = tree::proc(pid).ok_or_else(|| io::Error::other("cannot read /proc"))?;
        let missing = || io::Error::other("a stream of the process is missing");
        let stdout = child.stdout.take().ok_or_else(missing)?;
        let stderr = child.stderr.take().ok_or_else(missing)?;
        let stdin = OwnedFd::from(child.stdin.take().ok_or_else(missing)?);
        ioctl_fionbio(&stdin, true)?;
        let run = Self {
            pid,
            exit: None,
            phase: Phase::Running,
            epoch: order.epoch,
            ends: order.ends,
            cgroup,
            bounded,
            empty_looks: 0,
            grace: order.grace,
            stdin: Some((stdin, order.stdin, 0)),
            outputs: vec![
                Output::new(Stream::Stdout, stdout.into(), order.keep)?,
                Output::new(Stream::Stderr, stderr.into(), order.keep)?,
            ],
            swept: BTreeSet::new(),
        };
        Ok((run, main))
    }

    /// Whether the main process was not waited for yet. Until then its number is its own, and its group's.
    pub(super) fn has_main(&self) -> bool {
        self.exit.is_none()
    }

    /// Begins to stop: SIGINT to the group, the first time.
    pub(super) fn stop(&mut self, cause: Cause, grace: Option<Duration>, now: Now) {
        if self.phase.stop(cause, grace.unwrap_or(self.grace), now) && self.has_main() {
            signals::send_group(self.pid, Signal::INT);
            // One that is stopped cannot hear it.
            signals::send_group(self.pid, Signal::CONT);
        }
    }

    /// What a look showed.
    pub(super) fn seen(&self, members: &[Proc]) -> Seen {
        let group = members.iter().filter(|process| process.group == self.pid).count();
        Seen { main: self.has_main(), group, all: members.len() }
    }

    /// Signals everything in `members`.
    pub(super) fn sweep(&mut self, members: &[Proc], signal: Signal, own_group: i32) {
        let main = self.has_main().then_some(self.pid);
        let leftovers = members.iter().filter(|process| Some(process.pid) != main);
        self.swept.extend(leftovers.map(|process| (process.pid, process.start)));
        if signal == Signal::KILL {
            if let Some(cgroup) = &self.cgroup {
                cgroup.kill();
            }
            // A group is killed in one step: what forks in it meanwhile is caught too.
            let groups: BTreeSet<i32> = members.iter().map(|process| process.group).collect();
            for group in groups.into_iter().filter(|group| *group != own_group) {
                signals::send_group(group, signal);
            }
        }
        for process in members {
            signals::send(process, signal);
        }
    }

    /// Reads and writes what can be without waiting.
    pub(super) fn pump(&mut self) {
        self.outputs.iter_mut().for_each(Output::fill);
        while let Some((pipe, bytes, done)) = &mut self.stdin {
            if *done >= bytes.len() {
                self.stdin = None;
                break;
            }
            match write(&*pipe, &bytes[*done..]) {
                Ok(count) => *done += count,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                // It does not want to read: its right.
                Err(_) => self.stdin = None,
            }
        }
    }

    /// The streams, to hand on what they hold.
    pub(super) fn outputs(&mut self) -> &mut [Output] {
        &mut self.outputs
    }

    /// Whether something was not handed on yet.
    pub(super) fn has_output(&self) -> bool {
        !self.outputs.iter().all(Output::is_empty)
    }

    /// To poll for reading.
    pub(super) fn read_fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.outputs.iter().filter_map(Output::fd)
    }

    /// To poll for writing.
    pub(super) fn write_fd(&self) -> Option<BorrowedFd<'_>> {
        self.stdin.as_ref().map(|(pipe, _, _)| pipe.as_fd())
    }

    /// Nothing is left of it.
    pub(super) fn finish(mut self) -> Finished {
        self.outputs.iter_mut().for_each(Output::finish);
        // Before it is removed.
        let out_of_memory = self.bounded.as_ref().is_some_and(Bounded::ran_out_of_memory);
        if let Some(cgroup) = &self.cgroup {
            cgroup.remove();
        }
        if let Some(bounded) = &self.bounded {
            bounded.remove();
        }
        Finished {
            out_of_memory,
            outputs: self.outputs,
            // It is finished only after its main process was waited for.
            exit: self.exit.unwrap_or(Exit::Signal(0)),
            by: self.phase.cause(),
            swept: u32::try_from(self.swept.len()).unwrap_or(u32::MAX),
        }
    }
}
