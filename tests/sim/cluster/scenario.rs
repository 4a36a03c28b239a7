//! What one run of the composed core is like: how many agents, which timing, which faults how often.

use std::time::Duration;

use quorate::cluster::Settings;
use quorate::cluster::settings::{LeadershipMode, Profile};

use crate::leadership::clock::Real;

pub(super) const MS: Real = 1_000;
pub(super) const SECOND: Real = 1_000_000;

/// One kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// An agent is killed; its guardian lives on, ends its runs, and releases for it.
    Kill,
    KillLeader,
    /// All agents are killed at once and come back.
    MassRestart,
    /// A machine loses power: agent, guardian and runs are gone, and what was not synced.
    PowerLoss,
    /// All machines lose power and come back at different times.
    ColdStart,
    /// A machine comes back with an empty disk.
    LoseDisk,
    Partition,
    IsolateLeader,
    OneWay,
    Tangle,
    /// Loss, corruption, repetition and long delays for a while.
    Storm,
    /// SIGSTOP of the agent.
    Stop,
    StopLeader,
    /// A virtual machine stands still with its clocks.
    Freeze,
    /// Suspend to memory: only the boot clock goes on.
    Suspend,
    SlowDisk,
    /// The rate of a clock changes within the bound.
    Drift,
    /// The wall clock jumps: the driver distrusts its clocks, the next generation may be lower.
    WallJump,
    StepDown,
    /// SIGTERM: hands over, says goodbye, comes back later.
    Leave,
    /// A voter is removed for good, stops, and comes back as a learner.
    RemoveVoter,
}

impl Fault {
    /// What it is called in the counts.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Kill => "kills",
            Self::KillLeader => "kills of leaders",
            Self::MassRestart => "mass restarts",
            Self::PowerLoss => "power losses",
            Self::ColdStart => "cold starts",
            Self::LoseDisk => "lost disks",
            Self::Partition => "partitions",
            Self::IsolateLeader => "isolated leaders",
            Self::OneWay => "one-way cuts",
            Self::Tangle => "partial partitions",
            Self::Storm => "storms",
            Self::Stop => "stopped agents",
            Self::StopLeader => "stopped leaders",
            Self::Freeze => "frozen machines",
            Self::Suspend => "suspended machines",
            Self::SlowDisk => "slow disks",
            Self::Drift => "clock rates",
            Self::WallJump => "wall clock jumps",
            Self::StepDown => "step-downs",
            Self::Leave => "leaves",
            Self::RemoveVoter => "removals",
        }
    }
}

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct Scenario {
    pub(super) name: &'static str,
    pub(super) agents: usize,
    /// The first so many found the cluster; the others join a second later.
    pub(super) founders: usize,
    pub(super) profile: Profile,
    pub(super) mode: LeadershipMode,
    /// Faults begin, end, and come so often.
    pub(super) from: Real,
    pub(super) until: Real,
    pub(super) every: Real,
    pub(super) faults: &'static [(Fault, u32)],
    pub(super) drift: f64,
    /// Disk write, at most.
    pub(super) fsync: Real,
    /// Clients ask so often (all together), tasks start so often.
    pub(super) ask_every: Real,
    pub(super) run_every: Real,
    /// Share of control messages with data that is lost in addition, in percent.
    pub(super) write_loss: u32,
    /// Machines stand still: windows may overlap, epochs and fences still hold.
    pub(super) excuse_windows: bool,
    /// What must come back after the faults: everything, and within what time.
    pub(super) heals_within: Option<Real>,
    /// One seed in so many is also watched until the lowest id leads.
    pub(super) lowest_in: u64,
}

const MIXED: &[(Fault, u32)] = &[
    (Fault::Kill, 8),
    (Fault::KillLeader, 8),
    (Fault::MassRestart, 2),
    (Fault::PowerLoss, 6),
    (Fault::ColdStart, 2),
    (Fault::Partition, 8),
    (Fault::IsolateLeader, 6),
    (Fault::OneWay, 6),
    (Fault::Tangle, 4),
    (Fault::Storm, 5),
    (Fault::Stop, 5),
    (Fault::StopLeader, 6),
    (Fault::Suspend, 2),
    (Fault::SlowDisk, 4),
    (Fault::Drift, 3),
    (Fault::WallJump, 3),
    (Fault::StepDown, 4),
    (Fault::Leave, 4),
];

const CHANGING: &[(Fault, u32)] = &[
    (Fault::Kill, 6),
    (Fault::KillLeader, 8),
    (Fault::PowerLoss, 6),
    (Fault::LoseDisk, 8),
    (Fault::Partition, 6),
    (Fault::IsolateLeader, 6),
    (Fault::Storm, 4),
    (Fault::StopLeader, 4),
    (Fault::SlowDisk, 3),
    (Fault::StepDown, 4),
    (Fault::Leave, 5),
    (Fault::RemoveVoter, 6),
];

