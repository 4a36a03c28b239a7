//! What does not belong to the cluster does not disturb it. Profile `lan`.

use std::io::Write;
use std::net::{TcpStream, UdpSocket};
use std::time::Duration;

use crate::harness::site::new_key;
use crate::harness::{Shape, Site, Task, eventually};

#[test]
fn agents_with_another_key_or_name_or_none_do_not_join_and_are_counted() {
    let mut site = Site::new(3, "lan", "3200ms", vec![Task::ticking("tick")]);
    site.found();
    let strange = |name: &str, key: Option<String>| Shape {
        name: name.to_owned(),
        key,
        expect: 4,
        tasks: Vec::new(),
        ..site.shape.clone()
    };
    let (name, key) = (site.shape.name.clone(), site.shape.key.clone());
    // The seal covers the cluster's name: with the right key and another name it does not open.
    let shapes = [
        ("b-key", strange(&name, Some(new_key())), "unknown_key"),
        ("b-name", strange("another", key), "unknown_key"),
        ("b-none", strange(&name, None), "plain"),
    ];
    for (id, shape, reason) in shapes {
        let before = dropped(&site, reason);
        let number = site.add_as(id, id);
        site.configure_as(number, &shape);
        site[number].start();
        site[number].wait_up();
        eventually(&format!("packets of {id} are dropped and counted"), || dropped(&site, reason) > before);
        let view = site.view(number).unwrap();
        assert_eq!((view.leader, view.members.len()), (None, 1), "{id} is alone");
        site[number].kill();
    }
    let metrics = site[0].get("/metrics").unwrap().body;
    let lines: Vec<&str> = metrics.lines().filter(|line| line.starts_with("quorate_packets_dropped")).collect();
    println!("{}", lines.join("\n"));
    undisturbed(site);
}

#[test]
fn garbage_on_both_ports_disturbs_nobody() {
    let mut site = Site::new(3, "lan", "3200ms", vec![Task::ticking("tick")]);
    site.found();
    let target = site[0].gossip;
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let before = dropped(&site, "");
    let mut seed = 7_u64;
    let mut random = move || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u8::try_from(seed >> 56).unwrap()
    };
    let mut slow = Vec::new();
    for size in (0..1500).chain([9000, 65_507]) {
        let bytes: Vec<u8> = (0..size).map(|_| random()).collect();
        socket.send_to(&bytes, target).unwrap();
        if size % 50 == 0 {
            let mut stream = TcpStream::connect(target).unwrap();
            // The agent may have hung up already.
            drop(stream.write_all(&bytes));
            let mut trickle = TcpStream::connect(target).unwrap();
            trickle.write_all(&[random()]).unwrap();
            slow.push((stream, trickle));
            // Slow clients of the API as well.
            let mut half = TcpStream::connect(site[0].addr).unwrap();
            half.write_all(b"GET /status/cluster HTTP/1.1\r\nHo").unwrap();
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    // The leader still answers what a follower forwards over the same port.
    assert_eq!(site[2].get("/v1/status/tasks").unwrap().status, 200);
    eventually("garbage is counted", || dropped(&site, "") > before + 500);
    drop(slow);
    undisturbed(site);
}

/// Datagrams that any agent refused for this reason, or for whatever reason.
fn dropped(site: &Site, reason: &str) -> u64 {
    let metrics: Vec<String> = (0..3).map(|n| site[n].get("/metrics").unwrap().body).collect();
    let counts = metrics.iter().flat_map(|text| text.lines()).filter_map(|line| {
        let (word, count) = line.strip_prefix("quorate_packets_dropped_total{reason=\"")?.split_once("\"} ")?;
        if reason.is_empty() || word == reason { count.parse::<u64>().ok() } else { None }
    });
    counts.sum()
}

fn undisturbed(mut site: Site) {
    for number in 0..3 {
        assert!(site[number].is_running());
        site.wait_view(number, "a1 still leads three members", |view| {
            view.leader.as_deref() == Some("a1") && view.members.len() == 3 && view.members.iter().all(|m| m.healthy)
        });
        assert_eq!(site.view(number).unwrap().epoch, 1, "nobody had to be elected again");
    }
    site.end();
}
