//! What Consul says: triggers, first answers, guards, parking.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::*;
use crate::task::consul_data::{CatalogQuery, Data, Instance, KvQuery, Query, ServiceQuery};

fn named(name: &str) -> NamedService {
    let query = ServiceQuery { name: name.to_owned(), ..ServiceQuery::default() };
    NamedService { query, meta: BTreeMap::new() }
}

fn on_services(name: &str, services: &[&str]) -> TaskSpec {
    let services = Services::Names(services.iter().map(|name| named(name)).collect());
    TaskSpec { condition: Condition::Services { services, use_as_module_input: true }, ..command(name) }
}

fn service(name: &str) -> Query {
    Query::Service(named(name).query)
}

fn instances(ids: &[&str]) -> Data {
    Data::Services(ids.iter().map(|id| Instance { id: (*id).to_owned(), ..Instance::default() }).collect())
}

impl World {
    fn data(&mut self, query: &Query, data: Data) {
        self.tasks.handle_data(query, &Arc::new(data), self.now(), self.wall);
        self.drain();
    }

    fn succeed_all(&mut self) {
        while !self.starts.is_empty() {
            let start = self.starts.remove(0);
            self.finish(&start, Outcome::Success);
        }
    }

    /// The run that is under way ends well.
    fn succeed(&mut self) -> Start {
        let start = self.started();
        self.finish(&start, Outcome::Success);
        start
    }
}

#[test]
fn a_take_over_waits_for_the_first_answer_of_every_query() {
    let mut world = World::new(vec![on_services("a", &["web", "db"])]);
    world.lead(1);
    world.data(&service("web"), instances(&["w1"]));
    assert!(world.starts.is_empty(), "db is not known yet");
    let Activity::Waiting(why) = world.report("a").activity else { panic!("it waits") };
    assert_eq!(why, "for Consul's first answer about service \"db\"");
    world.data(&service("db"), instances(&[]));
    let start = world.succeed();
    assert_eq!((start.trigger, start.inputs.data.len()), (Trigger::TakeOver, 2));
    assert!(world.starts.is_empty(), "a first answer is no trigger");
}

#[test]
fn a_change_runs_the_tasks_whose_condition_it_concerns_and_feeds_the_others() {
    let fed = TaskSpec { inputs: vec![ModuleInput::Services(Services::Names(vec![named("web")]))], ..command("fed") };
    let mut world = World::new(vec![on_services("a", &["web"]), on_services("b", &["db"]), fed]);
    world.lead(1);
    world.data(&service("web"), instances(&["w1"]));
    world.data(&service("db"), instances(&["d1"]));
    world.succeed_all();
    world.data(&service("web"), instances(&["w1"]));
    assert!(world.starts.is_empty(), "the same answer is no change");
    world.data(&service("web"), instances(&["w1", "w2"]));
    let start = world.succeed();
    assert_eq!((start.task.as_str(), start.trigger), ("a", Trigger::Services));
    assert_eq!(*start.inputs.data[&service("web")], instances(&["w1", "w2"]));
    assert!(world.starts.is_empty());
    world.tasks.trigger("fed", world.now(), world.wall).unwrap();
    world.drain();
    assert_eq!(*world.started().inputs.data[&service("web")], instances(&["w1", "w2"]), "the newest");
}

#[test]
fn changes_during_a_run_make_one_more_with_the_newest() {
    let mut world = World::new(vec![on_services("a", &["web"])]);
    world.lead(1);
    world.data(&service("web"), instances(&["w1"]));
    let first = world.started();
    world.data(&service("web"), instances(&["w1", "w2"]));
    world.data(&service("web"), instances(&["w3"]));
    assert!(world.starts.is_empty());
    world.finish(&first, Outcome::Success);
    let second = world.succeed();
    assert_eq!(*second.inputs.data[&service("web")], instances(&["w3"]));
    assert!(world.starts.is_empty(), "exactly one");
}

