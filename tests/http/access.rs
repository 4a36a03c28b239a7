//! Access control at the API: who is let in, who is told what, and what limited callers see.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use quorate::access::{
    Anonymous, CertificateRule, Grants, Identity, Record, Role, Rules, Secret, TokenIdentity, TokenTable,
};
use quorate::http::FollowerRequests;
use quorate::runtime::access::Gate;
use quorate::runtime::handle::{ApiRequest, ApiResponse, Caller, ForwardError, Forwarded, LastKnown, Request};
use serde_json::json;
use tokio::sync::oneshot;

use super::{Agent, Answer, at, contract, exchange, follower, leader, tasks};

/// Tokens by their first byte: what each may do.
pub(crate) const READ: u8 = 1;
pub(crate) const OPERATE_WEB: u8 = 2;
const ADMIN: u8 = 3;
const READ_DB: u8 = 4;
pub(crate) const OPERATE_DB: u8 = 5;
const STRANGER: u8 = 9;

fn record(byte: u8, role: Role, tasks: &[&str]) -> Record {
    Record {
        hash: Secret::new([byte; 32]).hash(),
        role,
        tasks: tasks.iter().map(|task| (*task).to_owned()).collect(),
        description: String::new(),
        created: 0,
        created_by: "a test".to_owned(),
        expires: None,
        used: None,
        rotated: None,
    }
}

fn gate(default: Anonymous, open: &[&str]) -> Gate {
    let tokens = [
        ("00000000000a", record(READ, Role::Read, &[])),
        ("00000000000b", record(OPERATE_WEB, Role::Operate, &["web*"])),
        ("00000000000c", record(ADMIN, Role::Admin, &[])),
        ("00000000000d", record(READ_DB, Role::Read, &["db*"])),
        ("00000000000e", record(OPERATE_DB, Role::Operate, &["db*"])),
    ];
    let tokens: BTreeMap<String, Record> = tokens.into_iter().map(|(a, record)| (a.to_owned(), record)).collect();
    let open: BTreeSet<String> = open.iter().map(|path| (*path).to_owned()).collect();
    Gate::fixed(Rules { default, open, certificates: Vec::<CertificateRule>::new() }, TokenTable::new(tokens))
}

fn guarded(default: Anonymous) -> Agent {
    Agent::guarded(leader(), FollowerRequests::Forward, gate(default, &[]))
}

/// Nobody is shown anything without a token.
pub(crate) fn guarded_for_runs() -> Agent {
    guarded(Anonymous::Deny)
}

fn with(addr: SocketAddr, method: &str, path: &str, header: &str, body: &str) -> Answer {
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{header}");
    let rest = format!("Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}");
    let answer = exchange(addr, format!("{head}{rest}").as_bytes());
    contract::check(method, path, answer.status, answer.header("content-type"), &answer.body);
    answer
}

pub(crate) fn bearer(byte: u8) -> String {
    format!("Authorization: Bearer {}\r\n", Secret::new([byte; 32]).reveal())
}

pub(crate) fn get(agent: &Agent, path: &str, header: &str) -> Answer {
    with(agent.addr, "GET", path, header, "")
}

fn message(answer: &Answer) -> String {
    answer.json()["error"]["message"].as_str().unwrap().to_owned()
}

/// Every operation of the document asks for a role, and those that change something for more than `read`.
#[test]
fn every_operation_of_the_document_demands_a_permission() {
    let agent = guarded(Anonymous::Deny);
    let operations = contract::operations_of_document();
    assert!(operations.len() > 30, "{operations:?}");
    for (method, path) in operations {
        let anonymous = with(agent.addr, &method, &path, "", "");
        assert_eq!(anonymous.status, 401, "{method} {path}: {}", anonymous.text());
        assert_eq!(anonymous.header("www-authenticate"), Some("Bearer realm=\"quorate\""), "{method} {path}");
        assert!(message(&anonymous).starts_with("this needs the role "), "{method} {path}");
        let stranger = with(agent.addr, &method, &path, &bearer(STRANGER), "");
        assert_eq!(stranger.status, 401, "{method} {path}");
        assert!(message(&stranger).starts_with("the token is not known"), "{method} {path}");
        if method != "GET" {
            let reader = with(agent.addr, &method, &path, &bearer(READ), "");
            assert_eq!(reader.status, 403, "{method} {path}: {}", reader.text());
            let limited = with(agent.addr, &method, &path, &bearer(READ_DB), "");
            assert_eq!(limited.status, 403, "{method} {path}: {}", limited.text());
        }
    }
}

