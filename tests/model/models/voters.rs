//! Changes of the voter set.

use super::{N1, N2, N3, advise, leases, only_data, settled};
use crate::config::{Clocks, Config, Kind};
use crate::input::Input;
use crate::script::Play;
use crate::world::{CHANGED, SUCCESSION};

/// (d) Removals.
pub(crate) fn removal() -> Config {
    let config = Config::new("removal", "n1 leads 3 voters and removes up to two, one of which may be itself", 3);
    Config {
        clocks: Clocks::Free { each: 2 },
        carries: only_data,
        max_epoch: 2,
        instant_disk: true,
        advices: vec![(1, 0b110), (2, 0b100)],
        prefix: vec![settled(0), Play::Do(0, Input::Propose(9)), settled(N3)],
        sometimes: &[SUCCESSION, CHANGED],
        ..config
    }
    .bare()
    .allow(Kind::Tick, 2)
    .allow(Kind::Remove, 2)
    .allow(Kind::Advise, 1)
}

/// (d) Growth: two learners are promoted while a voter is away.
pub(crate) fn growth() -> Config {
    let config = Config::new("growth", "3 voters grow to 5 while n3 is away; then n2 and n3 claim", 5);
    Config {
        voters: 3,
        clocks: Clocks::Free { each: 1 },
        max_epoch: 2,
        instant_disk: true,
        carries: leases,
        advices: vec![(1, 0b11110), (2, 0b11100)],
        prefix: vec![Play::Deliver { from: 0, to: 2 }, settled(N3), Play::Do(0, Input::Propose(9)), settled(N2 | N3)],
        sometimes: &[CHANGED],
        ticks: N1 | N2 | N3,
        ..config
    }
    .bare()
    .allow(Kind::Tick, 3)
    .allow(Kind::Advise, 1)
}

/// (d) The same in real time: no window may overlap the next one across the change.
pub(crate) fn growth_in_time() -> Config {
    Config {
        name: "growth-in-time",
        about: "as growth, in real time, with renewals",
        clocks: Clocks::Bound { lazy: 0 },
        fast: vec![0, 0b11110],
        grant_steps: 2,
        sometimes: &[CHANGED],
        ..growth()
    }
}

/// (d) For a mutation only: without renewals the set does not change.
pub(crate) fn window() -> Config {
    Config {
        name: "window",
        about: "3 voters grow to 5 in real time; the learners' renewals are lost",
        clocks: Clocks::Bound { lazy: 0 },
        fast: vec![0],
        grant_steps: 2,
        carries: only_data,
        prefix: vec![settled(N3), Play::LateWrites { from: 0, to: 2 }, Play::Settle { but: 0 }, advise(2, 0b11100, 5)],
        sometimes: &[],
        ..growth()
    }
    .allow(Kind::Tick, 1)
}
