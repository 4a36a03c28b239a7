//! One agent: its socket, its certificates, its limits, and the configurations that are refused.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::Command;

use quorate::access::Secret;
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair};

use crate::certificates::{Authority, Use, authority, issue};
use crate::harness::{Site, binary, eventually, stderr, stdout, text};

const TASK: &str =
    "task {\n  name = \"web-1\"\n  command = [\"true\"]\n  condition \"schedule\" { cron = \"0 0 1 1 *\" }\n}\n";

#[test]
fn without_an_access_block_everything_is_as_before() {
    let mut site = Site::new(1, TASK);
    site.found();
    assert_eq!(site.call(0, "GET", "/v1/status", None).0, 200);
    assert_eq!(site.call(0, "GET", "/v1/status", Some("whatever")).0, 200, "nobody looks at tokens");
    assert_eq!(site.call(0, "POST", "/v1/tasks/web-1/run", None).0, 202);
    assert!(!site.home(0).join("data/admin.sock").exists());
    let refused = site.quorate(0, None, &["token", "create", "-role", "admin"]);
    assert!(stderr(&refused).contains("access control is off: add an `access` block"), "{}", stderr(&refused));
    assert!(site.log(0).contains("(there are no credentials)"));
}

#[test]
fn the_local_administrator_comes_in_by_a_socket_whatever_others_do() {
    let mut site = Site::new(1, &format!("access {{ default = \"read\" }}\n{TASK}"));
    site.found();
    let socket = site.home(0).join("data/admin.sock");
    let meta = socket.metadata().unwrap();
    assert!(meta.file_type().is_socket() && meta.permissions().mode() & 0o777 == 0o600, "{meta:?}");
    // Guesses from the loopback lock it.
    for byte in 0..10 {
        let guess = Secret::new([byte; 32]).reveal();
        assert_eq!(site.call(0, "GET", "/v1/status", Some(&guess)).0, 401, "{byte}");
    }
    let guess = Secret::new([99; 32]).reveal();
    assert_eq!(site.call(0, "GET", "/v1/status", Some(&guess)).0, 429);
    assert_eq!(site.call(0, "GET", "/v1/status", None).0, 200, "without a token nothing is guessed");
    for words in [&["token", "bootstrap"][..], &["token", "create", "-role", "read"], &["task", "run", "web-1"]] {
        let output = site.admin(0, words);
        assert!(output.status.success(), "{output:?}");
    }
    assert!(site.log(0).contains("too many wrong tokens from this address"));
    // A wrong token of the environment does not keep the administrator out.
    let address = format!("-http-addr=unix://{}", socket.display());
    let output = site.quorate(0, Some(&guess), &["token", "list", &address]);
    assert!(output.status.success() && stdout(&output).contains("the first token (bootstrap)"), "{output:?}");
    site.stop(0);
    assert!(!socket.exists(), "a clean stop takes it away");
}

/// Waits for the sweep, which comes every minute.
#[test]
fn what_has_expired_goes_and_the_last_use_is_known_by_the_hour() {
    let mut site = Site::new(1, "access {}\n");
    site.found();
    let output = site.admin(0, &["token", "bootstrap"]);
    let root = stdout(&output).trim().to_owned();
    let (_, brief) = site.create(0, &root, &["-role", "read", "-ttl", "1s"]);
    eventually("the expired token is gone and the use is written down", || {
        let output = site.admin(0, &["token", "list", "-json"]);
        let list: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let tokens = list["tokens"].as_array().unwrap();
        let used = tokens.iter().find_map(|token| token["last_used"].as_str());
        let is_hour = used.is_some_and(|at| at.ends_with(":00:00Z"));
        is_hour && tokens.iter().all(|token| token["accessor"] != brief.as_str())
    });
}

/// A client's certificate with this common name.
fn client(dir: &Path, authority: &Authority, name: &str) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    fs::write(dir.join(format!("{name}.pem")), params.signed_by(&key, authority).unwrap().pem()).unwrap();
    fs::write(dir.join(format!("{name}.key")), key.serialize_pem()).unwrap();
}

