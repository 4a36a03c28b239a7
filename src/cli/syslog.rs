//! The `syslog` block: a copy of the log for the syslog of this machine (`reference/cts.md` 2.2).
//!
//! One event is one message to the local socket in the form that syslog(3) writes there, `<PRI>Mmm dd hh:mm:ss
//! NAME[PID]: [LEVEL] text` (RFC 3164, section 4.1, without the host, which the receiver knows). Thirty lines of our own
//! rather than a library: the form is small and fixed, and a receiver that restarts must not end the copy.
//!
//! # Not here
//!
//! Receivers elsewhere: the syslog of the machine forwards.

use std::fmt;
use std::io::{self, Write};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::{DefaultFields, Format, Full, Writer};
use tracing_subscriber::fmt::time::{ChronoLocal, FormatTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent};
use tracing_subscriber::registry::LookupSpan;

use crate::config::Syslog;

/// Where the syslog of a machine listens, in the order of trial.
const SOCKETS: [&str; 3] = ["/dev/log", "/var/run/syslog", "/var/run/log"];

/// Longest message; receivers cut at 8 KiB unless told otherwise.
const MESSAGE_MAX: usize = 8 << 10;

/// How long a receiver that takes nothing may hold up the thread of this copy.
const PATIENCE: Duration = Duration::from_secs(1);

/// An event as a message.
pub(super) struct Message {
    facility: u8,
    name: String,
    timer: ChronoLocal,
    text: Format<Full, ()>,
}

impl Message {
    pub(super) fn new(settings: &Syslog) -> Self {
        Self {
            facility: settings.facility,
            name: settings.name.clone(),
            timer: ChronoLocal::new("%b %e %H:%M:%S".to_owned()),
            text: Format::default().without_time().with_target(false).with_level(false).with_ansi(false),
        }
    }
}

impl<S> FormatEvent<S, DefaultFields> for Message
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, DefaultFields>,
        mut out: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let level = *event.metadata().level();
        write!(out, "<{}>", priority(self.facility, level))?;
        self.timer.format_time(&mut out)?;
        write!(out, " {}[{}]: [{level}] ", self.name, std::process::id())?;
        self.text.format_event(context, out, event)
    }
}

/// Facility and severity in one number (RFC 3164, section 4.1.1).
fn priority(facility: u8, level: Level) -> u32 {
    let severity = match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    };
    u32::from(facility) * 8 + severity
}

/// The socket. What cannot be delivered is lost; the next message tries to connect again.
pub(super) struct Socket {
    path: Option<PathBuf>,
    connection: Option<Connection>,
}

enum Connection {
    Datagram(UnixDatagram),
    Stream(UnixStream),
}

impl Socket {
    /// Of this path, else of the machine.
    pub(super) fn new(path: Option<PathBuf>) -> Self {
        Self { path, connection: None }
    }

    /// Connects now, to tell at the start what would be silent later.
    pub(super) fn connect(&mut self) -> io::Result<()> {
        let paths: Vec<&Path> = match &self.path {
            Some(path) => vec![path],
            None => SOCKETS.iter().map(Path::new).collect(),
        };
        let mut outcome = Err(io::Error::other("no path"));
        for path in paths {
            match Connection::to(path) {
                Ok(connection) => {
                    self.connection = Some(connection);
                    return Ok(());
                }
                // The first one is the usual one: its reason is the one to tell.
                Err(error) if outcome.as_ref().is_err_and(|first| first.raw_os_error().is_none()) => {
                    outcome = Err(error);
                }
                Err(_) => {}
            }
        }
        outcome
    }

    /// Sends one message, connecting first if need be.
    pub(super) fn send(&mut self, message: &[u8]) -> io::Result<()> {
        if self.connection.is_none() {
            self.connect()?;
        }
        let sent = self.connection.as_mut().map_or(Ok(()), |connection| connection.send(message));
        if sent.is_err() {
            self.connection = None;
        }
        sent
    }
}

impl Connection {
    fn to(path: &Path) -> io::Result<Self> {
        let datagram = UnixDatagram::unbound()?;
        match datagram.connect(path) {
            Ok(()) => {
                datagram.set_write_timeout(Some(PATIENCE))?;
                Ok(Self::Datagram(datagram))
            }
            // Some receivers listen for streams.
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::PROTOTYPE.raw_os_error()) => {
                let stream = UnixStream::connect(path)?;
                stream.set_write_timeout(Some(PATIENCE))?;
                Ok(Self::Stream(stream))
            }
            Err(error) => Err(error),
        }
    }

    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        match self {
            Self::Datagram(socket) => socket.send(message).map(drop),
            // A stream has no messages of its own: a zero byte ends each, as syslog(3) does it.
            Self::Stream(stream) => stream.write_all(message).and_then(|()| stream.write_all(&[0])),
        }
    }
}

impl Write for Socket {
    /// Takes a whole message. Never fails: nobody could be told.
    fn write(&mut self, message: &[u8]) -> io::Result<usize> {
        let line = message.strip_suffix(b"\n").unwrap_or(message);
        let line = cut(line);
        // A receiver that was restarted: once more, on a new connection.
        if self.send(line).is_err() {
            drop(self.send(line));
        }
        Ok(message.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The first [`MESSAGE_MAX`] bytes, whole characters.
fn cut(line: &[u8]) -> &[u8] {
    let Some(mut end) = (line.len() > MESSAGE_MAX).then_some(MESSAGE_MAX) else { return line };
    while end > 0 && line.get(end).is_some_and(|byte| byte & 0xc0 == 0x80) {
        end -= 1;
    }
    line.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn priorities_are_those_of_the_rfc() {
        assert_eq!(priority(16, Level::INFO), 134);
        assert_eq!(priority(0, Level::ERROR), 3);
        assert_eq!(priority(23, Level::TRACE), 191);
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let long = "x".repeat(MESSAGE_MAX - 1) + "üü";
        assert_eq!(cut(long.as_bytes()).len(), MESSAGE_MAX - 1);
        assert_eq!(cut(b"short"), b"short");
    }

    #[test]
    fn a_receiver_may_listen_for_streams() {
        use std::io::Read as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let mut socket = Socket::new(Some(path));
        socket.write_all(b"<134>one\n").unwrap();
        drop(socket);
        let mut received = Vec::new();
        listener.accept().unwrap().0.read_to_end(&mut received).unwrap();
        assert_eq!(received, b"<134>one\0");
    }

    #[test]
    fn a_receiver_that_is_away_is_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut socket = Socket::new(Some(path.clone()));
        assert!(socket.connect().is_err());
        socket.write_all(b"lost").unwrap();
        let mut read = [0; 16];
        for text in [b"first ", b"second"] {
            let receiver = UnixDatagram::bind(&path).unwrap();
            socket.write_all(text).unwrap();
            let length = receiver.recv(&mut read).unwrap();
            assert_eq!(&read[..length], text);
            drop(receiver);
            std::fs::remove_file(&path).unwrap();
        }
    }
}
