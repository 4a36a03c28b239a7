//! Sets up the log: one line an event on standard error, written by a thread of its own so that a slow pipe never holds
//! the gossip thread. Lines that the pipe cannot take are dropped and counted rather than waited for.

use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::time::ChronoLocal;

use crate::config::{LogFormat, LogSettings};

/// Lines that may wait for a slow reader.
const LINES: usize = 8_192;

/// Starts logging. Keep the guard until the end: it flushes.
pub(super) fn start(settings: LogSettings) -> WorkerGuard {
    let builder = NonBlockingBuilder::default().lossy(true).buffered_lines_limit(LINES).thread_name("log");
    let (writer, guard) = builder.finish(std::io::stderr());
    let level = settings.level.as_str();
    // Libraries speak only when something is wrong, unless everything is wanted.
    let filter = if level == "trace" { level.to_owned() } else { format!("warn,quorate={level}") };
    let filter = EnvFilter::new(filter);
    let timer = ChronoLocal::new("%Y-%m-%dT%H:%M:%S%.3f%z".to_owned());
    let base = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).with_timer(timer);
    let set = match settings.format {
        LogFormat::Json => base.json().flatten_event(true).try_init(),
        LogFormat::Text => {
            let colour = std::io::IsTerminal::is_terminal(&std::io::stderr());
            base.with_target(false).with_ansi(colour).try_init()
        }
    };
    // Only a test starts two agents in one process; the first one's log serves both.
    drop(set);
    guard
}
