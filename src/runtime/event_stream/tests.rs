use std::time::Duration;

use uuid::Uuid;

use super::*;
use crate::cluster::View;
use crate::runtime::plans::{self, Decision};
use crate::task::report::{Activity, Status};

fn id(name: &str) -> MemberId {
    MemberId::new(name).unwrap()
}

fn cluster(epoch: u64, members: &[(&str, MemberState)]) -> ClusterSnapshot {
    let view = View { leader: Some(id("a1")), ..View::sample(epoch, members) };
    ClusterSnapshot {
        view,
        since: BTreeMap::new(),
        leader_since: None,
        leader_why: "lowest id alive".to_owned(),
        leaderships: Arc::default(),
        high_availability: true,
        state_at_rest: None,
        leading: true,
    }
}

fn event(run: u128, epoch: u64) -> RunEvent {
    RunEvent {
        id: Uuid::from_u128(run),
        success: true,
        start_time: DateTime::UNIX_EPOCH.into(),
        end_time: (DateTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(run).unwrap())).into(),
        error: None,
        epoch,
        trigger: "schedule".to_owned(),
        cut_short: None,
        asked_by: None,
    }
}

fn run(run: u128, cancelled_by: Option<&str>) -> ActiveRun {
    ActiveRun {
        id: Uuid::from_u128(run),
        start_time: DateTime::UNIX_EPOCH.into(),
        trigger: "schedule".to_owned(),
        cancelled_by: cancelled_by.map(str::to_owned),
    }
}

/// One task with these events, newest first.
fn tasks(events: &[RunEvent], run: Option<ActiveRun>) -> TasksSnapshot {
    let report = TaskReport {
        name: "web".to_owned(),
        enabled: true,
        status: Status::Unknown,
        events: events.to_vec(),
        activity: Activity::Idle,
        source: String::new(),
        providers: Vec::new(),
        next_run: None,
        progress: None,
        deleted: false,
        run,
        grace: Duration::ZERO,
        timeout: None,
        drift: None,
    };
    TasksSnapshot { leading: true, tasks: vec![Arc::new(report)], ..TasksSnapshot::default() }
}

const TWO: &[(&str, MemberState)] = &[("a1", MemberState::Alive), ("a2", MemberState::Alive)];

fn see(feed: &EventStream, cluster: &ClusterSnapshot, tasks: &TasksSnapshot) {
    feed.observe(cluster, tasks, DateTime::UNIX_EPOCH);
}

fn told(feed: &EventStream, after: Option<(u64, u64)>) -> Vec<String> {
    let batch = feed.after(after, 1000).unwrap();
    assert!(!batch.gap);
    let words = |entry: &Entry| match &entry.happened {
        Happened::Leads { leader, .. } => format!("{leader} leads"),
        Happened::Member { id, state, .. } => format!("{id} {}", state.map_or("gone", MemberState::as_str)),
        Happened::Started { run, .. } => format!("started {}", run.id.as_u128()),
        Happened::Cancelled { run, .. } => format!("cancelled {}", run.id.as_u128()),
        Happened::Ended { event, .. } => format!("ended {}", event.id.as_u128()),
        Happened::Drift { state, .. } => format!("drift {}", state.found.as_ref().map_or("gone", |found| &found.text)),
        Happened::Plan { what, plan, .. } => format!("plan {} {}", plan.id.as_u128(), what.as_str()),
    };
    batch.entries.iter().map(words).collect()
}

#[test]
fn what_happens_is_told_in_order_and_once() {
    let feed = EventStream::default();
    assert_eq!(feed.after(None, 9), None);
    see(&feed, &cluster(7, TWO), &tasks(&[], None));
    assert_eq!(told(&feed, Some((7, 0))), ["a1 leads"]);
    see(&feed, &cluster(7, TWO), &tasks(&[], Some(run(1, None))));
    see(&feed, &cluster(7, TWO), &tasks(&[], Some(run(1, Some("somebody")))));
    let down = [("a1", MemberState::Alive), ("a2", MemberState::Down)];
    see(&feed, &cluster(7, &down), &tasks(&[event(1, 7)], Some(run(2, None))));
    see(&feed, &cluster(7, &down[..1]), &tasks(&[event(3, 7), event(2, 7), event(1, 7)], None));
    let rest = ["started 1", "cancelled 1", "a2 down", "ended 1", "started 2", "a2 gone", "ended 2", "ended 3"];
    assert_eq!(told(&feed, Some((7, 1))), rest);
    assert_eq!(told(&feed, None), Vec::<String>::new());
    assert_eq!(feed.after(None, 9).unwrap().upto, 9);
    assert_eq!(feed.after(Some((7, 2)), 2).unwrap().upto, 4);
}

