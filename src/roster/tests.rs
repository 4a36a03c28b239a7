use super::*;
use crate::task::spec::{Condition, Guards, Retry, Work};
use std::time::Duration;

fn task(name: &str, argument: &str) -> TaskSpec {
    TaskSpec {
        name: name.to_owned(),
        description: String::new(),
        enabled: true,
        condition: Condition::None,
        inputs: Vec::new(),
        work: Work::Command { argv: vec!["render".to_owned(), argument.to_owned()] },
        buffer: None,
        retry: Retry::default(),
        park: None,
        guards: Guards::default(),
        grace: Duration::from_secs(10),
        timeout: None,
        working_dir: format!("/work/{name}").into(),
        run: crate::task::spec::RunOptions::default(),
    }
}

fn names(roster: &Roster) -> Vec<String> {
    roster.tasks().into_iter().map(|task| task.name).collect()
}

/// A leader with these files, its records written.
fn leader(files: &[TaskSpec]) -> Roster {
    let mut roster = Roster::new(files.to_vec(), BTreeMap::new());
    roster.adopt();
    roster
}

/// The next leader: the same records, its own files.
fn successor(of: &Roster, files: &[TaskSpec]) -> Roster {
    let mut roster = Roster::new(files.to_vec(), of.records().clone());
    roster.adopt();
    roster
}

fn change(roster: &mut Roster, write: Result<Write, RosterError>) {
    roster.apply(write.unwrap());
}

#[test]
fn the_files_come_first_and_made_tasks_follow_in_their_order() {
    let mut roster = leader(&[task("z", "1"), task("b", "1")]);
    for name in ["y", "a"] {
        let write = roster.create(task(name, "1"));
        change(&mut roster, write);
    }
    assert_eq!(names(&roster), ["z", "b", "y", "a"]);
    assert_eq!(names(&successor(&roster, &[task("z", "1"), task("b", "1")])), ["z", "b", "y", "a"]);
}

#[test]
fn a_name_is_taken_once_whatever_its_case() {
    let roster = leader(&[task("edge", "1")]);
    assert_eq!(roster.create(task("Edge", "1")), Err(RosterError::Exists("Edge".to_owned())));
}

#[test]
fn adopting_twice_writes_once() {
    let mut roster = Roster::new(vec![task("a", "1")], BTreeMap::new());
    assert_eq!(roster.adopt().len(), 1);
    assert!(roster.adopt().is_empty());
}

#[test]
fn a_flag_survives_a_take_over_and_a_change_of_anything_else() {
    let mut roster = leader(&[task("a", "1")]);
    let write = roster.set_enabled("a", false, 1);
    change(&mut roster, write);
    assert!(!roster.tasks()[0].enabled);
    assert!(!successor(&roster, &[task("a", "1")]).tasks()[0].enabled);
    assert!(!successor(&roster, &[task("a", "2")]).tasks()[0].enabled);
    let (difference, _) = roster.reload(vec![task("a", "2")]);
    assert_eq!(difference.changed, ["a"]);
    assert!(!roster.tasks()[0].enabled);
}

#[test]
fn a_file_that_says_another_flag_ends_the_one_set_at_run_time() {
    let mut roster = leader(&[TaskSpec { enabled: false, ..task("a", "1") }]);
    let write = roster.set_enabled("a", true, 1);
    change(&mut roster, write);
    assert!(roster.tasks()[0].enabled);
    roster.reload(vec![task("a", "1")]);
    roster.reload(vec![TaskSpec { enabled: false, ..task("a", "1") }]);
    assert!(!roster.tasks()[0].enabled);
}

