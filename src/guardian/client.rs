//! The agent's end: asks the guardian for runs, tells it how long authority lasts, and hears what became of them.
//!
//! Nothing here waits for a guardian that does not read: requests queue up (deadlines replace each other), and what the guardian
//! says is taken at once. When the receiver of the notices is slow, output is dropped and counted; the ends of runs never are.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use quorate_proto::Epoch;
use rustix::process::{getpid, set_child_subreaper};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::process::Child;
use tokio::sync::{Notify, mpsc, oneshot, watch};

use super::frames::{FRAME_MAX, Frames, frame};
use super::message::{Cause, Ends, Exit, FromGuardian, OnDeath, Refusal, RunKey, Stream, ToGuardian};
use super::order::Spawn;
use super::orphans::{self, Known};
use super::program;
use super::server::NO_CGROUPS;
use crate::cluster::Now;
use crate::cluster::leadership::Lease;

/// Notices that wait to be received.
const NOTICES: usize = 256;
/// Of these, kept free of output: each run has one end, and the guardian takes 64 runs.
const RESERVED: usize = 128;
/// Requests that wait for a guardian that does not read. A guardian never stops reading, so more is a sign that it is stuck.
const REQUESTS_MAX: usize = 1024;

/// Whether runs get cgroups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Containment {
    /// A cgroup for each run where one can be made.
    #[default]
    Best,
    /// None, even where one could be made.
    NoCgroups,
}

/// What the guardian tells. Of one run in order, and nothing after `Exited`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// It is up; the first notice.
    Ready {
        /// Each run gets a cgroup of its own.
        cgroups: bool,
    },
    /// A piece of output.
    Output {
        /// Of which run.
        run: RunKey,
        /// Of which stream.
        stream: Stream,
        /// May end in the middle of a character.
        bytes: Vec<u8>,
        /// So many bytes before it were dropped because they were not received in time.
        lost: u64,
    },
    /// A run has ended and nothing of it is left: no process, nowhere.
    Exited {
        /// Which.
        run: RunKey,
        /// How its main process ended.
        exit: Exit,
        /// Why.
        by: Cause,
        /// So many processes besides the main one had to be told to end (SIGTERM or SIGKILL).
        swept: u32,
        /// The kernel killed something of it: it needed more memory than its bounds allow.
        out_of_memory: bool,
    },
    /// The guardian is gone: step down, call [`Guardian::sweep_orphans`]. The last notice; not sent after [`Guardian::bye`].
    Lost {
        /// How, for people.
        why: String,
    },
}

/// Why a run was not started.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GuardianError {
    /// The lease has not enough left. Nothing of the run ever ran; a new lease is needed.
    #[error("start a run: the lease of epoch {0} is over or about to end")]
    NoLease(Epoch),
    /// The guardian refused. Nothing of the run ever ran.
    #[error("start a run: {0}")]
    Refused(#[from] Refusal),
    /// The request is larger than can be sent. Nothing ran; the limit is that of standard input and environment together.
    #[error("start a run: input and environment have {0} bytes, at most {FRAME_MAX} can be given")]
    TooLarge(usize),
    /// The guardian is gone, or does not take requests any more. Whether the run was started is unknown.
    #[error("start a run: the guardian is gone")]
    Lost,
}

/// A running guardian. Cheap to clone; when the last clone is dropped the guardian stops every run and exits.
#[derive(Debug, Clone)]
pub struct Guardian {
    shared: Arc<Shared>,
    _open: Arc<Open>,
}

#[derive(Debug)]
struct Shared {
    pid: u32,
    state: Mutex<State>,
    wake: Notify,
    ended: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct State {
    requests: VecDeque<ToGuardian>,
    starting: BTreeMap<RunKey, Starting>,
    runs: BTreeMap<RunKey, Known>,
    /// Nobody asks any more.
    closed: bool,
    /// `bye` was said: the end is no loss.
    bye: bool,
    /// The guardian does not listen any more.
    lost: bool,
}

/// A run that the guardian was asked to start.
#[derive(Debug)]
struct Starting {
    grace: Duration,
    answer: oneshot::Sender<Result<u32, GuardianError>>,
}

/// Closes the connection when the last handle goes.
#[derive(Debug)]
struct Open(Arc<Shared>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.state().closed = true;
        self.0.wake.notify_one();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // No code panics while it holds the lock halfway through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a request. False when nobody takes it.
    fn push(&self, request: ToGuardian) -> bool {
        let mut state = self.state();
        if state.lost || state.requests.len() >= REQUESTS_MAX {
            return false;
        }
        let news = |request: &ToGuardian| matches!(request, ToGuardian::Deadline { .. } | ToGuardian::OnDeath(_));
        if news(&request) {
            // Only the newest counts, unless something else was asked in between: order is kept.
            let kind = std::mem::discriminant(&request);
            let tail = state.requests.iter().rposition(|earlier| !news(earlier)).map_or(0, |last| last + 1);
            if let Some(old) = state.requests.iter_mut().skip(tail).find(|old| std::mem::discriminant(*old) == kind) {
                *old = request;
                return true;
            }
        }
        state.requests.push_back(request);
        drop(state);
        self.wake.notify_one();
        true
    }
}

impl Guardian {
    /// Starts the guardian of an agent whose program is `exe`, see `program`. Must be called inside a tokio runtime, once, early. The agent becomes a child subreaper.
    ///
    /// # Errors
    /// The process could not be started; nothing changed.
    pub fn start(exe: &Path) -> io::Result<(Self, mpsc::Receiver<Notice>)> {
        Self::start_with(exe, Containment::Best)
    }

