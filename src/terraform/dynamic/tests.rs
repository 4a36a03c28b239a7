use std::sync::Mutex;

use serde_json::json;

use super::super::{Provider, Settings};
use super::*;

#[tokio::test]
async fn every_source_is_filled_in_wherever_it_stands() {
    let settings = with(&json!({
        "host": "{{ env \"FW_HOST\" }}:8443",
        "user": "{{- key \"fw/user\" | trimSpace | toUpper -}}  !",
        "zone": "{{ keyOrDefault \"absent\" \"north\" }}",
        "tls": {"pass": ["{{ with secret \"kv/fw\" }}{{ .Data.password }}/{{.Data.port}}{{ end }}"]},
        "v2": "{{ with secret `secret/data/fw?version=2` }}{{ .Data.data.token | base64Decode }}{{ end }}",
        "plain": "{{ not ours }} ${x}",
        "number": 3,
    }));
    let resolved = resolve(&settings, true).await.unwrap();
    assert_eq!(
        Value::Object(resolved.providers[0].args.clone()),
        json!({
            "host": "fw.example:8443",
            "user": "ADMIN!",
            "zone": "north",
            "tls": {"pass": ["hunter2/7"]},
            "v2": "open",
            "plain": "{{ not ours }} ${x}",
            "number": 3,
        })
    );
    assert_eq!(resolved.providers[0].task_env["FW"], "fw.example");
}

#[tokio::test]
async fn what_is_asked_twice_is_fetched_once() {
    let settings = with(&json!({"a": "{{ key \"fw/user\" }}", "b": "{{ key \"fw/user\" }}"}));
    let asked = Mutex::new(Vec::new());
    let fetch = async |lookup: Lookup| {
        asked.lock().unwrap().push(lookup);
        Ok(json!("x"))
    };
    fill(&settings, &env(), false, fetch).await.unwrap();
    assert_eq!(*asked.lock().unwrap(), [Lookup::Key("fw/user".to_owned())]);
}

#[tokio::test]
async fn without_vault_a_secret_is_refused_in_the_words_of_cts() {
    let settings = with(&json!({"a": "{{ with secret \"kv/fw\" }}{{ .Data.password }}{{ end }}"}));
    let error = resolve(&settings, false).await.unwrap_err();
    assert_eq!(error.to_string(), "detected dynamic configuration using Vault: missing Vault configuration");
}

#[tokio::test]
async fn what_cannot_be_filled_in_is_an_error_with_its_place() {
    refuse("{{ key \"absent\" }}", "`a`: there is no key \"absent\" in Consul").await;
    refuse("{{ with secret \"kv/fw\" }}{{ .Data.no }}{{ end }}", "has no `.Data.no`").await;
    refuse("{{ with secret \"secret/data/fw?version=2\" }}{{ .Data }}{{ end }}", "in `.Data.data`").await;
    refuse("{{ with secret \"kv/fw\" }}x", "without {{ end }}").await;
    refuse("{{ env \"X\" }}{{ end }}", "without a block").await;
    refuse("{{ env \"X\" }}{{ .Data.x }}", "outside of").await;
    refuse("{{ env \"X\" }}{{ range services }}{{ end }}", "is not known here; known are env").await;
    refuse("{{ env \"X\" | printf }}", "is not known here").await;
    refuse("{{ env \"X\" }}{{ oops", "without `}}`").await;
    refuse("{{ with secret \"down\" }}{{ end }}", "secret \"down\" of Vault: sealed").await;
    refuse(&"{{ with secret \"kv/fw\" }}".repeat(50), "nested deeper").await;
}

#[tokio::test]
async fn a_source_that_does_not_answer_is_given_up() {
    let settings = with(&json!({"a": "{{ key \"x\" }}"}));
    let fetch = async |_| std::future::pending().await;
    let error = fill_within(Duration::from_millis(10), &settings, &env(), false, fetch).await.unwrap_err();
    let text = "terraform_provider \"fw\", `a`: key \"x\" of Consul: no answer within 5 seconds";
    assert_eq!(error.to_string(), text);
}