#[test]
fn of_the_catalog_only_names_count_and_of_keys_every_change() {
    let catalog = CatalogQuery { regexp: "web".to_owned(), ..CatalogQuery::default() };
    let kv = KvQuery { path: "a".to_owned(), ..KvQuery::default() };
    let condition = Condition::CatalogServices { catalog: catalog.clone(), use_as_module_input: true };
    let names = TaskSpec { condition, ..command("names") };
    let condition = Condition::ConsulKv { kv: kv.clone(), use_as_module_input: true };
    let keys = TaskSpec { condition, ..command("keys") };
    let (catalog, kv) = (Query::Catalog(catalog), Query::Kv(kv));
    let with = |names: &[(&str, &str)]| {
        Data::Catalog(names.iter().map(|(name, tag)| ((*name).to_owned(), vec![(*tag).to_owned()])).collect())
    };
    let value = |value: &str| Data::Kv(BTreeMap::from([("a".to_owned(), value.to_owned())]));
    let mut world = World::new(vec![names, keys]);
    world.lead(1);
    world.data(&catalog, with(&[("web", "v1")]));
    world.data(&kv, value("1"));
    world.succeed_all();
    world.data(&catalog, with(&[("web", "v2")]));
    assert!(world.starts.is_empty(), "a tag is no trigger");
    world.data(&catalog, with(&[("web", "v2"), ("web-2", "v1")]));
    assert_eq!(world.succeed().trigger, Trigger::CatalogServices);
    world.data(&kv, value("2"));
    assert_eq!(world.succeed().trigger, Trigger::ConsulKv);
    world.data(&kv, Data::Kv(BTreeMap::new()));
    assert_eq!(world.succeed().trigger, Trigger::ConsulKv, "a key that is gone");
}

#[test]
fn the_instances_of_a_new_service_are_in_the_run_that_its_name_triggers() {
    let catalog = CatalogQuery { regexp: "web".to_owned(), ..CatalogQuery::default() };
    let condition = Condition::CatalogServices { catalog: catalog.clone(), use_as_module_input: true };
    let inputs = vec![ModuleInput::Services(Services::Names(vec![named("web")]))];
    let mut world = World::new(vec![TaskSpec { condition, inputs, ..command("a") }]);
    world.lead(1);
    world.data(&Query::Catalog(catalog.clone()), Data::Catalog(BTreeMap::new()));
    world.data(&service("web"), instances(&[]));
    world.succeed();
    world.data(&Query::Catalog(catalog), Data::Catalog(BTreeMap::from([("web".to_owned(), Vec::new())])));
    assert!(world.starts.is_empty());
    world.pass(0.1);
    world.data(&service("web"), instances(&["w1"]));
    world.pass(0.4);
    assert_eq!(*world.succeed().inputs.data[&service("web")], instances(&["w1"]));
    assert!(world.starts.is_empty());
}

#[test]
fn a_tick_without_news_is_a_success_without_a_run() {
    let inputs = vec![ModuleInput::Services(Services::Names(vec![named("web")]))];
    let mut world = World::new(vec![TaskSpec { inputs, ..on_schedule("a", "* * * * *") }]);
    world.lead(1);
    world.data(&service("web"), instances(&["w1"]));
    world.succeed();
    world.pass(60.0);
    assert!(world.starts.is_empty());
    assert_eq!(world.report("a").events.len(), 2, "the tick is an event");
    assert!(world.logs.iter().any(|log| log.text == "scheduled task triggered but had no changes"));
    world.data(&service("web"), instances(&["w2"]));
    assert!(world.starts.is_empty(), "data is no trigger of a timetable");
    world.pass(60.0);
    assert_eq!(world.succeed().trigger, Trigger::Schedule);
}

