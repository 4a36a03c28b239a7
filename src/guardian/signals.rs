//! Sends signals to processes that were read from `/proc`, and to no other.

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, kill_process_group, pidfd_open, pidfd_send_signal};

use super::tree::{self, Proc};

/// Signals this very process, not one that got its number since. Returns whether it was there.
pub(super) fn send(process: &Proc, signal: Signal) -> bool {
    let Some(pid) = Pid::from_raw(process.pid) else { return false };
    let same = || tree::proc(process.pid).is_some_and(|now| now.start == process.start);
    match pidfd_open(pid, PidfdFlags::empty()) {
        // Looked at after opening: the descriptor then names the process that was looked at.
        Ok(fd) => same() && pidfd_send_signal(fd, signal).is_ok(),
        Err(Errno::NOSYS | Errno::MFILE | Errno::NFILE | Errno::PERM) => same() && kill_process(pid, signal).is_ok(),
        Err(_) => false,
    }
}

/// Signals a process group. The caller knows that a process of it lives, or is not yet waited for.
pub(super) fn send_group(group: i32, signal: Signal) {
    // No such group: nothing to do. Nothing else can go wrong for our own descendants but privilege, which
    // the sweep meets again and keeps trying.
    if let Some(pid) = Pid::from_raw(group).filter(|_| group > 1) {
        kill_process_group(pid, signal).ok();
    }
}
