//! Carries a run out: journal, check the lease, hand to the guardian, wait for the end, journal again.
//!
//! The order is protocol-safety 7: the journal is on a majority before anything starts, the lease is checked after that
//! wait and again inside the guardian immediately before the spawn, and the result is on a majority before it is reported.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use quorate_proto::message::Entry;
use quorate_proto::{Epoch, MemberId};
use tokio::sync::{OnceCell, mpsc, oneshot, watch};
use tracing::{debug, info, warn};

use super::clock;
use super::core::{Command, ProposeError};
use super::journal::Entered;
use super::metrics::{Metrics, Outcome as Counted};
use crate::cluster::leadership::Lease;
use crate::guardian::{Cause, Exit, Guardian, GuardianError, Notice, Refusal, RunKey, Spawn, Stream, base_env};
use crate::task::spec::{TerraformWork, Work};
use crate::task::{Outcome, Start};
use crate::terraform::{self, binary, fresh, workspace};

/// What is kept of a failed command's output for its event, in bytes.
const ERROR_TAIL: usize = 2 * 1024;
/// Output of one step kept in memory; Terraform's JSON diagnostics fit, a flood does not.
const OUTPUT_MAX: usize = 1024 * 1024;

/// How one child process ended.
#[derive(Debug)]
struct Ended {
    exit: Exit,
    by: Cause,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

/// Why a child process did not run to an end of its own.
#[derive(Debug)]
enum Stopped {
    /// Authority ended, or somebody stopped it: no failure of the task.
    Interrupted(String),
    /// It could not be started.
    Failed(String),
    /// The guardian is gone: something of the run may still live, so it may not be journalled as over.
    Lost(String),
}

/// Who waits for which run's notices.
#[derive(Debug, Default)]
pub(super) struct Exits(Mutex<BTreeMap<RunKey, mpsc::UnboundedSender<Notice>>>);

impl Exits {
    /// Passes a notice of the guardian to whoever waits for it.
    pub(super) fn handle(&self, run: &RunKey, notice: Notice) {
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
    pub(super) fn clear(&self) {
        if let Ok(mut map) = self.0.lock() {
            map.clear();
        }
    }
}

/// Carries runs out. Shared by all of them.
pub(super) struct Runner {
    pub(super) me: MemberId,
    pub(super) guardian: Guardian,
    pub(super) exits: Arc<Exits>,
    pub(super) lease: watch::Receiver<Option<Lease>>,
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) start_margin: Duration,
    pub(super) environment: Vec<(OsString, OsString)>,
    pub(super) terraform: terraform::Settings,
    pub(super) binary: OnceCell<terraform::Binary>,
    pub(super) metrics: Arc<Metrics>,
}

impl Runner {
    /// One run from the journal to the journal.
    pub(super) async fn run(&self, start: &Start) -> Outcome {
        let begun = clock::now().mono;
        let task = start.task.as_str();
        self.metrics.run_started(task);
        let outcome = self.journalled(start).await;
        let took = clock::now().mono.saturating_sub(begun);
        let counted = match &outcome {
            Outcome::Success => Counted::Success,
            Outcome::Failure(_) => Counted::Failure,
            Outcome::Interrupted(_) => Counted::Interrupted,
        };
        self.metrics.run_finished(task, counted, took);
        let (run, seconds) = (start.run, format!("{:.3}", took.as_secs_f64()));
        // What it means is told by the task room: a line for people there, one for a hunt here.
        debug!(task, %run, seconds, ?outcome, "run is over");
        outcome
    }

    fn lease(&self, epoch: Epoch) -> Result<Lease, Stopped> {
        let lease = *self.lease.borrow();
        let live = lease.filter(|lease| lease.epoch() == epoch && lease.is_live(self.start_margin, clock::now()));
        live.ok_or_else(|| Stopped::Interrupted(format!("this agent holds no live lease of epoch {epoch}")))
    }

    async fn journalled(&self, start: &Start) -> Outcome {
        let lease = match self.lease(start.epoch) {
            Ok(lease) => lease,
            Err(stopped) => return stopped.into(),
        };
        let mut entered = Entered {
            epoch: lease.epoch(),
            run: start.run.0.into_bytes(),
            agent: self.me.clone(),
            grace_ms: u64::try_from(start.spec.grace.as_millis()).unwrap_or(u64::MAX),
            finished: false,
        };
        if let Err(error) = self.enter(&entered, &start.task).await {
            return Outcome::Interrupted(error.to_string());
        }
        let outcome = match self.work(start, &lease).await {
            Ok(()) => Outcome::Success,
            // The next leader finds it unfinished and waits until it is surely over.
            Err(lost @ Stopped::Lost(_)) => return lost.into(),
            Err(stopped) => stopped.into(),
        };
        entered.finished = true;
        match (self.enter(&entered, &start.task).await, outcome) {
            (Ok(()), outcome) => outcome,
            // Done, but no majority knows: the next leader will run it again, so it is not reported as done.
            (Err(error), Outcome::Success | Outcome::Failure(_)) => Outcome::Interrupted(error.to_string()),
            (Err(_), interrupted @ Outcome::Interrupted(_)) => interrupted,
        }
    }

