//! The cluster's members, from this agent's own view of it.
//!
//! The task room and the cluster room do not know each other; this translates. A suspected member counts as here: most
//! suspicions are refuted, and a task should not run twice for one.

use quorate_proto::hex;

use crate::cluster::view::{MemberState, MemberView, View};
use crate::task::MemberInput;

/// All members that are here, the observer included.
pub fn members(view: &View) -> Vec<MemberInput> {
    view.members.iter().filter(|member| is_here(member.state)).map(input).collect()
}

fn is_here(state: MemberState) -> bool {
    match state {
        MemberState::Alive | MemberState::Suspect => true,
        MemberState::Down | MemberState::Left => false,
    }
}

fn input(member: &MemberView) -> MemberInput {
    let (major, minor, patch) = member.software;
    MemberInput {
        id: member.id.to_string(),
        instance: hex(&member.instance.0),
        address: if member.address.is_empty() { member.gossip_addr.ip().to_string() } else { member.address.clone() },
        api_address: member.api_addr.to_string(),
        gossip_address: member.gossip_addr.to_string(),
        version: format!("{major}.{minor}.{patch}"),
    }
}

#[cfg(test)]
mod tests {
    use quorate_proto::Epoch;

    use super::*;

    #[test]
    fn the_down_and_the_departed_are_not_fed() {
        let view = view(&[MemberState::Alive, MemberState::Suspect, MemberState::Down, MemberState::Left]);
        let ids: Vec<_> = members(&view).into_iter().map(|member| member.id).collect();
        assert_eq!(ids, ["m0", "m1"]);
    }

    #[test]
    fn suspicion_leadership_votes_and_restarts_change_nothing() {
        let before = view(&[MemberState::Alive, MemberState::Alive]);
        let mut after = view(&[MemberState::Alive, MemberState::Suspect]);
        for member in &mut after.members {
            member.leader = !member.leader;
            member.voter = !member.voter;
            member.generation += 1;
            member.incarnation += 1;
        }
        after.epoch = Epoch(9);
        assert_eq!(members(&before), members(&after));
    }

    #[test]
    fn another_address_is_a_change() {
        let before = view(&[MemberState::Alive]);
        let mut after = before.clone();
        after.members[0].api_addr = "10.0.0.9:8558".parse().unwrap();
        assert_ne!(members(&before), members(&after));
        assert_eq!(members(&after)[0].api_address, "10.0.0.9:8558");
        assert_eq!(members(&after)[0].instance, "07".repeat(16));
    }

    fn view(states: &[MemberState]) -> View {
        let members: Vec<_> = ["m0", "m1", "m2", "m3"].into_iter().zip(states.iter().copied()).collect();
        View::sample(1, &members)
    }
}
