//! Runs of one task: journal, guardian, release, waiting for what is unfinished.

use quorate_proto::message::Body;

use super::{N1, N2, advise, only_data, settled};
use crate::config::{Clocks, Config, Kind};
use crate::input::Input;
use crate::script::Play;
use crate::world::{RUN, SUCCESSION};

fn data_and_releases(body: &Body) -> bool {
    only_data(body) || matches!(body, Body::Release { .. } | Body::Refuse { .. })
}

fn data_and_ends(body: &Body) -> bool {
    data_and_releases(body) || matches!(body, Body::LeaseEnded { .. })
}

/// (f) A run of one task lives: journal, guardian, waiting for what is unfinished.
pub(crate) fn runs() -> Config {
    let config = Config::new("runs", "a run of n1 lives, n2 takes over: journal, guardian, release, W; a crash", 3);
    Config {
        clocks: Clocks::Bound { lazy: 0 },
        fast: vec![0b110],
        grant_steps: 3,
        instant_disk: true,
        carries: data_and_releases,
        max_epoch: 2,
        prefix: vec![settled(0), Play::Do(0, Input::StartRun), settled(N2), advise(1, 0b110, 3)],
        runs: true,
        crashes: N1,
        sometimes: &[RUN, SUCCESSION],
        ..config
    }
    .bare()
    .allow(Kind::Tick, 6)
    .allow(Kind::Crash, 1)
    .allow(Kind::Run, 1)
}

/// (f) n1's process has died, its run lives on.
pub(crate) fn runs_orphaned() -> Config {
    Config {
        name: "runs-orphan",
        about: "as runs, n1's process has died and restarted: its run lives, its guardian has its last words",
        prefix: vec![
            settled(0),
            Play::Do(0, Input::StartRun),
            settled(N2),
            advise(1, 0b110, 3),
            Play::Pass,
            Play::Pass,
            Play::Do(0, Input::Crash),
            settled(N1),
        ],
        effort: 4,
        ..runs()
    }
    .allow(Kind::Crash, 0)
    .allow(Kind::Tick, 4)
}

/// (f) The same, and the guardian says that the agent is dead while its run lives.
pub(crate) fn runs_told() -> Config {
    Config {
        name: "runs-told",
        about: "as runs-orphan, and the guardian tells of the death at once: the lease is over, the run is not",
        carries: data_and_ends,
        sometimes: &[SUCCESSION],
        ..runs_orphaned()
    }
}

/// (f) Nothing runs yet.
pub(crate) fn runs_start() -> Config {
    Config {
        name: "runs-start",
        about: "as runs, before the first run; n1 and n2 each may start one",
        prefix: vec![settled(0), advise(1, 0b110, 3)],
        ..runs()
    }
    .allow(Kind::Run, 2)
}

/// (f) The leader hands over while its run lives.
pub(crate) fn runs_handed_over() -> Config {
    Config { name: "runs-handover", about: "as runs, n1 hands over; no crash", carries: data_and_ends, ..runs() }
        .allow(Kind::Crash, 0)
        .allow(Kind::StepDown, 1)
        .allow(Kind::Tick, 3)
}

/// (f) The leader is paused: only its guardian sees the time pass.
pub(crate) fn runs_paused() -> Config {
    Config {
        name: "runs-paused",
        about: "as runs, timers fire late: n1 is paused, its guardian is not; no crash",
        clocks: Clocks::Bound { lazy: N1 },
        prefix: vec![
            settled(0),
            Play::Do(0, Input::StartRun),
            settled(N2),
            advise(1, 0b110, 3),
            Play::Pass,
            Play::Pass,
            Play::Pass,
            settled(N1),
        ],
        ..runs()
    }
    .allow(Kind::Crash, 0)
    .allow(Kind::Tick, 4)
}

/// (f) The journal entry is acknowledged late.
pub(crate) fn runs_late() -> Config {
    Config {
        name: "runs-late",
        about: "as runs-paused; the acknowledgement of n1's journal entry is on its way, nothing runs",
        prefix: vec![
            settled(0),
            advise(1, 0b110, 3),
            Play::Do(0, Input::StartRun),
            Play::Deliver { from: 0, to: 2 },
            Play::Pass,
            Play::Pass,
            Play::Pass,
            settled(N1),
        ],
        keeps_old: true,
        effort: 2,
        ..runs_paused()
    }
}

/// (f) Two claimants of one epoch: a claim that came to nothing is released, the runs of that epoch live on.
pub(crate) fn rivals() -> Config {
    Config {
        name: "rivals",
        about: "n2 claimed the epoch that n1 won, in vain, and released its claim; n1's run lives",
        prefix: vec![
            Play::Deliver { from: 0, to: 2 },
            Play::Deliver { from: 1, to: 2 },
            Play::Deliver { from: 1, to: 0 },
            Play::Deliver { from: 0, to: 1 },
            Play::Deliver { from: 2, to: 1 },
            settled(N2),
            Play::Do(0, Input::StartRun),
            settled(N2),
            Play::Pass,
            Play::Pass,
        ],
        ..runs().claimants(&[0, 1])
    }
    .allow(Kind::Tick, 4)
}
