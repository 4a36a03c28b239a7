//! A small HTTP server for the tests of this room.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// Answers each request by its path and its body, one a connection. Gives the server's address.
pub(super) async fn serve(mut answer: impl FnMut(&str, &str) -> (u16, Vec<u8>) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    drop(tokio::task::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = Vec::new();
            let (head, length) = loop {
                let mut bytes = [0; 4096];
                let count = stream.read(&mut bytes).await.unwrap_or(0);
                request.extend_from_slice(&bytes[..count]);
                let text = String::from_utf8_lossy(&request).into_owned();
                if let Some((head, _)) = text.split_once("\r\n\r\n") {
                    let length = head.lines().find_map(|line| {
                        let (name, value) = line.split_once(':')?;
                        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
                    });
                    break (head.to_owned(), length.unwrap_or(0));
                }
                if count == 0 {
                    break (text, 0);
                }
            };
            while request.len() < head.len() + 4 + length {
                let mut bytes = [0; 4096];
                match stream.read(&mut bytes).await {
                    Ok(count) if count > 0 => request.extend_from_slice(&bytes[..count]),
                    _ => break,
                }
            }
            let body = String::from_utf8_lossy(request.get(head.len() + 4..).unwrap_or_default()).into_owned();
            let (status, content) = answer(head.split(' ').nth(1).unwrap_or_default(), &body);
            let reply =
                format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", content.len());
            drop(stream.write_all(reply.as_bytes()).await);
            drop(stream.write_all(&content).await);
        }
    }));
    address
}
