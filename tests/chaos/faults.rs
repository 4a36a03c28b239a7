//! What can go wrong, and how it is made and mended.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rand::RngExt;
use rand::rngs::StdRng;

/// One fault, on a bridge with five hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// These hosts and the others do not hear each other.
    Split(Vec<usize>),
    /// These hosts are not heard by the others, but hear them.
    Mute(Vec<usize>),
    /// One host does not hear another.
    OneWay { deaf: usize, to: usize },
    /// Every host loses this share of what it receives.
    Loss(u32),
    /// What a host sends passes a slow link: it waits in a queue.
    Delay(usize),
    /// This share of the packets on one link arrives twice.
    Duplicates(usize, u32),
    /// This share of the packets that a host receives is changed in the middle, checksums mended.
    Corruption(usize, u32),
    /// SIGSTOP, later SIGCONT.
    Pause(usize),
    /// SIGKILL to the agent.
    Kill(usize),
    /// SIGKILL to everything on the host.
    PowerCut(usize),
    /// SIGTERM.
    Stop(usize),
    /// The file system of the data directory is full.
    FullDisk(usize),
    /// The wall clock of the agent jumps by so many seconds.
    Clock(usize, i64),
}

impl Fault {
    /// Its kind, for the report.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Split(_) => "partition",
            Self::Mute(_) => "partition, one way",
            Self::OneWay { .. } => "link cut, one way",
            Self::Loss(_) => "packet loss",
            Self::Delay(_) => "slow link",
            Self::Duplicates(..) => "duplication",
            Self::Corruption(..) => "corruption",
            Self::Pause(_) => "SIGSTOP",
            Self::Kill(_) => "SIGKILL",
            Self::PowerCut(_) => "power cut",
            Self::Stop(_) => "SIGTERM",
            Self::FullDisk(_) => "full disk",
            Self::Clock(..) => "clock jump",
        }
    }

    /// The host that cannot take part while it lasts, as far as a majority is concerned.
    pub(crate) fn removes(&self) -> Option<usize> {
        match self {
            Self::Pause(host) | Self::Kill(host) | Self::PowerCut(host) | Self::Stop(host) | Self::FullDisk(host) => {
                Some(*host)
            }
            _ => None,
        }
    }

    /// Whether the network is disturbed so that nothing can be said about how long a majority may need.
    pub(crate) fn disturbs(&self) -> bool {
        matches!(self, Self::Loss(_) | Self::Delay(_) | Self::Duplicates(..) | Self::Corruption(..))
    }

    /// A fault of a random kind. `hosts` are those that run.
    pub(crate) fn random(rng: &mut StdRng, hosts: usize, clocks: bool) -> Self {
        let host = rng.random_range(0..hosts);
        let other = (host + rng.random_range(1..hosts)) % hosts;
        let side = || -> Vec<usize> { Vec::new() };
        let mut group = side();
        let mask = rng.random_range(1..(1_u32 << hosts) - 1);
        group.extend((0..hosts).filter(|n| mask & (1 << n) != 0));
        match rng.random_range(0..if clocks { 15 } else { 14 }) {
            0 | 1 => Self::Split(group),
            2 => Self::Mute(group),
            3 => Self::OneWay { deaf: host, to: other },
            4 => Self::Loss(rng.random_range(5..30)),
            5 => Self::Delay(host),
            6 => Self::Duplicates(host, rng.random_range(10..60)),
            7 => Self::Corruption(host, rng.random_range(5..30)),
            8 | 9 => Self::Pause(host),
            10 | 11 => Self::Kill(host),
            12 => {
                if rng.random() {
                    Self::PowerCut(host)
                } else {
                    Self::Stop(host)
                }
            }
            13 => Self::FullDisk(host),
            _ => Self::Clock(host, rng.random_range(-100_000..100_000)),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {self:?}", self.kind())
    }
}

/// Rules of one host for loss and corruption; an empty one is none.
pub(crate) fn disturb(namespace: &str, rule: &str) {
    let text =
        format!("table inet disturb {{\n chain in {{\n type filter hook input priority -200;\n {rule}\n }}\n}}\n");
    nft(namespace, &["delete table inet disturb"], true);
    if !rule.is_empty() {
        nft(namespace, &[&text], false);
    }
}

/// Duplicates part of what a switch port takes in to another port.
pub(crate) fn duplicate(switch: &str, port: &str, to: &str, percent: u32) {
    nft(switch, &[&format!("delete table netdev dup{port}")], true);
    if percent > 0 {
        let text = format!(
            "table netdev dup{port} {{\n chain in {{\n type filter hook ingress device \"{port}\" priority 0;\n \
             numgen random mod 100 < {percent} dup to \"{to}\"\n }}\n}}\n"
        );
        nft(switch, &[&text], false);
    }
}

/// A slow link with a short queue: packets wait for each other.
pub(crate) fn slow(namespace: &str, on: bool) {
    let word = if on { "replace" } else { "del" };
    let mut args = vec!["netns", "exec", namespace, "tc", "qdisc", word, "dev", "eth0", "root"];
    if on {
        args.extend(["tbf", "rate", "400kbit", "burst", "4kb", "latency", "300ms"]);
    }
    let output = Command::new("ip").args(&args).output().expect("run ip");
    assert!(!on || output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn nft(namespace: &str, rules: &[&str], may_fail: bool) {
    let output = Command::new("ip").args(["netns", "exec", namespace, "nft"]).args(rules).output().expect("run nft");
    assert!(may_fail || output.status.success(), "{rules:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A small file system of memory at a directory.
#[derive(Debug)]
pub(crate) struct Disk {
    dir: PathBuf,
}

impl Disk {
    pub(crate) fn mount(dir: &Path) -> Self {
        fs::create_dir_all(dir).expect("make the directory");
        let output = Command::new("mount").args(["-t", "tmpfs", "-o", "size=96m", "none"]).arg(dir).output();
        let output = output.expect("run mount");
        assert!(output.status.success(), "mount a tmpfs: {}", String::from_utf8_lossy(&output.stderr));
        Self { dir: dir.to_owned() }
    }

    /// Takes all the room there is.
    pub(crate) fn fill(&self) {
        let filler = fs::File::create(self.dir.join("filler"));
        let Ok(mut filler) = filler else { return };
        let block = vec![1_u8; 1 << 16];
        while std::io::Write::write_all(&mut filler, &block).is_ok() {}
    }

    pub(crate) fn clear(&self) {
        drop(fs::remove_file(self.dir.join("filler")));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(&self.dir).output());
    }
}