#[test]
fn who_lacks_a_role_is_told_which() {
    let agent = guarded(Anonymous::Deny);
    let refused = with(agent.addr, "POST", "/v1/tasks/web/run", &bearer(READ), "");
    assert_eq!(message(&refused), "this needs the role operate for the task web; token 00000000000a has the role read");
    let refused = with(agent.addr, "POST", "/v1/tasks/db/run", &bearer(OPERATE_WEB), "");
    assert_eq!(
        message(&refused),
        "this needs the role operate for the task db; token 00000000000b has the role operate for the tasks web*"
    );
    let refused = with(agent.addr, "POST", "/v1/cluster/step-down", &bearer(OPERATE_WEB), "");
    assert!(
        message(&refused).starts_with("this needs the role operate, not limited to some tasks"),
        "{}",
        message(&refused)
    );
    let refused = get(&agent, "/v1/tasks/web", &bearer(READ_DB));
    assert_eq!(refused.status, 403);
    // Also for what there is not: it tells nothing about names.
    assert_eq!(get(&agent, "/v1/tasks/nothing", &bearer(READ_DB)).status, 403);
    assert_eq!(get(&agent, "/v1/tasks/web", &bearer(OPERATE_WEB)).status, 200);
}

#[test]
fn a_token_comes_in_either_header_and_a_wrong_one_is_refused_whatever_anybody_may() {
    for default in [Anonymous::Deny, Anonymous::Read, Anonymous::Write] {
        let agent = guarded(default);
        let consul = format!("X-Consul-Token: {}\r\n", Secret::new([ADMIN; 32]).reveal());
        assert_eq!(get(&agent, "/v1/tokens", &consul).status, 200);
        assert_eq!(get(&agent, "/v1/tokens", &bearer(ADMIN)).status, 200);
        let anybody = get(&agent, "/v1/tokens", "");
        assert_eq!(anybody.status, 401, "tokens are for callers with a name");
        assert_eq!(get(&agent, "/v1/status", "").status, if default == Anonymous::Deny { 401 } else { 200 });
        let patched = with(agent.addr, "DELETE", "/v1/tokens/00000000000a", "", "");
        assert_eq!(patched.status, 401);
        assert_eq!(get(&agent, "/v1/status", &bearer(STRANGER)).status, 401);
        let mistyped = get(&agent, "/v1/status", "Authorization: Bearer qrt_0123\r\n");
        assert_eq!(mistyped.status, 401);
        assert_eq!(message(&mistyped), "the token is refused: it is mistyped or cut off: its checksum does not fit");
        let foreign = get(&agent, "/v1/status", "X-Consul-Token: 8f246b77-f3e1-ff88-5b48-8ec93abf3e05\r\n");
        assert!(message(&foreign).contains("does not begin with qrt_"));
    }
}

#[test]
fn paths_that_are_left_open_ask_nobody() {
    let agent = Agent::guarded(leader(), FollowerRequests::Forward, gate(Anonymous::Deny, &["/livez", "/leader"]));
    for (path, status) in [("/livez", 200), ("/leader", 200), ("/readyz", 401), ("/metrics", 401), ("/v1/cluster", 401)]
    {
        assert_eq!(get(&agent, path, "").status, status, "{path}");
    }
    assert_eq!(get(&agent, "/livez", &bearer(STRANGER)).status, 200);
    assert_eq!(with(agent.addr, "POST", "/livez", "", "").status, 401);
}