    /// As [`Guardian::start`], with a choice of containment.
    ///
    /// # Errors
    /// As there.
    pub fn start_with(exe: &Path, containment: Containment) -> io::Result<(Self, mpsc::Receiver<Notice>)> {
        set_child_subreaper(Some(getpid()))?;
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let mut command = tokio::process::Command::new(program::choose(exe));
        command.arg0("quorate").arg("guardian").args((containment == Containment::NoCgroups).then_some(NO_CGROUPS));
        // It needs nothing of the environment: each run brings its own.
        command.env_clear().stdin(Stdio::from(OwnedFd::from(theirs))).stdout(Stdio::null()).kill_on_drop(false);
        let child = command.spawn()?;
        drop(command);
        let shared = Arc::new(Shared {
            pid: child.id().ok_or_else(|| io::Error::other("the guardian ended at once"))?,
            state: Mutex::default(),
            wake: Notify::new(),
            ended: watch::Sender::new(false),
        });
        let (reader, writer) = UnixStream::from_std(ours)?.into_split();
        let (notices, receiver) = mpsc::channel(NOTICES);
        tokio::spawn(write_requests(writer, Arc::clone(&shared)));
        tokio::spawn(Listener { shared: Arc::clone(&shared), notices, dropped: BTreeMap::new() }.listen(reader, child));
        Ok((Self { _open: Arc::new(Open(Arc::clone(&shared))), shared }, receiver))
    }

    /// The guardian's process id.
    pub fn pid(&self) -> u32 {
        self.shared.pid
    }

    /// Starts a run under a live lease (rule R15) of which more than `margin` is left at `now`, read immediately before. The guardian looks
    /// at the clocks again itself, and stops the run at the end of the lease unless it hears of an extension. Returns the process id.
    /// The steps of one run may follow each other under one key: each ends with [`Notice::Exited`] before the next starts.
    ///
    /// # Errors
    /// See [`GuardianError`]: except for `Lost`, nothing of the run ever ran.
    pub async fn spawn(&self, spawn: Spawn, lease: &Lease, margin: Duration, now: Now) -> Result<u32, GuardianError> {
        if !lease.is_live(margin, now) {
            return Err(GuardianError::NoLease(lease.epoch()));
        }
        let (run, grace) = (spawn.run.clone(), spawn.grace);
        let request = ToGuardian::Spawn(spawn.order(lease.epoch(), ends(lease)));
        if let Err(error) = frame(&request) {
            return Err(match error {
                super::frames::FrameError::TooLong(bytes) => GuardianError::TooLarge(bytes),
                super::frames::FrameError::Codec(_) => GuardianError::TooLarge(FRAME_MAX),
            });
        }
        let (sender, answer) = oneshot::channel();
        {
            let mut state = self.shared.state();
            if state.starting.contains_key(&run) {
                return Err(Refusal::Busy(run).into());
            }
            state.starting.insert(run.clone(), Starting { grace, answer: sender });
        }
        if !self.shared.push(request) {
            self.shared.state().starting.remove(&run);
            return Err(GuardianError::Lost);
        }
        answer.await.unwrap_or(Err(GuardianError::Lost))
    }

    /// The lease was extended: runs of its epoch may go on until its new end.
    pub fn deadline(&self, lease: &Lease) {
        self.shared.push(ToGuardian::Deadline { epoch: lease.epoch(), ends: ends(lease) });
    }

    /// Stops a run: SIGINT, its grace (or this one, if shorter ends earlier), SIGKILL. [`Notice::Exited`] follows.
    pub fn stop(&self, run: &RunKey, why: impl Into<String>, grace: Option<Duration>) {
        self.shared.push(ToGuardian::Stop { run: run.clone(), why: why.into(), grace });
    }

    /// Stops every run, and starts none any more under the epochs it has heard of. For the end of a lease and before a hand-over.
    pub fn stop_all(&self, why: impl Into<String>, grace: Option<Duration>) {
        self.shared.push(ToGuardian::StopAll { why: why.into(), grace });
    }

    /// Replaces what the guardian sends when the agent has died and nothing of its runs is left.
    pub fn on_death(&self, what: OnDeath) {
        self.shared.push(ToGuardian::OnDeath(what));
    }

    /// The agent ends: nothing starts any more, what still runs is stopped. Returns when the guardian has exited.
    pub async fn bye(&self) {
        self.shared.state().bye = true;
        self.shared.push(ToGuardian::Bye);
        // The sender lives in `shared`: waiting cannot fail.
        drop(self.shared.ended.subscribe().wait_for(|ended| *ended).await);
    }

