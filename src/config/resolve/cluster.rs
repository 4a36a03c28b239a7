//! `high_availability`: who the others are, how traffic to them is sealed, and when this agent counts them out.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::seal::{Seal, seal};
use super::{World, address, at_rest, choice, timing};
use crate::cluster::settings::{LeadershipMode, Profile};
use crate::config::diagnostic::{Diagnostic, Problems};
use crate::config::raw::RawRoot;
use crate::config::raw::cluster::{RawCluster, RawGossip, RawHighAvailability, RawStorage};
use crate::config::read::{Read, Spanned};
use crate::config::settings::{CLUSTER_NAME, FollowerRequests, GOSSIP_PORT, HighAvailability};
use crate::config::span::Span;
use crate::config::tree::Kind;

/// Voters that the leader keeps at most: with five, two may be lost, and a write still waits for only two others.
const MAX_VOTERS: usize = 5;
/// How long a voter is down before another takes its place: longer than a reboot.
const REPLACE_AFTER: Duration = Duration::from_mins(10);
/// Longest cluster name, in bytes.
const NAME_MAX: usize = 63;

/// `None` when the block is missing: a single agent.
pub(super) fn high_availability(raw: &RawRoot, world: &World<'_>, problems: &mut Problems) -> Option<HighAvailability> {
    let block = raw.high_availability.as_ref()?;
    let (no_cluster, no_gossip) = (RawCluster::default(), RawGossip::default());
    let cluster = block.value.cluster.as_ref();
    let gossip = cluster.and_then(|cluster| cluster.value.gossip.as_ref());
    let unread = block.value.broken.contains(&"cluster")
        || cluster.is_some_and(|cluster| cluster.value.broken.contains(&"gossip"));
    if gossip.is_none() && !unread {
        let at = cluster.map_or(&block.key, |cluster| &cluster.key);
        let message = "`high_availability` without `gossip`: this agent could not find the others";
        problems.add(Diagnostic::error(message).at(at, "`gossip` is missing in `cluster`").help(
            "without it every agent would lead; add to `cluster`:\n\
             gossip { join = [\"10.0.0.1:8559\", ..] expect = 3 encrypt_file = \"..\" }",
        ));
    }
    let name = name(cluster.map_or(&no_cluster, |cluster| &cluster.value), problems);
    storage(cluster.map_or(&no_cluster, |cluster| &cluster.value), problems);
    let head = gossip.map_or(&block.key, |gossip| &gossip.key);
    let gossip = gossip.map_or(&no_gossip, |gossip| &gossip.value);

    let profiles = [("local", Profile::Local), ("lan", Profile::Lan), ("calm", Profile::Calm), ("wan", Profile::Wan)];
    let modes = [("quorum", LeadershipMode::Quorum), ("alive", LeadershipMode::Alive)];
    let profile = choice(gossip.profile.as_ref(), "profile", &profiles, Profile::Lan, problems);
    let mode = choice(gossip.leadership.as_ref(), "leadership", &modes, LeadershipMode::Quorum, problems);
    if let (LeadershipMode::Alive, Some(at)) = (mode, &gossip.leadership) {
        let message = "with `leadership = \"alive\"` two agents lead while the network between them is cut";
        problems.add(
            Diagnostic::warning(message).at(&at.span, "no majority is asked").help(
                "only for tasks that may run twice at once, or whose resource checks the epoch; \"quorum\" is safe",
            ),
        );
    }

    let seal = seal(gossip, world, problems);
    let seeds = seeds(gossip, problems);
    let bind = bind(gossip, head, &seal, &seeds, problems);
    let advertise = advertise(gossip, bind, problems);
    let expect = expect(gossip, head, &seeds, bind, advertise, problems);
    let keys = match seal {
        Seal::Keys(keys) => keys,
        Seal::Missing | Seal::Waived | Seal::Broken => Vec::new(),
    };
    let at_rest = cluster.and_then(|cluster| cluster.value.at_rest.as_ref());
    Some(HighAvailability {
        at_rest: at_rest.and_then(|raw| at_rest::at_rest(raw, &keys, world, problems)),
        cluster: crate::cluster::Settings {
            name,
            expect,
            seeds: seeds.into_iter().map(|(seed, _)| seed).collect::<BTreeSet<_>>().into_iter().collect(),
            mode,
            timing: timing::timing(gossip, profile, head, problems),
            max_voters: MAX_VOTERS,
            replace_after: REPLACE_AFTER,
        },
        profile,
        bind,
        advertise,
        keys,
        take_over_all: choice(
            cluster.and_then(|cluster| cluster.value.take_over.as_ref()),
            "take_over",
            &[("changed", false), ("all", true)],
            false,
            problems,
        ),
        instance_address: instance_address(&block.value, problems),
        follower_requests: choice(
            block.value.follower_requests.as_ref(),
            "follower_requests",
            &[("forward", FollowerRequests::Forward), ("redirect", FollowerRequests::Redirect)],
            FollowerRequests::Forward,
            problems,
        ),
    })
}

