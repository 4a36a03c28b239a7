//! Founding: N + 1 and 2N agents, lost disks.

use quorate_proto::message::Body;

use super::N1;
use crate::config::{Clocks, Config, Kind};
use crate::script::Play;
use crate::world::{ACCEPTED, FOUNDED};

fn only_founding(body: &Body) -> bool {
    matches!(body, Body::Found { .. } | Body::Formed { .. })
}

/// (c) N and N + 1.
pub(crate) fn founding() -> Config {
    let config = Config::new("founding", "4 fresh agents that expect 3, one seed", 4);
    Config {
        voters: 0,
        expect: 3,
        seeds: 1,
        clocks: Clocks::Free { each: 1 },
        instant_disk: true,
        carries: only_founding,
        sometimes: &[ACCEPTED],
        ..config
    }
    .allow(Kind::Tick, 1)
}

/// (c) Two of three founders have accepted; the fourth agent and the third have heard nothing yet.
pub(crate) fn founding_split() -> Config {
    Config {
        name: "founding-split",
        about: "as founding, after n1 and n2 have accepted n1, n2 and n3",
        prefix: vec![
            Play::Deliver { from: 2, to: 0 },
            Play::Deliver { from: 1, to: 0 },
            Play::Deliver { from: 0, to: 1 },
            Play::Deliver { from: 2, to: 1 },
        ],
        sometimes: &[FOUNDED],
        ..founding()
    }
    .allow(Kind::Tick, 0)
}

/// (c) 2N.
pub(crate) fn founding_twice() -> Config {
    Config {
        name: "founding-2n",
        about: "4 agents that expect 2, both seeds have accepted each other",
        expect: 2,
        seeds: 2,
        prefix: vec![
            Play::Deliver { from: 0, to: 1 },
            Play::Deliver { from: 1, to: 0 },
            Play::Deliver { from: 0, to: 1 },
        ],
        sometimes: &[FOUNDED],
        ..founding()
    }
    .allow(Kind::Tick, 2)
}

/// (c) A founder loses its disk.
pub(crate) fn founding_loss() -> Config {
    Config {
        name: "founding-loss",
        about: "4 fresh agents that expect 3, two seeds; a disk is lost, an agent restarts; slow disks",
        seeds: 2,
        instant_disk: false,
        crashes: N1,
        ..founding()
    }
    .allow(Kind::LoseDisk, 1)
    .allow(Kind::Tick, 1)
}
