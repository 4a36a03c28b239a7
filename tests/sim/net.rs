//! A network and its clock: datagrams and wake-ups in the order of virtual time.
//!
//! Hosts are addresses. What happens to a datagram is decided when it is sent: loss, delay, repetition, one-way cuts.
//! A paused host gets nothing until it resumes, and then first what its socket buffered and after that its timers, as
//! a real process does. Everything random comes from one seeded generator, so a seed names a run, and
//! [`Net::trace`] is a hash over all that was delivered.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// What happens on the way from one host to another.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Link {
    /// Share of datagrams that are lost.
    pub(crate) loss: f64,
    /// Shortest way.
    pub(crate) delay: Duration,
    /// Up to this much more, evenly spread: what is sent later may arrive earlier.
    pub(crate) jitter: Duration,
    /// Share of datagrams that arrive twice.
    pub(crate) duplicate: f64,
}

impl Link {
    /// A good local network.
    pub(crate) const LAN: Self =
        Self { loss: 0.0, delay: Duration::from_micros(200), jitter: Duration::from_micros(600), duplicate: 0.0 };

    /// This link, losing a share of what it carries.
    pub(crate) fn losing(self, loss: f64) -> Self {
        Self { loss, ..self }
    }
}

/// What comes out of the network.
#[derive(Debug)]
pub(crate) enum Arrival {
    /// A datagram reaches a host.
    Datagram { from: SocketAddr, to: SocketAddr, bytes: Vec<u8> },
    /// A host asked to be woken.
    Wake { host: SocketAddr },
}

#[derive(Debug)]
enum Queued {
    Datagram { from: SocketAddr, to: SocketAddr, bytes: Vec<u8> },
    Wake { host: SocketAddr, at: Duration },
}

/// What the network did, to assert that faults really happened.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) sent: u64,
    pub(crate) bytes: u64,
    pub(crate) lost: u64,
    pub(crate) cut: u64,
    pub(crate) duplicated: u64,
}

/// Time, class (datagrams before wake-ups), age.
type Place = (Duration, u8, u64);

/// The network.
pub(crate) struct Net {
    now: Duration,
    queue: BTreeMap<Place, Queued>,
    count: u64,
    rng: StdRng,
    link: Link,
    links: BTreeMap<(SocketAddr, SocketAddr), Link>,
    cuts: BTreeSet<(SocketAddr, SocketAddr)>,
    paused: BTreeMap<SocketAddr, Duration>,
    wakes: BTreeMap<SocketAddr, Duration>,
    aliases: BTreeMap<SocketAddr, SocketAddr>,
    /// None: nobody will ask for [`Net::trace`].
    hasher: Option<blake3::Hasher>,
    /// Since the start, or since it was last reset.
    pub(crate) counts: Counts,
}

impl Net {
    pub(crate) fn new(seed: u64, link: Link) -> Self {
        Self {
            now: Duration::ZERO,
            queue: BTreeMap::new(),
            count: 0,
            rng: StdRng::seed_from_u64(seed),
            link,
            links: BTreeMap::new(),
            cuts: BTreeSet::new(),
            paused: BTreeMap::new(),
            wakes: BTreeMap::new(),
            aliases: BTreeMap::new(),
            hasher: Some(blake3::Hasher::new()),
            counts: Counts::default(),
        }
    }

    /// Without a hash over what is delivered: for many short runs.
    pub(crate) fn untraced(mut self) -> Self {
        self.hasher = None;
        self
    }

    pub(crate) fn now(&self) -> Duration {
        self.now
    }

    /// The generator, for whatever else a scenario leaves to chance.
    pub(crate) fn rng(&mut self) -> &mut StdRng {
        &mut self.rng
    }

    /// Changes the link between all hosts that have none of their own.
    pub(crate) fn set_link(&mut self, link: Link) {
        self.link = link;
    }

    /// Gives one direction between two hosts a link of its own.
    pub(crate) fn set_link_between(&mut self, from: SocketAddr, to: SocketAddr, link: Link) {
        self.links.insert((from, to), link);
    }

    /// Lets nothing through in one direction.
    pub(crate) fn cut(&mut self, from: SocketAddr, to: SocketAddr) {
        self.cuts.insert((from, to));
    }