fn name(cluster: &RawCluster, problems: &mut Problems) -> String {
    let Some(name) = &cluster.name else { return CLUSTER_NAME.to_owned() };
    let good = |c: char| !c.is_control() && !c.is_whitespace();
    if name.value.is_empty() || name.value.len() > NAME_MAX || !name.value.chars().all(good) {
        let message = format!("`name` of a cluster must be 1 to {NAME_MAX} characters without blanks");
        problems.add(Diagnostic::error(message).at(&name.span, format!("{} characters", name.value.chars().count())));
    }
    name.value.clone()
}

fn storage(cluster: &RawCluster, problems: &mut Problems) {
    for entry in cluster.storage.iter().flat_map(|storage| &storage.value.0) {
        if entry.key != "consul" {
            let message = format!("unknown storage {:?}", entry.key);
            problems.add(Diagnostic::error(message).at(&entry.key_span, "the only one that CTS has is \"consul\""));
            continue;
        }
        // Typed all the same, so that a file that moves back is still a good one.
        if let Kind::Object(_) = entry.value.kind {
            drop(RawStorage::read(&entry.value, "storage", problems));
        }
        let warning = Diagnostic::warning("`storage \"consul\"` has no effect: state is replicated by the agents");
        problems.add(warning.at(&entry.key_span, "not used").help("the block can be removed"));
    }
}

fn instance_address(block: &RawHighAvailability, problems: &mut Problems) -> String {
    let address = block.instance.as_ref().and_then(|instance| instance.value.address.as_ref());
    let Some(address) = address else { return String::new() };
    if address.value.contains("://") || address.value.contains(char::is_whitespace) {
        let message = format!("`address` {:?} is not a host", address.value);
        problems.add(Diagnostic::error(message).at(&address.span, "a host name or IP address without scheme or port"));
    }
    address.value.clone()
}

/// Without a key only this machine may be listened to: a packet of a stranger could otherwise depose the leader.
fn bind(gossip: &RawGossip, head: &Span, seal: &Seal, seeds: &[(String, Span)], problems: &mut Problems) -> SocketAddr {
    let open = !matches!(seal, Seal::Missing);
    let everywhere = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let default = SocketAddr::new(if open { everywhere } else { IpAddr::V4(Ipv4Addr::LOCALHOST) }, GOSSIP_PORT);
    let Some(text) = &gossip.bind else {
        unreachable_seed(default, seeds, problems);
        return default;
    };
    let bind = match address::socket(&text.value, everywhere, GOSSIP_PORT) {
        Ok(bind) => bind,
        Err(why) => {
            let message = format!("`bind` {:?} {why}", text.value);
            let help = "for example \"0.0.0.0:8559\" for all interfaces, or \"10.0.0.1:8559\" for one";
            let label = "expected an IP address and a port";
            problems.add(Diagnostic::error(message).at(&text.span, label).help(help));
            return default;
        }
    };
    if !open && !bind.ip().is_loopback() {
        problems.add(
            Diagnostic::error(format!("`bind` {bind} can be reached by others, and there is no key"))
                .at(&text.span, "only a loopback address is allowed without `encrypt`")
                .at(head, "`encrypt` or `encrypt_file` is missing here")
                .help(
                    "run `quorate keygen` once, and give what it prints to every agent as encrypt = \"..\" \
                     (or keep it in a file and name that as encrypt_file); encrypt = \"none\" goes without, on a \
                     network where every machine is trusted",
                ),
        );
    }
    unreachable_seed(bind, seeds, problems);
    bind
}

/// From loopback nobody else can be reached: the agent would wait for ever.
fn unreachable_seed(bind: SocketAddr, seeds: &[(String, Span)], problems: &mut Problems) {
    let elsewhere = |seed: &str| seed.parse::<SocketAddr>().is_ok_and(|addr| !addr.ip().is_loopback());
    let Some((seed, span)) = seeds.iter().find(|(seed, _)| bind.ip().is_loopback() && elsewhere(seed)) else { return };
    problems.add(
        Diagnostic::error(format!("{seed} cannot be reached from {bind}"))
            .at(span, "another machine, while gossip is bound to this one")
            .help(
                "make a key with `quorate keygen`, give it to every agent as encrypt = \"..\" (or encrypt_file), and \
                 bind = \"0.0.0.0:8559\", which is the default once there is a key",
            ),
    );
}

