//! The thread that writes the audit trail.

use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use super::{Job, Lost, Sink, Written};

/// How often the log tells of lines that sinks did not take.
const TELL: Duration = Duration::from_mins(1);

/// Writes until nobody can ask any more.
pub(super) fn run(mut sinks: Vec<Box<dyn Sink>>, jobs: &Receiver<Job>, told: impl Fn(Written)) {
    let mut trouble = Trouble::default();
    while let Ok(job) = jobs.recv() {
        match job {
            Job::Write(line, reply) => {
                let mut failed = Vec::new();
                for sink in &mut sinks {
                    if let Err(error) = sink.write(&line) {
                        told(Written::NotBy(sink.name()));
                        failed.push(format!("{}: {error}", sink.name()));
                    }
                }
                let why = failed.join(", ");
                let is_lost = failed.len() == sinks.len();
                if !failed.is_empty() {
                    trouble.tell(&why, is_lost);
                }
                told(if is_lost { Written::Lost } else { Written::Yes });
                // Nobody waits for a line that is only noted.
                drop(reply.send(if is_lost { Err(Lost(why)) } else { Ok(()) }));
            }
            Job::Reopen => {
                for sink in &mut sinks {
                    match sink.reopen() {
                        Ok(()) => tracing::info!(sink = sink.name(), "the audit trail is open anew"),
                        Err(error) => {
                            tracing::error!(sink = sink.name(), %error, "the audit trail goes on where it was");
                        }
                    }
                }
            }
        }
    }
}

/// What the log has not told yet.
#[derive(Default)]
struct Trouble {
    last: Option<Instant>,
    lost: u64,
    incomplete: u64,
}

impl Trouble {
    #[expect(
        clippy::disallowed_methods,
        reason = "a thread of its own, of which nothing but the pace of a log hangs on time"
    )]
    fn tell(&mut self, why: &str, is_lost: bool) {
        *(if is_lost { &mut self.lost } else { &mut self.incomplete }) += 1;
        let now = Instant::now();
        if self.last.is_some_and(|last| now.duration_since(last) < TELL) {
            return;
        }
        tracing::error!(lost = self.lost, incomplete = self.incomplete, "the audit trail cannot be written: {why}");
        *self = Self { last: Some(now), lost: 0, incomplete: 0 };
    }
}
