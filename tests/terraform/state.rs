//! Where state goes.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Mutex;

use quorate::terraform::{Backend, ConsulAccess};

use super::*;

fn one() -> Bench {
    Bench::new(&format!("{SERVICES}resource \"terraform_data\" \"it\" {{ input = 1 }}\n"))
}

#[test]
fn a_local_backend_with_workspace_dir_keeps_state_where_it_says() {
    let mut bench = one();
    let dir = bench.root.path().join("states");
    let body = object(&format!("{{\"workspace_dir\": {:?}}}", dir.to_str().unwrap()));
    bench.settings.backend = Some(Backend { kind: "local".to_owned(), body });
    assert_eq!(bench.run().result, Ok(()));
    assert!(dir.join("edge/terraform.tfstate").exists());
}

#[test]
fn a_changed_backend_is_initialised_again_and_its_state_moves() {
    let mut bench = one();
    assert_eq!(bench.run().result, Ok(()));
    let dir = bench.root.path().join("states");
    let body = object(&format!("{{\"workspace_dir\": {:?}}}", dir.to_str().unwrap()));
    bench.settings.backend = Some(Backend { kind: "local".to_owned(), body });
    let moved = bench.run();
    assert_eq!((moved.kinds()[0], moved.result.clone()), (StepKind::Init, Ok(())));
    assert!(moved.printed().contains("0 added, 0 changed, 0 destroyed"), "{}", moved.printed());
}

/// Terraform knows this default as it stands: only Consul is missing.
#[test]
fn the_consul_backend_is_accepted_and_reads_its_address() {
    let mut bench = one();
    let access = ConsulAccess {
        address: "127.0.0.1:9".to_owned(),
        kv_path: "consul-terraform-sync/".to_owned(),
        ..ConsulAccess::default()
    };
    bench.default_backend = DefaultBackend::Consul(access);
    let error = bench.run().result.unwrap_err();
    assert!(error.starts_with("error tf-init for 'edge'") && error.contains("127.0.0.1:9"), "{error}");
}

#[test]
fn a_backend_of_the_caller_keeps_state_without_workspaces() {
    let mut bench = one();
    let kept: Arc<Mutex<Vec<u8>>> = Arc::default();
    let address = serve(Arc::clone(&kept));
    let body = object(&format!("{{\"address\": \"{address}\", \"username\": \"agent\"}}"));
    let backend = Backend { kind: "http".to_owned(), body };
    let env = BTreeMap::from([("TF_HTTP_PASSWORD".to_owned(), "run".to_owned())]);
    bench.default_backend = DefaultBackend::Cluster(Chosen { backend, env });
    let first = bench.run();
    assert_eq!(first.result, Ok(()), "{}", first.printed());
    assert_eq!(first.kinds(), [StepKind::Init, StepKind::Validate, StepKind::Apply]);
    let state = String::from_utf8(kept.lock().unwrap().clone()).unwrap();
    assert!(state.contains("terraform_data"), "{state}");
    assert_eq!(bench.run().kinds(), [StepKind::Apply], "it counts as initialised");
}

/// State over HTTP: GET, POST, for who brings the password.
fn serve(kept: Arc<Mutex<Vec<u8>>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/state", listener.local_addr().unwrap());
    drop(std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = Vec::new();
            let (head, body) = loop {
                let mut bytes = [0; 4096];
                let count = stream.read(&mut bytes).unwrap();
                request.extend_from_slice(&bytes[..count]);
                let Some(end) = request.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
                let head = String::from_utf8_lossy(&request[..end]).to_lowercase();
                let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
                if request.len() >= end + 4 + length.unwrap_or(0) {
                    break (head, request[end + 4..].to_vec());
                }
            };
            // agent:run
            let knows = head.contains("authorization: basic ywdlbnq6cnvu");
            let (status, content) = match head.split(' ').next() {
                _ if !knows => ("401 Unauthorized", Vec::new()),
                Some("post") => {
                    *kept.lock().unwrap() = body;
                    ("200 OK", Vec::new())
                }
                _ if kept.lock().unwrap().is_empty() => ("404 Not Found", Vec::new()),
                _ => ("200 OK", kept.lock().unwrap().clone()),
            };
            let length = content.len();
            write!(stream, "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n").unwrap();
            stream.write_all(&content).unwrap();
        }
    }));
    address
}
