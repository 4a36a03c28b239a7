//! Clients that are slow on purpose, against a single agent.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::harness::{Site, Task, eventually};
use super::sockets::{ask, connect, metric};

const HOME: Ipv4Addr = Ipv4Addr::LOCALHOST;
/// Longer than any limit of the agent, by far.
const LIMIT: Duration = Duration::from_mins(3);

fn single(more: &str) -> Site {
    let mut site = Site::new(1, "lan", "10s", vec![Task::once("once")]);
    more.clone_into(&mut site.shape.more);
    site.found();
    site
}

fn ended(addr: SocketAddr, why: &str) -> f64 {
    let text = ask(HOME, addr, "/metrics").unwrap_or_default();
    metric(&text, &format!("quorate_http_connections_ended_total{{reason=\"{why}\"}} ")).unwrap_or_default()
}

/// Until the other side has ended the connection, with a look every so often.
fn until_ended(stream: &mut TcpStream, mut look: impl FnMut(&mut TcpStream) -> std::io::Result<bool>) {
    let begun = Instant::now();
    stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    loop {
        match look(stream) {
            Ok(true) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Ok(false) | Err(_) => return,
        }
        assert!(begun.elapsed() < LIMIT, "a slow client was kept for {LIMIT:?}");
    }
}

#[test]
fn a_client_that_reads_its_answers_byte_by_byte_is_ended() {
    let site = single("");
    let addr = site[0].addr;
    let mut stream = connect(HOME, addr, Some(4096)).unwrap();
    // Answers of some 100 KiB each, more than fits into any buffer.
    for _ in 0..100 {
        stream.write_all(b"GET /openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    }
    // What the client's kernel has already can be read for long after the end, so the agent is asked.
    let begun = Instant::now();
    while ended(addr, "slow-reader") < 1.0 {
        assert!(begun.elapsed() < LIMIT, "a slow client was kept for {LIMIT:?}");
        assert_eq!(stream.read(&mut [0]).unwrap(), 1);
        std::thread::sleep(Duration::from_millis(100));
    }
    site.end();
}

#[test]
fn a_second_request_has_no_more_time_for_its_head_than_the_first() {
    let site = single("");
    let addr = site[0].addr;
    let mut stream = connect(HOME, addr, None).unwrap();
    stream.write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    let mut first = [0; 12];
    stream.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    until_ended(&mut stream, |stream| {
        stream.write_all(b"G")?;
        Ok(stream.read(&mut [0; 512])? > 0)
    });
    eventually("it is counted as slow", || ended(addr, "slow-head") >= 1.0);
    site.end();
}

#[test]
fn a_body_that_nobody_reads_does_not_keep_a_connection() {
    let site = single("");
    for framing in ["content-length: 1000000000", "transfer-encoding: chunked"] {
        let mut stream = connect(HOME, site[0].addr, None).unwrap();
        write!(stream, "POST /livez HTTP/1.1\r\nhost: localhost\r\n{framing}\r\n\r\n").unwrap();
        until_ended(&mut stream, |stream| {
            stream.write_all(b"1\r\nx\r\n")?;
            Ok(stream.read(&mut [0; 512])? > 0)
        });
    }
    site.end();
}

#[test]
fn a_head_that_is_too_long_is_refused_and_a_long_one_is_not() {
    let site = single("");
    let send = |size: usize| {
        let mut stream = connect(HOME, site[0].addr, None).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        write!(stream, "GET /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n").unwrap();
        // The other end may have answered and closed before all of it is sent.
        let _refused = write!(stream, "x-long: {}\r\n\r\n", "a".repeat(size));
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).map(|()| String::from_utf8_lossy(&answer).into_owned())
    };
    assert_eq!(send(30 << 10).unwrap(), "HTTP/1.1 200");
    assert!(send(100 << 10).is_ok_and(|answer| answer == "HTTP/1.1 431") || send(100 << 10).is_err());
    assert_eq!(send(30 << 10).unwrap(), "HTTP/1.1 200");
    site.end();
}

#[test]
fn idle_connections_give_way_to_new_ones() {
    let site = single("\nlimits { http_max_conns = 8 http_max_conns_per_client = 4 }\n");
    let addr = site[0].addr;
    let mut idle: Vec<TcpStream> = (0..20).map(|_| connect(HOME, addr, None).unwrap()).collect();
    assert!(ask(HOME, addr, "/readyz").is_some_and(|answer| answer.starts_with("HTTP/1.1 200 ")));
    until_ended(&mut idle[0], |stream| Ok(stream.read(&mut [0])? > 0));
    assert!(ended(addr, "room") >= 16.0, "{}", ended(addr, "room"));
    site[0].wait_log("the API has more connections than its limits allow");
    site.end();
}
