//! A Consul that asks for certificates and tokens: what is watched, Terraform's state and the registration go by them.

use std::fs;

use serde_json::{Value, json};

use crate::certificates::{Use, authority, issue, own};
use crate::harness::{Consul, Place, free_port, task, until};

const API: &str = "condition \"services\" {\n names = [\"api\"]\n }";
/// All that a daemon needs whose tasks are these (`docs/moving-from-cts.md`).
const RULES: &str = r#"
service_prefix "" { policy = "read" }
node_prefix "" { policy = "read" }
service "consul-terraform-sync" { policy = "write" }
agent_prefix "" { policy = "read" }
key_prefix "consul-terraform-sync/" { policy = "write" }
session_prefix "" { policy = "write" }
"#;
const SECRET: &str = "7d8a1f52-9f6e-4a53-8b8e-0c4f6a1d2e3b";

/// Where Consul speaks TLS, and the directory with `ca.pem`, `other.pem`, `client.pem`, `client.key`.
struct Secured {
    consul: Consul,
    https: u16,
    dir: tempfile::TempDir,
}

impl Secured {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (ca, other) = (authority("the authority"), authority("another authority"));
        fs::write(dir.path().join("ca.pem"), ca.pem()).unwrap();
        fs::write(dir.path().join("other.pem"), other.pem()).unwrap();
        issue(dir.path(), &ca, "server", Use::Server);
        issue(dir.path(), &ca, "client", Use::Client);
        let https = free_port();
        let file = |name: &str| json!(dir.path().join(name));
        let more = format!(
            "acl {{ enabled = true default_policy = \"deny\" down_policy = \"deny\" tokens {{ master = \"root\" agent = \
             \"root\" }} }} ports {{ https = {https} }} verify_incoming_https = true ca_file = {} cert_file = {} key_file = {}",
            file("ca.pem"),
            file("server.pem"),
            file("server.key")
        );
        let consul = Consul::start_with(&more, Some("root"));
        consul.put("acl/policy", &json!({"Name": "tasks", "Rules": RULES}));
        let secured = Self { consul, https, dir };
        secured.grant();
        secured
    }

    /// The token of the daemon, always the same.
    fn grant(&self) -> Value {
        self.consul.put("acl/token", &json!({"SecretID": SECRET, "Policies": [{"Name": "tasks"}]}))
    }

    /// A configuration that reaches it, with this authority and more.
    fn place(&self, authority: &str, more: &str) -> Place {
        let mut place = Place::new(&self.consul);
        place.consul = format!("localhost:{}", self.https);
        let file = |name: &str| json!(self.dir.path().join(name));
        place.more = format!(
            "token = \"{SECRET}\"\n  tls {{\n    enabled = true\n    ca_cert = {}\n{more}  }}",
            file(authority)
        );
        place
    }

    fn identity(&self) -> String {
        let file = |name: &str| json!(self.dir.path().join(name));
        format!("    cert = {}\n    key = {}\n", file("client.pem"), file("client.key"))
    }
}

#[test]
fn all_goes_by_mutual_tls_and_a_token_with_few_rights() {
    let secured = Secured::start();
    let consul = &secured.consul;
    consul.register("api", "api-1", "10.0.0.1");
    let mut place = secured.place("ca.pem", &secured.identity());
    place.driver.push_str("id = \"cts-01\"\n");
    let agent = place.ready(&task("edge", "addresses", API));
    assert_eq!((agent.status("edge"), place.resources("edge")), ("successful".to_owned(), vec!["api-1".to_owned()]));
    assert_eq!(consul.keys("consul-terraform-sync/"), ["consul-terraform-sync/terraform-env:edge"]);
    until("it is registered", || consul.get("agent/services").get("cts-01").is_some());
    let mark = agent.mark("edge");
    consul.register("api", "api-2", "10.0.0.2");
    mark.wait(1);

    // Secrets go by the environment: not into a file, not into the log.
    let files =
        ["main.tf", "terraform.tfvars", "variables.tf"].map(|file| fs::read_to_string(place.of("edge", file)).unwrap());
    assert!(files[0].contains("scheme") && files[0].contains("ca_file"), "{}", files[0]);
    assert!(files.iter().all(|text| !text.contains(SECRET)) && !place.log().contains(SECRET));

    // The token is gone: that is no answer, so nothing is applied; it comes back, and what was missed is.
    let accessor = consul
        .get("acl/tokens")
        .as_array()
        .unwrap()
        .iter()
        .find(|it| it["Policies"][0]["Name"] == "tasks")
        .unwrap()["AccessorID"]
        .clone();
    consul.delete(&format!("acl/token/{}", accessor.as_str().unwrap()));
    consul.register("api", "api-3", "10.0.0.3");
    until("it says so", || agent.get("cluster/tasks")["consul"]["faults"].to_string().contains("ACL not found"));
    assert_eq!((mark.events().len(), place.resources("edge").len()), (1, 2));
    secured.grant();
    mark.wait(2);
    assert_eq!(place.resources("edge"), ["api-1", "api-2", "api-3"]);
    until("the status is calm again", || agent.get("cluster/tasks")["consul"]["faults"] == json!([]));
    assert!(agent.interrupt().success());
    assert!(consul.get("agent/services").get("cts-01").is_none(), "a clean stop takes it away");
}

