//! Members, buffer periods, requests.

use serde_json::json;

use super::*;

#[test]
fn a_change_of_the_members_runs_the_tasks_that_watch_them_and_no_other() {
    let fed = TaskSpec { inputs: vec![ModuleInput::Members], ..command("fed") };
    let mut world = World::calm(vec![on_members("watches", None), fed, command("other")]);
    world.members(&["a"]);
    assert_eq!(world.take_starts(), [""; 0], "the same members are no change");
    world.members(&["a", "b"]);
    assert_eq!(world.take_starts(), ["watches members 0"]);
}

#[test]
fn the_newest_members_are_fed_at_any_start_to_those_who_take_them() {
    let fed = TaskSpec { inputs: vec![ModuleInput::Members], ..command("fed") };
    let deaf = TaskSpec { condition: Condition::Members { use_as_module_input: false }, ..command("deaf") };
    let mut world = World::calm(vec![fed, deaf]);
    world.members(&["a", "b"]);
    assert_eq!(world.started().inputs, Inputs::default());
    world.request("fed").unwrap();
    let members = world.started().inputs.members.unwrap();
    assert_eq!(members.as_object().unwrap().keys().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(members["b"]["api_address"], json!("10.0.0.1:8558"));
}

#[test]
fn a_task_that_takes_members_waits_until_they_are_known() {
    let mut world = World::new(vec![on_members("a", None), command("b")]);
    world.lead(1);
    assert_eq!(world.take_starts(), ["b take-over 0"]);
    assert!(matches!(world.activity("a"), Activity::Waiting(text) if text.contains("first view")));
    world.members(&["x"]);
    assert_eq!(world.take_starts(), ["a take-over 0"]);
}

#[test]
fn the_buffer_gathers_changes_and_each_restarts_it() {
    let mut world = World::calm(vec![on_members("a", Some((5, 20)))]);
    world.members(&["a", "b"]);
    assert_eq!(world.activity("a"), Activity::Buffering(world.in_seconds(5.0)));
    world.pass(4.0);
    world.members(&["a", "b", "c"]);
    world.pass(4.9);
    assert_eq!(world.take_starts(), [""; 0]);
    world.pass(0.1);
    let start = world.started();
    assert_eq!(start.trigger, Trigger::Members);
    assert_eq!(start.inputs.members.unwrap().as_object().unwrap().len(), 3);
}

#[test]
fn the_buffer_never_outlasts_its_maximum() {
    let mut world = World::calm(vec![on_members("a", Some((5, 20)))]);
    for n in 0..7 {
        world.members(if n % 2 == 0 { &["a", "b"] } else { &["a"] });
        world.pass(3.0);
    }
    // Triggers at 0, 3, .. 18 s; now it is 21 s.
    let start = world.started();
    assert_eq!(start.trigger, Trigger::Members);
    assert_eq!(world.report("a").activity, Activity::Running(world.in_seconds(0.0) - TimeDelta::seconds(1)));
}

#[test]
fn a_maximum_below_the_minimum_wins() {
    let mut world = World::calm(vec![on_members("a", Some((5, 2)))]);
    world.members(&["b"]);
    world.pass(2.0);
    assert_eq!(world.take_starts(), ["a members 0"]);
}

#[test]
fn a_request_does_not_wait_for_the_buffer_and_serves_what_it_gathered() {
    let mut world = World::calm(vec![on_members("a", Some((5, 20)))]);
    world.members(&["a", "b"]);
    world.request("a").unwrap();
    let start = world.started();
    assert_eq!(start.trigger, Trigger::Request);
    world.finish(&start, Outcome::Success);
    world.pass(60.0);
    assert_eq!(world.take_starts(), [""; 0]);
}

#[test]
fn changes_during_a_run_make_exactly_one_further_run_with_the_newest_members() {
    let mut world = World::calm(vec![on_members("a", Some((5, 20)))]);
    world.members(&["b"]);
    world.pass(5.0);
    let first = world.started();
    world.members(&["c"]);
    world.pass(30.0);
    world.members(&["d"]);
    world.pass(30.0);
    assert_eq!(world.take_starts(), [""; 0], "one task never runs twice at once");
    world.finish(&first, Outcome::Success);
    let second = world.started();
    assert!(second.inputs.members.clone().unwrap().get("d").is_some());
    world.finish(&second, Outcome::Success);
    world.pass(60.0);
    assert_eq!(world.take_starts(), [""; 0]);
    assert_eq!(world.events("a").len(), 3);
}

#[test]
fn requests_during_a_run_make_one_further_run() {
    let mut world = World::calm(vec![command("a")]);
    world.request("a").unwrap();
    let first = world.started();
    world.request("a").unwrap();
    world.request("a").unwrap();
    world.finish(&first, Outcome::Success);
    let second = world.started();
    world.finish(&second, Outcome::Success);
    assert_eq!(world.take_starts(), [""; 0]);
}

#[test]
fn a_report_tells_what_runs_and_why() {
    let terraform = Work::Terraform(TerraformWork {
        module: "/modules/net".to_owned(),
        version: String::new(),
        providers: vec!["aws.east".to_owned()],
        variables: std::collections::BTreeMap::new(),
    });
    let mut world = World::calm(vec![command("c"), TaskSpec { work: terraform, ..command("t") }]);
    assert_eq!(world.report("c").source, "./render --all");
    let report = world.report("t");
    assert_eq!((report.source.as_str(), report.providers), ("/modules/net", vec!["aws.east".to_owned()]));
    world.request("c").unwrap();
    let start = world.started();
    assert_eq!(start.run.0.get_version_num(), 4);
    let began = world.wall;
    world.pass(7.0);
    let changes = world.changes;
    world.finish(&start, Outcome::Success);
    assert!(world.changes > changes);
    let event = world.events("c").remove(0);
    assert_eq!((event.id, event.start_time, event.end_time), (start.run.0, began, world.wall));
    assert_eq!((event.success, event.error, event.trigger.as_str()), (true, None, "request"));
}

#[test]
fn whoever_asks_for_a_run_is_told_the_end_of_that_run_and_no_other() {
    let mut world = World::calm(vec![without_retry(command("a"))]);
    let first = world.request("a").unwrap();
    let under_way = world.started();
    let second = world.request("a").unwrap();
    let third = world.request("a").unwrap();
    world.fail(&under_way, "not today");
    assert_eq!(world.served, [(first, Some("not today".to_owned()))]);
    let next = world.started();
    world.finish(&next, Outcome::Interrupted("the lease was away".to_owned()));
    world.pass(2.0);
    let again = world.started();
    world.finish(&again, Outcome::Success);
    assert_eq!(world.served[1..], [(second, None), (third, None)], "an interruption is no end");
}

#[test]
fn whoever_waits_between_two_tries_is_told_the_end_of_all_of_them() {
    let mut world = World::calm(vec![command("a")]);
    let first = world.request("a").unwrap();
    let start = world.started();
    world.fail(&start, "once");
    let second = world.request("a").unwrap();
    let start = world.started();
    assert!(world.served.is_empty());
    world.finish(&start, Outcome::Success);
    assert_eq!(world.served, [(first, None), (second, None)]);
}
