//! Answers as an agent gives them, for the tests of what commands show.

use chrono::{DateTime, FixedOffset};

use crate::http::reply::{Activity, Cluster, Details, Member, Quorum, RunNow, TaskNow, TasksNow};

/// A cluster of three, one of them down, and the time.
pub(in crate::cli) fn sample() -> (Cluster, DateTime<FixedOffset>) {
    let member = |number: u8, state: &str, since: Option<&str>| Member {
        id: format!("cts-0{number}"),
        service_name: "edge".to_owned(),
        address: String::new(),
        healthy: state == "alive",
        leader: number == 1,
        state: state.to_owned(),
        voter: true,
        incarnation: 0,
        gossip_address: format!("10.0.0.{number}:8559"),
        api_address: format!("10.0.0.{number}:8558"),
        version: "0.1.0".to_owned(),
        state_since: since.map(str::to_owned),
    };
    let cluster = Cluster {
        cluster_name: "edge".to_owned(),
        members: vec![
            member(1, "alive", Some("2026-11-23T04:00:00.123Z")),
            member(2, "alive", Some("2026-11-22T21:13:00Z")),
            member(3, "down", None),
        ],
        leader: Some("cts-01".to_owned()),
        epoch: 7,
        quorum: Quorum { mode: "quorum".to_owned(), voters: 3, alive: 2, needed: 2, held: true },
        observed_by: "cts-02".to_owned(),
        index: 42,
        request_id: "r".to_owned(),
        reason: String::new(),
        alarms: Vec::new(),
        details: Some(Details {
            high_availability: true,
            formed: true,
            leading: false,
            leader_since: Some("2026-11-23T04:00:01Z".to_owned()),
            leader_why: "lowest id alive, after cts-03 went down".to_owned(),
            lease_left_ms: None,
            leaderships: Vec::new(),
            not_ready: None,
            access: None,
            state_encrypted: None,
        }),
    };
    (cluster, DateTime::parse_from_rfc3339("2026-11-23T04:03:13Z").unwrap())
}

pub(in crate::cli) fn sample_tasks() -> TasksNow {
    let run = |success: bool, end: &str, error: Option<&str>| RunNow {
        id: "8f0c".to_owned(),
        success,
        outcome: if success { "success" } else { "failure" }.to_owned(),
        start_time: "2026-11-23T04:00:01Z".to_owned(),
        end_time: end.to_owned(),
        error: error.map(str::to_owned),
        epoch: 7,
        trigger: "take-over".to_owned(),
        asked_by: None,
    };
    let task = |name: &str, status: &str, enabled, state: &str, events| TaskNow {
        name: name.to_owned(),
        status: status.to_owned(),
        enabled,
        activity: Activity {
            state: state.to_owned(),
            since: Some("2026-11-23T04:03:01Z".to_owned()),
            until: Some("2026-11-23T04:03:20Z".to_owned()),
            progress: None,
            why: None,
        },
        next_run: Some("2026-11-23T04:05:00Z".to_owned()),
        source: format!("./{name}"),
        providers: vec!["local".to_owned()],
        timeout: Some("10m".to_owned()),
        grace: "10s".to_owned(),
        events,
        changed: None,
        plan: None,
        drift: None,
    };
    let refused = "exit status 1\n\u{1b}[31mcannot reach the firewall";
    TasksNow {
        answered_by: "cts-01".to_owned(),
        stale_since: None,
        trials: Vec::new(),
        differences: std::collections::BTreeMap::new(),
        consul: None,
        tasks: vec![
            task("web", "successful", true, "idle", vec![run(true, "2026-11-23T04:00:02.250Z", None)]),
            task("db", "errored", true, "retrying", vec![run(false, "2026-11-23T04:01:13Z", Some(refused))]),
            task("new", "unknown", false, "idle", vec![]),
            task("dns", "unknown", true, "running", vec![]),
        ],
        request_id: "r".to_owned(),
    }
}
