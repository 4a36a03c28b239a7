//! What the agent tells the service manager that started it, in systemd's protocol (`sd_notify(3)`): that it is ready, that it reads
//! its files again, that it stops, what it does now, and that it still works (the watchdog).
//!
//! The socket and its variables are the agent's own: runs do not see them ([`VARIABLES`]).
//!
//! # Not here
//!
//! Whether the agent works: that is asked of it ([`Pulse`]).

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::env;
use crate::runtime::handle::{ClusterSnapshot, Handle};
use crate::runtime::{Pulse, clock};

/// What the service manager sets.
pub(super) const VARIABLES: [&str; 3] = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"];

/// The service manager, if there is one that wants to know. Nobody waits for it: it is told, or not.
#[derive(Debug, Clone, Default)]
pub(super) struct ServiceManager {
    told: Option<Arc<Told>>,
}

#[derive(Debug)]
struct Told {
    socket: UnixDatagram,
    manager: SocketAddr,
}

impl ServiceManager {
    /// As the environment says.
    pub(super) fn find() -> Self {
        let Some(name) = env::read(VARIABLES[0]) else { return Self::default() };
        match Told::new(OsStr::new(&name)) {
            Ok(told) => Self { told: Some(Arc::new(told)) },
            Err(error) => {
                tracing::warn!(%error, "the service manager cannot be told anything (NOTIFY_SOCKET={name})");
                Self::default()
            }
        }
    }

    /// The agent serves. Also after it has read its files again.
    pub(super) fn ready(&self) {
        self.tell("READY=1");
    }

    /// The agent reads its files again, until it says that it is ready.
    pub(super) fn reloading(&self) {
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={}", clock::now().mono.as_micros()));
    }

    /// The agent stops.
    pub(super) fn stopping(&self) {
        self.tell("STOPPING=1");
    }

    fn tell(&self, text: &str) {
        let Some(told) = &self.told else { return };
        if let Err(error) = told.socket.send_to_addr(text.as_bytes(), &told.manager) {
            tracing::debug!(%error, "the service manager was not told {text:?}");
        }
    }

    /// Says who leads, and, if there is a watchdog, that the agent works, for as long as it does. Ends with the process.
    pub(super) async fn keep_told(self, handle: Handle, pulse: Pulse) {
        if self.told.is_some() {
            tokio::join!(self.say_who_leads(handle.cluster.clone()), self.watchdog(&handle, &pulse));
        }
    }

    async fn say_who_leads(&self, mut cluster: watch::Receiver<Arc<ClusterSnapshot>>) {
        let mut said = String::new();
        loop {
            let status = status(&cluster.borrow_and_update());
            if status != said {
                self.tell(&format!("STATUS={status}"));
                said = status;
            }
            if cluster.changed().await.is_err() {
                return;
            }
        }
    }

    async fn watchdog(&self, handle: &Handle, pulse: &Pulse) {
        let Some(period) = watchdog_period(env::read(VARIABLES[1]), env::read(VARIABLES[2]), std::process::id()) else {
            return;
        };
        let mut ticks = tokio::time::interval(period / 3);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            // An agent that stops answers nobody any more, and has its own limits for that.
            let stops = handle.health().checks.iter().any(|check| check.name == "stopping" && !check.passed);
            if stops || handle.requests.is_closed() || pulse.beats().await {
                self.tell("WATCHDOG=1");
            }
        }
    }
}

impl Told {
    fn new(name: &OsStr) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        let manager = match name.as_bytes() {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
            _ => SocketAddr::from_pathname(name)?,
        };
        Ok(Self { socket, manager })
    }
}

/// One line for `systemctl status`.
fn status(snapshot: &ClusterSnapshot) -> String {
    let view = &snapshot.view;
    match &view.leader {
        _ if snapshot.leading => format!("leads with epoch {}", view.epoch),
        Some(leader) if *leader != view.observer => format!("follows {leader}, epoch {}", view.epoch),
        _ if view.reason.is_empty() => "nobody leads".to_owned(),
        _ => format!("nobody leads: {}", view.reason),
    }
}

/// How often the watchdog wants to hear; `None`: there is none for this process.
fn watchdog_period(microseconds: Option<String>, of: Option<String>, me: u32) -> Option<Duration> {
    if of.is_some_and(|pid| pid.parse() != Ok(me)) {
        return None;
    }
    let period = Duration::from_micros(microseconds?.parse().ok()?);
    (!period.is_zero()).then_some(period)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watchdog_of_another_process_is_none() {
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(watchdog_period(text("3000000"), text("7"), 7), Some(Duration::from_secs(3)));
        assert_eq!(watchdog_period(text("3000000"), None, 7), Some(Duration::from_secs(3)));
        assert_eq!(watchdog_period(text("3000000"), text("8"), 7), None);
        assert_eq!(watchdog_period(text("0"), None, 7), None);
        assert_eq!(watchdog_period(None, None, 7), None);
    }

    #[test]
    fn both_kinds_of_sockets_are_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let abstract_name = format!("quorate-notify-test-{}", std::process::id());
        let by_path = UnixDatagram::bind(&path).unwrap();
        let by_name = SocketAddr::from_abstract_name(&abstract_name).unwrap();
        let by_name = UnixDatagram::bind_addr(&by_name).unwrap();
        for (socket, name) in [(by_path, path.to_str().unwrap().to_owned()), (by_name, format!("@{abstract_name}"))] {
            let manager = ServiceManager { told: Some(Arc::new(Told::new(OsStr::new(&name)).unwrap())) };
            manager.ready();
            let mut bytes = [0; 64];
            let length = socket.recv(&mut bytes).unwrap();
            assert_eq!(&bytes[..length], b"READY=1");
        }
    }
}
