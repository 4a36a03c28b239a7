//! What a single machine says, without a world around it (that is in `tests/sim`).

use std::time::Duration;

use quorate_proto::message::Process;
use quorate_proto::{BootNonce, Epoch, Instance, MemberId};

use super::*;
use crate::cluster::durable::Promise;
use crate::cluster::settings::{LeadershipMode, Profile};

#[test]
fn a_follower_that_stops_does_not_release_the_epoch_of_the_leader() {
    let now = Now { mono: Duration::from_mins(1), boot: Duration::from_mins(1) };
    let id = |text| MemberId::new(text).unwrap();
    let settings = Settings {
        name: "edge".to_owned(),
        expect: 3,
        seeds: Vec::new(),
        mode: LeadershipMode::Quorum,
        timing: Profile::Lan.timing(),
        max_voters: 5,
        replace_after: Duration::from_mins(10),
    };
    let leader = Process { id: id("a1"), instance: Instance([1; 16]), boot: BootNonce([1; 16]) };
    let mut durable = Durable::fresh(id("a2"), Instance([2; 16]));
    durable.promised = Some(Promise { epoch: Epoch(6), holder: leader, lease: Duration::from_secs(1) });
    let mut follower = Leadership::new(&settings, durable, BootNonce([2; 16]), Rules::default(), [7; 32], now);

    follower.step_down("this agent stops", true, now);
    assert!(follower.released().is_empty(), "runs of epoch 6 may still be alive: {:?}", follower.released());
}