#[test]
fn a_consul_whose_certificate_is_trusted_by_itself_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    own(dir.path(), "server");
    let https = free_port();
    let file = |name: &str| json!(dir.path().join(name));
    let (cert, key) = (file("server.pem"), file("server.key"));
    let consul = Consul::start_with(&format!("ports {{ https = {https} }} cert_file = {cert} key_file = {key}"), None);
    consul.register("api", "api-1", "10.0.0.1");
    let mut place = Place::new(&consul);
    place.consul = format!("localhost:{https}");
    place.more = format!("tls {{\n    enabled = true\n    ca_cert = {cert}\n  }}");
    let (code, log) = place.start(&task("edge", "addresses", API), &["-once"]);
    assert_eq!((code, place.resources("edge")), (0, vec!["api-1".to_owned()]), "{log}");
}

#[test]
fn a_consul_on_a_socket_serves_all_that_one_on_a_port_does() {
    let dir = tempfile::tempdir().unwrap();
    let socket = format!("unix://{}", dir.path().join("consul.sock").display());
    let consul = Consul::start_with(&format!("addresses {{ http = \"127.0.0.1 {socket}\" }}"), None);
    consul.register("api", "api-1", "10.0.0.1");
    let mut place = Place::new(&consul);
    place.consul.clone_from(&socket);
    place.driver.push_str("id = \"cts-01\"\n");
    let agent = place.ready(&task("edge", "addresses", API));
    assert_eq!((agent.status("edge"), place.resources("edge")), ("successful".to_owned(), vec!["api-1".to_owned()]));
    // Terraform's own state goes by the same address, as CTS writes it.
    let main = fs::read_to_string(place.of("edge", "main.tf")).unwrap();
    assert!(main.contains(&format!("address = {socket:?}")), "{main}");
    assert_eq!(consul.keys("consul-terraform-sync/"), ["consul-terraform-sync/terraform-env:edge"]);
    until("it is registered", || consul.get("agent/services").get("cts-01").is_some());
    let mark = agent.mark("edge");
    consul.register("api", "api-2", "10.0.0.2");
    mark.wait(1);
    assert_eq!(place.resources("edge"), ["api-1", "api-2"]);
    assert!(agent.interrupt().success());
    assert!(consul.get("agent/services").get("cts-01").is_none(), "a clean stop takes it away");
}

#[test]
fn what_keeps_it_out_is_said() {
    let secured = Secured::start();
    let tasks = task("edge", "addresses", API);
    for (authority, identity, words) in [
        ("other.pem", true, "certificate signed by unknown authority"),
        ("ca.pem", false, "certificate required; no client certificate is configured"),
    ] {
        let identity = if identity { secured.identity() } else { String::new() };
        let place = secured.place(authority, &identity);
        let (code, log) = place.start(&tasks, &["-once"]);
        assert_eq!(code, 15, "{log}");
        assert!(log.contains(words), "{words}: {log}");
    }
    // A daemon stays, and says it too.
    let place = secured.place("other.pem", &secured.identity());
    let agent = place.serve(&tasks);
    until("the status says so", || {
        agent.get("cluster/tasks")["consul"]["faults"].to_string().contains("signed by unknown authority")
    });
    assert_eq!(agent.status("edge"), "unknown");
}