#[test]
fn what_becomes_of_a_plan_is_told_and_one_that_waits_again_by_a_new_leader() {
    let feed = EventStream::default();
    let decided = |plan: &PlanShown, approved| {
        let decision = Decision { plan: plan.id, approved, by: "b".to_owned(), at: 9 };
        PlanShown { decision: Some(decision), ..plan.clone() }
    };
    let with = |plan: Option<PlanShown>| TasksSnapshot {
        plans: plan.map(|plan| ("web".to_owned(), Arc::new(plan))).into_iter().collect(),
        ..tasks(&[], None)
    };
    let first = plans::sample(1).shown(None);
    see(&feed, &cluster(7, TWO), &with(Some(first.clone())));
    see(&feed, &cluster(7, TWO), &with(Some(first.clone())));
    see(&feed, &cluster(7, TWO), &with(Some(decided(&first, true))));
    see(&feed, &cluster(7, TWO), &with(None));
    let second = plans::sample(2).shown(None);
    see(&feed, &cluster(7, TWO), &with(Some(decided(&second, false))));
    let rest = ["a1 leads", "plan 1 waits", "plan 1 approved", "plan 1 gone", "plan 2 rejected"];
    assert_eq!(told(&feed, Some((7, 0))), rest);
    see(&feed, &cluster(9, TWO), &with(Some(plans::sample(3).shown(None))));
    assert_eq!(told(&feed, Some((7, 44))), ["a1 leads", "plan 3 waits"]);
}

#[test]
fn a_new_leader_tells_the_ends_of_the_epoch_before_again() {
    let feed = EventStream::default();
    see(&feed, &cluster(9, TWO), &tasks(&[event(5, 7), event(4, 7), event(1, 3)], Some(run(6, None))));
    assert_eq!(told(&feed, Some((7, 44))), ["ended 4", "ended 5", "a1 leads", "started 6"]);
    assert_eq!(told(&feed, Some((9, 2))), ["a1 leads", "started 6"]);
}

#[test]
fn a_new_leader_tells_which_members_are_not_well() {
    let feed = EventStream::default();
    let members = [("a1", MemberState::Alive), ("a2", MemberState::Down), ("a3", MemberState::Alive)];
    see(&feed, &cluster(9, &members), &tasks(&[], None));
    assert_eq!(told(&feed, Some((8, 3))), ["a1 leads", "a2 down"]);
}

#[test]
fn who_may_have_missed_the_end_of_a_run_is_told_so() {
    let after = |feed: &EventStream, of: u64, number: u64| feed.after(Some((of, number)), 99).unwrap().gap;
    let feed = EventStream::default();
    see(&feed, &cluster(9, TWO), &tasks(&[event(5, 7), event(4, 7)], None));
    assert!(!after(&feed, 7, 3) && !after(&feed, 8, 1), "all that ended under epoch 7 is here");
    assert!(after(&feed, 5, 3), "something may have ended between");
    assert!(after(&feed, 9, 400) && !after(&feed, 9, 1), "no such number was told");
    // As many as a task is shown with: there may have been more.
    let feed = EventStream::default();
    let many: Vec<RunEvent> = (1..=5).rev().map(|run| event(run, 7)).collect();
    see(&feed, &cluster(9, TWO), &tasks(&many, None));
    assert!(after(&feed, 7, 3) && !after(&feed, 8, 3));
}

#[test]
fn a_lease_that_is_away_for_a_moment_does_not_change_the_numbers() {
    let feed = EventStream::default();
    see(&feed, &cluster(7, TWO), &tasks(&[], None));
    see(&feed, &ClusterSnapshot { leading: false, ..cluster(7, TWO) }, &TasksSnapshot::default());
    assert_eq!(feed.after(Some((7, 0)), 9), None);
    see(&feed, &cluster(7, TWO), &tasks(&[event(1, 7)], None));
    assert_eq!(told(&feed, Some((7, 1))), ["ended 1"]);
}

#[test]
fn who_was_away_for_too_long_is_told_so() {
    let feed = EventStream::default();
    see(&feed, &cluster(7, TWO), &tasks(&[], None));
    for n in 0..2_500 {
        see(&feed, &cluster(7, TWO), &tasks(&[event(n, 7)], None));
    }
    let batch = feed.after(Some((7, 5)), 10).unwrap();
    assert!(batch.gap && batch.entries.len() == 10);
    assert!(!feed.after(Some((7, batch.upto)), 10).unwrap().gap);
}
