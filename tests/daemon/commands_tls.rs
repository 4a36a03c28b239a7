//! The `task` commands over TLS and mutual TLS: `reference/cts.md` 8.2, CommandTLS and CommandMTLS. No Terraform: the
//! tasks are commands.

use std::process::Output;

use super::agent::{Agent, Place, eventually};
use super::certificates::own;
use super::tls::place;

const SERVER: &str = "tls {\n  cert = \"server.pem\"\n  key = \"server.key\"\n}\n";
const MUTUAL: &str =
    "tls {\n  cert = \"server.pem\"\n  key = \"server.key\"\n  verify_incoming = true\n  ca_cert = \"ca.pem\"\n}\n";
const TASK: &str =
    "task {\n  name = \"NAME\"\n  command = [\"true\"]\n  condition \"schedule\" { cron = \"0 0 1 1 *\" }\n}\n";
const IDENTITY: [&str; 2] = ["-client-cert=client.pem", "-client-key=client.key"];

#[test]
fn every_command_speaks_tls_with_a_file_or_a_directory_of_authorities() {
    for (server, identity) in [(SERVER, &[][..]), (MUTUAL, &IDENTITY[..])] {
        let place = place();
        place.file("task.hcl", TASK.replace("NAME", "made"));
        let agent = start(&place, server);
        for trust in ["-ca-cert=ca.pem", "-ca-path=authorities"] {
            for command in [
                &["task", "disable"][..],
                &["task", "enable", "-auto-approve"],
                &["task", "create", "-auto-approve", "-task-file=task.hcl"],
                &["task", "delete", "-auto-approve"],
                &["task", "list"],
            ] {
                let name: &[&str] = match command[1] {
                    "create" | "list" => &[],
                    "delete" => &["made"],
                    _ => &["there"],
                };
                let out = ask(&place, &agent, &[command, &[trust], identity, name].concat(), &[]);
                assert!(out.status.success(), "{trust} {command:?}: {out:?}");
            }
        }
        // The same from the environment, also under the newer names.
        let env = [("CTS_CACERT", "ca.pem"), ("CTS_CLIENT_CERT", "client.pem"), ("CTS_CLIENT_KEY", "client.key")];
        assert!(ask(&place, &agent, &["task", "list"], &env).status.success());
        let env = [("QUORATE_CAPATH", "authorities"), env[1], env[2]];
        assert!(ask(&place, &agent, &["members"], &env).status.success());
    }
}

#[test]
fn what_keeps_two_sides_apart_is_said_in_the_words_of_cts() {
    let place = place();
    let agent = start(&place, SERVER);
    let refused = |args: &[&str], env: &[(&str, &str)], words: &str| {
        for command in
            [&["task", "enable", "-auto-approve"][..], &["task", "disable"], &["task", "delete", "-auto-approve"]]
        {
            let out = ask(&place, &agent, &[command, args, &["there"]].concat(), env);
            let said = String::from_utf8_lossy(&out.stderr);
            assert_eq!(out.status.code(), Some(11), "{command:?}: {out:?}");
            assert!(said.contains(words), "{command:?} {args:?}: {said}");
        }
    };
    let stranger = "signed by unknown authority";
    refused(&["-ca-cert=other.pem"], &[], stranger);
    refused(&["-ca-cert=other.pem"], &[("CTS_CACERT", "ca.pem")], stranger);
    refused(&[], &[("CTS_CACERT", "other.pem")], stranger);
    refused(&["-ca-cert=missing.pem"], &[], "missing.pem: No such file");
    refused(&["-ca-cert=server.key"], &[], "there is no certificate in PEM form");
    let plain = format!("-http-addr=http://localhost:{}", agent.addr.port());
    refused(&[&plain], &[], "sent an HTTP request to an HTTPS server");
    // A flag beats the environment; who is not checked is trusted.
    for (args, env) in [
        (&["-ca-cert=ca.pem"][..], &[("CTS_CACERT", "other.pem")][..]),
        (&["-ssl-verify=false"], &[("CTS_SSL_VERIFY", "true")]),
        (&[], &[("CTS_SSL_VERIFY", "false")]),
    ] {
        let out = ask(&place, &agent, &[&["task", "list"], args].concat(), env);
        assert!(out.status.success(), "{args:?}: {out:?}");
    }
    assert!(ask(&place, &agent, &["task", "list", "-ca-cert=ca.pem"], &[]).status.success());
}

