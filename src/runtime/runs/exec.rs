//! One child process of a run: handed to the guardian under the lease, followed to its end.

use std::collections::BTreeMap;
use std::sync::Mutex;
use tokio::sync::mpsc;
use tracing::{debug, warn};

use super::Runner;
use super::interruption::Interruption;
use super::kept::Kept;
use super::mask::Mask;
use super::recorder::Recorder;
use crate::guardian::{Cause, Exit, GuardianError, Notice, Refusal, RunKey, Spawn, Stream};
use crate::runtime::clock;
use crate::task::spec::Limits;
use crate::task::{Outcome, Start};

/// What a process prints on standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Prints {
    /// Text for people.
    Text,
    /// Terraform's events, a JSON object a line.
    Events,
    /// Data that stands in no log.
    Data,
}

/// How one child process ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) exit: Exit,
    pub(super) by: Cause,
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: Vec<u8>,
    /// The kernel killed something of it for want of memory.
    pub(super) out_of_memory: bool,
}

impl Ended {
    /// Why that is no good end, if so: where there are limits, a kill is told as what it is.
    fn over_the_limit(&self, limits: Limits) -> Option<String> {
        let killed = self.out_of_memory && self.by == Cause::Itself && self.exit != Exit::Code(0);
        killed.then(|| {
            let limit = limits.memory.map_or_else(String::new, |bytes| format!(" of {} MiB", bytes >> 20));
            let said = if self.stderr.trim_ascii().is_empty() { &self.stdout } else { &self.stderr };
            let said = String::from_utf8_lossy(said);
            let last = said.trim().lines().last().map(|line| format!("; its last line was: {line}"));
            format!(
                "out of memory: the kernel killed a process of the run, which needed more than its limit{limit} \
                 (limits.memory){}",
                last.unwrap_or_default()
            )
        })
    }
}

/// Why a child process did not run to an end of its own.
#[derive(Debug)]
pub(super) enum Stopped {
    /// Authority ended, or somebody stopped it: no failure of the task.
    Interrupted(String),
    /// It could not be started.
    Failed(String),
    /// Somebody cancelled it; who, for people.
    Cancelled(String),
    /// Its time was up; for people.
    TimedOut(String),
    /// The guardian is gone: something of the run may still live, so it may not be journalled as over.
    Lost(String),
}

/// Who waits for which run's notices.
#[derive(Debug, Default)]
pub(in crate::runtime) struct Exits(Mutex<BTreeMap<RunKey, mpsc::UnboundedSender<Notice>>>);

impl Exits {
    /// Passes a notice of the guardian to whoever waits for it.
    pub(in crate::runtime) fn handle(&self, run: &RunKey, notice: Notice) {
        let waiting = self.0.lock().ok().and_then(|map| map.get(run).cloned());
        if let Some(waiting) = waiting {
            drop(waiting.send(notice));
        }
    }

    fn wait_for(&self, run: &RunKey) -> mpsc::UnboundedReceiver<Notice> {
        let (sender, receiver) = mpsc::unbounded_channel();
        if let Ok(mut map) = self.0.lock() {
            map.insert(run.clone(), sender);
        }
        receiver
    }

    fn forget(&self, run: &RunKey) {
        if let Ok(mut map) = self.0.lock() {
            map.remove(run);
        }
    }

    /// The guardian is gone: nobody will hear of any run again.
    pub(in crate::runtime) fn clear(&self) {
        if let Ok(mut map) = self.0.lock() {
            map.clear();
        }
    }
}

