//! The sinks of the audit trail: the file of its room, and the syslog of this machine.

use std::io;
use std::sync::Arc;

use super::obstacle::Obstacle;
use super::syslog::Socket;
use crate::audit::{LogFile, Settings, Sink, Trail, Written};
use crate::config::Syslog;
use crate::runtime::clock;
use crate::runtime::handle::MetricsText;

/// `AUTHPRIV`: what machines keep from the eyes of others. Without a `syslog` block, which says otherwise.
const FACILITY: u8 = 10;
/// As whom lines are sent, likewise.
const NAME: &str = "quorate-audit";
/// Severity `notice` (RFC 3164, section 4.1.1).
const NOTICE: u32 = 5;

/// Whether lines could be written. Nothing is changed.
pub(super) fn check(settings: &Settings, syslog: Option<&Syslog>) -> Result<(), Obstacle> {
    if let Some(file) = &settings.file {
        LogFile::check(file).map_err(|error| {
            let path = file.path.display();
            Obstacle::error(format!("the audit trail cannot be written to {path}: {error}"))
        })?;
    }
    if settings.syslog {
        let mut socket = Socket::new(syslog.and_then(|syslog| syslog.path.clone()));
        socket.connect().map_err(|error| {
            let text = format!("the audit trail cannot be written to the syslog: {error}");
            // A syslog that is away may come; with `required` nothing could be changed until then.
            if settings.required { Obstacle::error(text) } else { Obstacle { text, exit: None, is_met_again: false } }
        })?;
    }
    Ok(())
}

/// Opens the sinks and starts to write.
pub(super) fn start(settings: &Settings, syslog: Option<&Syslog>, metrics: Arc<dyn MetricsText>) -> io::Result<Trail> {
    let mut sinks: Vec<Box<dyn Sink>> = Vec::new();
    if let Some(file) = &settings.file {
        sinks.push(Box::new(LogFile::open(file.clone())?));
    }
    if settings.syslog {
        sinks.push(Box::new(ToSyslog {
            socket: Socket::new(syslog.and_then(|syslog| syslog.path.clone())),
            facility: syslog.map_or(FACILITY, |syslog| syslog.facility),
            name: syslog.map_or_else(|| NAME.to_owned(), |syslog| syslog.name.clone()),
        }));
    }
    Trail::start(sinks, settings.required, move |written| match written {
        Written::Yes => metrics.audit_written(),
        Written::NotBy(sink) => metrics.audit_failed(sink),
        Written::Lost => metrics.audit_lost(),
        Written::Counted => metrics.audit_counted(),
    })
}

/// Lines as messages, in the form of [`super::syslog`].
struct ToSyslog {
    socket: Socket,
    facility: u8,
    name: String,
}

impl Sink for ToSyslog {
    fn name(&self) -> &'static str {
        "syslog"
    }

    fn write(&mut self, line: &str) -> io::Result<()> {
        let priority = u32::from(self.facility) * 8 + NOTICE;
        let time = clock::wall().format("%b %e %H:%M:%S");
        let message = format!("<{priority}>{time} {}[{}]: {line}", self.name, std::process::id());
        // A receiver that was restarted: once more, on a new connection.
        self.socket.send(message.as_bytes()).or_else(|_| self.socket.send(message.as_bytes()))
    }

    fn reopen(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use super::*;

    #[test]
    fn a_line_is_a_message_and_one_that_nobody_takes_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let receiver = UnixDatagram::bind(&path).unwrap();
        let mut sink = ToSyslog { socket: Socket::new(Some(path)), facility: 10, name: "quorate-audit".to_owned() };
        sink.write("{\"stage\":\"done\"}").unwrap();
        let mut message = [0; 256];
        let length = receiver.recv(&mut message).unwrap();
        let text = std::str::from_utf8(&message[..length]).unwrap();
        assert!(text.starts_with("<85>") && text.contains(" quorate-audit["), "{text}");
        assert!(text.ends_with("]: {\"stage\":\"done\"}"), "{text}");
        drop(receiver);
        assert!(sink.write("{}").is_err());
    }
}
