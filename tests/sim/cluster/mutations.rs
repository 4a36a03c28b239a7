//! Rules taken away from the composed core are missed here as well (protocol-safety 11).

use quorate::cluster::leadership::{Rule, Rules};

use super::runner::{run, run_band};
use super::scenario::{Fault, MS, SECOND, Scenario};

struct Mutation {
    rule: Rule,
    scenario: Scenario,
    breaks: &'static [&'static str],
    /// Within so many seeds.
    within: u64,
}

const RESTARTS: &[(Fault, u32)] = &[
    (Fault::PowerLoss, 10),
    (Fault::ColdStart, 10),
    (Fault::MassRestart, 6),
    (Fault::KillLeader, 10),
    (Fault::SlowDisk, 10),
    (Fault::IsolateLeader, 8),
    (Fault::Storm, 4),
    (Fault::StepDown, 4),
];

const SPLITS: &[(Fault, u32)] = &[
    (Fault::Partition, 8),
    (Fault::IsolateLeader, 12),
    (Fault::Tangle, 8),
    (Fault::Storm, 8),
    (Fault::StopLeader, 6),
    (Fault::SlowDisk, 3),
    (Fault::KillLeader, 3),
];

fn quick(name: &'static str, faults: &'static [(Fault, u32)]) -> Scenario {
    Scenario {
        name,
        faults,
        until: 25 * SECOND,
        every: 500 * MS,
        ask_every: 30 * MS,
        heals_within: None,
        ..Scenario::mixed()
    }
}

fn restarts() -> Scenario {
    quick("cluster-restarts", RESTARTS)
}

fn splits() -> Scenario {
    quick("cluster-splits", SPLITS)
}

/// Claims and renewals pass, data mostly does not.
fn unwritten() -> Scenario {
    Scenario { name: "cluster-unwritten", write_loss: 60, ..splits() }
}

fn all() -> Vec<Mutation> {
    let mutation = |rule, scenario, breaks| Mutation { rule, scenario, breaks, within: 3_000 };
    vec![
        mutation(Rule::PromiseIsDurable, restarts(), &["I2", "I1"]),
        mutation(Rule::WriteIsDurable, restarts(), &["I4", "I5", "I8", "linearizable"]),
        mutation(Rule::StaleEpochIsRefused, splits(), &["I4", "I5", "I8", "linearizable"]),
        mutation(Rule::MergeOverQuorum, splits(), &["I4", "I5", "I8", "linearizable"]),
        mutation(Rule::WriteBack, unwritten(), &["I4", "I5", "I8", "linearizable"]),
        mutation(Rule::Majority, splits(), &["I1", "I3", "I4", "I6", "I7"]),
        mutation(Rule::QuietPeriod, restarts(), &["I6"]),
        mutation(Rule::CountFromSending, splits(), &["I6"]),
    ]
}

/// Scenarios made for rules: nothing breaks in them as long as no rule is missing.
pub(super) fn scenarios() -> Vec<Scenario> {
    vec![restarts(), splits(), unwritten()]
}

#[test]
fn every_rule_that_is_taken_away_is_missed() {
    let mut unnoticed = Vec::new();
    for Mutation { rule, scenario, breaks, within } in all() {
        let band = run_band(&scenario, Rules::without(rule), 1..within + 1, |v| breaks.contains(&v.invariant));
        let Some(found) = band.failures.iter().find(|f| breaks.contains(&f.violation.invariant)) else {
            println!("without {rule:?}: nothing in {} runs of {}", band.runs, scenario.name);
            unnoticed.push(rule);
            continue;
        };
        println!("without {rule:?}: {} (seed {} of {})", found.violation, found.seed, scenario.name);
        // With the rule, the same run is fine: it is the rule that makes the difference.
        let kept = run(&scenario, Rules::default(), found.seed, false);
        assert_eq!(kept.result, Ok(()), "{} {} fails with all rules", scenario.name, found.seed);
    }
    assert!(
        unnoticed.is_empty(),
        "nothing breaks without {unnoticed:?}: the rule is not in force, or no checker bites"
    );
}
