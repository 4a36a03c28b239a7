use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::super::settings::Settings;
use super::*;
use crate::source::consul::settings::{Tls, Transport};

#[tokio::test]
async fn a_secret_of_the_first_kv_version_is_read_with_token_and_namespace() {
    let vault = Vault::start().await;
    let client = Client::connect(&Settings { namespace: "team".to_owned(), ..vault.settings() }).await.unwrap();
    let answer = client.read("kv/fw").await.unwrap();
    assert_eq!(answer["data"]["password"], "hunter2");
    let asked = vault.asked();
    assert_eq!(asked.last().unwrap().0, "GET /v1/kv/fw HTTP/1.1");
    let headers = asked.last().unwrap().1.to_lowercase();
    assert!(headers.contains("x-vault-token: s.root") && headers.contains("x-vault-namespace: team"), "{headers}");
    assert!(headers.contains("x-vault-request: true"), "{headers}");
}

#[tokio::test]
async fn a_path_of_the_second_version_may_leave_out_data() {
    let vault = Vault::start().await;
    let client = Client::connect(&vault.settings()).await.unwrap();
    for path in ["secret/fw", "/secret/data/fw", "secret/fw?version=2"] {
        assert_eq!(client.read(path).await.unwrap()["data"]["data"]["token"], "t", "{path}");
    }
    let asked: Vec<_> =
        vault.asked().into_iter().map(|(line, _)| line).filter(|line| !line.contains("mounts")).collect();
    assert_eq!(asked[0], "GET /v1/secret/data/fw HTTP/1.1");
    assert_eq!(asked[2], "GET /v1/secret/data/fw?version=2 HTTP/1.1");
}

#[tokio::test]
async fn a_wrapping_token_is_unwrapped_before_anything_is_read() {
    let vault = Vault::start().await;
    let settings = Settings { token: "s.wrap".to_owned(), unwrap_token: true, ..vault.settings() };
    let client = Client::connect(&settings).await.unwrap();
    client.read("kv/fw").await.unwrap();
    let asked = vault.asked();
    assert!(asked[0].0.starts_with("PUT /v1/sys/wrapping/unwrap") && asked[0].1.contains("s.wrap"));
    assert!(asked.last().unwrap().1.contains("s.root"));
}

#[tokio::test]
async fn refusals_say_why_and_no_token() {
    let vault = Vault::start().await;
    let client = Client::connect(&Settings { token: "s.other".to_owned(), ..vault.settings() }).await.unwrap();
    let error = client.read("kv/fw").await.unwrap_err();
    assert!(matches!(error, VaultError::Refused { status: 403, .. }), "{error}");
    assert!(error.to_string().contains("permission denied") && !error.to_string().contains("s.other"), "{error}");
    assert!(!format!("{client:?}").contains("s.other"));
    let client = Client::connect(&vault.settings()).await.unwrap();
    assert!(matches!(client.read("kv/none").await, Err(VaultError::Absent(_))));
    assert!(matches!(client.read("kv/deleted").await, Err(VaultError::Absent(_))));
    assert!(matches!(client.read("kv/odd").await, Err(VaultError::Answer { .. })));
    let error = client.read("kv/huge").await.unwrap_err().to_string();
    assert!(error.contains("longer than 1 MiB"), "{error}");
}

#[tokio::test]
async fn a_sealed_vault_is_asked_again_and_one_that_is_away_is_named() {
    let vault = Vault::start().await;
    let client = Client::connect(&vault.settings()).await.unwrap();
    assert_eq!(client.read("kv/sealed").await.unwrap()["data"]["x"], 1, "the second answer counts");
    let away = Settings { address: "http://127.0.0.1:9".to_owned(), ..vault.settings() };
    let error = Client::connect(&away).await.unwrap().read("kv/fw").await.unwrap_err().to_string();
    assert!(error.starts_with("cannot reach Vault at http://127.0.0.1:9"), "{error}");
}