#[test]
fn a_client_without_the_right_certificate_is_told_so() {
    let place = place();
    let agent = start(&place, MUTUAL);
    let said = |identity: &[&str], env: &[(&str, &str)]| {
        let out = ask(&place, &agent, &[&["task", "list", "-ca-cert=ca.pem"], identity].concat(), env);
        (out.status.code(), String::from_utf8_lossy(&out.stderr).into_owned())
    };
    for _ in 0..20 {
        let (code, text) = said(&[], &[]);
        assert!(code == Some(11) && text.contains("certificate required"), "{text}");
    }
    let stranger = ["-client-cert=stranger.pem", "-client-key=stranger.key"];
    let own = [("CTS_CLIENT_CERT", "client.pem"), ("CTS_CLIENT_KEY", "client.key")];
    for env in [&[][..], &own] {
        let (code, text) = said(&stranger, env);
        assert!(code == Some(11) && text.contains("does not trust the client's certificate"), "{text}");
    }
    assert_eq!(said(&[], &own).0, Some(0));
    let (code, text) = said(&IDENTITY[..1], &[]);
    assert!(code == Some(11) && text.contains("without -client-key"), "{text}");
}

#[test]
fn tls_to_an_agent_without_it_is_said() {
    let place = place();
    let agent = place.start("");
    let out = ask(&place, &agent, &["task", "list", "-ca-cert=ca.pem"], &[]);
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.code() == Some(11) && said.contains("HTTP response to HTTPS client"), "{said}");
}

#[test]
fn certificates_that_are_trusted_by_themselves_may_be_authorities() {
    let place = place();
    for name in ["server", "client", "stranger"] {
        own(&place.path(""), name);
    }
    place.file("ca.pem", std::fs::read(place.path("server.pem")).unwrap());
    std::fs::create_dir_all(place.path("clients")).unwrap();
    for authority in ["ca_cert = \"client.pem\"", "ca_path = \"clients\""] {
        place.file("clients/one.pem", std::fs::read(place.path("client.pem")).unwrap());
        let agent = start(&place, &MUTUAL.replace("ca_cert = \"ca.pem\"", authority));
        let said = |authority: &str, identity: &[&str]| {
            let out = ask(&place, &agent, &[&["task", "list", authority], identity].concat(), &[]);
            (out.status.code(), String::from_utf8_lossy(&out.stderr).into_owned())
        };
        assert_eq!(said("-ca-cert=ca.pem", &IDENTITY).0, Some(0), "{authority}");
        // The same name, another key: on both sides.
        let (code, text) = said("-ca-cert=stranger.pem", &IDENTITY);
        assert!(code == Some(11) && text.contains("certificate signed by unknown authority"), "{text}");
        let (code, text) = said("-ca-cert=ca.pem", &["-client-cert=stranger.pem", "-client-key=stranger.key"]);
        assert!(code == Some(11) && text.contains("does not trust the client's certificate"), "{text}");
        for _ in 0..10 {
            let (code, text) = said("-ca-cert=ca.pem", &[]);
            assert!(code == Some(11) && text.contains("certificate required"), "{text}");
        }
    }
}

