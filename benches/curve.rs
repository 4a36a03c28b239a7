//! What a profile trades: the longer it waits before it acts, the longer a pause it forgives.
//!
//! The leader is stopped (SIGSTOP) for a time and goes on (SIGCONT). Two things can come of it: its lease ran out and
//! it leads on under a new epoch (its tasks run again), or another has taken over.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;

use crate::failover::Arguments;
use crate::rounds::{Strike, once};
use crate::support::report::{Report, Summary, round};
use crate::support::site::Site;
use crate::support::wait::sleep;

const NODES: usize = 3;
/// Pauses of one length.
const TRIALS: usize = 4;
const STEP: Duration = Duration::from_millis(100);

/// Profiles and how long they need at least to give up a silent member: a probe period and the time as a suspect.
const PROFILES: [(&str, Duration); 3] = [
    ("local", Duration::from_millis(700)),
    ("lan", Duration::from_millis(1_050)),
    ("calm", Duration::from_millis(1_800)),
];

/// How pauses of one length ended.
#[derive(Debug, Clone, Copy, Default)]
struct Outcomes {
    undisturbed: usize,
    same_leader: usize,
}

/// Prints the table of the profiles.
pub(crate) fn run(arguments: &Arguments, report: &mut Report) {
    let rounds = arguments.rounds.div_ceil(3);
    println!(
        "\nWhat the profiles trade, N = {NODES}: seconds ({rounds} deaths of a host, {TRIALS} pauses of each length)"
    );
    println!("  {:<8} {:>8} {:>8}   longest pause in steps of {STEP:?} that ..", "profile", "median", "worst");
    println!("  {:<8} {:>8} {:>8}   {:>16} {:>20}", "", "", "", "nobody noticed", "no other took over");
    for (profile, floor) in PROFILES {
        let mut site = Site::found(NODES, profile);
        let times: Vec<Duration> = (0..rounds).map(|_| once(&mut site, Strike::Host)).collect();
        let Summary { median, worst, .. } = Summary::of(&times);
        let mut tried = Vec::new();
        let (mut unnoticed, mut tolerated) = (Duration::ZERO, Duration::ZERO);
        let (mut all_unnoticed, mut all_tolerated) = (true, true);
        let mut pause = (floor / 2).max(STEP);
        let mut lost = 0;
        // Two lengths in a row that nothing survives: longer ones do not either.
        while lost < 2 {
            let Outcomes { undisturbed, same_leader } = pauses(&mut site, pause);
            tried.push(json!([round(pause.as_secs_f64()), undisturbed, same_leader]));
            all_unnoticed &= undisturbed == TRIALS;
            all_tolerated &= undisturbed + same_leader == TRIALS;
            unnoticed = if all_unnoticed { pause } else { unnoticed };
            tolerated = if all_tolerated { pause } else { tolerated };
            lost = if undisturbed + same_leader == 0 { lost + 1 } else { 0 };
            pause += STEP;
        }
        let (unnoticed, tolerated) = (round(unnoticed.as_secs_f64()), round(tolerated.as_secs_f64()));
        println!("  {profile:<8} {median:>8.3} {worst:>8.3}   {unnoticed:>16.2} {tolerated:>20.2}");
        report.add(
            "trade-off",
            &json!({
                "profile": profile, "nodes": NODES, "rounds": rounds, "median_s": round(median), "worst_s": round(worst),
                "unnoticed_pause_s": unnoticed, "tolerated_pause_s": tolerated,
                "trials": TRIALS, "pause_undisturbed_sameleader": tried,
            }),
        );
    }
}

/// Stops the leader for this long, several times.
fn pauses(site: &mut Site, pause: Duration) -> Outcomes {
    let mut outcomes = Outcomes::default();
    for _ in 0..TRIALS {
        let before = site.calm();
        sleep(crate::support::wait::random(Duration::from_millis(500)));
        site[before.leader].signal(Signal::STOP);
        sleep(pause);
        site[before.leader].signal(Signal::CONT);
        // What is under way shows by then.
        sleep(Duration::from_millis(1_500));
        let after = site.calm();
        outcomes.undisturbed += usize::from(after == before);
        outcomes.same_leader += usize::from(after.leader == before.leader && after.epoch != before.epoch);
    }
    outcomes
}
