//! Each rule taken away is found (protocol-safety 11): one test for each, with a shortest trace.

use std::time::Duration;

use quorate::cluster::leadership::Rule;

use crate::config::{Config, Slip};
use crate::models;
use crate::runner::{Bounds, explore};

/// Explores until one of these breaks.
fn must_break(what: &str, config: Config, breaks: &'static [&'static str]) {
    let name = config.name;
    let config = Config { rules_end: breaks.iter().any(|name| name.starts_with('R')), ..config };
    let bounds = Bounds { time: Duration::from_mins(1), depth: None, states: 1_500_000, threads: 1 };
    let report = explore(config, bounds, Some(breaks));
    let Some((invariant, trace)) = report.broke(breaks) else {
        panic!("without {what}: nothing of {breaks:?} breaks\n{report}");
    };
    println!(
        "without {what}: {invariant} after {} steps of {name} ({} unique states, {:.1} s)",
        trace.len(),
        report.unique,
        report.took.as_secs_f64()
    );
    for (number, step) in trace.iter().enumerate() {
        println!("  {:>2}. {step}", number + 1);
    }
}

// StateFirst is found by the simulator (`sim`, leadership::mutations). Since a pull compares hashes of buckets, a member that is
// behind catches up within a step of `removal`, and no model within these bounds keeps it behind long enough.
macro_rules! mutations {
    ($($name:ident: $rule:ident in $model:expr => $breaks:expr;)*) => {
        $(#[test]
        fn $name() {
            must_break(stringify!($rule), $model.without(Rule::$rule), &$breaks);
        })*
    };
}

mutations! {
    one_claimant_per_epoch: OneClaimantPerEpoch in models::network() => ["I1"];
    boot_nonce: BootNonce in models::restarts() => ["R1"];
    promise_is_durable: PromiseIsDurable in models::disks() => ["I2", "I1"];
    write_is_durable: WriteIsDurable in models::succession() => ["I4"];
    stale_epoch_is_refused: StaleEpochIsRefused in models::stale() => ["I4"];
    a_fence_never_falls: StaleEpochIsRefused in models::runs_late() => ["I8"];
    own_promise_first: OwnPromiseFirst in models::disks() => ["I1", "I2"];
    pre_claim_first: PreClaimFirst in models::restarts() => ["R5"];
    a_claim_given_up_is_over: GivenUpIsOver in models::given_up() => ["I6"];
    merge_over_quorum: MergeOverQuorum in models::unseen() => ["I4"];
    write_back: WriteBack in models::minority() => ["I5"];
    majority: Majority in models::disks() => ["I1", "I3", "I4"];
    quiet_period: QuietPeriod in models::renewed() => ["I6"];
    count_from_sending: CountFromSending in models::slow_election() => ["I6"];
    rate_margin: RateMargin in models::take_over() => ["I6"];
    highest_voter_set: HighestVoterSet in models::growth() => ["I4"];
    one_voter_at_a_time: OneVoterAtATime in models::removal() => ["I10", "I4"];
    window_first: WindowFirst in models::window() => ["I6"];
    seeds_in_proposal: SeedsInProposal in models::founding_twice() => ["I11"];
    all_founders: AllFounders in models::founding_split() => ["I11"];
}

macro_rules! slips {
    ($($name:ident: $slip:ident in $model:expr => $breaks:expr;)*) => {
        $(#[test]
        fn $name() {
            must_break(stringify!($slip), $model.slipping(Slip::$slip), &$breaks);
        })*
    };
}

slips! {
    the_successor_waits: NoWait in models::runs_orphaned() => ["I9"];
    the_release_is_sent_when_nothing_runs: EarlyRelease in models::runs_orphaned() => ["I9"];
    the_lease_is_checked_again: NoCheck in models::runs_late() => ["I9"];
    the_journal_comes_first: JournalLater in models::runs_start() => ["I9"];
    a_hand_over_waits_for_runs: HandOverAlive in models::runs_handed_over() => ["I9"];
    a_release_is_of_one_agent: AnyRelease in models::rivals() => ["I9"];
    the_guardian_tells_of_a_death_that_it_saw: EarlyDeath in models::runs_handed_over() => ["I6", "I9"];
    the_guardian_has_a_deadline: NoDeadline in models::runs_paused() => ["I9"];
}
