//! Which address others reach this agent at, when it binds "any".

use std::net::{IpAddr, SocketAddr, UdpSocket};

/// The address to advertise: the bound one unless that is "any"; then the one this machine would speak to a seed from,
/// else the one it would speak to the world from. Nothing is sent: a connected UDP socket only asks the routing table.
pub fn advertised(bind: SocketAddr, seeds: &[SocketAddr]) -> Option<SocketAddr> {
    if !bind.ip().is_unspecified() {
        return Some(bind);
    }
    // TEST-NET-1: never a real host, so this asks for the default route.
    let world = SocketAddr::from(([192, 0, 2, 1], 9));
    let targets = seeds.iter().filter(|seed| !seed.ip().is_loopback()).chain([&world]).chain(seeds);
    targets.copied().find_map(source_towards).map(|ip| SocketAddr::new(ip, bind.port()))
}

fn source_towards(target: SocketAddr) -> Option<IpAddr> {
    let any: SocketAddr = if target.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0_u16; 8], 0).into() };
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect(target).ok()?;
    let ip = socket.local_addr().ok()?.ip();
    (!ip.is_unspecified()).then_some(ip)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_address_is_advertised_as_it_is() {
        let bind = "127.0.0.1:8559".parse().unwrap();
        assert_eq!(advertised(bind, &[]), Some(bind));
    }

    #[test]
    fn any_is_replaced_by_the_address_towards_a_seed() {
        let found = advertised("0.0.0.0:8559".parse().unwrap(), &["127.0.0.1:1".parse().unwrap()]).unwrap();
        assert_eq!(found.port(), 8559);
        assert!(!found.ip().is_unspecified());
    }
}
