use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::task::consul_data::{CatalogQuery, KvQuery, RegexpQuery, ServiceQuery};
use crate::task::spec::{Condition, Guards, ModuleInput, Retry, TerraformWork, Work};

#[test]
fn services_are_rendered_as_cts_does() {
    let meta = BTreeMap::from([("tier".to_owned(), "front".to_owned())]);
    let services = Services::Names(vec![named("web", &meta), named("api", &BTreeMap::new())]);
    let task = task(Condition::Services { services, use_as_module_input: true }, Vec::new());
    let api = Instance { id: "api-1".to_owned(), name: "api".to_owned(), port: 0, ..Instance::default() };
    let inputs = Inputs::default().with([
        (service("web"), Arc::new(Data::Services(vec![web()]))),
        (service("api"), Arc::new(Data::Services(vec![api]))),
    ]);
    check(
        &task,
        &inputs,
        r#"services = {
  "api-1" = {
    id                    = "api-1"
    name                  = "api"
    kind                  = ""
    address               = ""
    port                  = 0
    meta                  = {}
    tags                  = []
    namespace             = ""
    status                = ""
    node                  = ""
    node_id               = ""
    node_address          = ""
    node_datacenter       = ""
    node_tagged_addresses = {}
    node_meta             = {}
    cts_user_defined_meta = {}
  },
  "web-1.node-a.dc1" = {
    id              = "web-1"
    name            = "web"
    kind            = ""
    address         = "10.0.0.5"
    port            = 8080
    meta            = {}
    tags            = ["a", "b"]
    namespace       = ""
    status          = "passing"
    node            = "node-a"
    node_id         = "5f3c"
    node_address    = "10.0.0.1"
    node_datacenter = "dc1"
    node_tagged_addresses = {
      lan = "10.0.0.1"
    }
    node_meta = {}
    cts_user_defined_meta = {
      tier = "front"
    }
  },
}
"#,
    );
}

#[test]
fn parts_follow_the_condition_then_the_inputs_and_entries_stand_alone() {
    let catalog = CatalogQuery { regexp: "^w".to_owned(), ..CatalogQuery::default() };
    let kv = KvQuery { path: "edge".to_owned(), recurse: true, ..KvQuery::default() };
    let condition = Condition::CatalogServices { catalog: catalog.clone(), use_as_module_input: true };
    let task = task(condition, vec![ModuleInput::ConsulKv(kv.clone())]);
    let names = BTreeMap::from([
        ("w".to_owned(), vec!["b".to_owned(), "a".to_owned()]),
        ("without-tags".to_owned(), Vec::new()),
    ]);
    let pairs = BTreeMap::from([("edge/a".to_owned(), "1".to_owned()), ("edge/long".to_owned(), "two".to_owned())]);
    let inputs = Inputs::default()
        .with([(Query::Catalog(catalog), Arc::new(Data::Catalog(names))), (Query::Kv(kv), Arc::new(Data::Kv(pairs)))]);
    check(
        &task,
        &inputs,
        r#"catalog_services = {
  "w" = ["a", "b"]
  "without-tags" = []
}

consul_kv = {
  "edge/a" = "1"
  "edge/long" = "two"
}

services = {
}
"#,
    );
}

#[test]
fn what_is_watched_only_leaves_nothing_and_needs_no_data() {
    let services = Services::Regexp { query: RegexpQuery::default(), meta: BTreeMap::new() };
    let condition = Condition::Services { services, use_as_module_input: false };
    check(&task(condition, Vec::new()), &Inputs::default(), "services = {\n}\n");
}

#[test]
fn without_an_answer_nothing_is_rendered() {
    let kv = KvQuery { path: "edge".to_owned(), ..KvQuery::default() };
    let task = task(Condition::ConsulKv { kv: kv.clone(), use_as_module_input: true }, Vec::new());
    let error = body(&task, &Inputs::default()).unwrap_err();
    assert!(matches!(&error, WorkspaceError::NoData(query) if **query == Query::Kv(kv.clone())), "{error}");
    let wrong = Inputs::default().with([(Query::Kv(kv.clone()), Arc::new(Data::Services(Vec::new())))]);
    assert!(matches!(body(&task, &wrong), Err(WorkspaceError::WrongData("consul_kv"))));
    let absent = Inputs::default().with([(Query::Kv(kv), Arc::new(Data::Kv(BTreeMap::new())))]);
    check(&task, &absent, "consul_kv = {\n}\n\nservices = {\n}\n");
}