#[test]
fn limited_callers_see_their_tasks_and_readers_no_outputs() {
    let agent = guarded(Anonymous::Deny);
    let events = |byte| get(&agent, "/v1/status/tasks?include=events", &bearer(byte));
    let names = |answer: &Answer| answer.json().as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    // The task db has failed with this.
    let error = "exit status 1";
    for (byte, seen, sees_error) in [
        (ADMIN, &["web", "db", "new"][..], true),
        (READ, &["web", "db", "new"], false),
        (OPERATE_WEB, &["web"], false),
        (READ_DB, &["db"], false),
        (OPERATE_DB, &["db"], true),
    ] {
        let answer = events(byte);
        let mut seen = seen.to_vec();
        let mut found = names(&answer);
        seen.sort_unstable();
        found.sort_unstable();
        assert_eq!(found, seen, "{byte}");
        assert_eq!(answer.text().contains(error), sees_error, "{byte}: {}", answer.text());
        let hidden = answer.text().contains("is shown to callers with the role operate");
        assert_eq!(hidden, seen.contains(&"db") && !sees_error, "{byte}: {}", answer.text());
        let now = get(&agent, "/v1/cluster/tasks", &bearer(byte));
        assert_eq!(
            (now.json()["tasks"].as_array().unwrap().len(), now.text().contains(error)),
            (seen.len(), sees_error)
        );
        let counts = get(&agent, "/v1/status", &bearer(byte)).json()["task_summary"]["status"].clone();
        let counted = counts.as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum::<u64>();
        assert_eq!(counted, seen.len() as u64, "{byte}");
    }
    assert_eq!(get(&agent, "/v1/tasks", &bearer(READ_DB)).json()["tasks"], json!([]));
}

#[test]
fn a_task_is_made_by_who_may_make_one_of_that_name() {
    let gate = Gate::fixed(
        Rules { open: BTreeSet::new(), ..Rules::default() },
        TokenTable::new(BTreeMap::from([("0a".to_owned(), record(ADMIN, Role::Admin, &["web*"]))])),
    );
    let mut agent = Agent::guarded(leader(), FollowerRequests::Forward, gate);
    let body = |name: &str| {
        json!({"task": {"name": name, "module": "./m", "condition": {"schedule": {"cron": "* * * * *"}}}}).to_string()
    };
    let refused = with(agent.addr, "POST", "/v1/tasks", &bearer(ADMIN), &body("db"));
    assert_eq!(refused.status, 403, "{}", refused.text());
    assert!(message(&refused).starts_with("this needs the role admin for the task db"));
    let (addr, made) = (agent.addr, body("web-2"));
    let client = std::thread::spawn(move || with(addr, "POST", "/v1/tasks", &bearer(ADMIN), &made));
    let Request::Create { spec, reply, .. } = agent.asked() else { panic!("a task is made") };
    assert_eq!(spec.name, "web-2");
    reply.send(Ok(None)).unwrap();
    assert_eq!(client.join().unwrap().status, 201);
}

#[test]
fn who_guesses_is_not_listened_to_and_others_are() {
    let agent = guarded(Anonymous::Read);
    for byte in 100..110 {
        assert_eq!(get(&agent, "/v1/status", &bearer(byte)).status, 401);
    }
    let locked = get(&agent, "/v1/status", &bearer(ADMIN));
    assert_eq!(locked.status, 429);
    let after: u64 = locked.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&after), "{after}");
    // Without a token nothing is guessed.
    assert_eq!(get(&agent, "/v1/status", "").status, 200);
}

#[test]
fn one_wrong_token_over_and_over_locks_nobody_out() {
    let agent = guarded(Anonymous::Deny);
    for _ in 0..30 {
        assert_eq!(get(&agent, "/v1/status", &bearer(STRANGER)).status, 401);
    }
    assert_eq!(get(&agent, "/v1/status", &bearer(READ)).status, 200);
}

/// What an agent that passed a request on says of the caller is evidence, not a role.
#[test]
fn the_leader_looks_at_the_evidence_of_a_request_that_was_passed_on() {
    let agent = guarded(Anonymous::Deny);
    let ask = |method: &str, target: &str, identity: Identity| -> ApiResponse {
        let (reply, answer) = oneshot::channel();
        let caller = Caller { address: "10.0.0.9:1".to_owned(), agent: "cts-03".to_owned(), identity };
        let (method, target) = (method.to_owned(), target.to_owned());
        let request = ApiRequest { method, target, body: Vec::new(), request_id: "r".to_owned(), caller };
        agent.forward.blocking_send(Forwarded { request, reply }).unwrap();
        answer.blocking_recv().unwrap()
    };
    let token = |byte: u8| {
        let hash = Secret::new([byte; 32]).hash();
        // Somebody else's name is claimed.
        Identity::Token(TokenIdentity { hash, accessor: "00000000000c".to_owned(), description: String::new() })
    };
    assert_eq!(ask("GET", "/v1/status", Identity::Anonymous).status, 401);
    assert_eq!(ask("GET", "/v1/status", token(STRANGER)).status, 401);
    assert_eq!(ask("GET", "/v1/status", Identity::Member).status, 403);
    assert_eq!(ask("GET", "/v1/status", token(READ)).status, 200);
    assert_eq!(ask("POST", "/v1/tasks/web/run", token(READ)).status, 403);
    assert_eq!(ask("GET", "/v1/tokens", token(READ)).status, 403);
    let who = ask("GET", "/v1/tokens/self", token(OPERATE_WEB));
    let body: serde_json::Value = serde_json::from_slice(&who.body).unwrap();
    assert_eq!(body["name"], "token 00000000000b");
    assert_eq!(body["roles"], json!([{"role": "operate", "tasks": ["web*"]}]));
    assert_eq!((&body["address"], &body["agent"]), (&json!("10.0.0.9:1"), &json!("cts-03")));
    assert!(!String::from_utf8(who.body).unwrap().contains(&Secret::new([OPERATE_WEB; 32]).hash().to_hex()));
}

