//! Failed runs.

use super::report::Status;
use super::*;

#[test]
fn a_failed_run_is_tried_twice_more_with_growing_pauses_and_then_recorded() {
    let mut world = World::calm(vec![command("a")]);
    world.request("a").unwrap();
    let began = world.wall;
    let first = world.started();
    world.fail(&first, "one");
    assert_eq!(world.events("a").len(), 1, "not over yet");
    pause_between(&mut world, 1.0, 1.5);
    let second = world.started();
    assert_eq!((second.run, second.attempt, second.trigger), (first.run, 1, Trigger::Request));
    world.fail(&second, "two");
    pause_between(&mut world, 2.0, 3.0);
    let third = world.started();
    world.fail(&third, "three");
    world.pass(60.0);
    assert_eq!(world.take_starts(), [""; 0]);
    let event = world.events("a").remove(0);
    let text = "retry attempt #2 failed 'three': retry attempt #1 failed 'two'";
    assert_eq!((event.success, event.error.as_deref()), (false, Some(text)));
    assert_eq!((event.id, event.start_time), (first.run.0, began));
    assert!(event.end_time < world.wall);
    assert!(world.logged("one"), "the first cause is in the log");
    assert!(world.logged(&format!("could not apply changes for task a: {text}")));
    assert_eq!(world.report("a").status, Status::Errored);
}

#[test]
fn a_retry_that_succeeds_is_one_good_event() {
    let mut world = World::calm(vec![command("a")]);
    world.request("a").unwrap();
    let first = world.started();
    world.fail(&first, "one");
    world.pass(1.5);
    let second = world.started();
    world.finish(&second, Outcome::Success);
    let events = world.events("a");
    assert_eq!((events.len(), events[0].success, events[0].error.clone()), (2, true, None));
}

#[test]
fn what_is_kept_of_a_run_is_known_before_it_is_told() {
    let mut world = World::calm(vec![without_retry(command("once")), command("a")]);
    let ticket = world.request("a").unwrap();
    let first = world.started();
    let conclusion = |world: &mut World, start: &Start, outcome: &Outcome| {
        let ended = world.wall;
        let known = world.tasks.conclusion(start.run, outcome, Some([7; 32]), ended);
        world.pass(0.2);
        known
    };
    let failure = Outcome::Failure("one".to_owned());
    assert_eq!(conclusion(&mut world, &first, &failure), None, "it is tried again");
    world.finish(&first, failure);
    world.pass(1.5);
    let second = world.started();
    assert_eq!(conclusion(&mut world, &second, &Outcome::Interrupted("lease".to_owned())), None);
    let known = conclusion(&mut world, &second, &Outcome::Success).unwrap();
    assert_eq!((known.tickets.clone(), world.events("a").len()), (vec![ticket], 1), "not told yet");
    world.finish(&second, Outcome::Success);
    assert_eq!(world.tasks.kept("a"), Some(&known.kept));
    world.request("once").unwrap();
    let start = world.started();
    let failure = Outcome::Failure("no".to_owned());
    let known = conclusion(&mut world, &start, &failure).unwrap();
    world.finish(&start, failure);
    assert_eq!(world.tasks.kept("once"), Some(&known.kept));
    assert_eq!(known.kept.events[0].error.as_deref(), Some("no"));
}

#[test]
fn a_run_at_take_over_is_tried_again_too() {
    let mut world = World::new(vec![command("a")]);
    world.lead(1);
    let start = world.started();
    world.fail(&start, "no");
    world.pass(1.5);
    assert_eq!(world.take_starts(), ["a take-over 1"]);
}

#[test]
fn without_retries_the_cause_stands_alone() {
    let mut world = World::new(vec![without_retry(command("a"))]);
    world.lead(1);
    let start = world.started();
    world.fail(&start, "exit status 3");
    assert_eq!(world.events("a")[0].error.as_deref(), Some("exit status 3"));
    assert_eq!(world.report("a").status, Status::Errored);
}

#[test]
fn pauses_are_capped() {
    let retry = Retry { retries: 50, base: Duration::from_secs(1), cap: Duration::from_secs(4) };
    let mut world = World::new(vec![TaskSpec { retry, ..command("a") }]);
    world.lead(1);
    for attempt in 0..50 {
        let start = world.started();
        assert_eq!(start.attempt, attempt);
        world.fail(&start, "no");
        pause_between(&mut world, if attempt > 1 { 4.0 } else { 1.0 }, 4.0);
    }
}

#[test]
fn a_paused_run_holds_no_place_and_its_task_takes_part_in_turn() {
    let specs = vec![command("a"), command("b")];
    let mut world = World::with(specs, Settings { max_parallel: 1, ..Settings::default() });
    world.lead(1);
    let a = world.started();
    world.fail(&a, "no");
    let b = world.started();
    assert_eq!(b.task, "b");
    world.pass(10.0);
    assert_eq!(world.take_starts(), [""; 0]);
    world.finish(&b, Outcome::Success);
    assert_eq!(world.take_starts(), ["a take-over 1"]);
}

#[test]
fn a_request_between_tries_begins_the_next_try() {
    let mut world = World::calm(vec![command("a")]);
    world.request("a").unwrap();
    let first = world.started();
    world.fail(&first, "no");
    world.request("a").unwrap();
    let second = world.started();
    assert_eq!(second.attempt, 1);
    world.finish(&second, Outcome::Success);
    world.pass(60.0);
    assert_eq!(world.take_starts(), [""; 0]);
}

#[test]
fn the_next_try_takes_the_newest_members_and_serves_their_change() {
    let mut world = World::calm(vec![on_members("a", Some((5, 20)))]);
    world.request("a").unwrap();
    let first = world.started();
    world.fail(&first, "no");
    world.members(&["b"]);
    world.pass(1.5);
    let second = world.started();
    assert!(second.inputs.members.clone().unwrap().get("b").is_some());
    world.finish(&second, Outcome::Success);
    world.pass(60.0);
    assert_eq!(world.take_starts(), [""; 0]);
}

/// The next start comes not before `least` and not after `most` seconds.
fn pause_between(world: &mut World, least: f64, most: f64) {
    world.pass(least - 0.001);
    assert!(world.starts.is_empty(), "too early");
    world.pass(most - least + 0.002);
    assert!(!world.starts.is_empty(), "too late");
}