#[tokio::test]
async fn files_lose_the_end_of_their_last_line_and_what_was_put_in_is_known() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.display().to_string()
    };
    let (good, lines) = (file("good", b"hunter2\r\n"), file("lines", b"a\nb\n\n"));
    let text = |path: &str| format!("x-{{{{ file {path:?} }}}}");
    let settings = with(&json!({"a": text(&good), "b": text(&lines), "c": "{{ key \"fw/user\" }}"}));
    let fetch = async |_| Ok(json!("admin"));
    let filled = fill(&settings, &env(), false, fetch).await.unwrap();
    let args = &filled.texts.providers[0].args;
    assert_eq!((&args["a"], &args["b"]), (&json!("x-hunter2"), &json!("x-a\nb\n")));
    assert_eq!(filled.secrets, ["hunter2", "a\nb\n", "fw.example"], "what Consul says is no secret");
    for (path, why) in [
        (file("binary", b"\xff"), "is not text (UTF-8)"),
        (dir.path().display().to_string(), "is no regular file"),
        (file("large", &vec![b'x'; 257 << 10]), "is larger than 256 KiB"),
        ("/no/such".to_owned(), "cannot be read: No such file"),
    ] {
        let error = resolve(&with(&json!({"a": text(&path)})), false).await.unwrap_err().to_string();
        assert!(error.starts_with(&format!("terraform_provider \"fw\", `a`: file {path:?}: {why}")), "{error}");
    }
}

#[tokio::test]
async fn a_run_has_texts_of_its_task_and_a_variable_that_is_missing_is_an_error() {
    let variables = [("a", "{{ env \"FW_HOST\" }}"), ("b", "\"plain\"")];
    let mut texts = RunTexts {
        task: "edge".to_owned(),
        variables: variables.map(|(name, text)| (name.to_owned(), text.to_owned())).into(),
        ..RunTexts::default()
    };
    let templated = texts.templated_variables();
    let mut filled = fill_here(&texts, &env()).unwrap().texts;
    filled.quote(&templated);
    assert_eq!((filled.variables["a"].as_str(), filled.variables["b"].as_str()), ("\"fw.example\"", "\"plain\""));
    texts.set.insert("DB".to_owned(), "{{ env \"ABSENT\" }}".to_owned());
    let error = fill_here(&texts, &env()).unwrap_err().to_string();
    assert_eq!(error, "task \"edge\", `run_env.set.DB`: the environment of the agent has no variable ABSENT");
    texts.set.insert("DB".to_owned(), "{{ with secret \"x\" }}{{ end }}".to_owned());
    assert!(fill_here(&texts, &env()).unwrap_err().to_string().contains("is not known here"));
}

async fn refuse(text: &str, why: &str) {
    let error = resolve(&with(&json!({"a": text})), true).await.unwrap_err().to_string();
    assert!(error.contains(why), "{text}: {error}");
}

async fn resolve(settings: &Settings, has_vault: bool) -> Result<Settings, DynamicError> {
    let fetch = async |lookup: Lookup| match &lookup {
        Lookup::Key(path) if path == "fw/user" => Ok(json!(" admin\n")),
        Lookup::Key(_) => Ok(Value::Null),
        Lookup::Secret(path) if path == "kv/fw" => Ok(json!({"data": {"password": "hunter2", "port": 7}})),
        Lookup::Secret(path) if path == "down" => Err("sealed".to_owned()),
        Lookup::File(path) => Err(format!("nobody asks for {path}")),
        Lookup::Secret(_) => Ok(json!({"data": {"data": {"token": "b3Blbg=="}, "metadata": {}}})),
    };
    fill(settings, &env(), has_vault, fetch).await.map(|filled| filled.texts)
}

fn env() -> BTreeMap<String, String> {
    BTreeMap::from([("FW_HOST".to_owned(), "fw.example".to_owned())])
}

fn with(args: &Value) -> Settings {
    let provider = Provider {
        name: "fw".to_owned(),
        args: args.as_object().unwrap().clone(),
        task_env: BTreeMap::from([("FW".to_owned(), "{{ env \"FW_HOST\" }}".to_owned())]),
        ..Provider::default()
    };
    Settings { providers: vec![provider], ..Settings::default() }
}