#[test]
fn a_certificate_carries_a_role() {
    let text = "tls {\n  cert = \"server.pem\"\n  key = \"server.key\"\n  verify_incoming = true\n  ca_cert = \"ca.pem\"\n}\n\
                access {\n  open = []\n  by_certificate \"ops-*\" { role = \"admin\" }\n  \
                by_certificate \"ci\" { role = \"operate\" tasks = [\"web-*\"] }\n}\n";
    let mut site = Site::new(1, &format!("{text}{TASK}"));
    let home = site.home(0);
    let ca = authority("the authority");
    fs::write(home.join("ca.pem"), ca.pem()).unwrap();
    issue(&home, &ca, "server", Use::Server);
    for name in ["ops-1", "ci", "someone"] {
        client(&home, &ca, name);
    }
    site.start(0);
    let ask = |name: &str, words: &[&str]| {
        let mut command = Command::new(binary());
        command.args(words).current_dir(&home).env_remove("QUORATE_TOKEN");
        command.arg(format!("-http-addr=https://localhost:{}", site.addr(0).port()));
        command.args(["-ca-cert=ca.pem", &format!("-client-cert={name}.pem"), &format!("-client-key={name}.key")]);
        command.output().unwrap()
    };
    eventually("the agent leads", || ask("ops-1", &["task", "run", "web-1"]).status.success());
    assert!(ask("ops-1", &["token", "create", "-role", "read"]).status.success());
    assert!(ask("ci", &["task", "disable", "web-1"]).status.success());
    let refused = ask("ci", &["token", "list"]);
    assert!(
        stderr(&refused).contains("certificate ci has the role operate for the tasks web-*"),
        "{}",
        stderr(&refused)
    );
    let refused = ask("someone", &["members"]);
    assert!(
        stderr(&refused).contains("403") && stderr(&refused).contains("certificate someone has no role"),
        "{refused:?}"
    );
    let shown = stdout(&ask("someone", &["token", "show"]));
    assert!(shown.is_empty(), "{shown}");
}

fn check(place: &Site, config: &str) -> (Option<i32>, String) {
    fs::write(place.dir.path().join("c.hcl"), config).unwrap();
    let output = Command::new(binary())
        .args(["config", "check", "-json", "-config-file", "c.hcl"])
        .current_dir(place.dir.path())
        .output()
        .unwrap();
    (output.status.code(), stdout(&output))
}

#[test]
fn an_open_door_to_the_network_must_be_meant() {
    let site = Site::new(1, "");
    let port = site.addr(0).port();
    let open = format!("id = \"a1\"\nhttp_addr = \"0.0.0.0:{port}\"\n");
    let (code, said) = check(&site, &open);
    assert!(code == Some(15) && said.contains("would listen on 0.0.0.0"), "{code:?} {said}");
    assert!(said.contains("insecure = true"), "{said}");
    let start = Command::new(binary()).args(["start", "-config-file", "c.hcl"]).current_dir(site.dir.path()).output();
    let start = start.unwrap();
    assert_eq!(start.status.code(), Some(15), "{start:?}");
    assert!(!site.dir.path().join("quorate-data").exists(), "nothing was started");
    let (code, said) = check(&site, &format!("{open}access {{ default = \"write\" }}\n"));
    assert!(code == Some(15) && said.contains("would listen on 0.0.0.0"), "{code:?} {said}");
    let (code, said) = check(&site, &format!("{open}access {{}}\n"));
    assert!(code == Some(0) && said.contains("tokens travel as they are"), "{code:?} {said}");
    let (code, said) = check(&site, &format!("{open}insecure = true\n"));
    assert!(code == Some(0) && said.contains("without credentials"), "{code:?} {said}");
}

#[test]
fn an_open_door_is_told_at_the_start_and_in_the_status() {
    let mut site = Site::new(1, TASK);
    let (home, port) = (site.home(0), site.addr(0).port());
    let config = format!("id = \"a1\"\nhttp_addr = \"0.0.0.0:{port}\"\ninsecure = true\ndata_dir = \"data\"\n{TASK}");
    fs::write(home.join("agent.hcl"), config).unwrap();
    site.found();
    assert!(site.log(0).contains("INSECURE: whoever reaches the API may run and change everything"), "{}", site.log(0));
    let status = stdout(&site.quorate(0, None, &["status"]));
    assert!(status.starts_with("ALARM") && status.contains("insecure = true"), "{status}");
    let (_, cluster) = site.call(0, "GET", "/v1/cluster", None);
    assert_eq!(cluster["details"]["access"]["insecure"], true);
    assert!(text(&cluster["alarms"][0]).contains("insecure = true"));
}

/// Whoever is refused can ask again without end, and must not push other lines out of the file.
#[test]
fn a_flood_of_refusals_leaves_few_lines_and_a_count() {
    let access =
        "access {\n  default = \"deny\"\n  open = [\"/leader\", \"/metrics\"]\n}\naudit { file = \"audit.log\" }\n";
    let mut site = Site::new(1, &format!("{access}{TASK}"));
    site.found();
    for _ in 0..300 {
        assert_eq!(site.call(0, "GET", "/v1/status", None).0, 401);
    }
    let output = site.admin(0, &["token", "bootstrap"]);
    assert!(output.status.success(), "{output:?}");
    let trail = || fs::read_to_string(site.home(0).join("audit.log")).unwrap();
    eventually("the change is there", || trail().contains("token.bootstrap"));
    // The minute may have ended once in between.
    let lines = trail().matches("\"status\":401").count();
    assert!((60..=120).contains(&lines), "{lines} lines of 300 refusals");
    let metrics = site.call(0, "GET", "/metrics", None).1;
    let counted = text(&metrics).lines().find_map(|line| {
        line.strip_prefix("quorate_audit_refusals_counted_total ").and_then(|count| count.parse::<usize>().ok())
    });
    assert_eq!(counted, Some(300 - lines));
    assert!(site.log(0).contains("refusals are counted and have no line"));
}