impl Runner {
    /// Runs one process to its end; its output is told as it comes, with how many bytes before it were lost.
    pub(super) async fn exec(
        &self,
        spawn: Spawn,
        start: &Start,
        prints: Prints,
        told: &mut (dyn FnMut(Stream, &[u8], u64) + Send),
    ) -> Result<Ended, Stopped> {
        let interruption = self.interruptions.of(start.run);
        interruption.check()?;
        let run = spawn.run.clone();
        let mut notices = self.exits.wait_for(&run);
        let lease = self.lease(start.epoch);
        let asked = clock::now();
        let ended = match lease {
            Ok(lease) => match self.guardian.spawn(spawn, &lease, self.start_margin, asked).await {
                Ok(pid) => {
                    let took = clock::now().mono.saturating_sub(asked.mono);
                    debug!(task = start.task, run = %start.run, pid, ?took, "the guardian has started a process");
                    let mask = self.mask(start.run);
                    let live = self.logs.of(start.run).filter(|_| prints != Prints::Data);
                    let mut recorder = Recorder::new(live, mask.clone(), prints == Prints::Events);
                    let told = &mut |stream, bytes: &[u8], lost| {
                        recorder.handle(stream, bytes, lost);
                        told(stream, bytes, lost);
                    };
                    let ended = self.follow(&run, &mut notices, &interruption, &mask, told).await;
                    recorder.end();
                    ended
                }
                Err(error) => Err(not_started(&error)),
            },
            Err(stopped) => Err(stopped),
        };
        self.exits.forget(&run);
        let ended = ended?;
        if ended.out_of_memory && ended.exit == Exit::Code(0) {
            warn!(
                task = start.task,
                "the kernel killed a process of the run for want of memory; the run went on and well"
            );
        }
        match ended.over_the_limit(start.spec.run.limits) {
            Some(why) => Err(Stopped::Failed(why)),
            None => Ok(ended),
        }
    }

    async fn follow(
        &self,
        run: &RunKey,
        notices: &mut mpsc::UnboundedReceiver<Notice>,
        interruption: &Interruption,
        mask: &Mask,
        told: &mut (dyn FnMut(Stream, &[u8], u64) + Send),
    ) -> Result<Ended, Stopped> {
        let (mut stdout, mut stderr) = (Kept::default(), Kept::default());
        let mut cut_short = None;
        loop {
            let notice = tokio::select! {
                notice = notices.recv() => notice,
                stopped = interruption.pulled(), if cut_short.is_none() => {
                    // Also for a process that was on its way when its run was cancelled.
                    self.guardian.stop(run, stopped.text(), interruption.grace());
                    cut_short = Some(stopped);
                    continue;
                }
            };
            match notice {
                Some(Notice::Output { stream, bytes, lost, .. }) => {
                    told(stream, &bytes, lost);
                    let kept = if stream == Stream::Stdout { &mut stdout } else { &mut stderr };
                    kept.push(&bytes, lost);
                }
                Some(Notice::Exited { exit, by, out_of_memory, .. }) => {
                    let (stdout, stderr) = (stdout.hidden(mask), stderr.hidden(mask));
                    return match cut_short.filter(|_| by != Cause::Itself) {
                        Some(stopped) => Err(stopped),
                        None => Ok(Ended { exit, by, stdout, stderr, out_of_memory }),
                    };
                }
                Some(_) => {}
                None => return Err(Stopped::Lost("the guardian is gone".to_owned())),
            }
        }
    }
}

/// Nothing ran. Without authority that is no failure of the task; with it, it is.
fn not_started(error: &GuardianError) -> Stopped {
    match error {
        GuardianError::NoLease(_) | GuardianError::Refused(Refusal::NoAuthority(_)) => {
            Stopped::Interrupted(error.to_string())
        }
        GuardianError::Lost => Stopped::Lost(error.to_string()),
        GuardianError::Refused(_) | GuardianError::TooLarge(_) => Stopped::Failed(error.to_string()),
    }
}

impl From<Stopped> for Outcome {
    fn from(stopped: Stopped) -> Self {
        match stopped {
            Stopped::Interrupted(why) | Stopped::Lost(why) => Self::Interrupted(why),
            Stopped::Failed(error) => Self::Failure(error),
            Stopped::Cancelled(by) => Self::Cancelled(by),
            Stopped::TimedOut(text) => Self::TimedOut(text),
        }
    }
}

impl Stopped {
    /// For people.
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Interrupted(text)
            | Self::Failed(text)
            | Self::Cancelled(text)
            | Self::TimedOut(text)
            | Self::Lost(text) => text,
        }
    }
}
