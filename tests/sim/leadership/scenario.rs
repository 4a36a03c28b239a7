//! What one run is like: how many agents, which faults how often, how the membership advice lies.

use std::time::Duration;

use quorate::cluster::settings::{LeadershipMode, LeaseTiming, Profile, Settings};

use super::clock::Real;

pub(crate) const MS: Real = 1_000;
pub(crate) const SECOND: Real = 1_000_000;

/// One kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// A process dies and starts again later.
    Crash,
    CrashLeader,
    /// The leader is cut off, and all others restart at once.
    RestartFollowers,
    /// The leader dies, and its guardian releases for it.
    CrashLeaderWithRelease,
    /// All processes die at once.
    PowerLoss,
    /// A process dies and comes back with an empty disk.
    LoseDisk,
    /// The hosts fall into two groups.
    Partition,
    IsolateLeader,
    /// One direction between two hosts is cut.
    OneWay,
    /// Directions are cut at random.
    Tangle,
    /// Loss, duplicates, long delays for a while.
    Storm,
    Pause,
    PauseLeader,
    /// A virtual machine stops with its clocks.
    FreezeLeader,
    /// Suspend to memory: only the boot clock goes on.
    Suspend,
    /// A disk takes long.
    SlowDisk,
    /// A disk takes nothing more for a while.
    FullDisk,
    /// A host's clock changes its rate.
    Drift,
    StepDown,
    /// A process leaves for good, and is started again later.
    Leave,
    /// The leader is asked to remove a voter.
    RemoveVoter,
    /// The advice about members changes its quality.
    Advice,
}

impl Fault {
    /// What it is called in the counts.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Crash => "crashes",
            Self::CrashLeader => "crashes of leaders",
            Self::RestartFollowers => "restarts of all followers",
            Self::CrashLeaderWithRelease => "releases for the dead",
            Self::PowerLoss => "power losses",
            Self::LoseDisk => "lost disks",
            Self::Partition => "partitions",
            Self::IsolateLeader => "isolated leaders",
            Self::OneWay => "one-way cuts",
            Self::Tangle => "tangles",
            Self::Storm => "storms",
            Self::Pause => "pauses",
            Self::PauseLeader => "pauses of leaders",
            Self::FreezeLeader => "freezes",
            Self::Suspend => "suspends",
            Self::SlowDisk => "slow disks",
            Self::FullDisk => "full disks",
            Self::Drift => "clock changes",
            Self::StepDown => "step-downs",
            Self::Leave => "leaves",
            Self::RemoveVoter => "removals",
            Self::Advice => "bad advice",
        }
    }
}

/// How good the membership advice is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Advice {
    /// What is, with the delay of a failure detector.
    Accurate,
    /// Now and then a wrong state.
    Erratic,
    /// Anything: absent members, wrong instances, wrong addresses.
    Lying,
}

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) agents: usize,
    pub(crate) expect: u16,
    /// How many of the agents every agent names as seeds.
    pub(crate) seeds: usize,
    /// Agents that start this long after the others, from this number on.
    pub(crate) late: Option<(usize, Real)>,
    /// Faults begin.
    pub(crate) from: Real,
    /// Faults end.
    pub(crate) until: Real,
    /// Mean time between faults.
    pub(crate) every: Real,
    pub(crate) faults: &'static [(Fault, u32)],
    pub(crate) advice: Advice,
    /// How far the rate of a clock may be off.
    pub(crate) drift: f64,
    /// Clocks run at one of the two ends of the bound rather than anywhere between.
    pub(crate) extreme_drift: bool,
    /// Disk write, at most.
    pub(crate) fsync: Real,
    /// A leader does something about so often.
    pub(crate) work_every: Real,
    /// Grant lengths differ from one process to the next.
    pub(crate) mixed_grants: bool,
    pub(crate) max_voters: usize,
    pub(crate) replace_after: Duration,
    /// Writes, and answers to pulls, that are lost in addition to what the weather takes, in percent.
    pub(crate) write_loss: u32,
    pub(crate) values_loss: u32,
    /// Values that are large, in percent.
    pub(crate) large: u32,
    /// Keys that leaders write.
    pub(crate) keys: usize,
    /// Writes that delete, in percent.
    pub(crate) deletes: u32,
    /// Deletions are forgotten after a few, and a recovery takes many batches.
    pub(crate) small: bool,
    /// The last agent's messages carry a huge number in so many cases of a hundred.
    pub(crate) hostile: u32,
    /// So many of the first agents are of the version before, and pass for new ones.
    pub(crate) older: usize,
    /// Windows may overlap: only count.
    pub(crate) excuse_windows: bool,
    /// Whether the cluster must work after the faults.
    pub(crate) must_heal: bool,
}

