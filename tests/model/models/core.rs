//! The core without a bound on clocks: promises, data, hand-over, restarts.

use super::{N1, N2, N3, advise, claims, no_renewals, only_data, settled};
use crate::config::{Clocks, Config, Kind};
use crate::input::Input;
use crate::script::Play;
use crate::world::{HAND_OVER, LEADER, PROMISED, SUCCESSION, WRITE};

/// (a) The core as it is: pre-claims, refusals, slow disks.
pub(crate) fn core() -> Config {
    let config = Config::new("core", "3 voters, 2 claimants, 2 epochs, slow disks, clocks without bound", 3);
    Config {
        clocks: Clocks::Free { each: 1 },
        carries: no_renewals,
        sometimes: &[PROMISED],
        ..config.claimants(&[0, 1])
    }
    .allow(Kind::Tick, 2)
    .allow(Kind::Crash, 1)
    .allow(Kind::Propose, 1)
}

/// (a) Without pre-claims (see `Config::bare`): deeper.
pub(crate) fn network() -> Config {
    Config {
        name: "network",
        about: "the same without pre-claims, crashes and disk delays: the network alone",
        instant_disk: true,
        carries: only_data,
        sometimes: &[LEADER, WRITE],
        ..core()
    }
    .bare()
    .allow(Kind::Crash, 0)
}

/// (a) Disks and crashes, without pre-claims.
pub(crate) fn disks() -> Config {
    Config { name: "disks", about: "without pre-claims; slow disks and crashes", carries: only_data, ..core() }
        .bare()
        .allow(Kind::Crash, 1)
}

/// (a) n1 leads; one write is under way; n2 takes over.
pub(crate) fn succession() -> Config {
    let config = Config::new("succession", "n1 leads epoch 1, a write of it is under way; n2 claims; slow disks", 3);
    Config {
        clocks: Clocks::Free { each: 1 },
        carries: only_data,
        advices: vec![(1, 0b110)],
        prefix: vec![settled(0), Play::Do(0, Input::Propose(9))],
        crashes: N3,
        sometimes: &[WRITE, SUCCESSION],
        ..config
    }
    .bare()
    .allow(Kind::Tick, 2)
    .allow(Kind::Crash, 1)
    .allow(Kind::Advise, 1)
}

/// The same without disks, and with more that may happen.
pub(crate) fn stale() -> Config {
    Config {
        name: "stale",
        about: "as succession, without crashes and disk delays; any clock may jump; another write",
        instant_disk: true,
        ..succession()
    }
    .allow(Kind::Crash, 0)
    .allow(Kind::Tick, 3)
    .allow(Kind::Propose, 1)
}

/// A write that n2, the next leader, has not seen.
pub(crate) fn unseen() -> Config {
    Config {
        name: "unseen",
        about: "n1 led; its write is agreed without n2, which claims; slow disks, a crash",
        prefix: vec![settled(0), Play::Do(0, Input::Propose(9)), settled(N2)],
        sometimes: &[SUCCESSION],
        crashes: u8::MAX,
        ..succession()
    }
}

/// From where one disk has a value that was never agreed, and n2 is about to find it there.
pub(crate) fn minority() -> Config {
    let prefix = vec![
        settled(0),
        Play::Do(0, Input::Propose(9)),
        settled(N2 | N3),
        Play::Do(0, Input::Pass { wakes: true }),
        Play::Do(1, Input::Pass { wakes: true }),
        Play::Do(2, Input::Pass { wakes: true }),
        advise(1, 0b110, 3),
        Play::Do(1, Input::Persisted),
        Play::Deliver { from: 1, to: 2 },
        Play::Do(2, Input::Persisted),
        Play::Deliver { from: 1, to: 0 },
        Play::Do(0, Input::Persisted),
    ];
    Config {
        name: "minority",
        about: "n1 led and wrote to its own disk only; n2 wins epoch 2, n3 may claim epoch 3; slow disks, a crash",
        clocks: Clocks::Free { each: 2 },
        prefix,
        max_epoch: 3,
        crashes: N2,
        ticks: N2 | N3,
        advices: vec![(2, 0b100)],
        sometimes: &[SUCCESSION],
        ..succession()
    }
}

/// (a) A leader hands over; releases and refusals arrive or not.
pub(crate) fn hand_over() -> Config {
    Config {
        name: "hand-over",
        about: "n1 leads and hands over; releases and refusals; 3 epochs",
        carries: no_renewals,
        instant_disk: true,
        sometimes: &[HAND_OVER, SUCCESSION],
        effort: 3,
        max_epoch: 3,
        advices: vec![(1, 0b110), (2, 0b100)],
        prefix: vec![settled(0)],
        ..succession()
    }
    .allow(Kind::Propose, 1)
    .allow(Kind::StepDown, 1)
    .allow(Kind::Crash, 0)
}

/// Section 12: n1 and n2 claim the same epoch; n2 gives its claim up, n1 claims the next one.
pub(crate) fn contention() -> Config {
    let config =
        Config::new("contention", "n1 and n2 claim one epoch: refusals, releases, act windows; no renewals", 3);
    Config {
        clocks: Clocks::Bound { lazy: 0 },
        instant_disk: true,
        carries: claims,
        sometimes: &[LEADER],
        ..config.claimants(&[0, 1])
    }
    .bare()
}

/// Section 12: n3 has granted the claim of n2, which then heard the one of n1.
pub(crate) fn given_up() -> Config {
    Config {
        name: "given-up",
        about: "as contention; n3 has granted the claim that n2 gave up, and the grant arrives late",
        prefix: vec![Play::Deliver { from: 1, to: 2 }, Play::Deliver { from: 0, to: 1 }],
        sometimes: &[LEADER],
        ..contention()
    }
}

/// (e) Restarts: pre-claims, boot nonces, quiet periods.
pub(crate) fn restarts() -> Config {
    let config = Config::new("restarts", "pre-claims and boot nonces: one claimant, two crashes, 2 epochs", 3);
    Config {
        clocks: Clocks::Free { each: 1 },
        instant_disk: true,
        crashes: N1 | N2,
        sometimes: &[LEADER],
        ..config.claimants(&[0])
    }
    .allow(Kind::Tick, 1)
    .allow(Kind::Crash, 2)
}
