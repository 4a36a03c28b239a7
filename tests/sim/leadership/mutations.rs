//! Each rule taken away is found: a checker that finds nothing in broken code proves nothing (protocol-safety 11).
//!
//! A scenario for each, weighted so that what the rule guards against comes often; and the invariants of which one
//! must be found broken within a bounded number of seeds.
//!
//! `HorizonFirst` is not among them: what breaks without it takes three rare losses in a row. `leadership::forgetting` has
//! that history as a test.

use quorate::cluster::leadership::{Rule, Rules};

use super::runner::{Failure, run, run_band};
use super::scenario::{Advice, Fault, MS, SECOND, Scenario};

/// A rule that is removed, where, and what shall break.
struct Mutation {
    rule: Rule,
    scenario: Scenario,
    breaks: &'static [&'static str],
    /// Within so many seeds.
    within: u64,
}

const RESTARTS: &[(Fault, u32)] = &[
    (Fault::Crash, 10),
    (Fault::CrashLeader, 10),
    (Fault::PowerLoss, 10),
    (Fault::RestartFollowers, 10),
    (Fault::SlowDisk, 10),
    (Fault::IsolateLeader, 6),
    (Fault::Storm, 4),
    (Fault::StepDown, 4),
    (Fault::Advice, 6),
];

const SPLITS: &[(Fault, u32)] = &[
    (Fault::Partition, 8),
    (Fault::IsolateLeader, 12),
    (Fault::Tangle, 8),
    (Fault::Storm, 6),
    (Fault::PauseLeader, 6),
    (Fault::SlowDisk, 3),
    (Fault::Crash, 3),
    (Fault::Advice, 8),
];

const VOTERS: &[(Fault, u32)] = &[
    (Fault::LoseDisk, 6),
    (Fault::RemoveVoter, 25),
    (Fault::IsolateLeader, 10),
    (Fault::Partition, 10),
    (Fault::CrashLeader, 8),
    (Fault::Crash, 6),
    (Fault::Storm, 4),
    (Fault::SlowDisk, 4),
];

const CONTENTION: &[(Fault, u32)] = &[
    (Fault::CrashLeaderWithRelease, 20),
    (Fault::StepDown, 6),
    (Fault::SlowDisk, 6),
    (Fault::Storm, 10),
    (Fault::Advice, 10),
];

fn restarts() -> Scenario {
    Scenario { name: "restarts", faults: RESTARTS, every: 900 * MS, work_every: 60 * MS, ..quick() }
}

fn splits() -> Scenario {
    Scenario { name: "splits", faults: SPLITS, every: 1_200 * MS, work_every: 60 * MS, ..quick() }
}

/// Leaders die and are spoken for, so that two often claim one epoch; grants arrive late.
pub(crate) fn contention() -> Scenario {
    Scenario { name: "contention", faults: CONTENTION, advice: Advice::Erratic, every: 500 * MS, ..quick() }
}

fn drifting() -> Scenario {
    Scenario { name: "drifting", drift: 0.0099, extreme_drift: true, ..splits() }
}

fn voters() -> Scenario {
    Scenario {
        name: "voters",
        agents: 6,
        late: Some((3, 3 * SECOND)),
        faults: VOTERS,
        every: 900 * MS,
        work_every: 100 * MS,
        replace_after: std::time::Duration::from_secs(3),
        until: 60 * SECOND,
        ..quick()
    }
}

/// Most values are large, and leaders do not live long.
fn without_contents() -> Scenario {
    Scenario { name: "contents", large: 80, ..restarts() }
}

/// Claims and renewals pass, data mostly does not.
fn unwritten() -> Scenario {
    Scenario { name: "unwritten", write_loss: 70, ..splits() }
}

/// Five voters, some of which miss most writes and never catch up; then two are removed.
fn behind() -> Scenario {
    Scenario {
        name: "behind",
        agents: 5,
        expect: 5,
        seeds: 5,
        faults: &[(Fault::RemoveVoter, 30), (Fault::CrashLeader, 10), (Fault::IsolateLeader, 5)],
        every: 500 * MS,
        work_every: 300 * MS,
        write_loss: 60,
        values_loss: 100,
        until: 15 * SECOND,
        ..quick()
    }
}

/// Keys are deleted and forgotten, and members are behind.
fn forgetting() -> Scenario {
    Scenario { name: "deleted", deletes: 50, keys: 6, small: true, write_loss: 40, ..splits() }
}

