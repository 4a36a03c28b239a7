//! Timers of gossip and lease: a profile, single timers changed, and the relations that must hold between them.
//!
//! P probe period, rtt probe round trip, S suspicion, D length of a grant, R renewal. A grant and its renewal that
//! are not given follow from P and S, so that changing those two keeps the whole in step.

use std::time::Duration;

use crate::cluster::settings::{GossipTiming, LeaseTiming, Profile, Timing};
use crate::config::diagnostic::{Diagnostic, Problems};
use crate::config::duration::show;
use crate::config::raw::cluster::{RawGossip, RawTiming};
use crate::config::read::Spanned;
use crate::config::span::Span;

/// Shortest round trip that timers of an ordinary operating system can tell from a pause.
const RTT_MIN: Duration = Duration::from_millis(10);
/// Fewest repeats of an update: with fewer, losses make members miss a refutation.
const TRANSMISSIONS_MIN: u8 = 10;

/// The timing that `gossip` asks for. Relations that do not hold are one error, which explains each.
pub(super) fn timing(gossip: &RawGossip, profile: Profile, head: &Span, problems: &mut Problems) -> Timing {
    let none = RawTiming::default();
    let raw = gossip.timing.as_ref().map_or(&none, |timing| &timing.value);
    let base = profile.timing();
    let or = |raw: &Option<Spanned<Duration>>, base: Duration| raw.as_ref().map_or(base, |raw| raw.value);
    let swim = GossipTiming {
        probe_period: or(&raw.probe_period, base.gossip.probe_period),
        probe_rtt: or(&raw.probe_rtt, base.gossip.probe_rtt),
        suspect_to_down: or(&raw.suspect_to_down, base.gossip.suspect_to_down),
        transmissions: raw.transmissions.as_ref().map_or(base.gossip.transmissions, |raw| raw.value),
        gossip_period: or(&raw.gossip_period, base.gossip.gossip_period),
        buddy_period: or(&raw.buddy_period, base.gossip.buddy_period),
        reseed_period: or(&raw.reseed_period, base.gossip.reseed_period),
    };
    let detection = |swim: &GossipTiming| swim.probe_period.saturating_add(swim.suspect_to_down);
    let same = detection(&swim) == detection(&base.gossip);
    // The same share of P + S as in the profile.
    let share = base.lease.grant.div_duration_f64(detection(&base.gossip));
    let millis =
        |millis: f64| Duration::try_from_secs_f64((millis * 1_000.0).round() / 1_000.0).unwrap_or(Duration::MAX);
    let follows = if same { base.lease.grant } else { millis(detection(&swim).as_secs_f64() * share) };
    let grant = or(&raw.grant, follows);
    let lease = LeaseTiming {
        grant,
        renew: or(&raw.renew, grant / 4),
        retry: or(&raw.retry, base.lease.retry),
        start_margin: or(&raw.start_margin, base.lease.start_margin),
        settle: or(&gossip.settle, base.lease.settle),
    };
    let timing = Timing { gossip: swim, lease };
    let broken = relations(&timing, &base);
    if !broken.is_empty() {
        let words: Vec<&str> = broken.iter().map(|relation| relation.text.as_str()).collect();
        let mut diagnostic = Diagnostic::error("the timers do not fit together");
        let mut pointed = false;
        for (name, span) in given(raw, gossip) {
            if broken.iter().any(|relation| relation.names.contains(&name)) {
                diagnostic = diagnostic.at(span, name);
                pointed = true;
            }
        }
        if !pointed {
            diagnostic = diagnostic.at(head, format!("profile {profile}"));
        }
        let list = words.iter().map(|word| format!("- {word}")).collect::<Vec<_>>().join("\n");
        problems.add(diagnostic.help(format!("what must hold:\n{list}\nnot given is what profile {profile} has")));
    }
    timing
}

/// The timers that are written down, by name.
fn given<'a>(raw: &'a RawTiming, gossip: &'a RawGossip) -> Vec<(&'static str, &'a Span)> {
    let durations = [
        ("probe_period", &raw.probe_period),
        ("probe_rtt", &raw.probe_rtt),
        ("suspect_to_down", &raw.suspect_to_down),
        ("gossip_period", &raw.gossip_period),
        ("buddy_period", &raw.buddy_period),
        ("reseed_period", &raw.reseed_period),
        ("grant", &raw.grant),
        ("renew", &raw.renew),
        ("retry", &raw.retry),
        ("start_margin", &raw.start_margin),
        ("settle", &gossip.settle),
    ];
    let mut all: Vec<_> =
        durations.into_iter().filter_map(|(name, raw)| raw.as_ref().map(|raw| (name, &raw.span))).collect();
    all.extend(raw.transmissions.as_ref().map(|raw| ("transmissions", &raw.span)));
    all
}

/// One that does not hold: which timers it is about, and why it must.
struct Relation {
    names: Vec<&'static str>,
    text: String,
}

