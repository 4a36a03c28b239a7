//! Helpers for the unit tests of this room.

use quorate_proto::identity::Versions;
use quorate_proto::{Generation, Identity, Instance, MemberId};

/// A member whose data directory and address follow from its name.
pub(super) fn identity(id: &str, generation: u64) -> Identity {
    let last = id.bytes().last().unwrap();
    Identity {
        id: MemberId::new(id).unwrap(),
        instance: Instance([last; 16]),
        generation: Generation(generation),
        bump: 0,
        gossip_addr: format!("10.0.0.{last}:8559").parse().unwrap(),
        api_addr: format!("10.0.0.{last}:8558").parse().unwrap(),
        address: String::new(),
        versions: Versions::OURS,
        software: (0, 1, 0),
    }
}
