//! Three agents: the first token, roles on every agent, and the end of tokens.

use std::time::Instant;

use crate::harness::{Site, eventually, stderr, stdout, text};

const ACCESS: &str = "access { default = \"deny\" }\n";
const TASKS: &str = "
task {
  name    = \"web-1\"
  command = [\"sleep\", \"3600\"]
  timeout = \"0s\"
  grace   = \"1s\"
  condition \"schedule\" { cron = \"0 0 1 1 *\" }
}
task {
  name    = \"db\"
  command = [\"sh\", \"-c\", \"printf 'the-password-is-%s' tiger >&2; exit 3\"]
  condition \"schedule\" { cron = \"0 0 1 1 *\" }
}
";

fn site() -> Site {
    let mut site = Site::new(3, &format!("{ACCESS}{TASKS}"));
    site.found();
    site
}

fn bootstrap(site: &Site, agent: usize) -> std::process::Output {
    let dir = site.home(agent).join("data").display().to_string();
    let mut command = std::process::Command::new(crate::harness::binary());
    command.args(["token", "bootstrap", "-data-dir", &dir]);
    command.env_remove("QUORATE_HTTP_ADDR").env_remove("CTS_ADDRESS").env_remove("QUORATE_TOKEN").output().unwrap()
}

#[track_caller]
pub(crate) fn first(site: &Site, agent: usize) -> String {
    let output = bootstrap(site, agent);
    assert!(output.status.success(), "{output:?}");
    let secret = stdout(&output);
    assert!(secret.starts_with("qrt_") && secret.trim().len() == 76 && secret.lines().count() == 1, "only the token");
    secret.trim().to_owned()
}

/// From nothing to roles that hold on every agent, and no secret left anywhere.
#[test]
fn the_first_token_is_made_once_and_roles_hold_on_every_agent() {
    let site = site();
    for agent in 0..3 {
        for path in ["/v1/status", "/v1/cluster", "/metrics"] {
            assert_eq!(site.call(agent, "GET", path, None).0, 401, "{path}");
        }
        assert_eq!(site.call(agent, "GET", "/livez", None).0, 200);
    }
    let told = site.quorate(2, None, &["status"]);
    assert_eq!(told.status.code(), Some(11));
    assert!(stderr(&told).contains("set QUORATE_TOKEN, or give -token-file"), "{}", stderr(&told));

    let root = first(&site, 1);
    for agent in 0..3 {
        let again = bootstrap(&site, agent);
        assert_eq!(again.status.code(), Some(11));
        assert!(stderr(&again).contains("the first token was made already"), "{}", stderr(&again));
    }
    // The first token is no way to make another first one.
    assert_eq!(site.call(0, "POST", "/v1/tokens/bootstrap", Some(&root)).0, 400);

    let (reader, _) = site.create(2, &root, &["-role", "read"]);
    let (operator, accessor) = site.create(1, &root, &["-role", "operate", "-tasks", "web-*", "-description", "ci"]);
    for agent in 0..3 {
        let call = |method, path, token: &String| site.call(agent, method, path, Some(token));
        assert_eq!(call("GET", "/v1/status", &reader).0, 200);
        assert_eq!(call("GET", "/v1/cluster", &reader).0, 200);
        let (status, body) = call("POST", "/v1/tasks/web-1/run", &reader);
        assert_eq!(status, 403, "{body}");
        assert!(text(&body["error"]["message"]).starts_with("this needs the role operate for the task web-1; token "));
        assert_eq!(call("POST", "/v1/tasks/db/run", &operator).0, 403);
        assert_eq!(call("GET", "/v1/tokens", &operator).0, 403);
        assert_eq!(call("DELETE", "/v1/tasks/web-1", &operator).0, 403);
        assert_eq!(call("POST", "/v1/cluster/step-down", &reader).0, 403);
        assert_eq!(call("POST", "/v1/cluster/leave", &operator).0, 403);
        let (_, tasks) = call("GET", "/v1/status/tasks", &operator);
        assert_eq!(tasks.as_object().unwrap().keys().collect::<Vec<_>>(), ["web-1"]);
    }
    the_caller_travels(&site, &root, &reader, &operator, &accessor);
    secrets_are_nowhere(&site, &[&root, &reader, &operator]);
}

/// A follower passes on who asked, and what a run said is for operators.
fn the_caller_travels(site: &Site, root: &str, reader: &str, operator: &str, accessor: &str) {
    eventually("web-1 runs", || {
        let (_, now) = site.call(0, "GET", "/v1/cluster/tasks", Some(root));
        let tasks = now["tasks"].as_array().cloned().unwrap_or_default();
        tasks.iter().any(|task| task["name"] == "web-1" && task["activity"]["state"] == "running")
    });
    let (status, body) = site.call(2, "POST", "/v1/tasks/web-1/cancel", Some(operator));
    assert_eq!(status, 202, "{body}");
    let by = text(&body["run"]["cancelled_by"]);
    let start = format!("cancelled by token {accessor} (ci) at 127.0.0.1:");
    assert!(by.starts_with(&start) && by.ends_with(" through a3"), "{by}");
    let events = |token: &str| site.call(1, "GET", "/v1/status/tasks/db?include=events", Some(token)).1.to_string();
    eventually("db has failed", || events(root).contains("the-password-is-tiger"));
    let seen = events(reader);
    assert!(seen.contains("is shown to callers with the role operate") && !seen.contains("is-tiger"), "{seen}");
    // The same over the socket of the local administrator.
    let (_, who) = site.call(0, "GET", "/v1/tokens/self", Some(operator));
    assert_eq!(text(&who["token"]["accessor"]), accessor);
    let shown = stdout(&site.admin(2, &["token", "show"]));
    assert!(
        shown.contains("local user ") && shown.contains("through a3") && shown.contains("roles        admin"),
        "{shown}"
    );
}

fn secrets_are_nowhere(site: &Site, secrets: &[&str]) {
    for secret in secrets {
        for part in [&secret[4..], &secret[4..68]] {
            assert_eq!(site.files_with(part), Vec::<std::path::PathBuf>::new(), "a secret is in a log or in a store");
        }
    }
    for agent in 0..3 {
        let (_, metrics) = (0, site.admin(agent, &["token", "list", "-json"]));
        assert!(!stdout(&metrics).contains("hash") && !stdout(&metrics).contains("qrt_"), "{metrics:?}");
    }
    // It is really looked: what is told of tokens is there.
    assert!((0..3).any(|agent| site.log(agent).contains("a token is made")));
}

#[test]
fn a_revoked_a_rotated_and_an_expired_token_are_worth_nothing_anywhere() {
    let site = site();
    let root = first(&site, 0);
    let (revoked, accessor) = site.create(1, &root, &["-role", "read"]);
    let (rotated, other) = site.create(1, &root, &["-role", "read"]);
    let (brief, _) = site.create(1, &root, &["-role", "read", "-ttl", "3s"]);
    for agent in 0..3 {
        for token in [&revoked, &rotated, &brief] {
            assert_eq!(site.call(agent, "GET", "/v1/cluster", Some(token)).0, 200);
        }
    }
    let output = site.quorate(2, Some(&root), &["token", "revoke", &accessor]);
    assert!(output.status.success(), "{output:?}");
    let begun = Instant::now();
    assert_eq!(site.call(0, "GET", "/v1/cluster", Some(&revoked)).0, 401, "at once on the leader");
    let refused = |token: &str, what: &str| {
        for agent in 0..3 {
            let gone = || site.call(agent, "GET", "/v1/cluster", Some(token)).0 == 401;
            eventually(&format!("a{} takes no {what} token", agent + 1), gone);
        }
    };
    refused(&revoked, "revoked");
    println!(
        "revoked everywhere after {:.3?}, a wait of an agent that does not lead for unknown tokens included",
        begun.elapsed()
    );
    let output = site.quorate(2, Some(&root), &["token", "rotate", &other]);
    assert!(output.status.success(), "{output:?}");
    let new = stdout(&output).trim().to_owned();
    refused(&rotated, "rotated");
    refused(&brief, "expired");
    for agent in 0..3 {
        assert_eq!(site.call(agent, "GET", "/v1/cluster", Some(&new)).0, 200);
        assert_eq!(site.call(agent, "GET", "/v1/tokens/self", Some(&new)).1["token"]["accessor"], other.as_str());
    }
    // Unknown and revoked are told alike.
    let message = |token: &str| text(&site.call(0, "GET", "/v1/status", Some(token)).1["error"]["message"]);
    let stranger = quorate::access::Secret::new([0x5a; 32]).reveal();
    assert_eq!(message(&revoked), message(&stranger));
    assert_eq!(message(&brief), message(&stranger));
    let output = site.quorate(0, Some(&root), &["token", "revoke", &accessor]);
    assert!(stderr(&output).contains("there is no token with the accessor"), "{}", stderr(&output));
}

#[test]
fn tokens_outlive_their_leader_and_an_agent_alone_goes_on_with_what_it_knows() {
    let mut site = site();
    let root = first(&site, 0);
    let (reader, _) = site.create(0, &root, &["-role", "read"]);
    site.kill(0);
    site.wait_leader(1);
    assert_eq!(site.call(1, "GET", "/v1/status", Some(&reader)).0, 200);
    assert_eq!(site.call(2, "POST", "/v1/tasks/db/run", Some(&reader)).0, 403);
    let (made_later, accessor) = site.create(2, &root, &["-role", "read"]);
    site.start(0);
    eventually("a1 is back with what was made meanwhile", || {
        site.call(1, "GET", "/v1/cluster", Some(&made_later)).0 == 200
    });
    eventually("a1 knows it too", || {
        crate::harness::send(site.addr(0), "GET", "/v1/cluster", Some(&made_later), None)
            .is_some_and(|answer| answer.0 == 200)
    });
    let output = site.quorate(1, Some(&root), &["token", "revoke", &accessor]);
    assert!(output.status.success(), "{output:?}");
    eventually("a3 knows that it is revoked", || site.call(2, "GET", "/v1/cluster", Some(&made_later)).0 == 401);
    site.kill(0);
    site.kill(1);
    let lone = Some(reader.as_str());
    eventually("a3 has no leader", || site.call(2, "GET", "/v1/cluster", lone).1["leader"].is_null());
    assert_eq!(site.call(2, "GET", "/v1/cluster", None).0, 401);
    eventually("a3 shows its copy to who may see it", || site.call(2, "GET", "/v1/status", lone).0 == 200);
    assert_ne!(site.call(2, "GET", "/v1/status", Some(&made_later)).0, 200);
    assert_eq!(site.call(2, "GET", "/v1/status", None).0, 401);
    assert_eq!(site.call(2, "POST", "/v1/tokens", Some(&root)).0, 503);
}

/// What a role is limited to does not depend on how a path is written.
#[test]
fn a_limited_role_stays_limited_however_the_path_is_written() {
    let site = site();
    let root = first(&site, 0);
    let put = |agent: usize, path: &str, token: &str| {
        let state = "{\"version\": 4, \"serial\": 1, \"lineage\": \"l\", \"outputs\": {}}";
        crate::harness::send(site.addr(agent), "PUT", path, Some(token), Some(state)).unwrap().0
    };
    assert_eq!(put(0, "/v1/cluster/state/net", &root), 200);
    let (limited, _) = site.create(0, &root, &["-role", "admin", "-tasks", "web-*"]);
    let (reader, _) = site.create(0, &root, &["-role", "read"]);
    for agent in 0..3 {
        let call = |method, path: &str, token: &String| site.call(agent, method, path, Some(token)).0;
        assert_eq!(call("GET", "/v1/cluster/state/net", &limited), 403);
        for path in
            ["/v1/cluster/state//net", "//v1/cluster/state/net", "/v1/cluster/state/net/", "/v1/cluster//state/net"]
        {
            for token in [&limited, &reader, &root] {
                assert_eq!(call("GET", path, token), 404, "{path}");
                assert_eq!(put(agent, path, token), 404, "{path}");
            }
        }
        assert_eq!(call("POST", "/v1/cluster/state//net/restore?version=1", &limited), 404);
        assert_eq!(call("GET", "/v1/cluster/state//history", &reader), 404);
        assert_eq!(call("GET", "/v1/cluster/state/%2Fnet", &limited), 403);
        for path in ["/v1/tokens/", "/v1/tokens//bootstrap", "/v1/tasks/"] {
            assert_eq!(call("POST", path, &root), 404, "{path}");
        }
        assert_eq!(call("GET", "/v1/status/tasks/", &reader), 200, "as in CTS");
    }
}

/// A stranger must not make two agents hold what it sends.
#[test]
fn an_unknown_token_is_refused_before_the_body_comes() {
    use std::io::{Read as _, Write as _};
    let site = site();
    let root = first(&site, 0);
    let (revoked, accessor) = site.create(1, &root, &["-role", "admin"]);
    assert!(site.quorate(1, Some(&root), &["token", "revoke", &accessor]).status.success());
    for agent in [1, 2] {
        eventually("it is revoked", || site.call(agent, "GET", "/v1/cluster", Some(&revoked)).0 == 401);
        let mut stream = std::net::TcpStream::connect(site.addr(agent)).unwrap();
        let head = format!(
            "PUT /v1/cluster/state/db HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {revoked}\r\n\
             Content-Length: 16000000\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 401");
    }
    // A token that this agent has not heard of yet is good at once: its leader knows it.
    for agent in [1, 2] {
        let (new, _) = site.create(0, &root, &["-role", "read"]);
        assert_eq!(site.call(agent, "GET", "/v1/status", Some(&new)).0, 200);
    }
}

/// What agents ask each other for themselves is nobody's change.
#[test]
fn agents_leave_no_line_in_the_audit_trail() {
    let mut site = Site::new(3, &format!("{ACCESS}audit {{ file = \"audit.log\" }}\n{TASKS}"));
    // It tells the leader that its files differ.
    let file = site.home(2).join("agent.hcl");
    let more =
        "task {\n  name = \"more\"\n  command = [\"true\"]\n  condition \"schedule\" { cron = \"0 0 1 1 *\" }\n}\n";
    let own = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, own + more).unwrap();
    site.found();
    let root = first(&site, 0);
    eventually("the leader knows how the files of a3 differ", || {
        !site.call(0, "GET", "/v1/cluster/tasks", Some(&root)).1["differences"]["a3"].is_null()
    });
    let trail = std::fs::read_to_string(site.home(0).join("audit.log")).unwrap();
    let actions: Vec<String> = trail
        .lines()
        .map(|line| text(&serde_json::from_str::<serde_json::Value>(line).unwrap()["action"]))
        .filter(|action| action != "read")
        .collect();
    assert_eq!(actions, ["token.bootstrap"], "{trail}");
}
