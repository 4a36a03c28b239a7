//! The thread of the core, its socket, and how it notices that the machine stood still.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::UdpSocket;
use tracing::{debug, warn};

use super::Core;
use crate::runtime::clock;

/// Receive buffer asked for: a pause of a second at 50 members must not lose packets.
const RECEIVE_BUFFER: usize = 1 << 21;
/// Wall clock against boot clock: a jump of more than this between two wakes is a frozen or moved machine.
const FROZEN: Duration = Duration::from_millis(500);

/// Notices that the machine stood still: then the wall clock jumps against the boot clock (protocol-safety 10).
pub(super) struct Drift {
    wall: chrono::DateTime<chrono::Utc>,
    boot: Duration,
}

impl Drift {
    pub(super) fn new() -> Self {
        Self { wall: clock::utc(), boot: clock::now().boot }
    }

    pub(super) fn jumped(&mut self) -> bool {
        let (wall, boot) = (clock::utc(), clock::now().boot);
        let wall_passed = (wall - self.wall).to_std().unwrap_or_default();
        let boot_passed = boot.saturating_sub(self.boot);
        (self.wall, self.boot) = (wall, boot);
        wall_passed > boot_passed + FROZEN
    }
}

/// Binds the gossip socket with a receive buffer that survives a pause.
pub fn bind(addr: SocketAddr) -> std::io::Result<std::net::UdpSocket> {
    let domain = socket2::Domain::for_address(addr);
    let socket = socket2::Socket::new(domain, socket2::Type::DGRAM, None)?;
    if let Err(error) = socket.set_recv_buffer_size(RECEIVE_BUFFER) {
        debug!(%error, "receive buffer not enlarged");
    }
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    Ok(socket.into())
}

/// Starts the thread. It runs before others where the system allows it: late timers are false suspicions.
pub fn start(core: Core) -> std::io::Result<()> {
    let socket = core.socket.into_std()?;
    let work = move || {
        prefer_this_thread();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build();
        match runtime {
            Ok(runtime) => runtime.block_on(async move {
                match UdpSocket::from_std(socket) {
                    Ok(socket) => Core { socket, ..core }.run().await,
                    Err(error) => warn!(%error, "the gossip socket cannot be used"),
                }
            }),
            Err(error) => warn!(%error, "the gossip thread cannot start"),
        }
    };
    std::thread::Builder::new().name("gossip".to_owned()).stack_size(1 << 20).spawn(work)?;
    Ok(())
}

/// A better nice value for this thread alone (Linux keeps it per thread); without the right to it, nothing changes.
fn prefer_this_thread() {
    let thread = rustix::thread::gettid();
    if let Err(error) = rustix::process::setpriority_process(Some(thread), -10) {
        debug!(%error, "the gossip thread keeps the usual priority");
    }
}
