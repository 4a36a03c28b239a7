//! The files of the web page over a real socket.

use crate::{Agent, Answer, access, exchange};

fn get(agent: &Agent, path: &str, headers: &str) -> Answer {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n");
    exchange(agent.addr, request.as_bytes())
}

#[test]
fn the_page_comes_with_a_strict_policy_and_without_a_token() {
    let agent = access::guarded_for_runs();
    assert_eq!(get(&agent, "/v1/cluster", "").status, 401, "what it shows is another matter");
    for (path, media) in [
        ("/ui/", "text/html; charset=utf-8"),
        ("/ui/app.js", "text/javascript; charset=utf-8"),
        ("/ui/style.css", "text/css; charset=utf-8"),
        ("/ui/icon.svg", "image/svg+xml"),
    ] {
        let answer = get(&agent, path, "");
        assert_eq!((answer.status, answer.header("content-type")), (200, Some(media)), "{path}");
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'self';") && policy.contains("frame-ancestors 'none'"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
        assert_eq!(answer.header("cache-control"), Some("no-cache"));

        let tag = answer.header("etag").unwrap();
        let again = get(&agent, path, &format!("If-None-Match: {tag}\r\n"));
        assert_eq!((again.status, again.body.len(), again.header("etag")), (304, 0, Some(tag)));
        assert_eq!(get(&agent, path, "If-None-Match: \"other\"\r\n").status, 200);
    }
    assert_eq!(get(&agent, "/ui/none.js", "").status, 401, "what is none of its files needs what anything else needs");
}

#[test]
fn a_browser_is_led_to_the_page_and_a_program_gets_what_it_got() {
    let agent = Agent::following();
    for (path, accept) in [("/", "text/html,application/xhtml+xml;q=0.9"), ("/ui", "*/*")] {
        let answer = get(&agent, path, &format!("Accept: {accept}\r\n"));
        // Relative: a proxy may have put something before it.
        assert_eq!((answer.status, answer.header("location")), (302, Some("ui/")), "{path}");
    }
    let answer = get(&agent, "/", "Accept: */*\r\n");
    assert_eq!((answer.status, answer.text().as_str()), (404, "404 page not found\n"));
    assert_eq!(get(&agent, "/ui/none.js", "").status, 404);
    let head = exchange(agent.addr, b"HEAD /ui/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert!(agent.get("/metrics").text().contains("endpoint=\"/ui\""));
}

#[test]
fn the_page_is_not_served_under_a_name_that_was_rebound() {
    let agent = Agent::following();
    let request = "GET /ui/ HTTP/1.1\r\nHost: evil.example\r\nAccept: text/html\r\nConnection: close\r\n\r\n";
    assert_eq!(exchange(agent.addr, request.as_bytes()).status, 403);
}

#[test]
fn one_task_is_told_when_one_is_asked_for() {
    let agent = Agent::leading();
    let names = |path: &str| -> Vec<String> {
        let tasks = agent.get(path).json()["tasks"].as_array().unwrap().clone();
        tasks.iter().map(|task| task["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names("/v1/cluster/tasks?task=db"), ["db"]);
    assert_eq!(names("/v1/cluster/tasks?task=db&task=web"), ["web", "db"]);
    assert_eq!(names("/v1/cluster/tasks?task=none"), Vec::<String>::new());
    assert_eq!(names("/v1/cluster/tasks").len(), 3);
}

#[test]
fn who_led_when_is_told() {
    let details = Agent::following().get("/v1/cluster").json()["details"].clone();
    assert_eq!(details["leaderships"][0]["end"], "cts-03 is down");
    assert_eq!(details["leaderships"][0]["until"], "2026-11-23T04:00:00.500Z");
    assert_eq!(
        (&details["leaderships"][1]["leader"], details["leaderships"][1]["until"].is_null()),
        (&"cts-01".into(), true)
    );
    assert!(details["lease_left_ms"].is_null(), "its own lease, and it has none");
}