fn relations(timing: &Timing, base: &Timing) -> Vec<Relation> {
    let (swim, lease) = (&timing.gossip, &timing.lease);
    let (p, rtt, s, d) = (swim.probe_period, swim.probe_rtt, swim.suspect_to_down, lease.grant);
    let detection = p.saturating_add(s);
    let mut broken = Vec::new();
    let mut must = |holds: bool, names: &[&'static str], text: String| {
        if !holds {
            broken.push(Relation { names: names.to_vec(), text });
        }
    };
    must(
        rtt >= RTT_MIN,
        &["probe_rtt"],
        format!(
            "probe_rtt ({}) is at least {}: shorter is mistaken for a pause of the machine",
            show(rtt),
            show(RTT_MIN)
        ),
    );
    must(
        p >= rtt.saturating_mul(3),
        &["probe_period", "probe_rtt"],
        format!(
            "probe_period ({}) is at least 3 x probe_rtt ({}): an indirect probe has to fit in",
            show(p),
            show(rtt)
        ),
    );
    must(
        s >= p.saturating_mul(2),
        &["suspect_to_down", "probe_period"],
        format!(
            "suspect_to_down ({}) is at least 2 x probe_period ({}): a suspect must have the time to refute",
            show(s),
            show(p)
        ),
    );
    must(
        swim.transmissions >= TRANSMISSIONS_MIN,
        &["transmissions"],
        format!("transmissions ({}) is at least {TRANSMISSIONS_MIN}: fewer lose refutations", swim.transmissions),
    );
    for (name, value) in [
        ("gossip_period", swim.gossip_period),
        ("buddy_period", swim.buddy_period),
        ("reseed_period", swim.reseed_period),
        ("renew", lease.renew),
        ("retry", lease.retry),
    ] {
        must(!value.is_zero(), &[name], format!("{name} is more than zero: it is the period of a timer"));
    }
    must(
        d >= lease.retry.saturating_mul(4),
        &["grant", "retry"],
        format!(
            "grant ({}) is at least 4 x retry ({}): a lost message must not cost the lease",
            show(d),
            show(lease.retry)
        ),
    );
    must(
        d <= detection,
        &["grant", "probe_period", "suspect_to_down"],
        format!(
            "grant ({}) is at most probe_period + suspect_to_down ({}): the lease must never be what a failover waits for",
            show(d),
            show(detection)
        ),
    );
    must(
        lease.renew <= d / 4,
        &["renew", "grant"],
        format!(
            "renew ({}) is at most a quarter of grant ({}): two lost rounds in a row are survived",
            show(lease.renew),
            show(d)
        ),
    );
    must(
        lease.start_margin <= d / 3,
        &["start_margin", "grant"],
        format!(
            "start_margin ({}) is at most a third of grant ({}): a healthy leader could not start a run otherwise",
            show(lease.start_margin),
            show(d)
        ),
    );
    // A profile's own settle time is taken with its own timers as it is.
    let same = base.gossip == timing.gossip && base.lease.grant == d;
    let calm = detection.saturating_mul(3).max(d.saturating_mul(2));
    let calm = if same { calm.min(base.lease.settle) } else { calm };
    must(
        lease.settle >= calm,
        &["settle", "probe_period", "suspect_to_down", "grant"],
        format!(
            "settle ({}) is at least {}, three times the time to detect a failure and two leases: leadership would flap",
            show(lease.settle),
            show(calm)
        ),
    );
    broken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_profile_satisfies_its_own_relations() {
        for profile in [Profile::Local, Profile::Lan, Profile::Calm, Profile::Wan] {
            let timing = profile.timing();
            let broken: Vec<_> = relations(&timing, &timing).into_iter().map(|relation| relation.text).collect();
            assert_eq!(broken, Vec::<String>::new(), "{profile}");
        }
    }

    #[test]
    fn each_relation_bites() {
        let base = Profile::Lan.timing();
        let ms = Duration::from_millis;
        let check = |change: &dyn Fn(&mut Timing), name: &str| {
            let mut timing = base.clone();
            change(&mut timing);
            let found: Vec<_> = relations(&timing, &base).iter().flat_map(|relation| relation.names.clone()).collect();
            assert!(found.contains(&name), "{name}: {found:?}");
        };
        check(&|t| t.gossip.probe_rtt = ms(9), "probe_rtt");
        check(&|t| t.gossip.probe_rtt = ms(84), "probe_period");
        check(&|t| t.gossip.suspect_to_down = ms(499), "suspect_to_down");
        check(&|t| t.gossip.transmissions = 9, "transmissions");
        check(&|t| t.gossip.buddy_period = Duration::ZERO, "buddy_period");
        check(&|t| t.lease.retry = ms(263), "retry");
        check(&|t| t.lease.grant = ms(1_051), "grant");
        check(&|t| t.lease.renew = ms(263), "renew");
        check(&|t| t.lease.start_margin = ms(351), "start_margin");
        check(&|t| t.lease.settle = ms(3_149), "settle");
        check(&|t| t.gossip.suspect_to_down = Duration::MAX, "settle");
    }
}
