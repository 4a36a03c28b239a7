use serde_json::{Value, json};

use super::super::request::Scope;
use super::*;
use crate::task::consul_data::KvQuery;

fn service(entries: &Value) -> Vec<Instance> {
    instances(entries.to_string().as_bytes()).unwrap()
}

fn entry(node: &str, id: &str, checks: &Value) -> Value {
    json!({
        "Node": {"ID": "n-id", "Node": node, "Address": "10.0.0.1", "Datacenter": "dc1",
                 "TaggedAddresses": {"lan": "10.0.0.1"}, "Meta": null},
        "Service": {"ID": id, "Service": "web", "Tags": ["b", "a"], "Address": "", "Meta": null, "Port": 80},
        "Checks": checks,
    })
}

#[test]
fn the_nodes_address_stands_in_and_tags_are_sorted() {
    let found = service(&json!([entry("n1", "web", &json!([]))]));
    let Instance { address, tags, port, status, node_id, node_datacenter, meta, .. } = &found[0];
    assert_eq!((address.as_str(), *port, status.as_str()), ("10.0.0.1", 80, "passing"));
    assert_eq!((node_id.as_str(), node_datacenter.as_str(), meta.len()), ("n-id", "dc1", 0));
    assert_eq!(tags, &["a", "b"]);
    let mut own = entry("n1", "web", &json!([]));
    own["Service"]["Address"] = json!("192.0.2.1");
    assert_eq!(service(&json!([own]))[0].address, "192.0.2.1");
}

#[test]
fn the_worst_check_decides_and_maintenance_before_all() {
    let check = |id: &str, status: &str| json!({"CheckID": id, "Status": status});
    let status = |checks: Value| service(&json!([entry("n", "i", &checks)])).remove(0).status;
    assert_eq!(status(json!([check("a", "passing"), check("b", "warning")])), "warning");
    assert_eq!(status(json!([check("a", "critical"), check("b", "warning")])), "critical");
    assert_eq!(status(json!([check("a", "passing"), check("_node_maintenance", "critical")])), "maintenance");
    assert_eq!(status(json!([check("_service_maintenance:i", "critical")])), "maintenance");
    assert_eq!(status(json!([check("a", "odd"), check("b", "critical")])), "");
    assert_eq!(status(Value::Null), "passing");
}

#[test]
fn instances_are_sorted_and_a_change_that_is_not_shown_changes_the_revision() {
    let check = |output: &str| json!([{"CheckID": "c", "Status": "passing", "Output": output}]);
    let (a, b) = (entry("n2", "a", &check("")), entry("n1", "b", &check("")));
    let found = service(&json!([a, b]));
    assert_eq!(found.iter().map(|it| it.node.as_str()).collect::<Vec<_>>(), ["n1", "n2"]);
    assert_eq!(found, service(&json!([b, a])));
    let other = service(&json!([a, entry("n1", "b", &check("200 OK"))]));
    assert_ne!(found[0].revision, other[0].revision);
    assert_eq!(found[1], other[1]);
}

#[test]
fn an_absent_key_is_empty_and_a_value_that_is_not_text_is_replaced_where_it_is_not() {
    let kv = Endpoint::Kv(KvQuery { path: "a".into(), ..KvQuery::default() });
    assert_eq!(parse(&kv, 404, b""), Ok(Content::Kv(Arc::default())));
    let body = br#"[{"Key":"a","Value":"aP8h"},{"Key":"a/b","Value":null}]"#;
    let expected = [("a", "h\u{fffd}!"), ("a/b", "")].map(|(key, value)| (key.to_owned(), value.to_owned()));
    assert_eq!(parse(&kv, 200, body), Ok(Content::Kv(Arc::new(expected.into()))));
    assert!(parse(&kv, 200, br#"[{"Key":"a","Value":"*"}]"#).unwrap_err().contains("\"a\""));
}

#[test]
fn the_catalog_sorts_tags() {
    let catalog = Endpoint::Catalog { scope: Scope::default(), node_meta: BTreeMap::new() };
    let names =
        BTreeMap::from([("consul".to_owned(), vec![]), ("web".to_owned(), vec!["a".to_owned(), "b".to_owned()])]);
    let found = parse(&catalog, 200, br#"{"web":["b","a"],"consul":null}"#);
    assert_eq!(found, Ok(Content::Catalog(Arc::new(names))));
}

#[test]
fn checks_are_told_apart_by_service() {
    let check = |service: &str, index: u64| {
        json!({"Node": "n", "CheckID": service, "ServiceName": service,
        "Status": "passing", "ModifyIndex": index})
    };
    let of = |list: Value| checks(list.to_string().as_bytes()).unwrap();
    let before = of(json!([check("web", 1), check("db", 1), check("", 1)]));
    let after = of(json!([check("db", 1), check("web", 2), check("", 1)]));
    assert_eq!(before.keys().collect::<Vec<_>>(), ["", "db", "web"]);
    assert_ne!(before["web"], after["web"]);
    assert_eq!((before["db"], before[""]), (after["db"], after[""]));
}

#[test]
fn bad_text_is_refused() {
    let leader = parse(&Endpoint::Leader, 200, b"\"\"");
    assert_eq!(leader, Ok(Content::Leader(false)));
    for body in ["", "{}", "[{}]", "[1]", "[{\"Node\":{},\"Service\":{\"Port\":\"x\"}}]"] {
        assert!(instances(body.as_bytes()).is_err(), "{body}");
    }
}
