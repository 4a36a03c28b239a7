//! The audit trail: who changed what through this agent, and who was refused. One line of JSON each.
//!
//! The agent that receives a request writes its line, since it knows the client; the leader that a request is passed on to
//! has the same request id in its log. Lines go to a file, to the syslog of the machine, or to both, by a thread of their own:
//! a disk or a receiver that does not answer holds up requests that change something and nothing else.
//!
//! # What a line promises
//!
//! - Without `required`, a line that no sink takes is lost; that is counted, and told in the log now and then.
//! - With `required`, a change is announced before it is made: a line with the stage `asked`. When no sink takes that line the
//!   change is refused and nothing has happened. The line `done` with the outcome follows. A line that a sink has taken is the
//!   kernel's; it is not forced onto the disk.
//! - A request whose client goes away has its line all the same.
//! - Of one address 60 refusals in a minute have lines. The rest is counted; the next line from there says how many they were.
//! - No line holds a secret: no token, no body, no value of a query. What a client may have made up is cut and escaped.

mod file;
mod line;
mod refusals;
mod thread;

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::mpsc::{SyncSender, TrySendError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

pub use self::file::LogFile;
pub use self::line::{Line, Outcome, Stage};
use self::refusals::{Refusals, Verdict};

/// Lines that may wait for a sink. More at a time only come from a flood of requests that are refused.
const WAITING: usize = 1_024;
/// How long a change waits for a sink to take its line.
const PATIENCE: Duration = Duration::from_secs(5);

/// `audit`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// A file, and when it is rotated.
    pub file: Option<FileSettings>,
    /// The syslog of this machine.
    pub syslog: bool,
    /// What cannot be written down does not happen.
    pub required: bool,
}

/// The file of an audit trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSettings {
    /// Absolute.
    pub path: PathBuf,
    /// Rotated before it grows beyond so many bytes; `None`: never.
    pub rotate_bytes: Option<u64>,
    /// So many old files are kept: `path.1` is the newest of them.
    pub rotate_max_files: u32,
}

/// Where lines go.
pub trait Sink: Send {
    /// Its name, one word.
    fn name(&self) -> &'static str;
    /// Takes a line, which has no line end.
    fn write(&mut self, line: &str) -> io::Result<()>;
    /// Begins anew where it was told to write.
    fn reopen(&mut self) -> io::Result<()>;
}

/// What became of a line, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// At least one sink has it.
    Yes,
    /// This sink does not have it; others may.
    NotBy(&'static str),
    /// No sink has it.
    Lost,
    /// A refusal without a line of its own: its address had too many.
    Counted,
}

/// Why a line is nowhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("write the audit trail: {0}")]
pub struct Lost(String);

enum Job {
    Write(String, oneshot::Sender<Result<(), Lost>>),
    Reopen,
}

/// The way to the sinks. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Trail {
    jobs: SyncSender<Job>,
    required: bool,
    told: Told,
    refusals: Arc<Mutex<Refusals>>,
}

/// Hears what became of each line.
#[derive(Clone)]
struct Told(Arc<dyn Fn(Written) + Send + Sync>);

impl std::fmt::Debug for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Told")
    }
}

impl Trail {
    /// Starts the thread that writes. `told` hears what became of each line; it must not block.
    pub fn start(
        sinks: Vec<Box<dyn Sink>>,
        required: bool,
        told: impl Fn(Written) + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let (jobs, received) = std::sync::mpsc::sync_channel(WAITING);
        let told = Told(Arc::new(told));
        let heard = told.clone();
        std::thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || thread::run(sinks, &received, |written| (heard.0)(written)))?;
        Ok(Self { jobs, required, told, refusals: Arc::default() })
    }

    /// Whether a change must be written down before it is made.
    pub fn is_required(&self) -> bool {
        self.required
    }

    /// A request of this client is refused. `Some`: it has a line, which says that so many before it had none. `now`: monotonic.
    pub fn counts_refusal(&self, client: Option<IpAddr>, now: Duration) -> Option<u64> {
        let verdict = self.refusals.lock().unwrap_or_else(PoisonError::into_inner).note(client, now);
        match verdict {
            Verdict::Line(unwritten) => Some(unwritten),
            Verdict::Counted { first } => {
                (self.told.0)(Written::Counted);
                if first {
                    let client = client.map_or_else(|| "local clients".to_owned(), |client| client.to_string());
                    tracing::warn!(
                        client,
                        "refusals are counted and have no line in the audit trail for a while: too many come from there"
                    );
                }
                None
            }
        }
    }

    /// Writes a line and waits until a sink has it. `Err`: none has.
    pub async fn write(&self, line: &Line) -> Result<(), Lost> {
        let outcome = self.give(line)?;
        match tokio::time::timeout(PATIENCE, outcome).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(Lost("its thread is gone".to_owned())),
            Err(_) => Err(Lost(format!("no sink took the line within {PATIENCE:?}"))),
        }
    }

    /// Writes a line some time. What becomes of it is only counted.
    pub fn note(&self, line: &Line) {
        drop(self.give(line));
    }

    fn give(&self, line: &Line) -> Result<oneshot::Receiver<Result<(), Lost>>, Lost> {
        let (reply, outcome) = oneshot::channel();
        self.jobs.try_send(Job::Write(line.text(), reply)).map_err(|error| {
            (self.told.0)(Written::Lost);
            Lost(match error {
                TrySendError::Full(_) => format!("{WAITING} lines wait already"),
                TrySendError::Disconnected(_) => "its thread is gone".to_owned(),
            })
        })?;
        Ok(outcome)
    }

    /// Opens files again: somebody has moved them away, or wants a new one.
    pub fn reopen(&self) {
        if self.jobs.try_send(Job::Reopen).is_err() {
            tracing::warn!("the audit trail is too busy to open its file again; ask again");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[derive(Clone, Default)]
    struct Memory {
        lines: Arc<Mutex<Vec<String>>>,
        broken: Arc<AtomicBool>,
    }

    impl Sink for Memory {
        fn name(&self) -> &'static str {
            "memory"
        }

        fn write(&mut self, line: &str) -> io::Result<()> {
            if self.broken.load(Ordering::Relaxed) {
                return Err(io::Error::other("broken"));
            }
            self.lines.lock().unwrap().push(line.to_owned());
            Ok(())
        }

        fn reopen(&mut self) -> io::Result<()> {
            self.broken.store(false, Ordering::Relaxed);
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_line_is_written_when_one_of_the_sinks_has_it() {
        let (good, bad) = (Memory::default(), Memory::default());
        bad.broken.store(true, Ordering::Relaxed);
        let heard = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&heard);
        let sinks: Vec<Box<dyn Sink>> = vec![Box::new(bad.clone()), Box::new(good.clone())];
        let trail = Trail::start(sinks, true, move |written| told.lock().unwrap().push(written)).unwrap();
        let line = Line::sample();
        trail.write(&line).await.unwrap();
        assert_eq!(*heard.lock().unwrap(), [Written::NotBy("memory"), Written::Yes]);
        assert_eq!(*good.lines.lock().unwrap(), [line.text()]);
        good.broken.store(true, Ordering::Relaxed);
        let lost = trail.write(&line).await.unwrap_err();
        assert!(lost.to_string().contains("broken"), "{lost}");
        assert_eq!(heard.lock().unwrap().last(), Some(&Written::Lost));
        trail.reopen();
        trail.write(&line).await.unwrap();
        assert_eq!(good.lines.lock().unwrap().len(), 2);
        assert_eq!(bad.lines.lock().unwrap().len(), 1);
    }
}
