//! A renewal in few bytes, for a voter that answered the one before: most of what an idle leader sends.
//!
//! The full message names its cluster and its sender with 48 random bytes, which the receiver knows: it has promised the
//! epoch to exactly one process. Here a tag of eight bytes stands for them. A receiver that has promised the epoch to
//! nobody, or to another process, or belongs to another cluster, finds another tag, drops the datagram, and is asked again
//! in full, because the sender sends this form only where its last renewal was answered.

use crate::ClusterId;
use crate::codec::{self, CodecError};
use crate::message::{Body, Header, Message, Process, Renewal};

const TAG_CONTEXT: &str = "quorate 2026 v2 renewal";

impl Renewal {
    /// The short form of a message; `None` when there is none for it.
    pub fn of(message: &Message) -> Option<Self> {
        let Body::Renew { epoch, round, committed } = message.body else { return None };
        let Header { cluster, from, voters, commits } = &message.header;
        let tag = tag(*cluster, from).ok()?;
        Some(Self { tag, voters: *voters, commits: *commits, epoch, round, committed })
    }

    /// The message, if it is from this process of this cluster.
    pub fn expand(&self, cluster: Option<ClusterId>, from: &Process) -> Option<Message> {
        if tag(cluster, from).ok()? != self.tag {
            return None;
        }
        let header = Header { cluster, from: from.clone(), voters: self.voters, commits: self.commits };
        let body = Body::Renew { epoch: self.epoch, round: self.round, committed: self.committed };
        Some(Message { header, body })
    }
}

fn tag(cluster: Option<ClusterId>, from: &Process) -> Result<[u8; 8], CodecError> {
    let mut tag = [0; 8];
    tag.copy_from_slice(&blake3::derive_key(TAG_CONTEXT, &codec::encode(&(cluster, from.clone()))?)[..8]);
    Ok(tag)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Commits, Round};
    use crate::{BootNonce, Epoch, Instance, MemberId, Seq, Stamp};

    fn process(id: &str, boot: u8) -> Process {
        Process { id: MemberId::new(id).unwrap(), instance: Instance([7; 16]), boot: BootNonce([boot; 16]) }
    }

    fn message(body: Body) -> Message {
        let voters = Stamp { epoch: Epoch(7), seq: Seq(1) };
        let commits = Commits { started: 40, now: 300 };
        Message { header: Header { cluster: Some(ClusterId([1; 16])), from: process("a", 1), voters, commits }, body }
    }

    #[test]
    fn a_renewal_comes_back_whole_where_its_sender_is_known() {
        let whole = message(Body::Renew { epoch: Epoch(7), round: Round(300), committed: Seq(9) });
        let brief = Renewal::of(&whole).unwrap();
        assert_eq!(brief.expand(whole.header.cluster, &whole.header.from), Some(whole.clone()));
        let size = |bytes: Result<Vec<u8>, CodecError>| bytes.unwrap().len();
        assert_eq!(size(codec::encode(&brief)) + 44, size(codec::encode(&whole)), "what it is for");
    }

    #[test]
    fn another_process_or_cluster_is_not_taken_for_the_sender() {
        let whole = message(Body::Renew { epoch: Epoch(7), round: Round(300), committed: Seq(9) });
        let brief = Renewal::of(&whole).unwrap();
        let cluster = whole.header.cluster;
        for (cluster, from) in [
            (cluster, process("a", 2)),
            (cluster, process("b", 1)),
            (Some(ClusterId([2; 16])), process("a", 1)),
            (None, process("a", 1)),
        ] {
            assert_eq!(brief.expand(cluster, &from), None, "{cluster:?} {from:?}");
        }
    }

    #[test]
    fn nothing_else_has_a_short_form() {
        assert_eq!(Renewal::of(&message(Body::PreClaim { epoch: Epoch(7), round: Round(1) })), None);
    }
}