proptest! {
    #[test]
    fn whatever_consul_says_comes_back_as_it_was(
        texts in prop::collection::vec("([${}%\"\\\\\n\r\t\0a=#<EOF/*-]{0,8}|\\PC{0,6})", 6),
        any in any::<String>(),
        port in any::<u16>(),
    ) {
        let text = |index: usize| texts[index].clone();
        let map = BTreeMap::from([(text(0), text(1)), (any.clone(), text(2))]);
        let instance = Instance {
            id: format!("x{}", text(0)),
            name: any.clone(),
            port,
            tags: vec![text(3), any.clone()],
            meta: map.clone(),
            node: text(4),
            node_meta: map.clone(),
            node_tagged_addresses: map.clone(),
            ..Instance::default()
        };
        let catalog = CatalogQuery::default();
        let kv = KvQuery::default();
        let services = Services::Regexp { query: RegexpQuery::default(), meta: map.clone() };
        let condition = Condition::CatalogServices { catalog: catalog.clone(), use_as_module_input: true };
        let task = task(condition, vec![ModuleInput::ConsulKv(kv.clone()), ModuleInput::Services(services.clone())]);
        let names = BTreeMap::from([(any.clone(), vec![text(5), text(3)]), (text(1), Vec::new())]);
        let inputs = Inputs::default().with([
            (Query::Catalog(catalog), Arc::new(Data::Catalog(names.clone()))),
            (Query::Kv(kv), Arc::new(Data::Kv(map.clone()))),
            (services.queries()[0].clone(), Arc::new(Data::Services(vec![instance.clone()]))),
        ]);
        let rendered = body(&task, &inputs).unwrap().to_text();
        let parsed: hcl_edit::structure::Body = rendered.parse().unwrap();
        prop_assert_eq!(parsed.attributes().count(), 3);
        prop_assert_eq!(parsed.blocks().count(), 0);
        let read = |name| -> Value {
            super::super::super::literal::from_expression(&parsed.get_attribute(name).unwrap().value).unwrap()
        };
        let sorted = |tags: &[String]| { let mut tags = tags.to_vec(); tags.sort(); tags };
        prop_assert_eq!(read("consul_kv"), json!(map));
        let names: BTreeMap<_, _> = names.iter().map(|(name, tags)| (name, sorted(tags))).collect();
        prop_assert_eq!(read("catalog_services"), json!(names));
        let found = read("services");
        let found = found.as_object().unwrap();
        prop_assert_eq!(found.len(), 1);
        let found = &found[&instance.key()];
        prop_assert_eq!(&found["id"], &json!(instance.id));
        prop_assert_eq!(&found["name"], &json!(any));
        prop_assert_eq!(&found["port"], &json!(port));
        prop_assert_eq!(&found["tags"], &json!(sorted(&instance.tags)));
        for name in ["meta", "node_meta", "node_tagged_addresses", "cts_user_defined_meta"] {
            prop_assert_eq!(&found[name], &json!(map), "{}", name);
        }
    }
}

fn check(task: &TaskSpec, inputs: &Inputs, expected: &str) {
    assert_eq!(body(task, inputs).unwrap().to_text(), expected);
}

fn named(name: &str, meta: &BTreeMap<String, String>) -> NamedService {
    NamedService { query: ServiceQuery { name: name.to_owned(), ..ServiceQuery::default() }, meta: meta.clone() }
}

fn service(name: &str) -> Query {
    Query::Service(ServiceQuery { name: name.to_owned(), ..ServiceQuery::default() })
}

fn web() -> Instance {
    let text = ToOwned::to_owned;
    Instance {
        id: text("web-1"),
        name: text("web"),
        address: text("10.0.0.5"),
        port: 8080,
        tags: vec![text("b"), text("a")],
        status: text("passing"),
        node: text("node-a"),
        node_id: text("5f3c"),
        node_address: text("10.0.0.1"),
        node_datacenter: text("dc1"),
        node_tagged_addresses: BTreeMap::from([(text("lan"), text("10.0.0.1"))]),
        ..Instance::default()
    }
}

fn task(condition: Condition, inputs: Vec<ModuleInput>) -> TaskSpec {
    let work = TerraformWork {
        module: "/srv/modules/edge".to_owned(),
        version: String::new(),
        providers: Vec::new(),
        variables: BTreeMap::new(),
    };
    TaskSpec {
        name: "edge".to_owned(),
        description: String::new(),
        enabled: true,
        condition,
        inputs,
        work: Work::Terraform(work),
        buffer: None,
        retry: Retry::default(),
        park: None,
        guards: Guards::default(),
        grace: Duration::from_secs(30),
        timeout: None,
        working_dir: "/unused".into(),
        run: crate::task::spec::RunOptions::default(),
    }
}
