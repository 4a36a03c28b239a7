//! Every message survives encoding, and whatever a decoder accepts is written back byte for byte.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use quorate_proto::codec::{self, Wire};
use quorate_proto::identity::Versions;
use quorate_proto::message::{
    Body, Commits, Header, Message, Process, Proposal, Put, RefuseReason, Register, Round, Value, Voter, Voters,
};
use quorate_proto::{BlobHash, BootNonce, ClusterId, Epoch, Generation, Identity, Instance, MemberId, Seq, Stamp};

fn id() -> impl Strategy<Value = MemberId> {
    "[A-Za-z0-9._-]{1,63}".prop_filter_map("valid", |text| MemberId::new(text).ok())
}

/// Numbers around the ends of the encoding's forms.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![0..300_u64, 65_530..65_540_u64, 4_294_967_290..4_294_967_300_u64, any::<u64>()]
}

fn text() -> impl Strategy<Value = String> {
    ".{0,20}"
}

fn stamp() -> impl Strategy<Value = Stamp> {
    (number(), number()).prop_map(|(epoch, seq)| Stamp { epoch: Epoch(epoch), seq: Seq(seq) })
}

fn voter() -> impl Strategy<Value = Voter> {
    (id(), any::<[u8; 16]>()).prop_map(|(id, instance)| Voter { id, instance: Instance(instance) })
}

fn process() -> impl Strategy<Value = Process> {
    (voter(), any::<[u8; 16]>()).prop_map(|(voter, boot)| Process {
        id: voter.id,
        instance: voter.instance,
        boot: BootNonce(boot),
    })
}

fn proposal() -> impl Strategy<Value = Proposal> {
    (text(), any::<u16>(), any::<[u8; 16]>(), vec(voter(), 0..4)).prop_map(|(name, expect, seeds, founders)| Proposal {
        name,
        expect,
        seeds,
        founders,
    })
}

fn value() -> impl Strategy<Value = Option<Value>> {
    let inline = vec(any::<u8>(), 0..300).prop_map(Value::Inline);
    let blob = (any::<[u8; 32]>(), any::<u32>()).prop_map(|(hash, len)| Value::Blob { hash: BlobHash(hash), len });
    option::of(prop_oneof![inline, blob])
}

fn reason() -> impl Strategy<Value = RefuseReason> {
    prop::sample::select(vec![
        RefuseReason::Promised,
        RefuseReason::LeaseRuns,
        RefuseReason::Quiet,
        RefuseReason::NotAVoter,
        RefuseReason::Jump,
        RefuseReason::Disk,
    ])
}

fn body() -> impl Strategy<Value = Body> {
    let epoch = || number().prop_map(Epoch);
    let round = || number().prop_map(Round);
    let seq = || number().prop_map(Seq);
    let index = any::<[u8; 16]>;
    let ms = any::<u32>;
    let entry = (text(), value()).prop_map(|(key, value)| Put { key, value });
    let register = (text(), stamp(), value()).prop_map(|(key, stamp, value)| Register { key, stamp, value });
    prop_oneof![
        (epoch(), round()).prop_map(|(epoch, round)| Body::PreClaim { epoch, round }),
        (epoch(), round()).prop_map(|(epoch, round)| Body::PreGrant { epoch, round }),
        (epoch(), ms(), round()).prop_map(|(epoch, lease_ms, round)| Body::Claim { epoch, lease_ms, round }),
        (epoch(), round(), ms(), index()).prop_map(|(epoch, round, lease_ms, index)| Body::Grant {
            epoch,
            round,
            lease_ms,
            index
        }),
        (epoch(), round(), epoch(), option::of(id()), ms(), reason()).prop_map(
            |(epoch, round, promised, holder, remaining_ms, reason)| Body::Refuse {
                epoch,
                round,
                promised,
                holder,
                remaining_ms,
                reason
            }
        ),
        (epoch(), round(), seq()).prop_map(|(epoch, round, committed)| Body::Renew { epoch, round, committed }),
        (epoch(), round(), ms(), number(), seq()).prop_map(|(epoch, round, lease_ms, clock_ms, applied)| {
            Body::Renewed { epoch, round, lease_ms, clock_ms, applied }
        }),
        (epoch(), seq(), vec(entry, 0..4)).prop_map(|(epoch, seq, entries)| Body::Write { epoch, seq, entries }),
        (epoch(), seq()).prop_map(|(epoch, seq)| Body::Ack { epoch, seq }),
        (epoch(), process(), option::of(id()), any::<bool>())
            .prop_map(|(epoch, holder, successor, leaving)| Body::Release { epoch, holder, successor, leaving }),
        (epoch(), round(), vec(any::<[u8; 12]>(), 0..4)).prop_map(|(epoch, round, have)| Body::Pull {
            epoch,
            round,
            have
        }),
        (epoch(), round(), vec(register, 0..4), any::<bool>())
            .prop_map(|(epoch, round, registers, complete)| Body::Values { epoch, round, registers, complete }),
        (text(), any::<u16>(), index(), option::of(proposal()), vec(id(), 0..4)).prop_map(
            |(name, expect, seeds, accepted, acceptances)| Body::Found { name, expect, seeds, accepted, acceptances }
        ),
        proposal().prop_map(|proposal| Body::Formed { proposal }),
        voter().prop_map(|Voter { id, instance }| Body::Conflict { id, instance }),
        (process(), number()).prop_map(|(Process { instance, boot, .. }, known)| Body::Amnesia {
            instance,
            boot,
            known
        }),
        (epoch(), process(), any::<bool>()).prop_map(|(epoch, holder, dead)| Body::LeaseEnded { epoch, holder, dead }),
    ]
}

