//! Sends what the dead agent left to be sent: datagrams, each three times, each time from a fresh socket.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use crate::cluster::Now;
use crate::guardian::message::Datagram;

/// When to send, after the first time. One lost datagram in ten then costs nothing in 999 of 1000 cases.
const REPEATS: [Duration; 3] = [Duration::ZERO, Duration::from_millis(20), Duration::from_millis(60)];

/// The sending under way.
#[derive(Debug)]
pub(super) struct Release {
    since: Now,
    sent: usize,
}

impl Release {
    /// Begins.
    pub(super) fn begin(now: Now) -> Self {
        Self { since: now, sent: 0 }
    }

    /// Sends what is due. Returns how long until the next, `None` at the end.
    pub(super) fn advance(&mut self, from: Option<IpAddr>, datagrams: &[Datagram], now: Now) -> Option<Duration> {
        let elapsed = now.since(self.since);
        while REPEATS.get(self.sent).is_some_and(|due| *due <= elapsed) {
            self.sent += 1;
            send(from, datagrams);
        }
        REPEATS.get(self.sent).map(|due| due.saturating_sub(elapsed))
    }
}

/// Nobody is left to tell about an error: the other agents then wait as long as they would without a release.
fn send(from: Option<IpAddr>, datagrams: &[Datagram]) {
    for datagram in datagrams {
        if let Some(socket) = socket(from, datagram.to) {
            drop(socket.send_to(&datagram.bytes, datagram.to));
        }
    }
}

fn socket(from: Option<IpAddr>, to: SocketAddr) -> Option<UdpSocket> {
    let any = if to.is_ipv4() { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { IpAddr::V6(Ipv6Addr::UNSPECIFIED) };
    let given = from.filter(|from| from.is_ipv4() == to.is_ipv4());
    let socket = given.into_iter().chain([any]).find_map(|ip| UdpSocket::bind((ip, 0)).ok())?;
    socket.set_nonblocking(true).ok()?;
    Some(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_datagram_is_sent_three_times_and_at_its_time() {
        let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
        peer.set_nonblocking(true).unwrap();
        let to = peer.local_addr().unwrap();
        let what = [Datagram { to, bytes: b"sealed".to_vec() }];
        let at = |ms| Now { mono: Duration::from_millis(ms), boot: Duration::from_millis(ms) };
        let received = || std::iter::from_fn(|| peer.recv_from(&mut [0; 16]).ok()).count();
        let mut release = Release::begin(at(100));
        assert_eq!(release.advance(None, &what, at(100)), Some(Duration::from_millis(20)));
        assert_eq!(received(), 1);
        assert_eq!(release.advance(None, &what, at(119)), Some(Duration::from_millis(1)));
        assert_eq!(received(), 0);
        assert_eq!(release.advance(None, &what, at(170)), None);
        assert_eq!(received(), 2);
    }
}
