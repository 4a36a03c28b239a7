//! As much of Vault as reading one secret needs.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// Serves `kv/db` with one `password`, to whoever shows the token.
pub(crate) struct Vault {
    pub(crate) addr: SocketAddr,
    password: Arc<Mutex<String>>,
}

impl Vault {
    pub(crate) fn new(token: &str, password: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let password = Arc::new(Mutex::new(password.to_owned()));
        let (token, shared) = (token.to_owned(), password.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (token, password) = (token.clone(), shared.lock().unwrap().clone());
                std::thread::spawn(move || answer(stream, &token, &password));
            }
        });
        Self { addr, password }
    }

    pub(crate) fn change(&self, password: &str) {
        password.clone_into(&mut self.password.lock().unwrap());
    }
}

fn answer(stream: TcpStream, token: &str, password: &str) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    let first = lines.next().unwrap_or_default();
    let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
    let shown =
        head.iter().any(|line| line.to_ascii_lowercase().starts_with("x-vault-token:") && line.ends_with(token));
    let (status, body) = match first.split(' ').nth(1) {
        _ if !shown => ("403 Forbidden", r#"{"errors":["permission denied"]}"#.to_owned()),
        Some("/v1/kv/db") => ("200 OK", format!(r#"{{"data":{{"password":"{password}"}}}}"#)),
        _ => ("404 Not Found", r#"{"errors":[]}"#.to_owned()),
    };
    let length = body.len();
    let mut stream = stream;
    let text = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    );
    drop(stream.write_all(text.as_bytes()));
}
