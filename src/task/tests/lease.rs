//! Beginning and ending to lead, handing over, enabling, reloading.

use super::*;

#[test]
fn nothing_starts_without_a_lease() {
    let mut world = World::new(vec![on_members("a", None), on_schedule("b", "* * * * *"), command("c")]);
    world.members(&["x"]);
    world.members(&["x", "y"]);
    world.pass(300.0);
    assert_eq!(world.request("c"), Err(TaskError::NotLeading));
    assert_eq!(world.enable("c", false), Err(TaskError::NotLeading));
    assert_eq!(world.take_starts(), [""; 0]);
    assert_eq!(world.tasks.poll_timeout(), None);
}

#[test]
fn a_take_over_runs_every_enabled_task_once_in_order_and_at_once() {
    let off = TaskSpec { enabled: false, ..command("off") };
    let buffered = on_members("m", Some((5, 20)));
    let mut world = World::new(vec![command("z"), off, buffered, on_schedule("a", "0 0 1 1 *")]);
    world.members(&["x"]);
    world.lead(3);
    assert!(world.starts.iter().all(|start| start.epoch == Epoch(3)));
    assert_eq!(world.take_starts(), ["z take-over 0", "m take-over 0", "a take-over 0"]);
    assert_eq!(world.tasks.running(), 3);
    assert_eq!((world.events("off"), world.activity("off")), (vec![], Activity::Idle));
}

#[test]
fn at_most_max_parallel_run_and_the_rest_follow_in_order() {
    let specs = ["a", "b", "c", "d"].map(command).to_vec();
    let mut world = World::with(specs, Settings { max_parallel: 2, ..Settings::default() });
    world.lead(1);
    let first = world.starts[0].clone();
    assert_eq!(world.take_starts(), ["a take-over 0", "b take-over 0"]);
    assert!(matches!(world.activity("c"), Activity::Waiting(text) if text.contains("free place")));
    // A later wish of `a` does not overtake `c`.
    world.pass(1.0);
    world.request("a").unwrap();
    world.finish(&first, Outcome::Success);
    assert_eq!(world.take_starts(), ["c take-over 0"]);
}

#[test]
fn an_unfinished_run_holds_back_its_task_alone_until_its_time() {
    let mut world = World::new(vec![command("a"), command("b")]);
    let until = world.mono + Duration::from_secs(30);
    let unfinished = |task: &str| Unfinished { task: task.to_owned(), until, text: "run of cts-01".to_owned() };
    world.lead_after(2, vec![unfinished("a"), unfinished("gone")]);
    assert_eq!(world.take_starts(), ["b take-over 0"]);
    assert!(matches!(world.activity("a"), Activity::Held { why, until: Some(_) } if why == "run of cts-01"));
    assert!(world.logged("is not configured"));
    world.pass(29.9);
    assert_eq!(world.take_starts(), [""; 0]);
    world.pass(0.1);
    assert_eq!(world.take_starts(), ["a take-over 0"]);
}

#[test]
fn a_result_that_arrives_ends_the_hold_early() {
    let mut world = World::new(vec![command("a")]);
    let until = world.mono + Duration::from_secs(30);
    world.lead_after(2, vec![Unfinished { task: "a".to_owned(), until, text: String::new() }]);
    world.tasks.handle_unfinished_over("a", world.now(), world.wall);
    world.drain();
    assert_eq!(world.take_starts(), ["a take-over 0"]);
}

#[test]
fn a_lost_lease_forgets_wishes_timers_and_retries_but_not_events() {
    let specs = vec![on_members("gathers", Some((5, 20))), command("retries"), on_schedule("ticks", "* * * * *")];
    let mut world = World::calm(specs);
    world.members(&["a", "b"]);
    world.request("retries").unwrap();
    let start = world.started();
    world.fail(&start, "no");
    assert!(matches!(world.activity("retries"), Activity::Retrying(_)));
    world.lose();
    world.pass(600.0);
    assert_eq!(world.take_starts(), [""; 0]);
    for task in ["gathers", "retries", "ticks"] {
        let report = world.report(task);
        assert_eq!((report.activity, report.next_run, report.events.len()), (Activity::Idle, None, 1), "{task}");
    }
}