    async fn enter(&self, entered: &Entered, task: &str) -> Result<(), ProposeError> {
        let entries: Vec<Entry> = entered.entry(task).into_iter().collect();
        let (reply, answer) = oneshot::channel();
        if self.commands.send(Command::Propose(entered.epoch, entries, reply)).await.is_err() {
            return Err(ProposeError::NotLeader);
        }
        answer.await.unwrap_or(Err(ProposeError::Unknown))
    }

    async fn work(&self, start: &Start, lease: &Lease) -> Result<(), Stopped> {
        let (task, run, epoch, trigger) = (&start.task, &start.run, lease.epoch(), &start.trigger);
        info!(task, %run, %epoch, trigger = trigger.as_str(), attempt = start.attempt, "running task");
        match &start.spec.work {
            Work::Command { argv } => self.command(start, argv).await,
            Work::Terraform(work) => self.module(start, work).await,
        }
    }

    // A command.

    async fn command(&self, start: &Start, argv: &[String]) -> Result<(), Stopped> {
        let input = start.document().to_string().into_bytes();
        let dir = start.spec.working_dir.clone();
        let file = dir.join("input.json");
        let (bytes, place) = (input.clone(), file.clone());
        let written = tokio::task::spawn_blocking(move || write_input(&place, &bytes)).await;
        match written {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(Stopped::Failed(format!("failed to write {}: {error}", file.display()))),
            Err(error) => return Err(Stopped::Failed(error.to_string())),
        }
        let mut spawn = Spawn::new(RunKey::new(start.task.as_str(), start.run.0), argv.iter().map(OsString::from), ".");
        spawn.env = self.base();
        spawn.env.push(("QUORATE_INPUT".into(), absolute(&file).into()));
        spawn.stdin = input;
        spawn.grace = start.spec.grace;
        let ended = self.exec(spawn, start).await?;
        match (&ended.by, ended.exit) {
            (Cause::Itself, Exit::Code(0)) => Ok(()),
            (Cause::Itself, exit) => Err(Stopped::Failed(with_tail(
                &format!("{} ended with {exit}", argv.first().map_or("", String::as_str)),
                &ended,
            ))),
            (by, _) => Err(Stopped::Interrupted(by.to_string())),
        }
    }

    fn base(&self) -> Vec<(OsString, OsString)> {
        base_env::<&str>(self.environment.iter().cloned(), &[])
    }

    // A module.