/// Two of five know no horizon, and claim as often as the others.
fn forgetting_mixed() -> Scenario {
    Scenario { name: "deleted-mixed", agents: 5, expect: 5, seeds: 5, older: 2, ..forgetting() }
}

fn quick() -> Scenario {
    Scenario { name: "quick", until: 40 * SECOND, must_heal: false, ..Scenario::three() }
}

fn founding(extra: usize, name: &'static str) -> Scenario {
    Scenario { name, must_heal: false, ..Scenario::founding(extra) }
}

/// Scenarios made for rules.
pub(crate) fn scenarios() -> Vec<Scenario> {
    all().into_iter().map(|m| m.scenario).collect()
}

fn all() -> Vec<Mutation> {
    let mutation = |rule, scenario, breaks, within| Mutation { rule, scenario, breaks, within };
    vec![
        mutation(Rule::ContentsFirst, without_contents(), &["contents"], 1_000),
        mutation(Rule::OneClaimantPerEpoch, splits(), &["I1", "I3"], 1_000),
        mutation(Rule::PromiseIsDurable, restarts(), &["I2", "I1"], 1_000),
        mutation(Rule::WriteIsDurable, restarts(), &["I4", "I5"], 1_000),
        mutation(Rule::StaleEpochIsRefused, splits(), &["I4", "I5"], 1_000),
        mutation(Rule::OwnPromiseFirst, restarts(), &["I1", "I2", "I3"], 1_000),
        mutation(Rule::GivenUpIsOver, contention(), &["given up", "I6", "I7"], 1_000),
        mutation(Rule::MergeOverQuorum, splits(), &["I4", "I5"], 1_000),
        mutation(Rule::WriteBack, unwritten(), &["I5", "I4"], 1_000),
        mutation(Rule::Majority, splits(), &["I1", "I3", "I4", "I6", "I7"], 1_000),
        mutation(Rule::QuietPeriod, restarts(), &["I6"], 1_000),
        mutation(Rule::CountFromSending, splits(), &["I6"], 1_000),
        mutation(Rule::RateMargin, drifting(), &["I6"], 1_000),
        mutation(Rule::HighestVoterSet, voters(), &["I4", "I5", "I6", "I10"], 4_000),
        mutation(Rule::OneVoterAtATime, voters(), &["I10", "I4", "I5"], 1_000),
        mutation(Rule::StateFirst, behind(), &["I4", "I5"], 8_000),
        mutation(Rule::WindowFirst, voters(), &["I6"], 4_000),
        mutation(Rule::BelowIsDeleted, forgetting(), &["I4", "I5"], 4_000),
        mutation(Rule::RewriteFirst, forgetting(), &["I4", "I5"], 1_000),
        mutation(Rule::HorizonWithVoters, forgetting_mixed(), &["I4", "I5"], 4_000),
        mutation(Rule::NumbersAreScreened, Scenario::hostile(), &["healing", "I4", "I5", "I6", "I10", "panic"], 1_000),
        mutation(Rule::SeedsInProposal, founding(3, "seeds"), &["I11"], 1_000),
        mutation(Rule::AllFounders, Scenario::few_seeds(), &["I11"], 1_000),
    ]
}

#[test]
fn every_rule_that_is_taken_away_is_missed() {
    let mut unnoticed = Vec::new();
    let asked = super::wanted();
    let chosen = all().into_iter().filter(|mutation| asked.as_ref().is_none_or(|name| name == mutation.scenario.name));
    for Mutation { rule, scenario, breaks, within } in chosen {
        let band = run_band(&scenario, Rules::without(rule), 1..within + 1, |v| breaks.contains(&v.invariant));
        let found: Option<&Failure> = band.failures.iter().find(|f| breaks.contains(&f.violation.invariant));
        let Some(Failure { seed, violation, .. }) = found else {
            println!("without {rule:?}: nothing in {} runs of {}", band.runs, scenario.name);
            unnoticed.push(rule);
            continue;
        };
        println!("without {rule:?}: {violation} (seed {seed} of {})", scenario.name);
        // With the rule, the same run is fine: it is the rule that makes the difference.
        let kept = run(&scenario, Rules::default(), *seed, false);
        assert_eq!(kept.result, Ok(()), "{} {seed} fails with all rules", scenario.name);
    }
    assert!(
        unnoticed.is_empty(),
        "nothing breaks without {unnoticed:?}: the rule is not in force, or no checker bites"
    );
}
