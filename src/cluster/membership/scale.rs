//! foca's configuration, as a function of the timing profile and of how many members there are (rule R10).

use std::num::{NonZeroU8, NonZeroUsize};
use std::time::Duration;

use foca::{Config, PeriodicParams};

use super::rules::{Rule, Rules};
use crate::cluster::settings::GossipTiming;

/// Largest SWIM packet that is made or taken. A datagram has at most 1,200 bytes, which passes everywhere; 36 are the
/// envelope's, one is its kind, three are kept for what the envelope may need one day. The same on every agent.
pub const PACKET_MAX: usize = 1_200 - 36 - 1 - 3;

const PACKET: NonZeroUsize = match NonZeroUsize::new(PACKET_MAX) {
    Some(size) => size,
    None => NonZeroUsize::MIN,
};
const ONE: NonZeroUsize = NonZeroUsize::MIN;
const TWO: NonZeroUsize = ONE.saturating_add(1);
const THREE: NonZeroUsize = ONE.saturating_add(2);
const FOUR: NonZeroUsize = ONE.saturating_add(3);

/// How often a random member is asked for members that we may have missed. Rare: the join burst does the work.
const ANNOUNCE_PERIOD: Duration = Duration::from_secs(30);

/// The configuration for `members` members, this one included.
pub(super) fn config(timing: &GossipTiming, members: usize, rules: &Rules) -> Config {
    let announce_down =
        rules.keep(Rule::Reseed).then_some(PeriodicParams { frequency: timing.reseed_period, num_members: TWO });
    Config {
        probe_period: timing.probe_period,
        probe_rtt: timing.probe_rtt,
        num_indirect_probes: if members >= 7 { FOUR } else { THREE },
        max_transmissions: transmissions(timing, members, rules),
        suspect_to_down_after: timing.suspect_to_down.mul_f64(stretch(members)),
        remove_down_after: None,
        max_packet_size: PACKET,
        notify_down_members: true,
        periodic_announce: Some(PeriodicParams { frequency: ANNOUNCE_PERIOD, num_members: ONE }),
        periodic_announce_to_down_members: announce_down,
        periodic_gossip: Some(PeriodicParams { frequency: timing.gossip_period, num_members: THREE }),
    }
}

/// Small clusters need far more than the usual formula gives, because a suspicion must reach the suspect itself;
/// large ones starve when every update is repeated that often.
fn transmissions(timing: &GossipTiming, members: usize, rules: &Rules) -> NonZeroU8 {
    let formula = four_log10(members + 1);
    let budget = match members {
        _ if !rules.keep(Rule::Budget) => formula.saturating_sub(1),
        0..50 => formula.max(timing.transmissions),
        _ => (2 * formula).max(16),
    };
    NonZeroU8::new(budget).unwrap_or(NonZeroU8::MIN)
}

/// Four times the decimal logarithm, rounded up, without floating point.
fn four_log10(n: usize) -> u8 {
    let power = u128::try_from(n).unwrap_or(u128::MAX).saturating_pow(4);
    let mut reached = 1u128;
    let mut steps = 0;
    while reached < power {
        reached = reached.saturating_mul(10);
        steps += 1;
    }
    steps
}

/// News takes longer to get around in a large cluster, so a suspect gets more time.
fn stretch(members: usize) -> f64 {
    f64::from(u32::try_from(members).unwrap_or(u32::MAX)).log10().max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::settings::Profile;

    #[test]
    fn budget_and_suspicion_grow_with_the_cluster() {
        let timing = Profile::Lan.timing().gossip;
        let at = |members| {
            let config = config(&timing, members, &Rules::default());
            (config.max_transmissions.get(), config.suspect_to_down_after.as_millis(), config.num_indirect_probes.get())
        };
        assert_eq!(at(1), (20, 800, 3));
        assert_eq!(at(7), (20, 800, 4));
        assert_eq!(at(10), (20, 800, 4));
        assert_eq!(at(50), (16, 1359, 4));
        assert_eq!(at(1000), (26, 2400, 4));
    }

    #[test]
    fn any_member_fits_a_packet_with_the_longest_header() {
        use quorate_proto::identity::IDENTITY_MAX;
        let header = 1 + IDENTITY_MAX + 2 + 8 + 6 + 5 + 1 + IDENTITY_MAX;
        assert!(header + 2 + 3 + IDENTITY_MAX <= PACKET_MAX);
    }
}