fn advertise(gossip: &RawGossip, bind: SocketAddr, problems: &mut Problems) -> Option<SocketAddr> {
    let derived = (!bind.ip().is_unspecified()).then_some(bind);
    let Some(text) = &gossip.advertise else { return derived };
    let wrong = match address::socket(&text.value, IpAddr::V4(Ipv4Addr::UNSPECIFIED), bind.port()) {
        Ok(advertise) if advertise.ip().is_unspecified() => "names no machine that others could reach".to_owned(),
        Ok(advertise) if advertise.port() == 0 => "has no port that others could reach".to_owned(),
        Ok(advertise) => {
            if advertise.ip().is_loopback() && !bind.ip().is_loopback() {
                let message = format!("`advertise` {advertise} can be reached on this machine only");
                problems.add(Diagnostic::warning(message).at(&text.span, "a loopback address"));
            }
            return Some(advertise);
        }
        Err(why) => why,
    };
    problems.add(
        Diagnostic::error(format!("`advertise` {:?} {wrong}", text.value))
            .at(&text.span, "expected the IP address and port under which others reach this agent")
            .help("leave it out to use `bind`, or the first address of this machine when `bind` is 0.0.0.0"),
    );
    derived
}

fn seeds(gossip: &RawGossip, problems: &mut Problems) -> Vec<(String, Span)> {
    let mut seeds = Vec::new();
    for seed in gossip.join.iter().flat_map(|join| &join.value) {
        match address::seed(&seed.value, GOSSIP_PORT) {
            Ok(text) => seeds.push((text, seed.span.clone())),
            Err(why) => problems.add(
                Diagnostic::error(format!("`join` {:?} {why}", seed.value))
                    .at(&seed.span, "expected host:port")
                    .help("for example \"10.0.0.1:8559\" or \"cts-01.example.com:8559\""),
            ),
        }
    }
    seeds
}

fn expect(
    gossip: &RawGossip,
    head: &Span,
    seeds: &[(String, Span)],
    bind: SocketAddr,
    advertise: Option<SocketAddr>,
    problems: &mut Problems,
) -> u16 {
    let mut own: Vec<String> = [Some(bind), advertise].into_iter().flatten().map(|addr| addr.to_string()).collect();
    if bind.ip().is_loopback() {
        own.push(format!("localhost:{}", bind.port()));
    }
    let distinct: BTreeSet<&str> = seeds.iter().map(|(seed, _)| seed.as_str()).collect();
    let other = seeds.iter().find(|(seed, _)| !own.contains(seed));
    let count = distinct.len();
    let Some(given) = &gossip.expect else {
        if let (Some((seed, span)), false) = (other, gossip.broken.contains(&"expect")) {
            problems.add(
                Diagnostic::error("`expect` must be given when `join` names another agent")
                    .at(span, format!("{seed} is not this agent"))
                    .at(head, "`expect` is missing here")
                    .help(format!(
                        "say how many agents found the cluster, the same on each of them: expect = {}",
                        count.max(2)
                    )),
            );
        }
        return 1;
    };
    let wrong = |label: String| Diagnostic::error("`expect` does not fit `join`").at(&given.span, label);
    if given.value == 0 {
        let help = "say how many agents found the cluster: 1 for a single one, 3 to survive the loss of one";
        problems.add(Diagnostic::error("`expect` must be 1 or more").at(&given.span, "nobody would lead").help(help));
    } else if usize::from(given.value) < count {
        let at = gossip.join.as_ref().map_or(head, |join: &Spanned<_>| &join.span);
        let help = format!("every seed is a founder: expect = {count} or more, or take seeds out of `join`");
        problems.add(wrong(format!("{} founders", given.value)).at(at, format!("{count} seeds")).help(help));
    } else if given.value > 1 && other.is_none() {
        let message = format!("`expect` is {} and `join` names nobody else", given.value);
        let warning = Diagnostic::warning(message).at(&given.span, "this agent waits until others find it");
        problems.add(warning.help("give the same `join` to all founders, this agent included"));
    } else if given.value > 1 && given.value % 2 == 0 {
        let (even, odd) = (given.value, given.value - 1);
        let message = format!("{even} founders survive no more losses than {odd}");
        problems.add(Diagnostic::note(message).at(&given.span, "an odd number is better"));
    }
    given.value
}