#[test]
fn every_command_says_what_the_other_side_speaks() {
    let place = place();
    place.file("task.hcl", TASK.replace("NAME", "made"));
    let beside = Place::new();
    let (sealed, plain) = (start(&place, SERVER), beside.start(""));
    let to_sealed = format!("-http-addr=http://localhost:{}", sealed.addr.port());
    let to_plain = format!("-http-addr=https://localhost:{}", plain.addr.port());
    for command in [
        &["status"][..],
        &["members"],
        &["leave"],
        &["step-down"],
        &["reload"],
        &["task", "list"],
        &["task", "show", "there"],
        &["task", "create", "-auto-approve", "-task-file=task.hcl"],
        &["task", "enable", "-auto-approve", "there"],
        &["task", "disable", "there"],
        &["task", "delete", "-auto-approve", "there"],
        &["task", "run", "there"],
        &["state", "list"],
    ] {
        let position = command.iter().position(|word| word.starts_with('-') || *word == "there");
        for (address, words) in [
            (to_sealed.as_str(), "sent an HTTP request to an HTTPS server"),
            (to_plain.as_str(), "gave HTTP response to HTTPS client"),
        ] {
            let mut args = command.to_vec();
            args.splice(
                position.unwrap_or(command.len())..position.unwrap_or(command.len()),
                [address, "-ca-cert=ca.pem"],
            );
            let out = place.run(&args);
            let said = String::from_utf8_lossy(&out.stderr);
            assert!(!out.status.success() && said.contains(words), "{args:?}: {out:?}");
        }
    }
}

#[test]
fn a_consul_that_speaks_something_else_is_told_as_what_it_is() {
    let place = place();
    let beside = Place::new();
    // What answers there does not matter: it is no Consul.
    let (sealed, plain) = (place.start(SERVER), beside.start(""));
    for (port, tls, words) in [
        (sealed.addr.port(), "", "sent an HTTP request to an HTTPS server"),
        (plain.addr.port(), "tls {\n enabled = true\n }", "gave HTTP response to HTTPS client"),
    ] {
        place.file("once.hcl", format!("id = \"once\"\nconsul {{\n address = \"localhost:{port}\"\n {tls}\n}}\n"));
        let out = place.run(&["start", "-once", "-config-file", "once.hcl"]);
        let said = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.code() == Some(15) && said.contains(words), "{said}");
    }
}

#[test]
fn downloads_know_the_same_certificates() {
    let place = place();
    own(&place.path(""), "server");
    // An agent's API has no releases, but its certificate is looked at first.
    let agent = place.start(SERVER);
    place.file("module/main.tf", "variable \"services\" {}\n");
    let task = TASK.replace("NAME", "net").replace("command = [\"true\"]", "module = \"./module\"");
    let version = "driver \"terraform\" {\n  version = \"1.9.8\"\n}\n";
    place.file("once.hcl", format!("id = \"once\"\n{version}{task}"));
    for (trusted, words) in [("server.pem", "404 Not Found"), ("other.pem", "certificate signed by unknown authority")]
    {
        let mut command = place.command(&["start", "-once", "-config-file", "once.hcl"]);
        command.env("QUORATE_RELEASES_URL", format!("https://localhost:{}", agent.addr.port()));
        let out = command.env("PATH", "/none").env("SSL_CERT_FILE", place.path(trusted)).output().unwrap();
        let said = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.code() == Some(11) && said.contains(words), "{trusted}: {said}");
    }
}

fn start(place: &Place, server: &str) -> Agent {
    let agent = place.start(&format!("{server}{}", TASK.replace("NAME", "there")));
    // It shows its tasks before it leads; what changes one waits for that.
    let all = [&["task", "disable", "-ca-cert=ca.pem"], &IDENTITY[..], &["there"]].concat();
    eventually(|| ask(place, &agent, &all, &[]).status.success().then_some(()));
    // The run of a fresh task may be under way still: then it cannot be enabled.
    let all = [&["task", "show", "-json", "-ca-cert=ca.pem"], &IDENTITY[..], &["there"]].concat();
    eventually(|| {
        let shown: serde_json::Value = serde_json::from_slice(&ask(place, &agent, &all, &[]).stdout).ok()?;
        (shown["activity"]["state"] == "idle").then_some(())
    });
    agent
}

fn ask(place: &Place, agent: &Agent, args: &[&str], env: &[(&str, &str)]) -> Output {
    let mut command = place.command(args);
    command.env("CTS_ADDRESS", format!("https://localhost:{}", agent.addr.port()));
    command.envs(env.iter().copied()).stdin(std::process::Stdio::null()).output().unwrap()
}
