//! Runs that are ended before their own end.

use super::super::report::{CutShort, Status};
use super::*;

const BY: &str = "cancelled by somebody";

impl World {
    fn cancel(&mut self, task: &str) -> Result<Cancelling, TaskError> {
        let answer = self.tasks.cancel(task, BY, self.now(), self.wall);
        self.drain();
        answer
    }
}

#[test]
fn a_cancelled_run_is_an_event_and_is_not_tried_again() {
    let mut world = World::calm(vec![command("a")]);
    world.request("a").unwrap();
    let start = world.started();
    let cancelling = world.cancel("a").unwrap();
    assert!(cancelling.started && cancelling.queued.is_none() && !cancelling.promised);
    assert_eq!(cancelling.event.id, start.run.0);
    assert!(matches!(world.activity("a"), Activity::Running(_)), "until its process has ended");
    assert_eq!(world.report("a").run.unwrap().cancelled_by.as_deref(), Some(BY));
    assert_eq!(world.cancel("a").unwrap().event.id, start.run.0, "asking again is no mistake");
    world.finish(&start, Outcome::Cancelled(BY.to_owned()));
    world.pass(60.0);
    assert_eq!(world.take_starts(), [""; 0]);
    let event = world.events("a").remove(0);
    assert_eq!((event.outcome(), event.error.as_deref()), ("cancelled", Some(BY)));
    assert_eq!(world.report("a").status, Status::Errored);
    assert_eq!(world.served.pop(), Some((1, Some(BY.to_owned()))), "who waited for it is told");
}

#[test]
fn whatever_a_cancelled_run_ends_with_it_is_cancelled_unless_it_went_well() {
    for (outcome, expected, error) in [
        (
            Outcome::Failure("exit code 1".to_owned()),
            "cancelled",
            Some("cancelled by somebody; it had failed: exit code 1"),
        ),
        (Outcome::Interrupted("the lease".to_owned()), "cancelled", Some(BY)),
        (Outcome::TimedOut("late".to_owned()), "cancelled", Some(BY)),
        (Outcome::Success, "success", None),
    ] {
        let mut world = World::calm(vec![command("a")]);
        world.request("a").unwrap();
        let start = world.started();
        world.cancel("a").unwrap();
        world.finish(&start, outcome);
        world.pass(60.0);
        assert_eq!(world.take_starts(), [""; 0]);
        let event = world.events("a").remove(0);
        assert_eq!((event.outcome(), event.error.as_deref()), (expected, error));
    }
}

#[test]
fn what_was_triggered_behind_a_cancelled_run_runs() {
    let mut world = World::calm(vec![on_members("a", None)]);
    world.members(&["a", "b"]);
    let first = world.started();
    world.members(&["a", "c"]);
    let cancelling = world.cancel("a").unwrap();
    assert_eq!((cancelling.queued, cancelling.promised), (Some(Trigger::Members), false));
    world.request("a").unwrap();
    assert!(world.cancel("a").unwrap().promised);
    world.finish(&first, Outcome::Cancelled(BY.to_owned()));
    let second = world.started();
    assert_ne!(second.run, first.run);
}

#[test]
fn between_two_tries_the_run_ends_at_once() {
    let mut world = World::calm(vec![command("a")]);
    world.request("a").unwrap();
    let start = world.started();
    world.fail(&start, "one");
    assert!(!world.cancel("a").unwrap().started);
    assert_eq!(world.events("a")[0].outcome(), "cancelled");
    world.pass(60.0);
    assert_eq!(world.take_starts(), [""; 0]);
}

#[test]
fn where_nothing_runs_there_is_nothing_to_cancel() {
    let mut world = World::calm(vec![command("a"), on_members("b", Some((5, 20)))]);
    assert_eq!(world.cancel("none"), Err(TaskError::Unknown("none".to_owned())));
    let text = |error: TaskError| error.to_string();
    assert_eq!(world.cancel("a").map_err(text), Err("task 'a' is not running: there is nothing to cancel".to_owned()));
    world.members(&["x"]);
    assert!(world.cancel("b").map_err(text).unwrap_err().ends_with("(its trigger is in the buffer period)"));
    world.lose();
    assert_eq!(world.cancel("a"), Err(TaskError::NotLeading));
}

