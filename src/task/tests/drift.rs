//! Looks for drift: when they come, what they find, and what must not be taken for one.

use super::*;
use crate::task::drift::DriftFound;

const HOUR: f64 = 3600.0;

fn looking(corrects: bool) -> TaskSpec {
    let drift = Some(Drift { every: Duration::from_hours(1), corrects });
    let mut spec = command("edge");
    spec.run.drift = drift;
    spec
}

/// A leader whose first run went well.
fn applied(spec: TaskSpec) -> World {
    World::calm(vec![spec])
}

fn found(world: &World) -> Option<DriftFound> {
    world.report("edge").drift.and_then(|drift| drift.found)
}

#[test]
fn a_look_comes_an_hour_after_the_run_and_again_an_hour_after_that() {
    let mut world = applied(looking(false));
    world.pass(HOUR - 1.0);
    assert!(world.starts.is_empty());
    world.pass(1.0);
    let look = world.started();
    assert_eq!(look.trigger, Trigger::DriftCheck);
    world.finish(&look, Outcome::Success);
    let report = world.report("edge");
    assert!(report.drift.is_some_and(|drift| drift.found.is_none()) && report.events.len() == 1, "it is no event");
    world.pass(HOUR);
    let look = world.started();
    world.finish(&look, Outcome::Drifted("one".to_owned()));
    let first = found(&world).unwrap();
    assert_eq!((first.text.as_str(), first.run), ("one", look.run.0));
    assert!(world.starts.is_empty(), "it is only told");
    world.pass(HOUR);
    let look = world.started();
    world.finish(&look, Outcome::Failure("the firewall is away".to_owned()));
    assert_eq!(found(&world), Some(first), "what was seen before counts");
    assert_eq!(world.report("edge").events.len(), 1, "and nothing is tried again");
    // A run that goes well makes it as it should be.
    world.request("edge").unwrap();
    let run = world.started();
    assert_eq!(run.trigger, Trigger::Request);
    world.finish(&run, Outcome::Success);
    assert_eq!(found(&world), None);
}

#[test]
fn what_is_found_is_corrected_when_the_task_says_so() {
    let mut world = applied(looking(true));
    world.pass(HOUR);
    let look = world.started();
    world.finish(&look, Outcome::Drifted("one".to_owned()));
    let run = world.started();
    assert_eq!((run.trigger, run.unless), (Trigger::Drift, None));
    world.finish(&run, Outcome::Success);
    assert_eq!(found(&world), None);
    assert_eq!(world.events("edge")[0].trigger, "drift");
}

#[test]
fn a_trigger_takes_the_place_of_a_look_that_waits_and_follows_one_that_runs() {
    let mut world = applied(looking(false));
    world.pass(HOUR);
    let look = world.started();
    world.request("edge").unwrap();
    assert!(world.starts.is_empty(), "never two at once");
    world.finish(&look, Outcome::Success);
    assert_eq!(world.started().trigger, Trigger::Request);

    // All places are taken: the look waits, and a trigger comes.
    let settings = Settings { max_parallel: 1, ..Settings::default() };
    let mut world = World::with(vec![looking(false), command("other")], settings);
    world.lead(1);
    for _ in 0..2 {
        let run = world.started();
        world.finish(&run, Outcome::Success);
    }
    world.request("other").unwrap();
    let other = world.started();
    world.pass(HOUR);
    world.request("edge").unwrap();
    world.finish(&other, Outcome::Success);
    let run = world.started();
    assert_eq!((run.task.as_str(), run.trigger), ("edge", Trigger::Request));
}

#[test]
fn nothing_is_looked_for_after_a_failure_a_plan_that_waits_or_while_disabled() {
    for outcome in [Outcome::Planned("plan +1".to_owned()), Outcome::Failure("no".to_owned())] {
        let mut world = World::new(vec![without_retry(looking(false))]);
        world.lead(1);
        let run = world.started();
        world.finish(&run, outcome);
        world.pass(3.0 * HOUR);
        assert!(world.starts.is_empty());
    }
    let mut world = applied(looking(false));
    world.enable("edge", false).unwrap();
    world.pass(3.0 * HOUR);
    assert!(world.starts.is_empty());
}

#[test]
fn the_next_leader_looks_when_it_is_time_and_a_take_over_is_no_look() {
    let mut world = applied(looking(false));
    world.pass(HOUR);
    let look = world.started();
    world.finish(&look, Outcome::Drifted("one".to_owned()));
    world.pass(HOUR / 2.0);
    let kept = world.tasks.kept("edge").cloned().unwrap();
    world.tasks.restore([("edge".to_owned(), kept)].into(), &BTreeSet::new());
    world.lead(2);
    let run = world.started();
    assert_eq!(run.trigger, Trigger::TakeOver);
    world.finish(&run, Outcome::Unchanged);
    assert!(found(&world).is_some(), "a run that was not needed corrects nothing");
    world.pass(HOUR / 2.0 - 60.0);
    assert!(world.starts.is_empty());
    world.pass(60.0);
    assert_eq!(world.started().trigger, Trigger::DriftCheck);
}
