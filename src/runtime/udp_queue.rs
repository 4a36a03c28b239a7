//! Datagrams that the kernel dropped because the socket's queue was full: Linux counts them in `/proc/net/udp`.

use std::net::SocketAddr;

/// How many were dropped at this socket since it was bound; `None`: the system does not tell.
pub(super) fn dropped(bound: SocketAddr) -> Option<u64> {
    let table = if bound.is_ipv6() { "/proc/self/net/udp6" } else { "/proc/self/net/udp" };
    count(&std::fs::read_to_string(table).ok()?, bound.port())
}

/// Of the lines with this local port: the last column.
fn count(table: &str, port: u16) -> Option<u64> {
    let port = format!("{port:04X}");
    let lines = table.lines().skip(1).filter_map(|line| {
        let mut columns = line.split_whitespace();
        let (_, local) = columns.nth(1)?.rsplit_once(':')?;
        if local == port { columns.next_back()?.parse::<u64>().ok() } else { None }
    });
    lines.reduce(|sum, more| sum + more)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_column_of_the_port_counts() {
        const TABLE: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  388: 0100007F:2EE0 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 3184 2 00000000d1c0 17
  389: 0100007F:2EE1 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 3185 2 00000000d1c1 5
";
        assert_eq!((count(TABLE, 12_000), count(TABLE, 12_001), count(TABLE, 12_002)), (Some(17), Some(5), None));
    }

    #[test]
    fn a_socket_of_this_process_is_found() {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        assert_eq!(dropped(socket.local_addr().unwrap()), Some(0));
    }
}
