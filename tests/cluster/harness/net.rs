//! Hosts of our own: network namespaces on one bridge, and faults between them. Needs root, iproute2 and nftables.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsFd;
use std::process::Command;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// A bridge and its hosts; removed when dropped.
#[derive(Debug)]
pub(crate) struct Net {
    prefix: String,
    hosts: usize,
}

impl Net {
    /// `hosts` hosts with the addresses 10.77.0.1, .2, ..
    pub(crate) fn new(hosts: usize) -> Self {
        assert!(
            rustix::process::geteuid().is_root(),
            "partitions are made with network namespaces, which needs root: run this test as root"
        );
        let prefix = format!("qu{}", &uuid::Uuid::new_v4().simple().to_string()[..8]);
        // Made first, so that it is removed whatever fails below.
        let net = Self { prefix, hosts };
        let switch = net.switch();
        run("ip", &["netns", "add", &switch]);
        run("ip", &["-n", &switch, "link", "add", "br0", "type", "bridge"]);
        run("ip", &["-n", &switch, "link", "set", "br0", "up"]);
        for host in 0..hosts {
            let name = net.host(host);
            let (port, addr) = (format!("p{host}"), format!("{}/24", Self::ip(host)));
            run("ip", &["netns", "add", &name]);
            run(
                "ip",
                &["link", "add", "eth0", "netns", &name, "type", "veth", "peer", "name", &port, "netns", &switch],
            );
            run("ip", &["-n", &switch, "link", "set", &port, "master", "br0", "up"]);
            run("ip", &["-n", &name, "addr", "add", &addr, "dev", "eth0"]);
            run("ip", &["-n", &name, "link", "set", "eth0", "up"]);
            run("ip", &["-n", &name, "link", "set", "lo", "up"]);
            let rules = "table inet chaos {\n set cut { type ipv4_addr; }\n chain in {\n\
                         type filter hook input priority -300;\n ip saddr @cut drop\n }\n}";
            nft(&name, rules);
        }
        net
    }

    /// The namespace of a host.
    pub(crate) fn host(&self, host: usize) -> String {
        format!("{}-{host}", self.prefix)
    }

    pub(crate) fn switch(&self) -> String {
        format!("{}-sw", self.prefix)
    }

    /// Where a host gossips.
    pub(crate) fn gossip(host: usize) -> SocketAddr {
        SocketAddr::from((Self::ip(host), 8559))
    }

    fn ip(host: usize) -> Ipv4Addr {
        Ipv4Addr::new(10, 77, 0, u8::try_from(host + 1).expect("a small number"))
    }

    /// `host` hears nothing of `from` any more.
    pub(crate) fn deafen(&self, host: usize, from: usize) {
        nft(&self.host(host), &format!("add element inet chaos cut {{ {} }}", Self::ip(from)));
    }

    /// Everybody hears everybody.
    pub(crate) fn heal(&self) {
        for host in 0..self.hosts {
            nft(&self.host(host), "flush set inet chaos cut");
        }
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        let hosts = (0..self.hosts).map(|host| self.host(host));
        for name in hosts.chain([self.switch()]) {
            drop(Command::new("ip").args(["netns", "del", &name]).output());
        }
    }
}

/// Does something on a thread inside a namespace. A process started there stays there.
pub(crate) fn inside<T: Send>(namespace: &str, work: impl FnOnce() -> T + Send) -> T {
    let enter = || {
        let file = std::fs::File::open(format!("/run/netns/{namespace}")).expect("open the namespace");
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).expect("enter the namespace");
        work()
    };
    std::thread::scope(|scope| match scope.spawn(enter).join() {
        Ok(done) => done,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

fn nft(namespace: &str, rules: &str) {
    run("ip", &["netns", "exec", namespace, "nft", rules]);
}

fn run(program: &str, args: &[&str]) {
    let output = Command::new(program).args(args).output();
    let output = output.unwrap_or_else(|error| panic!("partitions need {program} (iproute2, nftables): {error}"));
    assert!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
}
