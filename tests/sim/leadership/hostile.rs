//! A member whose numbers come from the far future: a damaged disk, a wrong restore, a defect.

use quorate_proto::message::{Body, Message};
use quorate_proto::{Epoch, Seq};

use super::dice::Dice;

/// Puts one huge number into a message.
pub(crate) fn exaggerate(message: &mut Message, dice: &mut Dice) {
    let huge = [u64::MAX, u64::MAX - 1, 1 << 63, 1 << 62, 1 << 50][dice.index(5)];
    let header = &mut message.header;
    match dice.index(5) {
        0 => header.voters.epoch = Epoch(huge),
        1 => header.voters.seq = Seq(huge),
        2 => header.commits.now = huge,
        _ => exaggerate_body(&mut message.body, huge, dice),
    }
}

fn exaggerate_body(body: &mut Body, huge: u64, dice: &mut Dice) {
    let first = dice.percent(50);
    match body {
        Body::PreClaim { epoch, .. }
        | Body::PreGrant { epoch, .. }
        | Body::Claim { epoch, .. }
        | Body::Release { epoch, .. }
        | Body::LeaseEnded { epoch, .. }
        | Body::Pull { epoch, .. } => *epoch = Epoch(huge),
        Body::Grant { epoch, lease_ms, .. } => {
            if first {
                *epoch = Epoch(huge);
            } else {
                *lease_ms = u32::MAX;
            }
        }
        Body::Refuse { promised, remaining_ms, .. } => {
            *remaining_ms = u32::MAX;
            if first {
                *promised = Epoch(huge);
            }
        }
        Body::Renew { epoch, committed: seq, .. } | Body::Write { epoch, seq, .. } | Body::Ack { epoch, seq } => {
            if first {
                *epoch = Epoch(huge);
            } else {
                *seq = Seq(huge);
            }
        }
        Body::Renewed { applied, clock_ms, lease_ms, .. } => {
            *clock_ms = huge;
            match dice.index(3) {
                0 => *applied = Seq(huge),
                1 => *lease_ms = u32::MAX,
                _ => {}
            }
        }
        Body::Values { registers, .. } => {
            for register in registers {
                if first {
                    register.stamp.epoch = Epoch(huge);
                } else {
                    register.stamp.seq = Seq(huge);
                }
            }
        }
        Body::Found { .. } | Body::Formed { .. } | Body::Conflict { .. } | Body::Amnesia { .. } => {}
    }
}