    /// Separates two groups in both directions.
    pub(crate) fn part(&mut self, here: &[SocketAddr], there: &[SocketAddr]) {
        for one in here {
            for other in there {
                self.cut(*one, *other);
                self.cut(*other, *one);
            }
        }
    }

    /// Removes all cuts.
    pub(crate) fn heal(&mut self) {
        self.cuts.clear();
    }

    /// Datagrams for `alias` reach `host`, and those of `host` seem to come from there: address translation.
    pub(crate) fn alias(&mut self, alias: SocketAddr, host: SocketAddr) {
        self.aliases.insert(alias, host);
    }

    fn seen_as(&self, host: SocketAddr) -> SocketAddr {
        self.aliases.iter().find(|(_, real)| **real == host).map_or(host, |(alias, _)| *alias)
    }

    /// Stops a host for a while.
    pub(crate) fn pause(&mut self, host: SocketAddr, length: Duration) {
        self.paused.insert(host, self.now + length);
    }

    /// Forgets the wake-up of a host that is gone.
    pub(crate) fn forget(&mut self, host: SocketAddr) {
        self.wakes.remove(&host);
        self.paused.remove(&host);
    }

    /// Sends a datagram.
    pub(crate) fn send(&mut self, from: SocketAddr, to: SocketAddr, bytes: Vec<u8>) {
        let to = self.aliases.get(&to).copied().unwrap_or(to);
        let link = self.links.get(&(from, to)).copied().unwrap_or(self.link);
        self.counts.sent += 1;
        self.counts.bytes += bytes.len() as u64;
        let is_cut = self.cuts.contains(&(from, to));
        let from = self.seen_as(from);
        if is_cut {
            self.counts.cut += 1;
        } else if self.rng.random_bool(link.loss) {
            self.counts.lost += 1;
        } else {
            if link.duplicate > 0.0 && self.rng.random_bool(link.duplicate) {
                self.counts.duplicated += 1;
                let at = self.arrival(link);
                self.push(at, Queued::Datagram { from, to, bytes: bytes.clone() });
            }
            let at = self.arrival(link);
            self.push(at, Queued::Datagram { from, to, bytes });
        }
    }

    /// Asks for the one wake-up of a host, replacing the one asked for before.
    pub(crate) fn wake(&mut self, host: SocketAddr, at: Option<Duration>) {
        let Some(at) = at.map(|at| at.max(self.now)) else {
            self.wakes.remove(&host);
            return;
        };
        if self.wakes.insert(host, at) != Some(at) {
            self.push(at, Queued::Wake { host, at });
        }
    }

    /// The next thing that happens no later than `until`; `None` means that this time has come.
    pub(crate) fn next(&mut self, until: Duration) -> Option<Arrival> {
        while let Some(entry) = self.queue.first_entry() {
            let place = *entry.key();
            if place.0 > until {
                break;
            }
            let queued = entry.remove();
            self.now = place.0;
            let host = match &queued {
                Queued::Datagram { to, .. } => *to,
                Queued::Wake { host, .. } => *host,
            };
            if let Some(resume) = self.paused.get(&host).copied().filter(|resume| *resume > self.now) {
                self.queue.insert((resume, place.1, place.2), queued);
                continue;
            }
            match queued {
                Queued::Datagram { from, to, bytes } => {
                    if let Some(hasher) = &mut self.hasher {
                        hasher.update(format!("{:?} {from} {to}", self.now).as_bytes());
                        hasher.update(&bytes);
                    }
                    return Some(Arrival::Datagram { from, to, bytes });
                }
                Queued::Wake { host, at } => {
                    if self.wakes.get(&host) == Some(&at) {
                        self.wakes.remove(&host);
                        return Some(Arrival::Wake { host });
                    }
                }
            }
        }
        self.now = until;
        None
    }

    /// A hash over everything that was delivered so far, and when.
    pub(crate) fn trace(&self) -> String {
        self.hasher.as_ref().map_or_else(String::new, |hasher| hasher.finalize().to_hex().to_string())
    }

    fn arrival(&mut self, link: Link) -> Duration {
        self.now + link.delay + link.jitter.mul_f64(self.rng.random_range(0.0..1.0))
    }

    fn push(&mut self, at: Duration, queued: Queued) {
        self.count += 1;
        let class = match queued {
            Queued::Datagram { .. } => 0,
            Queued::Wake { .. } => 1,
        };
        self.queue.insert((at, class, self.count), queued);
    }
}