#[test]
fn a_run_that_took_too_long_is_not_tried_again() {
    let mut world = World::calm(vec![command("a")]);
    world.request("a").unwrap();
    let start = world.started();
    world.finish(&start, Outcome::TimedOut("timed out".to_owned()));
    world.pass(60.0);
    assert_eq!(world.take_starts(), [""; 0]);
    let event = world.events("a").remove(0);
    assert_eq!((event.cut_short, event.error.as_deref()), (Some(CutShort::TimedOut), Some("timed out")));
}

#[test]
fn cancelled_runs_do_not_park_a_task_and_late_ones_do() {
    let park = Park { after: 2, base: Duration::from_mins(1), cap: Duration::from_hours(1) };
    for (outcome, parked) in [(Outcome::Cancelled(BY.to_owned()), false), (Outcome::TimedOut("late".to_owned()), true)]
    {
        let mut world = World::calm(vec![TaskSpec { park: Some(park), ..on_members("a", None) }]);
        for member in ["x", "y"] {
            world.members(&[member]);
            let start = world.started();
            world.finish(&start, outcome.clone());
        }
        world.members(&["z"]);
        assert_eq!(world.starts.is_empty(), parked, "{outcome:?}");
    }
}

/// The next leader, which knows of a run that was cancelled and of nothing else.
fn next_leader(spec: TaskSpec, cancelling: &Cancelling, before: &[&str], after: &[&str]) -> World {
    let mut next = World::new(vec![spec]);
    next.members(before);
    next.members(after);
    let cancelled = CancelledRun {
        event: cancelling.event.clone(),
        watched: cancelling.watched,
        queued: cancelling.queued.is_some(),
    };
    let kept = Kept { cancelled: Some(cancelled), ..Kept::default() };
    next.tasks.restore([("a".to_owned(), kept)].into(), &BTreeSet::new());
    next.lead(2);
    next
}

#[test]
fn a_take_over_does_not_start_a_cancelled_run_again_and_makes_its_event() {
    let mut world = World::calm(vec![command("a")]);
    world.request("a").unwrap();
    let cancelling = world.cancel("a").unwrap();
    let mut next = next_leader(command("a"), &cancelling, &["a"], &["b"]);
    next.pass(60.0);
    assert_eq!(next.take_starts(), [""; 0]);
    assert!(next.logged("not run at the take-over: its newest run was cancelled by somebody"));
    assert_eq!(next.events("a"), std::slice::from_ref(&cancelling.event));
    assert!(next.changes > 0 && matches!(next.activity("a"), Activity::Idle));
    // Nor does the one after that, which has the event.
    let kept = next.tasks.kept("a").cloned().unwrap();
    next.lose();
    next.tasks.restore([("a".to_owned(), kept)].into(), &BTreeSet::new());
    next.lead(3);
    assert_eq!((next.take_starts(), next.events("a").len()), (Vec::new(), 1));
    // It runs when somebody wants it to.
    next.request("a").unwrap();
    assert_eq!(next.take_starts(), ["a request 0"]);
}

#[test]
fn a_take_over_runs_what_was_triggered_after_the_cancelled_run_began() {
    let mut world = World::calm(vec![on_members("a", None)]);
    world.members(&["x"]);
    world.started();
    let cancelling = world.cancel("a").unwrap();
    let runs = |cancelling: &Cancelling, members: &[&str]| {
        next_leader(on_members("a", None), cancelling, &["x"], members).take_starts()
    };
    assert_eq!(runs(&cancelling, &["x"]), [""; 0]);
    assert_eq!(runs(&cancelling, &["y"]), ["a take-over 0"], "the members have changed since");
    let queued = Cancelling { queued: Some(Trigger::Members), ..cancelling };
    assert_eq!(runs(&queued, &["x"]), ["a take-over 0"], "a trigger was queued behind it");
}

#[test]
fn a_task_that_is_disabled_while_it_runs_comes_to_its_end_and_starts_nothing_more() {
    let mut world = World::calm(vec![on_members("a", None)]);
    world.members(&["x"]);
    let start = world.started();
    world.members(&["y"]);
    world.enable("a", false).unwrap();
    assert!(!world.report("a").enabled && world.report("a").run.is_some());
    world.fail(&start, "no");
    world.pass(60.0);
    assert_eq!(world.take_starts(), [""; 0], "neither the queued trigger nor another try");
    assert_eq!((world.events("a")[0].outcome(), world.activity("a")), ("failure", Activity::Idle));
}