#[test]
fn a_task_of_the_files_that_was_deleted_stays_deleted_until_it_is_defined_differently() {
    let mut roster = leader(&[task("a", "1"), task("b", "1")]);
    let write = roster.delete("a");
    change(&mut roster, write);
    assert_eq!(names(&roster), ["b"]);
    assert_eq!(names(&successor(&roster, &[task("a", "1"), task("b", "1")])), ["b"]);
    assert_eq!(names(&successor(&roster, &[task("a", "differs there"), task("b", "1")])), ["b"]);
    let (difference, writes) = roster.reload(vec![task("a", "1"), task("b", "1")]);
    assert!(difference.is_empty() && writes.is_empty());
    assert_eq!(difference.still_deleted, ["a"]);
    let (difference, _) = roster.reload(vec![task("a", "2"), task("b", "1")]);
    assert_eq!(difference.added, ["a"]);
    assert_eq!(names(&roster), ["a", "b"]);
}

#[test]
fn a_made_task_that_is_deleted_leaves_nothing() {
    let mut roster = leader(&[]);
    let write = roster.create(task("a", "1"));
    change(&mut roster, write);
    let write = roster.delete("a");
    change(&mut roster, write);
    assert!(roster.records().is_empty() && names(&roster).is_empty());
    assert_eq!(roster.delete("a"), Err(RosterError::Unknown("a".to_owned())));
    assert!(roster.create(task("a", "1")).is_ok(), "the name is free again");
}

#[test]
fn a_made_task_in_place_of_a_deleted_one_stands_until_the_files_change() {
    let mut roster = leader(&[task("a", "1")]);
    for write in [Roster::delete, |roster: &Roster, name: &str| roster.create(task(name, "mine"))] {
        let write = write(&roster, "a");
        change(&mut roster, write);
    }
    let argument = |roster: &Roster| roster.tasks()[0].work.clone();
    assert_eq!(argument(&roster), task("a", "mine").work);
    assert_eq!(argument(&successor(&roster, &[task("a", "1")])), task("a", "mine").work);
    roster.reload(vec![task("a", "2")]);
    assert_eq!(argument(&roster), task("a", "2").work);
}

#[test]
fn a_reload_says_what_changed() {
    let mut roster = leader(&[task("same", "1"), task("other", "1"), task("gone", "1")]);
    let (difference, writes) = roster.reload(vec![task("same", "1"), task("other", "2"), task("new", "1")]);
    assert_eq!(difference.added, ["new"]);
    assert_eq!(difference.changed, ["other"]);
    assert_eq!(difference.removed, ["gone"]);
    let written: Vec<_> = writes.iter().map(|w| (w.task.as_str(), w.record.is_some())).collect();
    assert_eq!(written, [("other", true), ("new", true), ("gone", false)]);
}

#[test]
fn files_that_differ_are_named_and_the_leaders_count() {
    let first = leader(&[task("same", "1"), task("other", "1"), task("first", "1")]);
    let files = [task("same", "1"), task("other", "2"), task("second", "1")];
    let follower = Roster::new(files.to_vec(), first.records().clone());
    let expected = [("first", Differs::MissingHere), ("other", Differs::Changed), ("second", Differs::OnlyHere)];
    let found = follower.differences();
    assert_eq!(found.iter().map(|(name, d)| (name.as_str(), *d)).collect::<Vec<_>>(), expected);
    let second = successor(&first, &files);
    assert_eq!(names(&second), ["same", "other", "second"]);
    assert_eq!(names(&successor(&second, &[task("first", "1")])), ["first"], "its flag and events were not lost");
}

#[test]
fn another_working_directory_by_name_is_the_same_definition() {
    let here = task("a", "1");
    let there = TaskSpec { working_dir: "/elsewhere/a".into(), ..here.clone() };
    assert_eq!(hash(&here), hash(&there));
    assert_ne!(hash(&here), hash(&TaskSpec { working_dir: "/elsewhere/x".into(), ..here }));
}

#[test]
fn records_are_read_back_as_they_were_written() {
    let mut roster = leader(&[task("a", "1")]);
    let write = roster.create(task("b", "1"));
    change(&mut roster, write);
    for record in roster.records().values() {
        let text = serde_json::to_vec(record).unwrap();
        assert_eq!(&serde_json::from_slice::<Record>(&text).unwrap(), record);
    }
}