fn message() -> impl Strategy<Value = Message> {
    let commits = (number(), number()).prop_map(|(started, now)| Commits { started, now });
    (option::of(any::<[u8; 16]>()), process(), stamp(), commits, body()).prop_map(
        |(cluster, from, voters, commits, body)| Message {
            header: Header { cluster: cluster.map(ClusterId), from, voters, commits },
            body,
        },
    )
}

/// Addresses come from text or sockets; scope and flow of IPv6 do not travel.
fn address() -> impl Strategy<Value = std::net::SocketAddr> {
    (any::<std::net::IpAddr>(), any::<u16>()).prop_map(std::net::SocketAddr::from)
}

fn identity() -> impl Strategy<Value = Identity> {
    (process(), number(), any::<u32>(), address(), address(), text(), any::<(u8, u8)>(), any::<(u16, u16, u16)>())
        .prop_map(|(process, generation, bump, gossip_addr, api_addr, address, (min, max), software)| Identity {
            id: process.id,
            instance: process.instance,
            generation: Generation(generation),
            bump,
            gossip_addr,
            api_addr,
            address,
            versions: Versions { min, max },
            software,
        })
}

/// Whatever is accepted has one form. Says whether it was accepted.
fn one_form<T: Wire>(bytes: &[u8]) -> Result<bool, TestCaseError> {
    let frame = codec::decode_frame::<T>(bytes);
    if let Ok(value) = &frame {
        prop_assert_eq!(codec::encode(value).ok(), Some(bytes.to_vec()));
    }
    if let Ok(value) = codec::decode_datagram::<T>(bytes) {
        prop_assert_eq!(codec::encode(&value).ok(), Some(bytes.to_vec()));
        prop_assert!(frame.is_ok(), "a datagram accepts no more than a frame");
    }
    if let Ok((value, used)) = codec::decode_prefix::<T>(bytes) {
        prop_assert_eq!(codec::encode(&value).ok(), Some(bytes[..used].to_vec()));
    }
    Ok(frame.is_ok())
}

proptest! {
    #[test]
    fn every_message_survives_encoding(message in message()) {
        let bytes = codec::encode(&message).map_err(|e| TestCaseError::fail(e.to_string()))?;
        prop_assert_eq!(codec::decode_frame::<Message>(&bytes).ok(), Some(message));
    }

    #[test]
    fn every_identity_and_voter_set_survives_encoding(identity in identity(), voters in vec(voter(), 0..9)) {
        let bytes = codec::encode(&identity).map_err(|e| TestCaseError::fail(e.to_string()))?;
        prop_assert_eq!(codec::decode_datagram::<Identity>(&bytes).ok(), Some(identity));
        let voters = Voters(voters);
        let bytes = codec::encode(&voters).map_err(|e| TestCaseError::fail(e.to_string()))?;
        prop_assert_eq!(codec::decode_datagram::<Voters>(&bytes).ok(), Some(voters));
    }

    #[test]
    fn arbitrary_bytes_never_panic_and_have_one_form(bytes in vec(any::<u8>(), 0..300)) {
        one_form::<Message>(&bytes)?;
        one_form::<Identity>(&bytes)?;
        one_form::<Voters>(&bytes)?;
    }

    #[test]
    fn damaged_messages_never_panic_and_have_one_form(
        message in message(),
        at in any::<prop::sample::Index>(),
        by in 1_u8..,
        cut in option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = codec::encode(&message).map_err(|e| TestCaseError::fail(e.to_string()))?;
        let at = at.index(bytes.len());
        bytes[at] ^= by;
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        one_form::<Message>(&bytes)?;
    }
}