#[test]
fn a_lost_lease_forgets_the_data_only_when_told() {
    let mut world = World::new(vec![on_services("a", &["web"])]);
    world.lead(1);
    world.data(&service("web"), instances(&["w1"]));
    world.succeed();
    world.lose();
    world.tasks.forget_data();
    world.lead(3);
    assert!(world.starts.is_empty(), "nothing is known until Consul has answered again");
    world.data(&service("web"), instances(&["w1"]));
    assert_eq!(world.succeed().trigger, Trigger::TakeOver);
}

#[test]
fn too_few_instances_are_not_acted_on() {
    let guards = Guards { min_instances: Some(2), max_change_percent: None };
    let mut world = World::new(vec![TaskSpec { guards, ..on_services("a", &["web"]) }]);
    world.lead(1);
    world.data(&service("web"), instances(&["w1", "w2", "w3"]));
    world.succeed();
    world.data(&service("web"), instances(&["w1"]));
    assert!(world.starts.is_empty());
    let Activity::Waiting(why) = world.report("a").activity else { panic!("it is held") };
    assert!(why.starts_with("guard: only 1 instances are there and min_instances is 2"), "{why}");
    world.data(&service("web"), instances(&["w1", "w4"]));
    world.succeed();
    world.data(&service("web"), instances(&[]));
    world.tasks.trigger("a", world.now(), world.wall).unwrap();
    world.drain();
    assert_eq!(world.succeed().trigger, Trigger::Services, "an operator overrules the guard");
}

#[test]
fn too_large_a_loss_is_not_acted_on_also_by_the_next_leader() {
    let guards = Guards { min_instances: None, max_change_percent: Some(50) };
    let spec = TaskSpec { guards, ..on_services("a", &["web"]) };
    let mut world = World::new(vec![spec.clone()]);
    world.lead(1);
    world.data(&service("web"), instances(&["w1", "w2", "w3", "w4"]));
    world.succeed();
    world.data(&service("web"), instances(&["w1", "w2", "new"]));
    world.succeed();
    let kept = world.tasks.kept("a").unwrap().clone();
    let mut next = World::new(vec![spec]);
    next.tasks.restore(BTreeMap::from([("a".to_owned(), kept)]), &BTreeSet::default());
    next.lead(2);
    next.data(&service("web"), instances(&["w2", "other", "one", "more"]));
    assert!(next.starts.is_empty(), "two of three are gone");
    next.data(&service("web"), instances(&["w2", "w1"]));
    next.succeed();
}

#[test]
fn a_task_that_keeps_failing_is_parked_for_longer_each_time() {
    let park = Park { after: 2, base: Duration::from_mins(1), cap: Duration::from_secs(90) };
    let mut world = World::new(vec![without_retry(TaskSpec { park: Some(park), ..on_services("a", &["web"]) })]);
    world.lead(1);
    world.data(&service("web"), instances(&["0"]));
    let fail = |world: &mut World, id: &str| {
        let start = world.started();
        world.finish(&start, Outcome::Failure("no".to_owned()));
        world.data(&service("web"), instances(&[id]));
    };
    fail(&mut world, "1");
    fail(&mut world, "2");
    assert!(world.starts.is_empty(), "parked");
    assert!(matches!(world.report("a").activity, Activity::Held { until: Some(_), .. }));
    world.pass(59.0);
    assert!(world.starts.is_empty());
    world.pass(1.0);
    fail(&mut world, "3");
    world.pass(89.0);
    assert!(world.starts.is_empty(), "for longer");
    world.pass(1.0);
    let start = world.started();
    world.finish(&start, Outcome::Success);
    world.data(&service("web"), instances(&["4"]));
    world.succeed();
}

#[test]
fn a_reload_runs_what_it_changed() {
    let mut world = World::calm(vec![command("a"), command("b")]);
    world.tasks.handle_reload(&["a".to_owned()], world.now(), world.wall);
    world.drain();
    let start = world.succeed();
    assert_eq!((start.task.as_str(), start.trigger), ("a", Trigger::Reload));
    assert!(world.starts.is_empty());
}