const FREEZING: &[(Fault, u32)] = &[
    (Fault::KillLeader, 4),
    (Fault::PowerLoss, 4),
    (Fault::IsolateLeader, 6),
    (Fault::Freeze, 20),
    (Fault::WallJump, 4),
    (Fault::Storm, 3),
    (Fault::StopLeader, 4),
];

const SPLITS: &[(Fault, u32)] = &[
    (Fault::Kill, 5),
    (Fault::KillLeader, 5),
    (Fault::PowerLoss, 4),
    (Fault::Partition, 10),
    (Fault::OneWay, 8),
    (Fault::Storm, 4),
    (Fault::Stop, 6),
];

impl Scenario {
    /// Three agents, everything that can happen to them short of losing a disk or freezing; short, so that there are
    /// many.
    pub(super) fn mixed() -> Self {
        Self {
            name: "cluster-mixed",
            agents: 3,
            founders: 3,
            profile: Profile::Local,
            mode: LeadershipMode::Quorum,
            from: 1_200 * MS,
            until: 5_500 * MS,
            every: 400 * MS,
            faults: MIXED,
            drift: 0.0099,
            fsync: 4 * MS,
            ask_every: 70 * MS,
            run_every: 250 * MS,
            write_loss: 0,
            excuse_windows: false,
            heals_within: Some(30 * SECOND),
            lowest_in: 64,
        }
    }

    /// Two to seven agents for longer, with the default timing.
    pub(super) fn lan() -> Self {
        Self {
            name: "cluster-lan",
            agents: 5,
            founders: 5,
            profile: Profile::Lan,
            from: 3 * SECOND,
            until: 30 * SECOND,
            every: 1_200 * MS,
            heals_within: Some(60 * SECOND),
            lowest_in: 8,
            ..Self::mixed()
        }
    }

    /// Between sites.
    pub(super) fn wan() -> Self {
        Self {
            name: "cluster-wan",
            profile: Profile::Wan,
            from: 20 * SECOND,
            until: 200 * SECOND,
            every: 8 * SECOND,
            ask_every: 800 * MS,
            run_every: 3 * SECOND,
            heals_within: Some(400 * SECOND),
            lowest_in: 16,
            ..Self::lan()
        }
    }

    pub(super) fn two() -> Self {
        Self { name: "cluster-two", agents: 2, founders: 2, ..Self::mixed() }
    }

    /// Seven agents, three of whom joined later: voters come and go, disks are lost.
    pub(super) fn changing() -> Self {
        Self {
            name: "cluster-changing",
            agents: 7,
            founders: 3,
            faults: CHANGING,
            until: 14 * SECOND,
            every: 700 * MS,
            heals_within: Some(90 * SECOND),
            ..Self::mixed()
        }
    }

    /// Virtual machines stop with their clocks: what a lease protects may overlap, what epochs protect may not.
    pub(super) fn frozen() -> Self {
        Self { name: "cluster-frozen", faults: FREEZING, excuse_windows: true, ..Self::mixed() }
    }

    /// The lowest id alive leads, without a majority: no promise about two sides of a cut.
    pub(super) fn alive() -> Self {
        Self {
            name: "cluster-alive",
            agents: 4,
            founders: 4,
            mode: LeadershipMode::Alive,
            faults: SPLITS,
            excuse_windows: true,
            ..Self::mixed()
        }
    }

    /// No fault at all.
    pub(super) fn calm(profile: Profile, agents: usize) -> Self {
        Self { name: "cluster-calm", agents, founders: agents, profile, faults: &[], until: 0, ..Self::mixed() }
    }

    pub(super) fn all() -> Vec<Self> {
        let mut all =
            vec![Self::mixed(), Self::two(), Self::changing(), Self::frozen(), Self::alive(), Self::lan(), Self::wan()];
        all.extend(super::mutations::scenarios());
        all
    }

    /// How every process of this run is configured.
    pub(super) fn settings(&self, seeds: Vec<String>) -> Settings {
        Settings {
            name: "sim".to_owned(),
            expect: u16::try_from(self.founders).unwrap(),
            seeds,
            mode: self.mode,
            timing: self.profile.timing(),
            max_voters: 5,
            replace_after: Duration::from_secs(4),
        }
    }

    /// About as much time for each of them in CI.
    pub(super) fn seeds_in_ci(&self) -> u64 {
        match self.name {
            "cluster-mixed" | "cluster-two" => 100,
            "cluster-frozen" => 60,
            "cluster-alive" | "cluster-restarts" | "cluster-splits" | "cluster-unwritten" => 20,
            _ => 6,
        }
    }

    /// D of its leases.
    pub(super) fn grant(&self) -> Real {
        u64::try_from(self.profile.timing().lease.grant.as_micros()).unwrap()
    }
}
