//! What happens, told as a stream by any agent, across the death of the leader.

use std::io::{BufRead, BufReader, Lines, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

use crate::cluster::first;
use crate::harness::{Site, eventually, text};

const TEXT: &str = "
access { default = \"deny\" }
task {
  name    = \"web\"
  command = [\"true\"]
  condition \"schedule\" { cron = \"0 0 1 1 *\" }
}
task {
  name    = \"db\"
  command = [\"sh\", \"-c\", \"echo the-password-is-tiger >&2; exit 3\"]
  condition \"schedule\" { cron = \"0 0 1 1 *\" }
}
";

/// An event: its id, its kind and its data.
#[derive(Debug, Clone)]
struct Event {
    id: String,
    kind: String,
    data: Value,
}

impl Event {
    fn is(&self, kind: &str, what: &str, about: &str) -> bool {
        let named = [&self.data["task"], &self.data["agent"]].iter().any(|name| *name == about);
        self.kind == kind && self.data["what"] == what && named
    }

    fn number(&self) -> (u64, u64) {
        let (epoch, number) = self.id.split_once('-').unwrap();
        (epoch.parse().unwrap(), number.parse().unwrap())
    }
}

/// An open stream.
struct Listener {
    lines: Lines<BufReader<TcpStream>>,
}

impl Listener {
    fn open(site: &Site, agent: usize, token: &str, query: &str, last: Option<&str>) -> Self {
        let mut stream = TcpStream::connect(site.addr(agent)).unwrap();
        stream.set_read_timeout(Some(Duration::from_mins(2))).unwrap();
        let last = last.map_or_else(String::new, |last| format!("Last-Event-ID: {last}\r\n"));
        let head =
            format!("GET /v1/events{query} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n{last}\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let mut lines = BufReader::new(stream).lines();
        let status = lines.next().unwrap().unwrap();
        assert!(status.starts_with("HTTP/1.1 200"), "{status}");
        // The first thing that is sent.
        lines.by_ref().map(Result::unwrap).find(|line| line.starts_with("retry: ")).unwrap();
        Self { lines }
    }

    /// Each chunk is one event, so no line is torn.
    fn next(&mut self) -> Event {
        let (mut id, mut kind) = (String::new(), String::new());
        loop {
            let line = self.lines.next().expect("the stream goes on").unwrap();
            if let Some(rest) = line.strip_prefix("id: ") {
                rest.clone_into(&mut id);
            } else if let Some(rest) = line.strip_prefix("event: ") {
                rest.clone_into(&mut kind);
            } else if let Some(rest) = line.strip_prefix("data: ") {
                return Event { id, kind, data: serde_json::from_str(rest).unwrap() };
            } else if line.is_empty() {
                id.clear();
            }
        }
    }

    fn until(&mut self, kind: &str, what: &str, about: &str) -> Vec<Event> {
        let mut seen = Vec::new();
        loop {
            seen.push(self.next());
            if seen.last().unwrap().is(kind, what, about) {
                return seen;
            }
        }
    }
}

fn find<'a>(events: &'a [Event], kind: &str, what: &str, about: &str) -> &'a Event {
    events.iter().find(|event| event.is(kind, what, about)).unwrap_or_else(|| panic!("{what} {about}: {events:#?}"))
}

#[test]
fn events_are_told_on_any_agent_and_go_on_behind_the_last_one() {
    let mut site = Site::new(3, TEXT);
    site.found();
    let root = first(&site, 1);
    eventually("both tasks have run", || {
        let (_, body) = site.call(2, "GET", "/v1/runs", Some(&root));
        body["runs"].as_array().is_some_and(|runs| runs.len() >= 2 && runs.iter().all(|run| run["state"] == "ended"))
    });
    let mut all = Listener::open(&site, 2, &root, "", None);
    let mut members = Listener::open(&site, 1, &root, "?kind=member,leadership", None);
    assert!(site.quorate(1, Some(&root), &["task", "run", "web"]).status.success());
    let seen = all.until("run", "ended", "web");
    let (started, ended) = (find(&seen, "run", "started", "web"), find(&seen, "run", "ended", "web"));
    assert!(started.number() < ended.number() && started.number().0 == 1, "{seen:#?}");
    assert_eq!(
        (&ended.data["run"]["outcome"], &ended.data["run"]["id"]),
        (&"success".into(), &started.data["run"]["id"])
    );
    assert!(site.quorate(1, Some(&root), &["task", "run", "db"]).status.success());
    let later = all.until("run", "ended", "db");
    assert!(text(&later.last().unwrap().data["run"]["error"]).contains("the-password-is-tiger"));

    // Who may see what.
    let (reader, _) = site.create(0, &root, &["-role", "read", "-tasks", "db"]);
    eventually("the token is known on a2", || site.call(1, "GET", "/v1/tokens/self", Some(&reader)).0 == 200);
    let mut limited = Listener::open(&site, 1, &reader, "", Some("1-0"));
    let of_db = limited.until("run", "ended", "db");
    assert!(of_db.iter().all(|event| event.data["task"] != "web"), "{of_db:#?}");
    let error = text(&of_db.last().unwrap().data["run"]["error"]);
    assert!(!error.contains("tiger") && error.contains("role operate"), "{error}");
    drop(limited);

    // Behind one that is known.
    let mut again = Listener::open(&site, 1, &root, "?kind=run", Some(&ended.id));
    let first_again = again.next();
    assert!(first_again.number() > ended.number(), "{first_again:?}");
    drop(again);

    site.kill(0);
    let change = all.until("leadership", "gained", "a2");
    let epoch = change.last().unwrap().data["epoch"].as_u64().unwrap();
    assert!(epoch > 1, "{change:#?}");
    let change = members.until("leadership", "gained", "a2");
    assert!(change.iter().all(|event| event.kind != "run"), "{change:#?}");
    all.until("run", "ended", "web");
    // A client that had heard of nothing since then misses nothing.
    let mut late = Listener::open(&site, 2, &root, "", Some(&ended.id));
    let missed = late.until("leadership", "gained", "a2");
    let of_db = missed.iter().filter(|event| event.is("run", "ended", "db"));
    assert!(
        of_db.map(|event| &event.data["run"]["id"]).any(|id| *id == later.last().unwrap().data["run"]["id"]),
        "{missed:#?}"
    );
    assert!(missed.iter().all(|event| event.number().0 == epoch), "{missed:#?}");
}
