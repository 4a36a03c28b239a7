//! Losing packets is not dying (R6, R10, R11), and dying is noticed in time.

use quorate::cluster::membership::Event;
use quorate::cluster::settings::Profile;
use quorate::cluster::view::MemberState;

use super::world::{World, id, ms, secs};
use crate::net::Link;

#[test]
fn nobody_is_taken_for_down_in_half_an_hour_of_one_packet_in_five_lost() {
    for (count, seed) in [(3, 1), (5, 2)] {
        let mut world = World::formed(seed, count, Link::LAN.losing(0.2));
        world.run_for(secs(30 * 60));
        assert_eq!(world.false_downs, [], "{count} agents");
        assert_eq!(world.total(|stats| stats.renewals), 0, "{count} agents");
        assert!(world.total(|stats| stats.suspicions) > 1_000, "the loss must have caused suspicions");
        assert!(world.total(|stats| stats.refutations) > 500, "and refutations");
        assert!(world.total(|stats| stats.stale_timers) > 500, "and dropped timers (R6)");
    }
}

#[test]
fn two_agents_alone_survive_loss_as_well() {
    let mut world = World::formed(3, 2, Link::LAN.losing(0.2));
    world.run_for(secs(10 * 60));
    assert_eq!(world.false_downs, []);
}

#[test]
fn repeated_and_reordered_packets_change_nothing() {
    let link = Link { duplicate: 0.3, jitter: ms(30), ..Link::LAN.losing(0.05) };
    let mut world = World::formed(4, 5, link);
    world.run_for(secs(5 * 60));
    assert!(world.net.counts.duplicated > 1_000);
    assert_eq!(world.false_downs, []);
    for agent in world.agents.values() {
        assert!(agent.membership.stats().errors.is_empty(), "{:?}", agent.membership.stats().errors);
    }
}

#[test]
fn a_death_is_known_to_all_within_p_plus_s_plus_4p() {
    for (count, loss) in [(3, 0.0), (5, 0.0), (3, 0.1), (5, 0.1)] {
        for seed in 0..15 {
            let mut world = World::formed(seed, count, Link::LAN.losing(loss));
            let timing = Profile::Lan.timing().gossip;
            world.run_for(ms(1_000 + 37 * seed));
            world.kill(count - 1);
            let limit = timing.probe_period + timing.suspect_to_down + timing.probe_period * 4;
            world.run_until("all say down", limit, |world| world.all_say(count - 1, MemberState::Down));
            assert_eq!(world.count(|event| *event == Event::Down { id: id(count - 1) }), count - 1);
            assert_eq!(world.false_downs, []);
        }
    }
}

#[test]
fn every_profile_is_sure_and_as_fast_as_it_promises() {
    let far = Link { delay: ms(40), jitter: ms(30), ..Link::LAN };
    for (profile, link) in [(Profile::Local, Link::LAN), (Profile::Calm, Link::LAN), (Profile::Wan, far)] {
        let timing = profile.timing().gossip;
        for seed in 0..5 {
            let mut world = World::new(seed, link).profile(profile);
            world.start_all(3);
            world.run_until("all see all", secs(3), World::all_see_all);
            world.net.set_link(link.losing(0.2));
            world.run_for(secs(180));
            assert_eq!(world.false_downs, [], "{profile}");
            world.net.set_link(link);
            world.run_for(secs(10));
            world.kill(2);
            let limit = timing.probe_period * 5 + timing.suspect_to_down;
            world.run_until(&format!("{profile}: all say down"), limit, |world| world.all_say(2, MemberState::Down));
        }
    }
}

#[test]
fn a_process_known_to_have_ended_is_down_at_once_everywhere() {
    let mut world = World::formed(1, 5, Link::LAN.losing(0.1));
    world.kill(4);
    world.act(super::world::addr(0), |membership, now| {
        membership.handle_gone(&id(4), quorate_proto::Generation(1_000), now);
    });
    world.run_until("all say down", ms(600), |world| world.all_say(4, MemberState::Down));
    assert_eq!(world.count(|event| matches!(event, Event::Suspect { .. })), 0);
}

#[test]
fn news_of_an_earlier_process_does_not_touch_the_present_one() {
    let mut world = World::formed(1, 3, Link::LAN);
    world.act(super::world::addr(0), |membership, now| {
        membership.handle_gone(&id(2), quorate_proto::Generation(999), now);
    });
    world.run_for(secs(2));
    assert_eq!(world.false_downs, []);
}
