//! What a model is made of: how many agents, which faults, how often each, what the clocks do.

use std::net::SocketAddr;
use std::time::Duration;

use quorate::cluster::leadership::{Rule, Rules};
use quorate::cluster::settings::{LeadershipMode, Profile, Settings};
use quorate_proto::message::Body;
use quorate_proto::{Instance, MemberId};

use crate::script::Play;

/// How time passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Clocks {
    /// Each agent's clock jumps by itself by one grant: no bound at all between clocks (I12). `ticks` in all, and for each.
    Free { each: u8 },
    /// Time passes for all at once; each clock is slow or fast, at the very bound (6.1). Timers fire at once or,
    /// with lazy agents (a bit for each), at any later moment: a paused process.
    Bound { lazy: u8 },
}

/// How often each thing may happen in one behaviour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    Tick,
    Crash,
    LoseDisk,
    Propose,
    StepDown,
    Advise,
    Remove,
    Run,
}

/// Number of kinds.
pub(crate) const KINDS: usize = 8;

/// A rule of the driver (protocol-safety 7) that is removed: the drivers are ours, so the mutation is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slip {
    None,
    /// The successor does not wait for an unfinished run.
    NoWait,
    /// The guardian sends the release when the agent dies, not when nothing of it runs.
    EarlyRelease,
    /// The guardian says that the lease has ended while the agent lives.
    EarlyDeath,
    /// The lease is not checked again between the journal and the start (R15).
    NoCheck,
    /// The run starts before its journal entry is on a majority.
    JournalLater,
    /// A hand-over is finished while a run lives (R16).
    HandOverAlive,
    /// Any agent's release of an epoch counts as that of the agent whose run it is.
    AnyRelease,
    /// The guardian has no deadline: only the agent's death ends a run.
    NoDeadline,
}

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) name: &'static str,
    /// What it is about, for the report.
    pub(crate) about: &'static str,
    pub(crate) agents: usize,
    /// The first so many vote from the start; none: the model begins with founding.
    pub(crate) voters: usize,
    pub(crate) expect: u16,
    pub(crate) seeds: usize,
    /// Whom each agent sees alive at the start: a bit for each agent. Everybody else is down for it.
    pub(crate) sees: Vec<u8>,
    /// What membership may say later: agent, bits.
    pub(crate) advices: Vec<(usize, u8)>,
    pub(crate) limits: [u8; KINDS],
    /// Who may crash, lose its disk.
    pub(crate) crashes: u8,
    /// Whose clock may advance by itself.
    pub(crate) ticks: u8,
    pub(crate) clocks: Clocks,
    /// Which clocks are fast, a bit for each; one initial state for each of these.
    pub(crate) fast: Vec<u8>,
    /// D in steps of real time, when clocks are bound.
    pub(crate) grant_steps: u64,
    /// Writes to the disk complete at once.
    pub(crate) instant_disk: bool,
    /// Behaviours end beyond this epoch.
    pub(crate) max_epoch: u64,
    /// Other messages are always lost.
    pub(crate) carries: fn(&Body) -> bool,
    pub(crate) rules: Rules,
    /// Claims without pre-claims. They change nothing at a voter, so this allows every behaviour that they allow, and more;
    /// it only has far fewer states.
    pub(crate) bare: bool,
    /// Unanswered messages are sent again, as new rounds.
    pub(crate) retries: bool,
    pub(crate) slip: Slip,
    /// What happened before the model begins.
    pub(crate) prefix: Vec<Play>,
    /// Whatever was sent in the prefix may still arrive; otherwise only what was not settled.
    pub(crate) keeps_old: bool,
    pub(crate) max_voters: usize,
    /// Whether runs, guardians and the journal take part.
    pub(crate) runs: bool,
    /// What must be reachable.
    pub(crate) sometimes: &'static [&'static str],
    /// A broken R1 or R5 ends a behaviour too.
    pub(crate) rules_end: bool,
    /// How many times the states of an ordinary model the short run needs to get anywhere.
    pub(crate) effort: usize,
}

