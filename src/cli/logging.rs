//! Sets up the log: one line an event on standard error, written by a thread of its own so that a slow pipe never holds
//! the gossip thread. Lines that the pipe cannot take are dropped and counted rather than waited for. A copy may go to
//! the syslog of the machine, by a thread of its own as well.

use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::fmt::time::ChronoLocal;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, fmt, registry};

use super::syslog::{Message, Socket};
use crate::config::{LogFormat, LogSettings};

/// Lines that may wait for a slow reader.
const LINES: usize = 8_192;

/// Starts logging. Keep the guards until the end: they flush.
pub(super) fn start(settings: &LogSettings) -> Vec<WorkerGuard> {
    let (writer, guard) = in_a_thread("log", std::io::stderr());
    let mut guards = vec![guard];
    let level = settings.level.as_str();
    // Libraries speak only when something is wrong, unless everything is wanted.
    let filter = if level == "trace" { level.to_owned() } else { format!("warn,quorate={level}") };
    let timer = ChronoLocal::new("%Y-%m-%dT%H:%M:%S%.3f%z".to_owned());
    let base = fmt::layer().with_writer(writer).with_timer(timer);
    let own = match settings.format {
        LogFormat::Json => base.json().flatten_event(true).boxed(),
        LogFormat::Text => {
            let colour = std::io::IsTerminal::is_terminal(&std::io::stderr());
            base.with_target(false).with_ansi(colour).boxed()
        }
    };
    let mut silent = None;
    let copy = settings.syslog.as_ref().map(|syslog| {
        let mut socket = Socket::new(syslog.path.clone());
        silent = socket.connect().err();
        let (writer, guard) = in_a_thread("syslog", socket);
        guards.push(guard);
        fmt::layer().event_format(Message::new(syslog)).with_writer(writer)
    });
    // Only a test starts two agents in one process; the first one's log serves both.
    drop(registry().with(EnvFilter::new(filter)).with(own).with(copy).try_init());
    if let Some(error) = silent {
        tracing::warn!(%error, "no syslog answers: its copy of the log is lost until one does");
    }
    guards
}

fn in_a_thread(name: &str, writer: impl std::io::Write + Send + 'static) -> (NonBlocking, WorkerGuard) {
    NonBlockingBuilder::default().lossy(true).buffered_lines_limit(LINES).thread_name(name).finish(writer)
}