#[tokio::test]
async fn a_socket_is_as_good_as_an_address() {
    let vault = Vault::start().await;
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("vault.sock");
    let (listener, target) = (tokio::net::UnixListener::bind(&socket).unwrap(), vault.address.clone());
    drop(tokio::task::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let mut far = tokio::net::TcpStream::connect(target.trim_start_matches("http://")).await.unwrap();
            drop(tokio::io::copy_bidirectional(&mut near, &mut far).await);
        }
    }));
    let address = format!("unix://{}", socket.display());
    let settings = Settings { address: address.clone(), ..vault.settings() };
    Client::check(&settings).unwrap();
    let client = Client::connect(&settings).await.unwrap();
    assert_eq!(client.read("kv/fw").await.unwrap()["data"]["password"], "hunter2");
    let away = Settings { address: "unix:///no/such.sock".to_owned(), ..vault.settings() };
    let error = Client::connect(&away).await.unwrap().read("kv/fw").await.unwrap_err().to_string();
    assert!(error.starts_with("cannot reach Vault at unix:///no/such.sock"), "{error}");
}

#[tokio::test]
async fn settings_that_cannot_work_are_errors() {
    let vault = Vault::start().await;
    let wrong = Settings { address: "nowhere".to_owned(), ..vault.settings() };
    assert!(Client::connect(&wrong).await.unwrap_err().to_string().contains("nowhere"));
    let tls = Tls { ca_cert: Some("/no/such.pem".into()), ..Tls::default() };
    let error = Client::connect(&Settings { tls, ..vault.settings() }).await.unwrap_err().to_string();
    assert!(error.contains("/no/such.pem"), "{error}");
}

type Asked = Arc<Mutex<Vec<(String, String)>>>;

/// A server that speaks the documented endpoints, one request a connection.
struct Vault {
    address: String,
    asked: Asked,
}

impl Vault {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let asked = Asked::default();
        let seen = Arc::clone(&asked);
        drop(tokio::task::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = Vec::new();
                while !head.windows(4).any(|end| end == b"\r\n\r\n") {
                    let mut bytes = [0; 1024];
                    let count = stream.read(&mut bytes).await.unwrap_or(0);
                    if count == 0 {
                        break;
                    }
                    head.extend_from_slice(&bytes[..count]);
                }
                let head = String::from_utf8_lossy(&head).into_owned();
                let (line, headers) = head.split_once("\r\n").unwrap_or((&head, ""));
                let again = seen.lock().unwrap().iter().any(|(before, _)| before == line);
                seen.lock().unwrap().push((line.to_owned(), headers.to_owned()));
                let (status, body) = answer(line, headers, again);
                let reply =
                    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
                drop(stream.write_all(reply.as_bytes()).await);
            }
        }));
        Self { address, asked }
    }

    fn asked(&self) -> Vec<(String, String)> {
        self.asked.lock().unwrap().clone()
    }

    fn settings(&self) -> Settings {
        Settings {
            token_file: None,
            address: self.address.clone(),
            namespace: String::new(),
            token: "s.root".to_owned(),
            unwrap_token: false,
            tls: Tls::default(),
            transport: Transport::default(),
        }
    }
}

fn answer(line: &str, headers: &str, again: bool) -> (&'static str, String) {
    let path = line.split(' ').nth(1).unwrap_or_default();
    let ok = |body: Value| ("200 OK", body.to_string());
    if path == "/v1/sys/wrapping/unwrap" && headers.contains("s.wrap") {
        return ok(json!({"auth": {"client_token": "s.root"}}));
    }
    if !headers.contains("s.root") {
        return ("403 Forbidden", json!({"errors": ["permission denied"]}).to_string());
    }
    match path {
        path if path.starts_with("/v1/sys/internal/ui/mounts/secret/") => {
            ok(json!({"data": {"path": "secret/", "type": "kv", "options": {"version": "2"}}}))
        }
        path if path.starts_with("/v1/sys/internal/ui/mounts/") => {
            ok(json!({"data": {"path": "kv/", "type": "kv", "options": {"version": "1"}}}))
        }
        "/v1/kv/fw" => ok(json!({"data": {"password": "hunter2"}})),
        "/v1/secret/data/fw" | "/v1/secret/data/fw?version=2" => {
            ok(json!({"data": {"data": {"token": "t"}, "metadata": {}}}))
        }
        "/v1/kv/deleted" => ok(json!({"data": {"data": null}})),
        "/v1/kv/odd" => ok(json!([])),
        "/v1/kv/huge" => ("200 OK", "x".repeat(ANSWER_MAX + 1)),
        "/v1/kv/sealed" if again => ok(json!({"data": {"x": 1}})),
        "/v1/kv/sealed" => ("503 Service Unavailable", json!({"errors": ["Vault is sealed"]}).to_string()),
        _ => ("404 Not Found", json!({"errors": []}).to_string()),
    }
}
