//! Timetables and steps of the clock.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

const EVERY_TEN_SECONDS: &str = "*/10 * * * * * *";

#[test]
fn a_timetable_runs_its_task_at_each_tick() {
    let mut world = World::calm(vec![on_schedule("a", EVERY_TEN_SECONDS)]);
    assert_eq!(world.report("a").next_run, Some(world.in_seconds(10.0)));
    world.pass(9.9);
    assert_eq!(world.take_starts(), [""; 0]);
    world.pass(0.1);
    let start = world.started();
    assert_eq!(start.trigger, Trigger::Schedule);
    assert_eq!(world.report("a").next_run, None, "known again after the run");
    world.finish(&start, Outcome::Success);
    assert_eq!(world.report("a").next_run, Some(world.in_seconds(10.0)));
}

#[test]
fn ticks_during_a_run_are_skipped() {
    let mut world = World::calm(vec![on_schedule("a", EVERY_TEN_SECONDS)]);
    world.pass(10.0);
    let start = world.started();
    world.pass(25.0);
    world.finish(&start, Outcome::Success);
    assert_eq!(world.take_starts(), [""; 0]);
    assert_eq!(world.report("a").next_run, Some(world.in_seconds(5.0)));
}

#[test]
fn a_tick_during_a_run_by_hand_is_lost_and_logged() {
    let mut world = World::calm(vec![on_schedule("a", EVERY_TEN_SECONDS)]);
    world.pass(5.0);
    world.request("a").unwrap();
    let start = world.started();
    world.pass(10.0);
    assert!(world.logged("task 'a' is active and cannot be run at this time"));
    world.finish(&start, Outcome::Success);
    world.pass(4.0);
    assert_eq!(world.take_starts(), [""; 0]);
    world.pass(1.0);
    assert_eq!(world.take_starts(), ["a schedule 0"]);
}

#[test]
fn a_change_of_the_members_does_not_run_a_scheduled_task() {
    let fed = TaskSpec { inputs: vec![ModuleInput::Members], ..on_schedule("a", "0 0 1 1 *") };
    let mut world = World::calm(vec![fed]);
    world.members(&["a", "b"]);
    world.pass(600.0);
    assert_eq!(world.take_starts(), [""; 0]);
}

#[test]
fn a_clock_set_forward_makes_the_tick_come_once_and_late() {
    let mut world = World::calm(vec![on_schedule("a", "0 * * * *")]);
    world.wall += TimeDelta::hours(5);
    world.pass(30.0);
    let start = world.started();
    world.finish(&start, Outcome::Success);
    world.pass(60.0);
    assert_eq!(world.take_starts(), [""; 0]);
}

#[test]
fn a_clock_set_back_by_an_hour_repeats_no_tick() {
    let mut world = World::calm(vec![on_schedule("a", "0 * * * *")]);
    world.pass(3600.0);
    let start = world.started();
    world.wall -= TimeDelta::minutes(30);
    world.finish(&start, Outcome::Success);
    // The hour of that tick comes again half an hour later, and the next one an hour after that.
    world.pass(1800.0 + 60.0);
    assert_eq!(world.take_starts(), [""; 0]);
    world.pass(3600.0);
    assert_eq!(world.take_starts(), ["a schedule 0"]);
}

#[test]
fn a_clock_corrected_by_years_begins_the_timetable_anew() {
    let mut world = World::calm(vec![on_schedule("a", EVERY_TEN_SECONDS)]);
    world.pass(10.0);
    let start = world.started();
    world.finish(&start, Outcome::Success);
    world.wall -= TimeDelta::days(4000);
    world.pass(60.0);
    assert_eq!(world.take_starts(), ["a schedule 0"]);
}

#[test]
fn the_wall_clock_is_looked_at_again_before_a_distant_tick() {
    let world = World::calm(vec![on_schedule("a", "0 0 1 1 *")]);
    assert_eq!(world.tasks.poll_timeout(), Some((world.mono + Duration::from_secs(30), "look at the wall clock")));
}

#[test]
fn a_timetable_that_is_over_or_wrong_still_lets_its_task_run_at_take_over() {
    let mut world = World::new(vec![on_schedule("over", "0 0 1 1 * 2020"), on_schedule("wrong", "often")]);
    assert!(world.logged("has no timetable: missing field(s)"));
    world.lead(1);
    let starts = world.starts.clone();
    assert_eq!(world.take_starts(), ["over take-over 0", "wrong take-over 0"]);
    for start in &starts {
        world.finish(start, Outcome::Success);
    }
    assert_eq!(world.tasks.poll_timeout(), None);
}

#[test]
fn a_tick_that_nobody_led_at_is_made_up_for_once() {
    let mut world = World::calm(vec![on_schedule("a", "0 * * * *")]);
    let led = |world: &mut World, epoch, after| {
        world.lose();
        world.pass(after);
        world.lead(epoch);
        let start = world.started();
        world.finish(&start, Outcome::Success);
        start.trigger
    };
    assert_eq!(led(&mut world, 2, 1800.0), Trigger::TakeOver, "no tick yet");
    assert_eq!(led(&mut world, 3, 1800.0), Trigger::Schedule, "so it runs whatever has not changed");
    assert!(world.logged("while nobody led"));
    assert_eq!(led(&mut world, 4, 0.0), Trigger::TakeOver, "once");
    assert_eq!(world.report("a").next_run, Some(world.in_seconds(3600.0)));
    // Enabled again after the moment at which it would have been due.
    world.lose();
    let mut kept = world.tasks.kept("a").unwrap().clone();
    kept.enabled_at = Some(world.in_seconds(3610.0).timestamp());
    world.tasks.restore(BTreeMap::from([("a".to_owned(), kept)]), &BTreeSet::default());
    assert_eq!(led(&mut world, 5, 4000.0), Trigger::TakeOver, "what came due while it was disabled is not owed");
}
