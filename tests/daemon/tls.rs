//! The API over TLS (`reference/cts.md` 2.5), with authorities made here.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use reqwest::{Certificate, Client, Identity};

use super::agent::{Place, eventually};
use super::certificates::{Use, authority, issue};
use super::ports::free_port;

const SERVER_ONLY: &str = "tls {\n  cert = \"server.pem\"\n  key = \"server.key\"\n}\n";

#[test]
fn the_api_speaks_tls_and_nothing_else() {
    let place = place();
    let agent = place.start(SERVER_ONLY);
    assert!(agent.log().contains("tls=true"), "{}", agent.log());
    assert_eq!(get(agent.addr, "/v1/health", Some("ca.pem"), None, &place), Ok((200, "{}".to_owned())));
    let unknown = get(agent.addr, "/v1/health", Some("other.pem"), None, &place).unwrap_err();
    assert!(unknown.contains("UnknownIssuer"), "{unknown}");

    // Plain HTTP gets no answer that could be taken for one.
    let mut plain = TcpStream::connect(agent.addr).unwrap();
    plain.write_all(b"GET /v1/health HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    drop(plain.read_to_end(&mut answer));
    assert!(!answer.starts_with(b"HTTP/1.1 200"), "{:?}", String::from_utf8_lossy(&answer));
    assert!(agent.stop().success());
}

#[test]
fn clients_show_a_certificate_of_the_authority() {
    for authority in ["ca_cert = \"ca.pem\"", "ca_path = \"authorities\""] {
        let place = place();
        let agent = place.start(&format!(
            "tls {{\n  cert = \"server.pem\"\n  key = \"server.key\"\n  verify_incoming = true\n  {authority}\n}}\n"
        ));
        let ask = |identity| get(agent.addr, "/v1/status", Some("ca.pem"), identity, &place);
        assert_eq!(ask(Some("client")).unwrap().0, 200, "{authority}");
        let without = ask(None).unwrap_err();
        assert!(without.to_lowercase().contains("certificaterequired"), "{authority}: {without}");
        assert!(ask(Some("stranger")).is_err(), "{authority}");
    }
}

#[test]
fn a_renewed_certificate_is_shown_without_a_restart() {
    let place = place();
    let mut agent = place.start(SERVER_ONLY);
    let trusting = |ca: &str| get(agent.addr, "/livez", Some(ca), None, &place).is_ok();
    assert!(trusting("ca.pem") && !trusting("other.pem"));
    // One file after the other, as tools do it: in between the old pair is shown.
    std::fs::copy(place.path("renewed.key"), place.path("server.key")).unwrap();
    assert!(trusting("ca.pem"));
    std::fs::copy(place.path("renewed.pem"), place.path("server.pem")).unwrap();
    assert!(trusting("other.pem") && !trusting("ca.pem"));
    std::fs::remove_file(place.path("server.pem")).unwrap();
    assert!(trusting("other.pem"), "a file that is away changes nothing");
    agent.logged("the API has a new certificate");
    agent.logged("the API keeps its old certificate: the key in ");
}

#[test]
fn a_follower_asks_the_leader_whatever_its_own_api_speaks() {
    let ports = [(); 3].map(|()| free_port());
    let join = ports.iter().map(|port| format!("\"127.0.0.1:{port}\"")).collect::<Vec<_>>().join(", ");
    let places: Vec<Place> = ports.iter().map(|_| place()).collect();
    let agents: Vec<_> = (0..3)
        .map(|i| {
            // The last one speaks plain HTTP.
            let tls = if i < 2 { SERVER_ONLY } else { "" };
            let gossip = format!("bind = \"127.0.0.1:{}\"\n join = [{join}]\n expect = 3", ports[i]);
            let cluster = format!("high_availability {{\n cluster {{\n gossip {{\n {gossip}\n }}\n }}\n}}\n");
            let task = "task {\n name = \"one\"\n command = [\"true\"]\n}\n";
            places[i].file("agent.hcl", format!("id = \"a{i}\"\nhttp_addr = \"127.0.0.1:0\"\n{tls}{cluster}{task}"));
            places[i].begin(&["start", "-config-file", "agent.hcl"])
        })
        .collect();
    let ask = |i: usize| match i {
        2 => Ok(agents[2].call("GET", "/v1/tasks/one", None)),
        i => get(agents[i].addr, "/v1/tasks/one", Some("ca.pem"), None, &places[i]),
    };
    let led = |i: usize| agents[i].log().contains("this agent leads");
    // Before that each answers from its own copy.
    eventually(|| (0..3).any(led).then_some(()));
    for i in [1, 2, 0] {
        eventually(|| ask(i).is_ok_and(|(status, body)| status == 200 && body.contains("\"one\"")).then_some(()));
    }
    assert_eq!((0..3).filter(|i| led(*i)).count(), 1, "the others were asked as followers");
}

#[test]
fn resting_handshakes_do_not_delay_the_others() {
    let place = place();
    let agent = place.start(SERVER_ONLY);
    let resting: Vec<TcpStream> = (0..300).map(|_| TcpStream::connect(agent.addr).unwrap()).collect();
    let started = Instant::now();
    assert_eq!(get(agent.addr, "/livez", Some("ca.pem"), None, &place).unwrap().0, 200);
    // They are given five seconds each.
    assert!(started.elapsed() < Duration::from_secs(4), "took {:?}", started.elapsed());
    drop(resting);
}

#[test]
fn what_is_wrong_with_a_certificate_is_said_with_its_place() {
    let both = |rest: &str| format!("tls {{\n  cert = \"server.pem\"\n  key = \"server.key\"\n{rest}}}\n");
    let pair = |cert: &str, key: &str| format!("tls {{\n  cert = \"{cert}\"\n  key = \"{key}\"\n}}\n");
    let required = "key and cert are required if TLS is enabled on the CTS API";
    for (config, expected, at) in [
        ("tls {\n  cert = \"server.pem\"\n}\n".to_owned(), required, "agent.hcl:1:1"),
        ("tls {\n  enabled = true\n}\n".to_owned(), required, "agent.hcl:1:1"),
        (pair("missing.pem", "server.key"), "missing.pem: No such file or directory", "agent.hcl:2:10"),
        (pair("authorities", "server.key"), "authorities: it is not a regular file", "agent.hcl:2:10"),
        (pair("server.key", "server.key"), "there is no certificate in PEM form", "agent.hcl:2:10"),
        (pair("junk.pem", "server.key"), "junk.pem: ", "agent.hcl:2:10"),
        (pair("server.pem", "server.pem"), "there is no private key in PEM form", "agent.hcl:3:9"),
        (pair("server.pem", "sealed.key"), "the key needs a passphrase", "agent.hcl:3:9"),
        (pair("server.pem", "client.key"), "does not belong to the certificate", "agent.hcl:2:10"),
        (both("  verify_incoming = true\n"), "`verify_incoming` needs `ca_cert` or `ca_path`", "agent.hcl:4:21"),
        (
            both("  verify_incoming = true\n  ca_cert = \"server.key\"\n"),
            "there is no certificate in PEM form",
            "agent.hcl:5:13",
        ),
        (both("  verify_incoming = true\n  ca_path = \"none\"\n"), "none: No such file", "agent.hcl:5:13"),
    ] {
        let place = place();
        place.file("agent.hcl", &config);
        let before = place.names();
        for command in [&["start", "-config-file", "agent.hcl"][..], &["config", "check", "-config-file", "agent.hcl"]]
        {
            let out = place.run(command);
            let said = String::from_utf8_lossy(&out.stdout) + String::from_utf8_lossy(&out.stderr);
            // Long lines are wrapped.
            let said: Vec<&str> = said.split_whitespace().filter(|word| *word != "│").collect();
            let said = said.join(" ");
            assert_eq!(out.status.code(), Some(15), "{config}\n{said}");
            assert!(said.contains(expected) && said.contains(at), "{config}\n{said}");
        }
        assert_eq!(place.names(), before, "nothing was made");
    }
}

#[test]
fn a_certificate_without_effect_is_a_warning() {
    let place = place();
    let ca_without_verify = "tls {\n cert = \"server.pem\"\n key = \"server.key\"\n ca_cert = \"ca.pem\"\n}\n";
    let two = "tls {\n cert = \"server.pem\"\n key = \"server.key\"\n verify_incoming = true\n ca_cert = \"ca.pem\"\n \
               ca_path = \"none\"\n}\n";
    for (config, expected) in [
        (ca_without_verify, "clients are not asked for a certificate"),
        (two, "`ca_cert` and `ca_path` are both set: `ca_cert` is used"),
        ("tls {\n enabled = false\n cert = \"none\"\n}\n", "API on http://"),
        (SERVER_ONLY, "API on https://"),
    ] {
        place.file("agent.hcl", config);
        let out = place.run(&["config", "check", "-config-file", "agent.hcl"]);
        let said = String::from_utf8_lossy(&out.stdout);
        assert!(out.status.success() && said.contains(expected), "{said}");
    }
}

/// A directory with the files of an authority (`ca`), its server and client, and those of a stranger.
pub(crate) fn place() -> Place {
    let place = Place::new();
    let ca = authority("the authority");
    let other = authority("another authority");
    place.file("ca.pem", ca.pem());
    place.file("authorities/ca.pem", ca.pem());
    place.file("authorities/README", "not a certificate\n");
    place.file("other.pem", other.pem());
    let dir = &place.path("");
    issue(dir, &ca, "server", Use::Server);
    issue(dir, &ca, "client", Use::Client);
    issue(dir, &other, "stranger", Use::Client);
    issue(dir, &other, "renewed", Use::Server);
    place.file("junk.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    place.file("sealed.key", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n");
    place
}

/// What a client that trusts this authority and shows this certificate is told.
fn get(
    addr: SocketAddr,
    path: &str,
    authority: Option<&str>,
    identity: Option<&str>,
    place: &Place,
) -> Result<(u16, String), String> {
    drop(rustls::crypto::ring::default_provider().install_default());
    let read = |name: &str| std::fs::read(place.path(name)).unwrap();
    let mut builder = Client::builder().timeout(Duration::from_secs(30)).no_proxy();
    if let Some(name) = authority {
        builder = builder.tls_certs_only([Certificate::from_pem(&read(name)).unwrap()]);
    }
    if let Some(name) = identity {
        let pem = [read(&format!("{name}.pem")), read(&format!("{name}.key"))].concat();
        builder = builder.identity(Identity::from_pem(&pem).unwrap());
    }
    let client = builder.build().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let ask = async {
            let answer = client.get(format!("https://localhost:{}{path}", addr.port())).send().await?;
            Ok::<_, reqwest::Error>((answer.status().as_u16(), answer.text().await?))
        };
        ask.await.map_err(|error| format!("{error:?}"))
    })
}