    /// Runs that were started and not reported as exited.
    pub fn running(&self) -> Vec<RunKey> {
        self.shared.state().runs.keys().cloned().collect()
    }

    /// After [`Notice::Lost`]: stops everything that the lost guardian left: SIGINT, the grace of each run, SIGKILL until nothing is left. Returns
    /// how many processes were killed. Blocks: call it on a blocking thread.
    ///
    /// # Errors
    /// `/proc` could not be read, or something is still there after 10 s of killing.
    pub fn sweep_orphans(&self) -> io::Result<usize> {
        let runs = self.shared.state().runs.clone();
        let killed = orphans::sweep(&runs)?;
        self.shared.state().runs.clear();
        Ok(killed)
    }
}

fn ends(lease: &Lease) -> Ends {
    Ends { boot: lease.ends_boot(), mono: lease.ends_mono() }
}

async fn write_requests(mut writer: OwnedWriteHalf, shared: Arc<Shared>) {
    loop {
        let (request, closed) = {
            let mut state = shared.state();
            (state.requests.pop_front(), state.closed || state.lost)
        };
        match request {
            // A request that cannot be encoded is not one: `spawn` has tried before.
            Some(request) => {
                let Ok(bytes) = frame(&request) else { continue };
                if writer.write_all(&bytes).await.is_err() {
                    return;
                }
            }
            None if closed => return,
            None => shared.wake.notified().await,
        }
    }
}

/// Reads what the guardian says until it is gone.
struct Listener {
    shared: Arc<Shared>,
    notices: mpsc::Sender<Notice>,
    /// Output dropped here, not yet told.
    dropped: BTreeMap<(RunKey, Stream), u64>,
}

impl Listener {
    async fn listen(mut self, mut reader: OwnedReadHalf, mut child: Child) {
        let mut frames = Frames::default();
        let mut piece = vec![0; 16 * 1024];
        let why = 'connection: loop {
            match reader.read(&mut piece).await {
                Ok(0) => break "it closed the connection".to_owned(),
                Ok(count) => frames.push(&piece[..count]),
                Err(error) => break error.to_string(),
            }
            loop {
                match frames.poll_message() {
                    Ok(Some(message)) => self.handle_message(message).await,
                    Ok(None) => break,
                    Err(error) => break 'connection error.to_string(),
                }
            }
        };
        drop(reader);
        let (starting, bye) = {
            let mut state = self.shared.state();
            state.lost = true;
            let starting = std::mem::take(&mut state.starting);
            // It may have started them and died before it could say so.
            for (run, asked) in &starting {
                state.runs.entry(run.clone()).or_insert_with(|| Known::perhaps(asked.grace));
            }
            (starting, state.bye || state.closed)
        };
        self.shared.wake.notify_one();
        drop(starting);
        if !bye {
            // Before waiting for the process: it may be stuck.
            drop(self.notices.send(Notice::Lost { why }).await);
        }
        drop(child.wait().await);
        self.shared.ended.send_replace(true);
    }

    async fn handle_message(&mut self, message: FromGuardian) {
        let notice = match message {
            FromGuardian::Ready { cgroups } => Notice::Ready { cgroups },
            FromGuardian::Started { run, pid, cgroup } => {
                let starting = {
                    let mut state = self.shared.state();
                    let starting = state.starting.remove(&run);
                    let grace = starting.as_ref().map_or(Duration::ZERO, |asked| asked.grace);
                    state.runs.insert(run, Known::new(pid, cgroup, grace));
                    starting
                };
                // Whoever asked may have stopped waiting; the run goes on and is reported as any other.
                starting.map(|asked| asked.answer.send(Ok(pid)));
                return;
            }
            FromGuardian::Refused { run, why } => {
                let starting = self.shared.state().starting.remove(&run);
                starting.map(|asked| asked.answer.send(Err(why.into())));
                return;
            }
            FromGuardian::Output { run, stream, bytes, lost } => return self.output(run, stream, bytes, lost),
            FromGuardian::Exited { run, exit, by, swept, out_of_memory } => {
                self.shared.state().runs.remove(&run);
                for stream in [Stream::Stdout, Stream::Stderr] {
                    if let Some(lost) = self.dropped.remove(&(run.clone(), stream)) {
                        let last = Notice::Output { run: run.clone(), stream, bytes: Vec::new(), lost };
                        drop(self.notices.send(last).await);
                    }
                }
                Notice::Exited { run, exit, by, swept, out_of_memory }
            }
        };
        // Nobody listens any more: the handle may still be used to stop things.
        drop(self.notices.send(notice).await);
    }

    fn output(&mut self, run: RunKey, stream: Stream, bytes: Vec<u8>, lost: u64) {
        let key = (run, stream);
        let lost = lost + self.dropped.remove(&key).unwrap_or(0);
        if self.notices.capacity() <= RESERVED {
            self.dropped.insert(key, lost + bytes.len() as u64);
            return;
        }
        let (run, stream) = key;
        // There is room, and nobody else sends.
        drop(self.notices.try_send(Notice::Output { run, stream, bytes, lost }));
    }
}
