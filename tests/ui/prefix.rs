//! The page behind a proxy that gives an agent a path prefix.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};

use crate::browser::Browser;
use crate::site::{assert_quiet, open_gate, page, run_of, site};

/// Takes `/net/quorate` away and passes on what is left, one request a connection.
fn proxy(agent: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let addr = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // What the browser gives up ends here as well.
            std::thread::spawn(move || drop(pass(stream, agent)));
        }
    });
    addr
}

fn pass(mut client: TcpStream, agent: SocketAddr) -> std::io::Result<()> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        client.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let lines = head.lines().filter(|line| !line.to_lowercase().starts_with("connection:")).collect::<Vec<_>>();
    let head = lines.join("\r\n").replacen(" /net/quorate/", " /", 1);
    let mut server = TcpStream::connect(agent)?;
    write!(server, "{}\r\nConnection: close\r\n\r\n", head.trim_end())?;
    let (mut from, mut to) = (client.try_clone()?, server.try_clone()?);
    std::thread::spawn(move || std::io::copy(&mut from, &mut to));
    std::io::copy(&mut server, &mut client)?;
    client.shutdown(std::net::Shutdown::Both)
}

#[test]
fn the_page_works_below_a_path_prefix() {
    let site = site(1, "");
    let run = run_of(&site, None, "talk");
    let at = format!("http://{}/net/quorate/", proxy(site.addr(0)));
    let browser = Browser::start();
    browser.go(&at);
    browser.wait_for("Who led");
    assert!(browser.url().starts_with(&format!("{at}ui/")), "{}", browser.url());
    browser.go(&format!("{at}ui/#/runs/{run}"));
    browser.wait_for("first green line");
    browser.press("Cancel the run");
    browser.press("Cancel it");
    browser.wait_for("cancelled by ");
    assert_quiet(&browser, &[at]);
    assert_ne!(browser.url(), page(&site, 0, ""), "it was never asked past the proxy");
    open_gate(&site);
}
