use std::sync::Arc;

use serde_json::json;

use super::super::testing;
use super::*;

const OK: &str =
    "<response status=\"success\" code=\"19\"><result><msg><line>queued</line></msg><job>7</job></result></response>";
const DONE: &str = "<response status='success'><result><job><id>7</id><status>FIN</status><result>OK</result></job></result></response>";

#[tokio::test]
async fn a_commit_is_limited_to_the_user_and_waited_for() {
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let seen = Arc::clone(&asked);
    let url = testing::serve(move |path, body| {
        assert_eq!(path, "/api/");
        seen.lock().unwrap().push(body.to_owned());
        let answer = match body {
            body if body.contains("type=keygen") => {
                "<response status=\"success\"><result><key>K</key></result></response>"
            }
            body if body.contains("type=commit") => OK,
            _ => DONE,
        };
        (200, answer.as_bytes().to_vec())
    })
    .await;
    let handlers = handlers("panos", &json!({"username": "a<b", "password": "p", "auto_commit": true}), &url).unwrap();
    handlers[0].run(&Called::default()).await.unwrap();
    let asked = asked.lock().unwrap().clone();
    assert_eq!(asked.len(), 3, "{asked:?}");
    assert!(asked[1].contains("%3Cmember%3Ea%26lt%3Bb%3C%2Fmember%3E") && asked[1].contains("Consul-Terraform-Sync"));
    assert!(asked[1].contains("key=K") && asked[2].contains("%3Cid%3E7%3C%2Fid%3E"), "{asked:?}");
}

#[tokio::test]
async fn nothing_to_commit_is_well() {
    for answer in [
        "<response status=\"success\" code=\"19\"><msg>no changes</msg></response>",
        "<response status='error' code='13'/>",
    ] {
        assert_eq!(commit(vec![answer]).await, Ok(()));
    }
}

#[tokio::test]
async fn a_failing_commit_is_tried_four_times_more() {
    let busy = "<response status=\"error\" code=\"10\"><msg><line>a commit is under way</line></msg></response>";
    assert_eq!(commit(vec![busy, busy, busy, busy, OK, DONE]).await, Ok(()));
    let error = commit(vec![busy; 9]).await.unwrap_err();
    assert!(error.contains("failed 5 times") && error.contains("a commit is under way"), "{error}");
    let failed = DONE.replace(">OK<", ">FAIL<");
    let error = commit([OK, &failed].repeat(5)).await.unwrap_err();
    assert!(error.contains("job 7 ended with FAIL"), "{error}");
}

/// Gives these answers in turn.
async fn commit(answers: Vec<&str>) -> Result<(), String> {
    let mut answers: Vec<Vec<u8>> = answers.into_iter().rev().map(|answer| answer.as_bytes().to_vec()).collect();
    let url = testing::serve(move |_, _| (200, answers.pop().unwrap_or_default())).await;
    let handlers = handlers("panos", &json!({"username": "a", "api_key": "k", "auto_commit": "true"}), &url).unwrap();
    let Handler::Panos(panos) = &handlers[0] else { panic!("{handlers:?}") };
    panos.commit(RETRIES, Duration::from_millis(1)).await
}

#[test]
fn who_commits_must_be_known_even_when_nothing_is_committed() {
    let error = handlers("panos", &json!({}), "http://x").unwrap_err();
    assert!(error.contains("PANOS_USERNAME"), "{error}");
    assert_eq!(handlers("panos", &json!({"username": "a"}), "http://x").unwrap().len(), 0);
    assert!(handlers("other", &json!({"auto_commit": true}), "http://x").unwrap().is_empty());
    let shown = format!(
        "{:?}",
        handlers("panos", &json!({"username": "a", "password": "pw", "auto_commit": true}), "http://x")
    );
    assert!(!shown.contains("pw"), "{shown}");
}

#[tokio::test]
async fn the_fake_fails_as_it_is_told() {
    let called = Called::default();
    let fails =
        &handlers("fake-sync", &json!({"name": "f", "err": true, "success_first": true}), "http://x").unwrap()[0];
    assert_eq!(fails.run(&called).await, Ok(()));
    assert_eq!(fails.run(&called).await, Err("error f".to_owned()));
    assert!(handlers("fake-sync", &json!({"err": true}), "http://x").is_err());
}

fn handlers(name: &str, args: &Value, url: &str) -> Result<Vec<Handler>, String> {
    let provider = Provider { name: name.to_owned(), args: args.as_object().unwrap().clone(), ..Provider::default() };
    let settings = Settings { providers: vec![provider], ..Settings::default() };
    let work = TerraformWork {
        module: String::new(),
        version: String::new(),
        providers: vec![name.to_owned()],
        variables: BTreeMap::new(),
    };
    let (protocol, host) = url.split_once("://").unwrap();
    let (host, port) = host.split_once(':').unwrap_or((host, ""));
    let env = [("PANOS_PROTOCOL", protocol), ("PANOS_HOSTNAME", host), ("PANOS_PORT", port)];
    for_task(&settings, &work, &env.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect())
}