/// One step of real time on a slow and on a fast clock, in milliseconds: 1 - ρ and 1 + ρ.
pub(crate) const SLOW: u64 = 990;
pub(crate) const FAST: u64 = 1_010;
/// G.
pub(crate) const GRACE_MS: u64 = SLOW;

impl Config {
    /// `count` voters, nothing allowed.
    pub(crate) fn new(name: &'static str, about: &'static str, count: usize) -> Self {
        let all = (1u16 << count) - 1;
        Self {
            name,
            about,
            agents: count,
            voters: count,
            expect: u16::try_from(count).unwrap(),
            seeds: count,
            sees: vec![u8::try_from(all).unwrap(); count],
            advices: Vec::new(),
            limits: [0; KINDS],
            crashes: u8::MAX,
            ticks: u8::MAX,
            clocks: Clocks::Free { each: u8::MAX },
            fast: vec![0],
            grant_steps: 1,
            instant_disk: false,
            max_epoch: 2,
            carries: |_| true,
            // Old copies of a data directory are the simulator's: what is remembered of each process multiplies states.
            rules: Rules::without(Rule::OldCopies),
            bare: false,
            retries: false,
            slip: Slip::None,
            prefix: Vec::new(),
            keeps_old: false,
            max_voters: 5,
            runs: false,
            sometimes: &[],
            rules_end: false,
            effort: 1,
        }
    }

    pub(crate) fn allow(mut self, kind: Kind, times: u8) -> Self {
        self.limits[kind as usize] = times;
        self
    }

    pub(crate) fn without(mut self, rule: Rule) -> Self {
        self.rules =
            if self.bare { Rules::without(rule).and_without(Rule::PreClaimFirst) } else { Rules::without(rule) };
        self.rules = self.rules.and_without(Rule::OldCopies);
        self
    }

    /// See `bare`.
    pub(crate) fn bare(mut self) -> Self {
        self.bare = true;
        self.rules = Rules::without(Rule::PreClaimFirst).and_without(Rule::OldCopies);
        self
    }

    pub(crate) fn slipping(mut self, slip: Slip) -> Self {
        self.slip = slip;
        self
    }

    /// These agents take themselves for the lowest alive; the others follow whoever claims.
    pub(crate) fn claimants(mut self, who: &[usize]) -> Self {
        for agent in who {
            let above = u8::MAX << agent;
            self.sees[*agent] &= above;
        }
        self
    }

    pub(crate) fn grant_ms(&self) -> u64 {
        self.grant_steps * FAST
    }

    pub(crate) fn settings(&self) -> Settings {
        let mut timing = Profile::Lan.timing();
        let short = Duration::from_millis(1);
        let lease = &mut timing.lease;
        lease.grant = Duration::from_millis(self.grant_ms());
        // Once at every step of the clock, not more often; or never, since what was sent stays deliverable.
        (lease.renew, lease.retry) = (short, if self.retries { short } else { Duration::from_hours(1) });
        lease.start_margin = Duration::ZERO;
        lease.settle = Duration::from_millis(if self.voters < self.agents { 0 } else { 1_000_000 });
        Settings {
            name: "m".to_owned(),
            expect: self.expect,
            seeds: (0..self.seeds).map(seed_name).collect(),
            mode: LeadershipMode::Quorum,
            timing,
            max_voters: self.max_voters,
            replace_after: Duration::from_hours(1),
        }
    }
}

pub(crate) fn seed_name(agent: usize) -> String {
    format!("n{}:1", agent + 1)
}

pub(crate) fn member(agent: usize) -> MemberId {
    MemberId::new(format!("n{}", agent + 1)).unwrap()
}

pub(crate) fn instance(agent: usize, number: u8) -> Instance {
    let mut bytes = [0; 16];
    (bytes[0], bytes[1], bytes[2]) = (u8::try_from(agent + 1).unwrap(), number, 1);
    Instance(bytes)
}

pub(crate) fn address(agent: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, u8::try_from(agent + 1).unwrap()], 1))
}

pub(crate) fn agent_at(addr: SocketAddr) -> Option<usize> {
    match addr {
        SocketAddr::V4(v4) => usize::from(v4.ip().octets()[3]).checked_sub(1),
        SocketAddr::V6(_) => None,
    }
}