    async fn module(&self, start: &Start, work: &TerraformWork) -> Result<(), Stopped> {
        let fail = |error: &dyn std::fmt::Display| Stopped::Failed(error.to_string());
        let binary = self.terraform_binary().await?;
        let settings = self.terraform.clone();
        let dir = start.spec.working_dir.clone();
        let inputs = terraform::Inputs {
            members: start.inputs.members.as_ref().and_then(|m| m.as_object()).cloned().unwrap_or_default(),
        };
        let prepared = {
            let (spec, work, binary, dir) = (start.spec.clone(), work.clone(), binary.clone(), dir.clone());
            let write = move || {
                workspace::write(&dir, &spec, &work, &inputs, &binary, &settings)
                    .map(|_| fresh::is_initialised(&dir, &spec.name, &binary))
            };
            tokio::task::spawn_blocking(write).await.map_err(|e| fail(&e))?
        };
        let initialised = prepared.map_err(|e| fail(&e))?;
        let base = self.base();
        let base = base.into_iter().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)));
        let env = terraform::env::env_for(&self.terraform, work, &dir, base);
        let mut steps = terraform::Run::new(binary.clone(), &start.task, !initialised);
        loop {
            match steps.next() {
                terraform::Action::Done(Ok(())) => break,
                terraform::Action::Done(Err(error)) => return Err(Stopped::Failed(error)),
                terraform::Action::Remember => {
                    if let Err(error) = fresh::remember(&dir, &binary) {
                        debug!(task = start.task, %error, "the next run will initialise again");
                    }
                }
                terraform::Action::Exec(step) => {
                    debug!(task = start.task, step = step.kind.as_str(), "terraform");
                    let mut spawn = Spawn::new(RunKey::new(start.task.as_str(), start.run.0), step.argv, &dir);
                    spawn.env = env.iter().map(|(k, v)| (k.into(), v.into())).collect();
                    spawn.grace = start.spec.grace;
                    let ended = self.exec(spawn, start).await?;
                    if self.terraform.log {
                        copy_to_log(&start.task, step.kind, &ended);
                    }
                    if ended.by != Cause::Itself {
                        return Err(Stopped::Interrupted(ended.by.to_string()));
                    }
                    let exit = match ended.exit {
                        Exit::Code(code) => terraform::Exit::Code(code),
                        Exit::Signal(signal) => terraform::Exit::Signal(signal),
                    };
                    steps.handle_exit(exit, &ended.stdout, &ended.stderr);
                }
            }
        }
        for warning in steps.take_warnings() {
            warn!(task = start.task, warning, "terraform warns");
        }
        Ok(())
    }

    async fn terraform_binary(&self) -> Result<terraform::Binary, Stopped> {
        let find = || async {
            let settings = self.terraform.clone();
            let path = self.environment.iter().find(|(name, _)| name == "PATH");
            let path = path.map_or_else(OsString::new, |(_, value)| value.clone());
            let found = binary::find(&settings, &path.to_string_lossy()).await;
            let found = found.map_err(|e| Stopped::Failed(e.to_string()))?;
            info!(program = %found.path.display(), version = %found.version, "found {}", found.kind);
            if let Some(warning) = binary::version_warning(&self.terraform, &found) {
                warn!("{warning}");
            }
            Ok(found)
        };
        self.binary.get_or_try_init(find).await.cloned()
    }

    // A child process.

    async fn exec(&self, spawn: Spawn, start: &Start) -> Result<Ended, Stopped> {
        let run = spawn.run.clone();
        let mut notices = self.exits.wait_for(&run);
        let lease = self.lease(start.epoch);
        let ended = match lease {
            Ok(lease) => match self.guardian.spawn(spawn, &lease, self.start_margin, clock::now()).await {
                Ok(_pid) => self.follow(&run, &mut notices, start.spec.timeout).await,
                Err(error) => Err(not_started(&error)),
            },
            Err(stopped) => Err(stopped),
        };
        self.exits.forget(&run);
        ended
    }

    async fn follow(
        &self,
        run: &RunKey,
        notices: &mut mpsc::UnboundedReceiver<Notice>,
        limit: Option<Duration>,
    ) -> Result<Ended, Stopped> {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let mut late = limit.map(|limit| Box::pin(tokio::time::sleep(limit)));
        let mut timed_out = false;
        loop {
            let notice = tokio::select! {
                notice = notices.recv() => notice,
                () = async { match &mut late { Some(sleep) => sleep.await, None => std::future::pending().await } } => {
                    late = None;
                    timed_out = true;
                    self.guardian.stop(run, "it took longer than its timeout", None);
                    continue;
                }
            };
            match notice {
                Some(Notice::Output { stream, bytes, .. }) => {
                    let kept = if stream == Stream::Stdout { &mut stdout } else { &mut stderr };
                    kept.extend_from_slice(&bytes);
                    if kept.len() > OUTPUT_MAX {
                        kept.drain(..kept.len() - OUTPUT_MAX);
                    }
                }
                Some(Notice::Exited { exit, by, .. }) => {
                    if timed_out {
                        return Err(Stopped::Failed("it took longer than its timeout and was stopped".to_owned()));
                    }
                    return Ok(Ended { exit, by, stdout, stderr });
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
        }
    }
}

/// What Terraform printed, line by line (`log = true` in driver "terraform").
fn copy_to_log(task: &str, step: terraform::StepKind, ended: &Ended) {
    for bytes in [&ended.stdout, &ended.stderr] {
        let text = String::from_utf8_lossy(bytes);
        for line in text.lines().map(str::trim_end).filter(|line| !line.is_empty()) {
            info!(task, step = step.as_str(), "{line}");
        }
    }
}

/// The error with the end of what the command said.
fn with_tail(text: &str, ended: &Ended) -> String {
    let said = if ended.stderr.trim_ascii().is_empty() { &ended.stdout } else { &ended.stderr };
    let said = said.trim_ascii();
    let tail = &said[said.len().saturating_sub(ERROR_TAIL)..];
    if tail.is_empty() { text.to_owned() } else { format!("{text}: {}", String::from_utf8_lossy(tail)) }
}

fn absolute(path: &Path) -> std::path::PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// The input for people and for programs that do not read standard input. Private: it may hold what others must not see.
fn write_input(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
    if let Some(dir) = file.parent() {
        std::fs::DirBuilder::new().recursive(true).mode(0o750).create(dir)?;
    }
    let fresh = file.with_extension("json.new");
    let mut out = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o640).open(&fresh)?;
    out.write_all(bytes)?;
    std::fs::rename(&fresh, file)
}