const USUAL: &[(Fault, u32)] = &[
    (Fault::Crash, 10),
    (Fault::CrashLeader, 8),
    (Fault::CrashLeaderWithRelease, 4),
    (Fault::RestartFollowers, 3),
    (Fault::PowerLoss, 2),
    (Fault::Partition, 8),
    (Fault::IsolateLeader, 6),
    (Fault::OneWay, 6),
    (Fault::Tangle, 3),
    (Fault::Storm, 6),
    (Fault::Pause, 5),
    (Fault::PauseLeader, 6),
    (Fault::Suspend, 2),
    (Fault::SlowDisk, 4),
    (Fault::Drift, 4),
    (Fault::StepDown, 4),
    (Fault::Leave, 2),
    (Fault::Advice, 5),
];

const CHANGING: &[(Fault, u32)] = &[
    (Fault::Crash, 8),
    (Fault::CrashLeader, 8),
    (Fault::CrashLeaderWithRelease, 2),
    (Fault::PowerLoss, 1),
    (Fault::LoseDisk, 8),
    (Fault::Partition, 8),
    (Fault::IsolateLeader, 6),
    (Fault::OneWay, 4),
    (Fault::Storm, 5),
    (Fault::Pause, 3),
    (Fault::PauseLeader, 4),
    (Fault::SlowDisk, 4),
    (Fault::Drift, 2),
    (Fault::StepDown, 3),
    (Fault::Leave, 3),
    (Fault::RemoveVoter, 6),
    (Fault::Advice, 3),
];

const LARGE: &[(Fault, u32)] = &[
    (Fault::Crash, 8),
    (Fault::CrashLeader, 8),
    (Fault::CrashLeaderWithRelease, 2),
    (Fault::RestartFollowers, 3),
    (Fault::PowerLoss, 2),
    (Fault::Partition, 6),
    (Fault::IsolateLeader, 6),
    (Fault::OneWay, 4),
    (Fault::Storm, 5),
    (Fault::PauseLeader, 3),
    (Fault::SlowDisk, 6),
    (Fault::FullDisk, 10),
    (Fault::StepDown, 4),
];

const FOUNDING: &[(Fault, u32)] = &[
    (Fault::Crash, 10),
    (Fault::PowerLoss, 1),
    (Fault::Partition, 8),
    (Fault::OneWay, 6),
    (Fault::Tangle, 6),
    (Fault::Storm, 6),
    (Fault::Pause, 4),
    (Fault::SlowDisk, 4),
    (Fault::LoseDisk, 5),
];

const FREEZING: &[(Fault, u32)] = &[
    (Fault::Crash, 5),
    (Fault::CrashLeader, 5),
    (Fault::Partition, 5),
    (Fault::IsolateLeader, 6),
    (Fault::Storm, 4),
    (Fault::PauseLeader, 4),
    (Fault::FreezeLeader, 20),
    (Fault::Drift, 10),
    (Fault::SlowDisk, 2),
    (Fault::StepDown, 2),
];

impl Scenario {
    /// Three agents, all founders, everything that can happen to them short of losing a disk.
    pub(crate) fn three() -> Self {
        Self {
            name: "three",
            agents: 3,
            expect: 3,
            seeds: 3,
            late: None,
            from: 3 * SECOND,
            until: 75 * SECOND,
            every: 2_500 * MS,
            faults: USUAL,
            advice: Advice::Accurate,
            drift: 0.0099,
            extreme_drift: false,
            fsync: 4 * MS,
            work_every: 250 * MS,
            mixed_grants: false,
            max_voters: 5,
            replace_after: Duration::from_secs(8),
            write_loss: 0,
            values_loss: 0,
            large: 0,
            keys: 5,
            deletes: 0,
            small: false,
            hostile: 0,
            older: 0,
            excuse_windows: false,
            must_heal: true,
        }
    }

    pub(crate) fn five() -> Self {
        Self { name: "five", agents: 5, expect: 5, seeds: 5, ..Self::three() }
    }

    /// The advice about members is nonsense throughout.
    pub(crate) fn lying() -> Self {
        Self { name: "lying", advice: Advice::Lying, until: 60 * SECOND, ..Self::three() }
    }

