//! Many services over few connections, and no change that goes unnoticed.

use quorate::task::consul_data::{Query, ServiceQuery};
use serde_json::json;

use super::agent::Consul;
use super::service;
use super::watcher::TestWatcher;

/// Connections of this process's machine to a port.
fn connections(port: u16) -> usize {
    let remote = format!("0100007F:{port:04X}");
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let rows = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    // Third column the other end, fourth the state: 01 is established.
    rows.filter(|row| row[2] == remote && row[3] == "01").count()
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_services_need_fewer_than_ten_connections() {
    let consul = Consul::start();
    let queries: Vec<Query> = (0..500).map(|n| service(&format!("s{n}"))).collect();
    for n in 0..500 {
        consul.register(&format!("n{}", n % 10), &format!("s{n}"), "passing");
    }
    let began = std::time::Instant::now();
    let mut watcher = TestWatcher::start(&consul.settings(), &queries).await;
    let mut most = 0;
    for n in 1..=500 {
        watcher.until("first answers", |it| it.told.len() >= n).await;
        most = most.max(connections(consul.port()));
    }
    eprintln!("500 services watched after {:?}, at most {most} connections", began.elapsed());
    assert!(most > 0, "the count counts nothing");
    assert!(most < 10, "{most} connections");
    let began = std::time::Instant::now();
    consul.put("catalog/register", &json!({"Node": "new", "Address": "10.0.0.1", "Service": {"Service": "s7"}}));
    watcher.until_instances(&service("s7"), &["n7/s7", "new/s7"]).await;
    eprintln!("an instance without checks is told after {:?}", began.elapsed());
    assert!(connections(consul.port()) < 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_kind_of_change_goes_unnoticed_when_services_are_watched_together() {
    let consul = Consul::start();
    let register = |address: &str, meta: &str, service: serde_json::Value, status: &str, output: &str| {
        let check = json!({"Node": "n", "CheckID": "c", "ServiceID": "i", "Status": status, "Output": output});
        consul.put(
            "catalog/register",
            &json!({"Node": "n", "Address": address, "NodeMeta": {"m": meta}, "Service": service, "Check": check}),
        );
    };
    let plain = || json!({"ID": "i", "Service": "web", "Port": 1});
    register("10.0.0.1", "1", plain(), "passing", "");
    let filtered = |name: &str| {
        let filter = "Checks.Status != \"\" or Service.ID != \"\"".to_owned();
        Query::Service(ServiceQuery { name: name.to_owned(), filter, ..ServiceQuery::default() })
    };
    // More than are watched one by one.
    let others: Vec<String> = (0..40).map(|n| format!("other-{n}")).collect();
    let queries: Vec<Query> = others.iter().map(String::as_str).chain(["web"]).map(filtered).collect();
    let web = filtered("web");
    let mut watcher = TestWatcher::start(&consul.settings(), &queries).await;
    watcher.until("first answers", |it| it.last.len() == 41).await;
    let changes: [(&str, &dyn Fn()); 9] = [
        ("output", &|| register("10.0.0.1", "1", plain(), "passing", "ok")),
        ("status", &|| register("10.0.0.1", "1", plain(), "warning", "ok")),
        ("port", &|| register("10.0.0.1", "1", json!({"ID": "i", "Service": "web", "Port": 2}), "warning", "ok")),
        ("weights", &|| {
            let weights = json!({"Passing": 5, "Warning": 1});
            let service = json!({"ID": "i", "Service": "web", "Port": 2, "Weights": weights});
            register("10.0.0.1", "1", service, "warning", "ok");
        }),
        ("node's address", &|| consul.put("catalog/register", &json!({"Node": "n", "Address": "10.0.0.2"}))),
        ("node's metadata", &|| {
            consul.put("catalog/register", &json!({"Node": "n", "Address": "10.0.0.2", "NodeMeta": {"m": "2"}}));
        }),
        ("node's check", &|| {
            let check = json!({"Node": "n", "CheckID": "node", "Status": "warning"});
            consul.put("catalog/register", &json!({"Node": "n", "Address": "10.0.0.2", "Check": check}));
        }),
        ("check removed", &|| consul.put("catalog/deregister", &json!({"Node": "n", "CheckID": "c"}))),
        ("service removed", &|| consul.put("catalog/deregister", &json!({"Node": "n", "ServiceID": "i"}))),
    ];
    for (what, change) in changes {
        let before = watcher.last[&web].clone();
        change();
        watcher.until(what, |it| it.last[&web] != before).await;
    }
    assert_eq!(watcher.instances(&web).unwrap(), []);
}
