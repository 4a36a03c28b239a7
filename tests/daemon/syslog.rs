//! The `syslog` block: what arrives at the socket.

use std::os::unix::net::UnixDatagram;
use std::sync::mpsc;
use std::time::Duration;

use super::agent::Place;

const BLOCK: &str = "syslog {\n  name = \"edge-cts\"\n  facility = \"LOCAL3\"\n  path = \"syslog\"\n}\n";

#[test]
fn every_line_of_the_log_is_copied() {
    let place = Place::new();
    let receiver = receiver(&place);
    let agent = place.start(BLOCK);
    // LOCAL3 is 19: 19 * 8 and 6 for information.
    let form = r"^<158>[A-Z][a-z]{2} [ 123]\d \d\d:\d\d:\d\d edge-cts\[\d+\]: \[INFO\] quorate version=";
    let first = receive(&receiver);
    assert!(regex::Regex::new(form).unwrap().is_match(&first), "{first:?}");
    while !receive(&receiver).contains("] the HTTP API listens") {}
    assert!(agent.log().contains("the HTTP API listens"), "standard error has it too");
    agent.stop();
    while !receive(&receiver).contains("] graceful shutdown") {}
}

#[test]
fn a_syslog_that_is_away_is_said_once_and_found_again() {
    let place = Place::new();
    let mut agent = place.start(BLOCK);
    let line = agent.logged("no syslog answers");
    assert!(line.contains("No such file"), "{line}");
    let receiver = receiver(&place);
    agent.stop();
    while !receive(&receiver).contains("] graceful shutdown") {}
}

/// Reads all the time, as a syslog does: its socket holds few messages.
fn receiver(place: &Place) -> mpsc::Receiver<String> {
    let socket = UnixDatagram::bind(place.path("syslog")).unwrap();
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut read = vec![0; 16 << 10];
        while let Ok(length) = socket.recv(&mut read) {
            if sender.send(String::from_utf8(read[..length].to_vec()).unwrap()).is_err() {
                return;
            }
        }
    });
    receiver
}

fn receive(receiver: &mpsc::Receiver<String>) -> String {
    receiver.recv_timeout(Duration::from_mins(1)).unwrap()
}
