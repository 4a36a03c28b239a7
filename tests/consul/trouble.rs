//! Consul goes away, comes back, and forgets.

use std::time::Duration;

use quorate::task::consul_data::Data;

use super::agent::Consul;
use super::watcher::TestWatcher;
use super::{key, regexp, service};

#[tokio::test(flavor = "multi_thread")]
async fn after_an_outage_all_is_caught_up_and_nothing_was_ever_empty() {
    let mut consul = Consul::start();
    consul.register("a", "web", "passing");
    consul.put_key("k", "1");
    let (web, found, k) = (service("web"), regexp("^web$"), key("k", false));
    let mut watcher = TestWatcher::start(&consul.settings(), &[web.clone(), found.clone(), k.clone()]).await;
    watcher.until("first answers", |it| it.last.len() == 3).await;
    consul.stop();
    let has_failed = |it: &TestWatcher, query| it.failures.iter().any(|(failed, _)| failed == query);
    watcher.until("failures", |it| [&web, &found, &k].into_iter().all(|query| has_failed(it, query))).await;
    while watcher.inner.health().faults.len() < 3 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    consul.start_again(false);
    consul.register("b", "web", "passing");
    consul.put_key("k", "2");
    watcher.until_pairs(&k, &[("k", "2")]).await;
    watcher.until_instances(&web, &["a/web", "b/web"]).await;
    watcher.until_instances(&found, &["a/web", "b/web"]).await;
    let is_empty = |data: &Data| matches!(data, Data::Services(all) if all.is_empty());
    assert!(watcher.told.iter().all(|(_, data)| !is_empty(data)), "{:?}", watcher.told);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consul_that_came_back_without_data_is_followed_again() {
    let mut consul = Consul::start();
    for n in 0..20 {
        // Its index shall be far beyond that of the new one.
        consul.put_key("k", &n.to_string());
    }
    consul.register("a", "web", "passing");
    let (web, k) = (service("web"), key("k", false));
    let mut watcher = TestWatcher::start(&consul.settings(), &[web.clone(), k.clone()]).await;
    watcher.until("first answers", |it| it.last.len() == 2).await;
    consul.stop();
    consul.start_again(true);
    consul.register("b", "web", "passing");
    watcher.until_instances(&web, &["b/web"]).await;
    watcher.until_pairs(&k, &[]).await;
    consul.put_key("k", "new");
    watcher.until_pairs(&k, &[("k", "new")]).await;
}