#[test]
fn a_follower_asks_the_leader_about_a_token_that_it_does_not_know_and_counts_the_tries() {
    let mut agent = Agent::guarded(follower(), FollowerRequests::Forward, gate(Anonymous::Deny, &[]));
    for byte in 100..110 {
        let addr = agent.addr;
        let client = std::thread::spawn(move || with(addr, "GET", "/v1/status", &bearer(byte), ""));
        let Request::Forward(request, reply) = agent.asked() else { panic!("the leader is asked") };
        let Identity::Token(token) = &request.caller.identity else { panic!("{:?}", request.caller) };
        assert_eq!((token.hash, token.accessor.as_str()), (Secret::new([byte; 32]).hash(), ""));
        let said = format!("{request:?} {:?}", request.caller);
        assert!(!said.contains(&token.hash.to_hex()) && !said.contains("qrt_"), "{said}");
        let body = json!({"error": {"message": "not known"}}).to_string().into_bytes();
        let refused = ApiResponse { status: 401, content_type: "application/json".to_owned(), body };
        reply.send(Ok(refused)).unwrap();
        assert_eq!(client.join().unwrap().status, 401);
    }
    assert_eq!(get(&agent, "/v1/status", &bearer(111)).status, 429);
    // What it answers itself, it decides itself.
    assert_eq!(get(&agent, "/v1/cluster", "").status, 401);
}

#[test]
fn a_copy_of_an_agent_without_a_leader_is_shown_to_who_may_see_it() {
    for (token, shows) in [(READ, true), (READ_DB, false), (STRANGER, false)] {
        let mut agent = Agent::guarded(follower(), FollowerRequests::Forward, gate(Anonymous::Deny, &[]));
        let addr = agent.addr;
        let client = std::thread::spawn(move || with(addr, "GET", "/v1/status/tasks", &bearer(token), ""));
        let Request::Forward(_, reply) = agent.asked() else { panic!("the leader is asked") };
        let none = ForwardError::NoLeader { why: "away".to_owned(), retry_after: Duration::from_secs(1) };
        reply.send(Err(none)).unwrap();
        // Of a token that it does not know an agent asks its leader, before anything else.
        if token != STRANGER {
            let Request::LastKnown(reply) = agent.asked() else { panic!("the copy is asked for") };
            let known = quorate::runtime::handle::TasksSnapshot { tasks: tasks(), ..Default::default() };
            drop(reply.send(Ok(LastKnown { tasks: known, since: at("2026-11-23T04:00:00Z") })));
        }
        let answer = client.join().unwrap();
        assert_eq!(answer.status == 200 && answer.text().contains("web"), shows, "{token}: {}", answer.text());
        assert_eq!(answer.status, if token == STRANGER { 503 } else { 200 }, "{token}");
    }
}

#[test]
fn grants_of_an_open_agent_are_everything() {
    assert!(Grants::everything().see_all());
    let agent = Agent::leading();
    let who = get(&agent, "/v1/tokens/self", &bearer(STRANGER));
    assert_eq!((who.status, who.json()["access"].clone()), (200, json!(false)));
    let refused = with(agent.addr, "POST", "/v1/tokens", "", "{\"role\":\"admin\"}");
    assert_eq!(refused.status, 409);
    assert!(message(&refused).contains("add an `access` block"));
}
