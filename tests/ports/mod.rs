//! Ports for what a test starts, so that test programs may run side by side.
//!
//! Each program takes a block of ports for itself, as long as it lives: it holds a socket that is named after the block. The
//! blocks are below the ports that the system hands out.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::sync::Mutex;

const FIRST: u16 = 12_000;
/// More than a program needs at a time, so that a port comes again only when it has not been needed for long.
const BLOCK: u16 = 500;
const BLOCKS: u16 = 40;

/// The ports of this program.
struct Block {
    first: u16,
    next: u16,
    _held: UnixListener,
}

impl Block {
    fn take() -> Self {
        for number in 0..BLOCKS {
            let name = format!("quorate-test-ports-{number}");
            let name = SocketAddr::from_abstract_name(name).expect("a short name");
            if let Ok(held) = UnixListener::bind_addr(&name) {
                return Self { first: FIRST + number * BLOCK, next: 0, _held: held };
            }
        }
        panic!("{BLOCKS} programs with tests run already");
    }
}

/// A port that is free for UDP and TCP, and that this program has not given out lately.
pub(crate) fn free_port() -> u16 {
    static BLOCK_OF_THIS_PROGRAM: Mutex<Option<Block>> = Mutex::new(None);
    let mut block = BLOCK_OF_THIS_PROGRAM.lock().expect("the block of ports");
    let block = block.get_or_insert_with(Block::take);
    for _ in 0..BLOCK {
        let port = block.first + block.next;
        block.next = (block.next + 1) % BLOCK;
        let addr = (Ipv4Addr::LOCALHOST, port);
        if UdpSocket::bind(addr).is_ok() && TcpListener::bind(addr).is_ok() {
            return port;
        }
    }
    panic!("none of the {BLOCK} ports from {} is free", block.first);
}
