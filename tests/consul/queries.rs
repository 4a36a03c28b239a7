//! Every kind of query follows its changes.

use quorate::task::consul_data::{CatalogQuery, Data, Query, ServiceQuery};
use serde_json::json;

use super::agent::Consul;
use super::watcher::TestWatcher;
use super::{key, regexp, service};

#[tokio::test(flavor = "multi_thread")]
async fn services_by_name_and_by_regexp_follow_health() {
    let consul = Consul::start();
    consul.register("a", "web", "passing");
    consul.register("b", "web", "critical");
    let filter = "Checks.Status != \"\"".to_owned();
    let all = Query::Service(ServiceQuery { name: "web".to_owned(), filter, ..ServiceQuery::default() });
    let found = regexp("^we");
    let mut alone = TestWatcher::start(&consul.settings(), &[service("web")]).await;
    let mut watcher = TestWatcher::start(&consul.settings(), &[all.clone(), found.clone()]).await;
    alone.until_instances(&service("web"), &["a/web"]).await;
    watcher.until_instances(&found, &["a/web"]).await;
    watcher.until_instances(&all, &["a/web", "b/web"]).await;
    assert_eq!(watcher.instances(&all).unwrap()[1].status, "critical");
    consul.register("b", "web", "passing");
    alone.until_instances(&service("web"), &["a/web", "b/web"]).await;
    watcher.until_instances(&found, &["a/web", "b/web"]).await;
    consul.register("a", "web", "critical");
    alone.until_instances(&service("web"), &["b/web"]).await;
    watcher.until_instances(&found, &["b/web"]).await;
    consul.register("c", "wet", "passing");
    watcher.until_instances(&found, &["b/web", "c/wet"]).await;
    for node in ["a", "b", "c"] {
        consul.deregister(node);
    }
    alone.until_instances(&service("web"), &[]).await;
    watcher.until_instances(&found, &[]).await;
    watcher.until_instances(&all, &[]).await;
    assert!(alone.failures.is_empty() && watcher.failures.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_catalog_and_keys_are_followed() {
    let consul = Consul::start();
    let catalog = Query::Catalog(CatalogQuery { regexp: "^web".to_owned(), ..CatalogQuery::default() });
    let (one, prefix) = (key("a b", false), key("a", true));
    let mut watcher = TestWatcher::start(&consul.settings(), &[catalog.clone(), one.clone(), prefix.clone()]).await;
    watcher.until("first answers", |it| it.last.len() == 3).await;
    consul.put_key("a%20b", "1");
    watcher.until_pairs(&one, &[("a b", "1")]).await;
    consul.put_key("a/c", "${x}\"");
    watcher.until_pairs(&prefix, &[("a b", "1"), ("a/c", "${x}\"")]).await;
    consul.put_key("a%20b", "2");
    watcher.until_pairs(&one, &[("a b", "2")]).await;
    consul.delete_key("a%20b");
    watcher.until_pairs(&one, &[]).await;
    watcher.until_pairs(&prefix, &[("a/c", "${x}\"")]).await;
    consul.put(
        "catalog/register",
        &json!({"Node": "n", "Address": "10.0.0.1", "Service": {"Service": "web", "Tags": ["b", "a"]}}),
    );
    let expected = Data::Catalog([("web".to_owned(), vec!["a".to_owned(), "b".to_owned()])].into());
    watcher.until("the service", |it| *it.last[&catalog] == expected).await;
    assert_eq!(watcher.inner.fetch_once(&catalog).await, Ok(expected));
    assert_eq!(watcher.inner.kv_get("/a/c").await, Ok(Some("${x}\"".to_owned())));
    assert_eq!(watcher.inner.kv_get("absent").await, Ok(None));
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_that_cannot_be_answered_are_refused_in_consuls_words() {
    let consul = Consul::start();
    let of = |datacenter: &str, namespace: &str, filter: &str| {
        let [datacenter, namespace, filter] = [datacenter, namespace, filter].map(ToOwned::to_owned);
        Query::Service(ServiceQuery { name: "web".to_owned(), datacenter, namespace, filter })
    };
    let cases = [
        (of("nowhere", "", ""), "Unexpected response code: 500 (No path to datacenter)"),
        (of("", "team", ""), "Invalid query parameter"),
        (of("", "", "Foo == 1"), "Selector"),
    ];
    let queries: Vec<_> = cases.iter().map(|(query, _)| query.clone()).collect();
    let mut watcher = TestWatcher::start(&consul.settings(), &queries).await;
    watcher.until("all failures", |it| it.failures.len() >= cases.len()).await;
    for (query, text) in &cases {
        let (_, told) = watcher.failures.iter().find(|(failed, _)| failed == query).unwrap();
        assert!(told.to_string().contains(text), "{told}");
        let once = watcher.inner.fetch_once(query).await.unwrap_err();
        assert!(once.to_string().contains(text), "{once}");
        assert!(watcher.inner.health().faults.contains_key(query));
    }
}
