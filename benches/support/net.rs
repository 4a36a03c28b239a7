//! Hosts of our own: network namespaces on one bridge, with packet loss and cuts. Needs root, iproute2 and nftables.
//!
//! Packets are dropped at the device of a host, below its IP: the agent sees no error, as with a real cable. There is
//! no netem here, so no delay.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsFd;
use std::process::{Command, Stdio};

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
        let prefix = format!("qb{}", &uuid::Uuid::new_v4().simple().to_string()[..8]);
        // Made first, so that it is removed whatever fails below.
        let net = Self { prefix, hosts };
        let switch = net.switch();
        run("ip", &["netns", "add", &switch]);
        run("ip", &["-n", &switch, "link", "add", "br0", "type", "bridge"]);
        run("ip", &["-n", &switch, "link", "set", "br0", "up"]);
        for host in 0..hosts {
            let (name, port, addr) = (net.host(host), format!("p{host}"), format!("{}/24", ip(host)));
            run("ip", &["netns", "add", &name]);
            run(
                "ip",
                &["link", "add", "eth0", "netns", &name, "type", "veth", "peer", "name", &port, "netns", &switch],
            );
            run("ip", &["-n", &switch, "link", "set", &port, "master", "br0", "up"]);
            run("ip", &["-n", &name, "addr", "add", &addr, "dev", "eth0"]);
            run("ip", &["-n", &name, "link", "set", "eth0", "up"]);
            run("ip", &["-n", &name, "link", "set", "lo", "up"]);
            net.nft(
                host,
                "table netdev bench {\n chain in { type filter hook ingress device \"eth0\" priority 0; }\n\
                 chain out { type filter hook egress device \"eth0\" priority 0; }\n}",
            );
        }
        net
    }

    /// The namespace of a host.
    pub(crate) fn host(&self, host: usize) -> String {
        format!("{}-{host}", self.prefix)
    }

    /// Where a host gossips.
    pub(crate) fn gossip(host: usize) -> SocketAddr {
        SocketAddr::from((ip(host), 8559))
    }

    /// From now on nothing goes in or out of a host.
    pub(crate) fn cut(&self, host: usize) {
        self.nft(host, "add rule netdev bench in drop\nadd rule netdev bench out drop");
    }

    /// Undoes [`Net::cut`].
    pub(crate) fn heal(&self, host: usize) {
        self.nft(host, "flush chain netdev bench in\nflush chain netdev bench out");
    }

    /// Every host loses this share of the UDP and TCP packets that are sent to it.
    pub(crate) fn lose(&self, percent: u32) {
        for host in (0..self.hosts).filter(|_| percent > 0) {
            self.nft(
                host,
                &format!("add rule netdev bench in ip protocol {{ udp, tcp }} numgen random mod 100 < {percent} drop"),
            );
        }
    }

    fn switch(&self) -> String {
        format!("{}-sw", self.prefix)
    }

    fn nft(&self, host: usize, rules: &str) {
        run("ip", &["netns", "exec", &self.host(host), "nft", rules]);
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

/// One namespace with nothing but a loopback: what its `lo` carries is ours. Removed when dropped.
#[derive(Debug)]
pub(crate) struct Island(String);

impl Island {
    /// `None` without root or `ip`: then the machine's own loopback has to do.
    pub(crate) fn new() -> Option<Self> {
        if !is_root() || !is_installed("ip") {
            return None;
        }
        let island = Self(format!("qb{}-lo", &uuid::Uuid::new_v4().simple().to_string()[..8]));
        run("ip", &["netns", "add", &island.0]);
        run("ip", &["-n", &island.0, "link", "set", "lo", "up"]);
        Some(island)
    }

    /// Its namespace.
    pub(crate) fn name(&self) -> &str {
        &self.0
    }

    /// Bytes and packets that its loopback has carried, headers included, each counted once.
    pub(crate) fn carried(&self) -> (u64, u64) {
        // The file shows the namespace of the thread that opens it.
        let text = inside(&self.0, || {
            std::fs::read_to_string("/proc/thread-self/net/dev").expect("read the counters of the loopback")
        });
        let line = text.lines().find_map(|line| line.trim().strip_prefix("lo:")).unwrap_or_default();
        let mut fields = line.split_whitespace().map(|field| field.parse().unwrap_or(0));
        (fields.next().unwrap_or(0), fields.next().unwrap_or(0))
    }
}

impl Drop for Island {
    fn drop(&mut self) {
        drop(Command::new("ip").args(["netns", "del", &self.0]).output());
    }
}

/// What hosts of our own need and this machine lacks, in one line; `None` when nothing is missing.
pub(crate) fn lacking() -> Option<String> {
    if !is_root() {
        return Some("network namespaces need root: run it as root".to_owned());
    }
    let tools = [("ip", "iproute2"), ("nft", "nftables")];
    let missing: Vec<_> = tools.iter().filter(|(program, _)| !is_installed(program)).collect();
    let names = |pick: fn(&(&'static str, &'static str)) -> &'static str| {
        missing.iter().map(|tool| pick(tool)).collect::<Vec<_>>()
    };
    (!missing.is_empty()).then(|| {
        format!("{} not found: apt-get install {}", names(|tool| tool.0).join(" and "), names(|tool| tool.1).join(" "))
    })
}

/// Whether a program is on the PATH.
fn is_installed(program: &str) -> bool {
    Command::new(program).arg("--version").stdin(Stdio::null()).output().is_ok()
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
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

fn ip(host: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, 0, u8::try_from(host + 1).expect("a small number"))
}

fn run(program: &str, args: &[&str]) {
    let output = Command::new(program).args(args).output();
    let output = output.unwrap_or_else(|error| panic!("namespaces need {program} (iproute2, nftables): {error}"));
    assert!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
}