    /// Grant lengths differ, and change with restarts.
    pub(crate) fn mixed() -> Self {
        Self { name: "mixed", mixed_grants: true, ..Self::three() }
    }

    /// Three founders, two that join; disks are lost, voters come and go.
    pub(crate) fn changing() -> Self {
        Self {
            name: "changing",
            agents: 5,
            late: Some((3, 4 * SECOND)),
            faults: CHANGING,
            until: 90 * SECOND,
            ..Self::three()
        }
    }

    /// Faults from the first moment on; as many, one more or twice as many agents as expected.
    pub(crate) fn founding(extra: usize) -> Self {
        Self {
            name: match extra {
                0 => "founding",
                1 => "founding-one-more",
                _ => "founding-twice",
            },
            agents: 3 + extra,
            from: 0,
            until: 12 * SECOND,
            every: 700 * MS,
            faults: FOUNDING,
            ..Self::three()
        }
    }

    /// Two seeds for three founders: who is the third depends on who is seen, so the founding may get stuck (F5), but
    /// never comes to two clusters.
    pub(crate) fn few_seeds() -> Self {
        Self { name: "founding-few-seeds", seeds: 2, must_heal: false, ..Self::founding(1) }
    }

    /// Virtual machines stop, clocks run too fast and too slow: leases may overlap, nothing else may break.
    pub(crate) fn frozen() -> Self {
        Self { name: "frozen", faults: FREEZING, drift: 0.2, excuse_windows: true, must_heal: true, ..Self::three() }
    }

    /// Most values are large and travel by themselves; disks are full now and then.
    pub(crate) fn large() -> Self {
        Self { name: "large", faults: LARGE, large: 60, ..Self::three() }
    }

    /// Large values while voters come and go.
    pub(crate) fn large_changing() -> Self {
        Self { name: "large-changing", large: 50, ..Self::changing() }
    }

    /// Keys are deleted, and their names forgotten, all the time.
    pub(crate) fn forgetting() -> Self {
        Self { name: "forgetting", deletes: 40, keys: 9, small: true, work_every: 100 * MS, ..Self::three() }
    }

    /// The same while voters come and go.
    pub(crate) fn forgetting_changing() -> Self {
        Self {
            name: "forgetting-changing",
            deletes: 40,
            keys: 9,
            small: true,
            work_every: 100 * MS,
            ..Self::changing()
        }
    }

    /// Large values that are deleted.
    pub(crate) fn forgetting_large() -> Self {
        Self { name: "forgetting-large", large: 40, ..Self::forgetting() }
    }

    /// Two of five agents know nothing of horizons, and the others take them for such that do.
    pub(crate) fn forgetting_mixed() -> Self {
        Self {
            name: "forgetting-mixed",
            agents: 5,
            expect: 5,
            seeds: 5,
            older: 2,
            must_heal: false,
            ..Self::forgetting()
        }
    }

    /// One of three says numbers from the far future now and then.
    pub(crate) fn hostile() -> Self {
        Self { name: "hostile", hostile: 30, deletes: 20, until: 45 * SECOND, ..Self::three() }
    }

    /// What CI runs: also what was made for the mutations, where nothing may break as long as no rule is missing.
    pub(crate) fn all() -> Vec<Self> {
        let mut all = vec![
            Self::three(),
            Self::five(),
            Self::lying(),
            Self::mixed(),
            Self::changing(),
            Self::founding(0),
            Self::founding(1),
            Self::founding(3),
            Self::few_seeds(),
            Self::frozen(),
            Self::large(),
            Self::large_changing(),
            Self::hostile(),
            Self::forgetting(),
            Self::forgetting_changing(),
            Self::forgetting_large(),
            Self::forgetting_mixed(),
        ];
        for scenario in super::mutations::scenarios() {
            if all.iter().all(|s| s.name != scenario.name) {
                all.push(scenario);
            }
        }
        all
    }

    pub(crate) fn by_name(name: &str) -> Option<Self> {
        Self::all().into_iter().find(|s| s.name == name)
    }

    /// How a process of this run is configured.
    pub(crate) fn settings(&self, seeds: Vec<String>, grant: Duration) -> Settings {
        let mut timing = Profile::Lan.timing();
        timing.lease = LeaseTiming { grant, renew: grant / 4, settle: Duration::from_secs(2), ..timing.lease };
        Settings {
            name: "sim".to_owned(),
            expect: self.expect,
            seeds,
            mode: LeadershipMode::Quorum,
            timing,
            max_voters: self.max_voters,
            replace_after: self.replace_after,
        }
    }
}
