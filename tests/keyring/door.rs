//! Strangers at the control port.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::harness::{Site, eventually};
use crate::support::{founded, keyring, list, metric, stop};

/// A connection from this address; none when it is refused.
fn connect(from: u8, to: SocketAddr) -> Option<TcpStream> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let from = SocketAddr::from((Ipv4Addr::new(127, 0, 0, from), 0));
    socket.bind(&from.into()).unwrap();
    socket.connect_timeout(&to.into(), Duration::from_secs(5)).ok()?;
    Some(socket.into())
}

fn refused(site: &Site, number: usize, reason: &str) -> u64 {
    metric(site, number, &format!("quorate_control_connections_refused_total{{reason=\"{reason}\"}}"))
}

#[test]
fn strangers_at_the_control_port_take_no_place_of_members() {
    let mut site = founded();
    let target = site[0].gossip;
    let mut held = Vec::new();
    for round in 0..6 {
        for from in 2..60 {
            for _ in 0..3 {
                // It begins as an agent does, and goes no further.
                let Some(mut stream) = connect(from, target) else { continue };
                drop(stream.write_all(b"Qr"));
                held.push(stream);
            }
        }
        if round == 2 {
            // A member that has to make its connections anew.
            stop(&mut site, 2);
            site.start(2);
        }
        assert_eq!(site[1].get("/v1/status/tasks").unwrap().status, 200, "what a follower forwards is answered");
    }
    crate::support::all_is_well(&site);
    assert_eq!(list(&site, 2).keys[0].installed_on.len(), 3, "every agent answers every other");
    let counts = ["rate", "full", "unproven", "members"].map(|reason| (reason, refused(&site, 0, reason)));
    println!("{} connections of strangers; refused: {counts:?}", held.len());
    assert!(counts.iter().any(|(reason, count)| *reason == "full" && *count > 0), "{counts:?}");
    assert_eq!(refused(&site, 0, "members"), 0);
    assert_eq!(site.view(0).unwrap().epoch, 1, "nobody had to be elected again");
    drop(held);
    site.end();
}

#[test]
fn one_address_has_few_places_and_slow_bytes_are_ended() {
    let site = founded();
    let target = site[1].gossip;
    let mut all: Vec<TcpStream> = (0..20).filter_map(|_| connect(9, target)).collect();
    eventually("the seventeenth connection takes the place of the first", || refused(&site, 1, "full") > 0);
    // A byte now and then: what is left is closed all the same.
    for stream in &all {
        stream.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
    }
    let mut sent = 0;
    eventually("every connection is closed", || {
        sent += 1;
        all.retain_mut(|stream| {
            drop(stream.write_all(&b"Qr\x01\x01"[(sent - 1) % 4..][..1]));
            let mut byte = [0];
            match stream.read(&mut byte) {
                Ok(0) => false,
                Ok(_) => panic!("a stranger is answered"),
                Err(error) => matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
            }
        });
        all.is_empty()
    });
    assert!(refused(&site, 1, "unproven") > 0);
    assert!(target.ip() == IpAddr::V4(Ipv4Addr::LOCALHOST) && keyring(&site, 1, &["list"]).is_ok());
    site.end();
}

/// Other users of a member's host, or a NAT, have its address.
#[test]
fn a_stranger_at_the_address_of_a_member_takes_no_place_of_members() {
    let mut site = founded();
    let target = site[0].gossip;
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut held = std::collections::VecDeque::new();
            while !over.load(Ordering::Relaxed) {
                held.extend(connect(1, target));
                if held.len() > 200 {
                    held.pop_front();
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        eventually("the places of the address are full", || refused(&site, 0, "full") > 0);
        // It has to make its connections anew.
        stop(&mut site, 2);
        site.start(2);
        eventually("what it forwards is answered", || {
            site[2].get("/v1/status/tasks").is_some_and(|answer| answer.status == 200)
        });
        over.store(true, Ordering::Relaxed);
    });
    super::support::all_is_well(&site);
    site.end();
}
