//! Values from files, the environment and Vault, and sensitive variables. Needs Terraform.

use std::path::Path;

use serde_json::json;

use super::agent::Place;
use super::search::files_with;
use super::vault::Vault;

const FROM_FILE: &str = "file-Kq7vZ2";
const FROM_ENV: &str = "env-Wm4xT9";
const FROM_VAULT: &str = "vault-Bn8cR3";
const VAULT_TOKEN: &str = "hvs.Lp5sD1";

/// Proves what it was given by its hash, which tells nobody.
const MODULE: &str = r#"variable "services" {}
variable "a" {}
variable "b" {}
variable "c" {}
variable "out" {}
resource "terraform_data" "proof" {
  triggers_replace = [sha256(var.a), sha256(var.b), sha256(var.c)]
  provisioner "local-exec" {
    command     = "printf %s \"$A|$B|$C\" | sha256sum > $OUT; echo $A $B $C"
    environment = { A = var.a, B = var.b, C = var.c, OUT = var.out }
  }
}
"#;

fn hash(texts: &[&str]) -> String {
    use std::fmt::Write as _;
    let digest = <sha2::Sha256 as sha2::Digest>::digest(texts.join("|").as_bytes());
    digest.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

fn proves(out: &Path, texts: &[&str]) -> bool {
    std::fs::read_to_string(out).is_ok_and(|found| found.starts_with(&hash(texts)))
}

#[test]
fn a_value_is_in_the_run_and_nowhere_else_and_the_next_run_takes_the_next_one() {
    let place = Place::new();
    let vault = Vault::new(VAULT_TOKEN, FROM_VAULT);
    place.file("module/main.tf", MODULE);
    let file = place.file("secret", format!("{FROM_FILE}\n"));
    place.file("vault-token", VAULT_TOKEN);
    let out = place.path("out");
    place.file(
        "agent.hcl",
        format!(
            r#"id = "a1"
http_addr = "127.0.0.1:0"
log_level = "TRACE"
driver "terraform" {{ log = true }}
vault {{
  address = "http://{}"
  token   = file("vault-token")
}}
task {{
  name      = "net"
  module    = "./module"
  condition "schedule" {{ cron = "0 0 1 1 *" }}
  variables = {{
    a   = file("secret")
    b   = env("RUN_SECRET")
    c   = "{{{{ with secret \"kv/db\" }}}}{{{{ .Data.password }}}}{{{{ end }}}}"
    out = "\"{}\""
  }}
}}
"#,
            vault.addr,
            out.display()
        ),
    );
    let agent = place.begin_with(&["start", "-config-file", "agent.hcl"], &[("RUN_SECRET", FROM_ENV)]);
    agent.ready();
    assert_eq!(agent.event("net")["success"], true, "{}", agent.log());
    assert!(proves(&out, &[FROM_FILE, FROM_ENV, FROM_VAULT]), "the module was given other values");

    let changed = "file-Zz9yX8";
    std::fs::write(&file, changed).unwrap();
    vault.change("vault-Jj6hG5");
    assert_eq!(agent.run_now(&place, "net")["success"], true, "{}", agent.log());
    assert!(proves(&out, &[changed, FROM_ENV, "vault-Jj6hG5"]));

    let shown = [
        agent.get("/v1/tasks").to_string(),
        agent.get("/v1/tasks/net").to_string(),
        agent.get("/v1/status/tasks?include=events").to_string(),
        agent.log(),
    ];
    let environ = |pid: u32| std::fs::read(format!("/proc/{pid}/environ")).unwrap();
    let environ = String::from_utf8_lossy(&environ(agent.pid())).into_owned();
    for secret in [FROM_FILE, changed, FROM_ENV, FROM_VAULT, "vault-Jj6hG5", VAULT_TOKEN] {
        for text in &shown {
            assert!(!text.contains(secret), "{secret} is shown:\n{text}");
        }
        assert!(!environ.contains(secret), "{secret} is in the environment of the agent");
        let mut found = files_with(&place.path(""), secret);
        // Where the operator has put them.
        found.retain(|path| !["secret", "vault-token"].iter().any(|name| *path == place.path(name)));
        assert_eq!(found, Vec::<std::path::PathBuf>::new(), "{secret}");
    }
    assert_eq!(agent.get("/v1/tasks/net")["task"]["variables"]["a"], r#"{{ file "secret" }}"#);
    assert!(agent.stop().success());
}

#[test]
fn what_cannot_be_read_fails_the_run_with_its_place_and_a_later_run_finds_it() {
    let place = Place::new();
    let agent = place.start(
        r#"task {
  name      = "cmd"
  command   = ["sh", "-c", "echo said $DB >&2; test \"$DB\" = right-Pw1"]
  policy { retries = 0 }
  condition "schedule" { cron = "0 0 1 1 *" }
  run_env { set { DB = file("missing") } }
}
"#,
    );
    agent.ready();
    let checked = place.run(&["config", "check", "-config-file", "agent.hcl"]);
    let checked = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(checked.contains("task \"cmd\" cannot run") && checked.contains("file \"missing\""), "{checked}");
    let error = agent.event("cmd")["error"]["message"].to_string();
    for part in ["task \\\"cmd\\\"", "run_env.set.DB", "file \\\"missing\\\"", "No such file or directory"] {
        assert!(error.contains(part), "{part}: {error}");
    }
    place.file("missing", "wrong-Pw0\n");
    let error = agent.run_now(&place, "cmd")["error"]["message"].to_string();
    assert!(error.contains("said (sensitive value)") && !error.contains("wrong-Pw0"), "{error}");
    place.file("missing", "right-Pw1\n");
    let ran = agent.run_now(&place, "cmd");
    assert_eq!(ran["success"], true, "{ran}");
    for secret in ["wrong-Pw0", "right-Pw1"] {
        let found = files_with(&place.path(""), secret);
        assert!(
            found.iter().all(|path| *path == place.path("missing") || *path == place.path("agent.hcl")),
            "{found:?}"
        );
        assert!(!agent.log().contains(secret));
    }
    assert!(agent.stop().success());
}

#[test]
fn a_sensitive_variable_is_shown_to_nobody() {
    let place = Place::new();
    place.file("module/main.tf", MODULE);
    let out = place.path("out");
    let config = format!(
        r#"task {{
  name      = "net"
  module    = "./module"
  condition "schedule" {{ cron = "0 0 1 1 *" }}
  sensitive_variables = ["a", "b"]
  variables = {{ a = "\"top-Hq2w\"", b = "\"top-Er4t\"", c = "\"open\"", out = "\"{}\"" }}
}}
"#,
        out.display()
    );
    let agent = place.start(&config);
    agent.ready();
    assert_eq!(agent.event("net")["success"], true, "{}", agent.log());
    assert!(proves(&out, &["top-Hq2w", "top-Er4t", "open"]));
    let task = &agent.get("/v1/tasks/net")["task"];
    assert_eq!(task["variables"]["a"], "(sensitive value)");
    assert_eq!(task["sensitive_variables"], json!(["a", "b"]));
    let (status, answer) = agent.post(
        "/v1/tasks",
        &json!({"task": {"name": "again", "module": "./module",
        "condition": {"schedule": {"cron": "0 0 1 1 *"}}, "variables": task["variables"]}})
        .to_string(),
    );
    assert_eq!(status, 400, "what was hidden is no value: {answer}");
    let found = files_with(&place.path(""), "top-Hq2w");
    assert_eq!(found, [place.path("agent.hcl")], "only where the operator wrote it");
    let declared = std::fs::read_to_string(place.path("sync-tasks/net/variables.module.tf")).unwrap();
    assert_eq!(declared.matches("sensitive = true").count(), 2, "{declared}");
    place.file("bad.hcl", config.replace("\"a\", \"b\"]", "\"a\", \"bb\"]"));
    let said = place.run(&["config", "check", "-config-file", "bad.hcl"]);
    let said = String::from_utf8_lossy(&said.stdout).into_owned() + &String::from_utf8_lossy(&said.stderr);
    assert!(said.contains("the task has no variable \"bb\"") && !said.contains("top-Hq2w"), "{said}");
    assert!(agent.stop().success());
}
