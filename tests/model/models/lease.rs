//! The lease in discrete time, every clock at its bound.

use super::{N2, N3, advise, leases, only_data, settled};
use crate::config::{Clocks, Config, Kind};
use crate::script::Play;
use crate::world::{LEADER, SUCCESSION};

/// (b) The lease in discrete time, clocks at the bound.
pub(crate) fn lease() -> Config {
    let config = Config::new("lease", "act windows in real time, every clock slow or fast; renewals; a crash", 3);
    Config {
        clocks: Clocks::Bound { lazy: 0 },
        fast: vec![0b110, 0b101, 0b011, 0b000],
        grant_steps: 2,
        instant_disk: true,
        carries: leases,
        max_epoch: 2,
        sometimes: &[LEADER],
        ..config.claimants(&[0, 1])
    }
    .bare()
    .allow(Kind::Tick, 4)
    .allow(Kind::Crash, 1)
}

/// (b) n1 leads from the start; n2 takes over when it may.
pub(crate) fn take_over() -> Config {
    Config {
        name: "take-over",
        about: "n1 leads; n2 claims as soon as its own grant is over; no renewals",
        carries: only_data,
        prefix: vec![settled(0), advise(1, 0b110, 3)],
        sees: vec![u8::MAX; 3],
        sometimes: &[LEADER, SUCCESSION],
        ..lease()
    }
}

/// (b) The first election may take its time, and n2 claims as well.
pub(crate) fn slow_election() -> Config {
    Config {
        name: "slow-election",
        about: "n1 claims; its grants may arrive late; n2 may claim as well",
        carries: only_data,
        sees: vec![u8::MAX; 3],
        advices: vec![(1, 0b110)],
        fast: vec![0b110],
        sometimes: &[LEADER, SUCCESSION],
        ..lease()
    }
    .allow(Kind::Crash, 0)
    .allow(Kind::Advise, 1)
    .allow(Kind::Tick, 3)
}

/// (b) n1's window was renewed by n3 alone.
pub(crate) fn renewed() -> Config {
    Config {
        name: "renewed",
        about: "n1's window is renewed by n3 alone; n3 may restart, n2 claims",
        prefix: vec![settled(0), Play::Pass, settled(N2), advise(1, 0b110, 3)],
        sees: vec![u8::MAX; 3],
        crashes: N3,
        fast: vec![0b110, 0b000],
        ..lease()
    }
    .allow(Kind::Tick, 3)
}

/// (b) Timers that fire late: paused processes.
pub(crate) fn pauses() -> Config {
    Config {
        name: "pauses",
        about: "as lease, timers fire at any later moment; no crash",
        clocks: Clocks::Bound { lazy: u8::MAX },
        fast: vec![0b110],
        ..lease()
    }
    .allow(Kind::Crash, 0)
    .allow(Kind::Tick, 3)
}