#[test]
fn a_regained_lease_waits_for_the_old_run_that_still_ends() {
    let mut world = World::new(vec![command("a")]);
    world.lead(1);
    let old = world.started();
    world.lose();
    world.lead(2);
    assert_eq!(world.take_starts(), [""; 0]);
    world.finish(&old, Outcome::Interrupted("the lease ended".to_owned()));
    assert_eq!(world.events("a"), []);
    let new = world.started();
    assert_eq!((new.epoch, new.trigger, new.attempt), (Epoch(2), Trigger::TakeOver, 0));
    assert_ne!(new.run, old.run);
}

#[test]
fn what_ended_well_after_the_lease_is_still_on_record() {
    let mut world = World::new(vec![command("a"), command("b")]);
    world.lead(1);
    let [a, b] = [world.starts[0].clone(), world.starts[1].clone()];
    world.lose();
    world.finish(&a, Outcome::Success);
    world.fail(&b, "no");
    assert_eq!(world.events("a")[0].epoch, 1);
    assert_eq!(world.events("b")[0].error.as_deref(), Some("no"));
    assert!(matches!(world.activity("b"), Activity::Idle), "nobody retries without a lease");
}

#[test]
fn an_interrupted_run_is_no_event_and_runs_again_after_a_pause_while_leading() {
    let mut world = World::new(vec![command("a")]);
    world.lead(1);
    let start = world.started();
    world.finish(&start, Outcome::Interrupted("too little of the lease left".to_owned()));
    assert!(world.logged("too little of the lease left"));
    assert_eq!((world.events("a"), world.take_starts()), (vec![], vec![]));
    world.pass(1.0);
    assert_eq!(world.take_starts(), ["a take-over 0"]);
}

#[test]
fn an_interrupted_run_does_not_cut_the_buffer_short() {
    let mut world = World::new(vec![on_members("a", Some((5, 20)))]);
    world.members(&["a"]);
    world.lead(1);
    let start = world.started();
    world.members(&["b"]);
    world.finish(&start, Outcome::Interrupted("too little of the lease left".to_owned()));
    world.pass(4.9);
    assert_eq!(world.take_starts(), [""; 0]);
    world.pass(0.1);
    assert_eq!(world.take_starts(), ["a members 0"]);
}

#[test]
fn an_interrupted_run_does_not_run_again_without_a_lease() {
    let mut world = World::new(vec![command("a")]);
    world.lead(1);
    let start = world.started();
    world.lose();
    world.finish(&start, Outcome::Interrupted("the lease ended".to_owned()));
    world.pass(60.0);
    assert_eq!((world.events("a"), world.take_starts()), (vec![], vec![]));
}

#[test]
fn during_a_hand_over_nothing_starts_not_even_retries() {
    let mut world = World::new(vec![command("a"), command("b")]);
    world.lead(1);
    let [a, b] = [world.starts[0].clone(), world.starts[1].clone()];
    world.starts.clear();
    world.tasks.stop_starting();
    world.fail(&a, "no");
    world.finish(&b, Outcome::Success);
    world.pass(60.0);
    assert_eq!(world.request("b"), Err(TaskError::HandingOver));
    assert_eq!((world.take_starts(), world.tasks.running()), (vec![], 0));
    world.tasks.resume_starting(world.now(), world.wall);
    world.drain();
    assert_eq!(world.take_starts(), ["a take-over 1"]);
}

#[test]
fn a_disabled_task_neither_runs_nor_has_events_until_its_next_trigger_after_enabling() {
    let off = TaskSpec { enabled: false, ..on_members("a", Some((5, 20))) };
    let mut world = World::calm(vec![off]);
    world.members(&["a", "b"]);
    assert_eq!(world.request("a"), Err(TaskError::Disabled("a".to_owned())));
    world.enable("a", true).unwrap();
    world.pass(60.0);
    assert_eq!((world.take_starts(), world.events("a").len()), (vec![], 0));
    // Its buffer works although it began disabled.
    world.members(&["a"]);
    assert_eq!(world.activity("a"), Activity::Buffering(world.in_seconds(5.0)));
    world.pass(5.0);
    assert_eq!(world.take_starts(), ["a members 0"]);
}

#[test]
fn enabling_with_a_run_runs_at_once() {
    let mut world = World::calm(vec![TaskSpec { enabled: false, ..command("a") }]);
    world.enable("a", true).unwrap();
    world.request("a").unwrap();
    assert_eq!(world.take_starts(), ["a request 0"]);
}

#[test]
fn disabling_drops_what_waits() {
    let mut world = World::calm(vec![on_members("a", Some((5, 20))), on_schedule("b", "* * * * *")]);
    world.members(&["a", "b"]);
    for task in ["a", "b"] {
        world.enable(task, false).unwrap();
        assert_eq!((world.activity(task), world.report(task).next_run), (Activity::Idle, None));
    }
    world.pass(120.0);
    assert_eq!(world.take_starts(), [""; 0]);
}

#[test]
fn a_task_that_is_disabled_between_two_tries_has_failed() {
    let mut world = World::new(vec![command("a")]);
    world.lead(1);
    let start = world.started();
    let refusal = world.tasks.hold_back("a", "it is being inspected").unwrap_err();
    assert_eq!(refusal.to_string(), "task 'a' is active and cannot be updated at this time");
    world.fail(&start, "no");
    world.enable("a", false).unwrap();
    world.pass(60.0);
    assert_eq!(world.take_starts(), [""; 0]);
    assert_eq!(world.events("a")[0].error.as_deref(), Some("no"));
}

#[test]
fn unknown_tasks_and_unknown_runs_change_nothing() {
    let mut world = World::calm(vec![command("a")]);
    assert_eq!(world.request("b"), Err(TaskError::Unknown("b".to_owned())));
    assert_eq!(world.enable("b", true), Err(TaskError::Unknown("b".to_owned())));
    let before = world.tasks.look();
    world.tasks.handle_run_finished(RunId(uuid::Uuid::nil()), Outcome::Success, world.now(), world.wall);
    world.drain();
    assert_eq!(world.tasks.look(), before);
    assert!(world.logged("not under way"));
}

#[test]
fn a_new_configuration_keeps_events_and_never_runs_a_task_twice_at_once() {
    let mut world = World::calm(vec![command("kept"), command("removed")]);
    world.request("removed").unwrap();
    let running = world.started();
    world.tasks.replace(vec![command("new"), on_schedule("kept", "* * * * *")]);
    world.drain();
    let names = |world: &World| world.tasks.look().into_iter().map(|report| report.name).collect::<Vec<_>>();
    assert_eq!(names(&world), ["new", "kept", "removed"], "it is there until its run has ended");
    assert!(world.report("removed").deleted && world.tasks.ending().count() == 1);
    assert_eq!((world.take_starts(), world.tasks.running()), (vec![], 1));
    assert_eq!(world.events("kept").len(), 1);
    assert!(world.report("kept").next_run.is_some());
    // It comes back while its process still runs: its next run waits for that.
    world.tasks.replace(vec![command("kept"), command("removed")]);
    world.drain();
    assert_eq!(world.report("kept").next_run, None);
    let ticket = world.request("removed").unwrap();
    assert_eq!(world.take_starts(), [""; 0]);
    world.finish(&running, Outcome::Success);
    let again = world.started();
    world.tasks.replace(vec![command("kept")]);
    world.drain();
    world.finish(&again, Outcome::Success);
    assert!(world.served.contains(&(ticket, None)), "who waited for the run is told");
    assert_eq!((names(&world), world.tasks.running()), (vec!["kept".to_owned()], 0));
    assert!(world.tasks.kept("removed").is_none(), "its events went with it");
}

#[test]
fn a_task_configured_off_by_a_new_configuration_stops_trying() {
    let mut world = World::new(vec![command("a")]);
    world.lead(1);
    let start = world.started();
    world.fail(&start, "no");
    world.tasks.replace(vec![TaskSpec { enabled: false, ..command("a") }]);
    world.drain();
    world.pass(60.0);
    assert_eq!((world.take_starts(), world.activity("a")), (vec![], Activity::Idle));
    assert_eq!(world.events("a").len(), 1);
}
