//! Values that are not kept as the keys ask for are written anew by the leader: plain ones, and those that an older key sealed.
//!
//! Nothing newer is overwritten: the core takes such a value only if its register has not been written since it was read
//! ([`Command::Replace`]).

use std::collections::BTreeSet;
use std::time::Duration;

use quorate_proto::at_rest::KeyId;
use quorate_proto::message::{Entry, INLINE_MAX};
use quorate_proto::{Epoch, Stamp};
use tokio::sync::oneshot;
use tracing::{error, info, warn};

use super::{Replica, start, whole};
use crate::runtime::at_rest::LOOKED_AT;
use crate::runtime::core::{Command, ProposeError};

/// Small values in one write.
const BATCH: usize = 64;
/// When what was refused (a full disk) is tried again.
const AGAIN: Duration = Duration::from_secs(10);

/// What came of it.
#[derive(Debug, Default)]
pub struct Anew {
    /// Values that were written anew.
    pub written: usize,
    /// Values that cannot be opened, and why.
    pub unread: Vec<String>,
    /// Why values were not taken.
    pub refused: Vec<String>,
    /// This agent does not lead any more.
    pub has_ended: bool,
}

/// Brings all values into the form that the keys ask for, and says what came of it. Goes on as long as something is refused
/// that may be taken later, and this agent leads under this epoch.
pub async fn keep_sealed(replica: Replica, epoch: Epoch) {
    loop {
        let anew = replica.seal_anew(epoch).await;
        if anew.written > 0 {
            info!(values = anew.written, "what is kept was written anew, as at_rest asks for");
        }
        for why in &anew.unread {
            error!("{why}");
        }
        if anew.has_ended || anew.refused.is_empty() {
            return;
        }
        for why in &anew.refused {
            warn!(why, "a value is not sealed as at_rest asks for, it could not be written anew; it is tried again");
        }
        tokio::time::sleep(AGAIN).await;
    }
}

impl Replica {
    /// Writes anew what is not kept as the keys ask for, under this leadership and no other.
    pub async fn seal_anew(&self, epoch: Epoch) -> Anew {
        let mut anew = Anew::default();
        if self.at_rest.is_off() {
            return anew;
        }
        let _turn = self.at_rest.turn().await;
        let mut left = BTreeSet::new();
        loop {
            let mut stale = self.stale().await;
            stale.retain(|key| !left.contains(key));
            if stale.is_empty() || anew.has_ended {
                return anew;
            }
            let mut batch = Vec::new();
            for key in stale {
                let (stamp, kept) = match self.kept(&key).await {
                    Some((stamp, kept)) if self.at_rest.is_stale(&key, &kept) => (stamp, kept),
                    _ => continue,
                };
                match self.at_rest.open(&key, kept) {
                    Ok(value) => {
                        let alone = value.len() > INLINE_MAX;
                        batch.push((stamp, Entry { key, value: Some(value) }));
                        if alone || batch.len() >= BATCH {
                            self.replace(epoch, std::mem::take(&mut batch), &mut left, &mut anew).await;
                        }
                    }
                    Err(unreadable) => {
                        anew.unread.push(unreadable.to_string());
                        left.insert(key);
                    }
                }
                if anew.has_ended {
                    return anew;
                }
            }
            self.replace(epoch, batch, &mut left, &mut anew).await;
        }
    }

    /// Which values are sealed with this key.
    pub async fn sealed_by(&self, id: KeyId) -> Vec<String> {
        let all = self.load("", LOOKED_AT, |_| true, start).await.into_iter();
        all.filter(|(_, _, start)| KeyId::of_envelope(start) == Some(id)).map(|(key, ..)| key).collect()
    }

    async fn stale(&self) -> Vec<String> {
        let all = self.load("", LOOKED_AT, |_| true, start).await.into_iter();
        all.filter(|(key, _, start)| self.at_rest.is_stale(key, start)).map(|(key, ..)| key).collect()
    }

    /// One register as it is kept.
    async fn kept(&self, key: &str) -> Option<(Stamp, Vec<u8>)> {
        let wanted = key.to_owned();
        let found = self.load(key, usize::MAX, move |found| found == wanted, whole).await.pop();
        found.map(|(_, stamp, kept)| (stamp, kept))
    }

    async fn replace(&self, epoch: Epoch, batch: Vec<(Stamp, Entry)>, left: &mut BTreeSet<String>, anew: &mut Anew) {
        if batch.is_empty() {
            return;
        }
        let (stamps, entries): (Vec<Stamp>, Vec<Entry>) = batch.into_iter().unzip();
        let keys: Vec<String> = entries.iter().map(|entry| entry.key.clone()).collect();
        let sealed = self.at_rest.seal(entries);
        let (reply, answer) = oneshot::channel();
        let command = Command::Replace(epoch, stamps.into_iter().zip(sealed.entries).collect(), reply);
        let outcome = match self.commands.send(command).await {
            Ok(()) => answer.await.unwrap_or(Err(ProposeError::Unknown)),
            Err(_) => Err(ProposeError::NotLeader),
        };
        drop(sealed.under_way);
        match outcome {
            Ok(()) => anew.written += keys.len(),
            Err(ProposeError::Refused(why)) => {
                anew.refused.push(why);
                left.extend(keys);
            }
            Err(ProposeError::NotLeader | ProposeError::Unknown) => anew.has_ended = true,
        }
    }
}

#[cfg(test)]
mod tests {
    use quorate_proto::at_rest::Keys;

    use super::*;
    use crate::runtime::at_rest::{AtRest, Source};
    use crate::runtime::keyring;
    use crate::runtime::replica::testing::leading;

    const EPOCH: Epoch = Epoch(1);

    fn with(keys: &[[u8; 32]], seals: bool) -> AtRest {
        AtRest::new(Source::File(Keys::new(keys, seals)), keyring::Keys::new(None, None), None)
    }

    fn text(key: &str) -> Vec<u8> {
        format!("the value of {key}").into_bytes()
    }

    #[tokio::test]
    async fn what_is_plain_or_sealed_by_an_older_key_is_written_anew_and_nothing_else() {
        let (replica, board) = leading(with(&[[2; 32], [1; 32]], true));
        let (old, lost) = (Keys::new(&[[1; 32]], true), Keys::new(&[[9; 32]], true));
        {
            let mut board = board.lock().unwrap();
            for number in 0..200 {
                let key = format!("task/{number}");
                let kept = if number % 2 == 0 { text(&key) } else { old.seal(&key, text(&key)) };
                board.put(&key, kept);
            }
            let key = "state-content/large/0";
            board.put(key, old.seal(key, vec![b'x'; INLINE_MAX + 1]));
            board.put("run/a", text("run/a"));
            board.put("history/lost", lost.seal("history/lost", text("history/lost")));
        }
        assert_eq!(replica.sealed_by(KeyId::of(&[1; 32])).await.len(), 101);
        let anew = replica.seal_anew(EPOCH).await;
        assert_eq!((anew.written, anew.unread.len(), anew.has_ended), (201, 1, false), "{anew:?}");
        assert!(anew.unread[0].contains("history/lost") && anew.unread[0].contains("not lost"), "{anew:?}");
        assert_eq!(replica.sealed_by(KeyId::of(&[1; 32])).await, Vec::<String>::new());
        assert_eq!(replica.sealed_by(KeyId::of(&[2; 32])).await.len(), 201);
        for number in 0..200 {
            let key = format!("task/{number}");
            assert_eq!(replica.get(&key).await, Ok(Some(text(&key))));
        }
        let replaced = {
            let board = board.lock().unwrap();
            assert_eq!(board.kept["run/a"].1, text("run/a"), "it is kept as it is");
            assert_eq!(board.kept["history/lost"].1, lost.seal("history/lost", text("history/lost")));
            board.replaced
        };
        assert!(replaced <= 6, "{replaced} writes: small values go together");
        assert_eq!(replica.seal_anew(EPOCH).await.written, 0, "nothing is written twice");
        assert_eq!(board.lock().unwrap().replaced, replaced);
    }

    #[tokio::test]
    async fn what_is_switched_off_is_written_in_plain_text_again() {
        let (replica, board) = leading(with(&[[1; 32]], false));
        let sealed = Keys::new(&[[1; 32]], true).seal("task/a", text("task/a"));
        board.lock().unwrap().put("task/a", sealed);
        assert_eq!(replica.seal_anew(EPOCH).await.written, 1);
        assert_eq!(board.lock().unwrap().kept["task/a"].1, text("task/a"));
    }

    #[tokio::test]
    async fn what_was_written_meanwhile_is_not_overwritten_and_what_is_refused_is_told() {
        let (replica, board) = leading(with(&[[1; 32]], true));
        {
            let mut board = board.lock().unwrap();
            board.put("task/a", text("older"));
            board.put("task/b", text("b"));
            board.meanwhile = Some(("task/a", text("newer")));
        }
        replica.seal_anew(EPOCH).await;
        assert_eq!(replica.get("task/a").await, Ok(Some(text("newer"))));
        assert!(!board.lock().unwrap().kept["task/a"].1.starts_with(b"the value"), "and it is sealed");

        {
            let mut board = board.lock().unwrap();
            board.put("task/c", text("c"));
            board.refused = Some("task/c");
        }
        let anew = replica.seal_anew(EPOCH).await;
        assert_eq!((anew.written, anew.refused.len(), anew.has_ended), (0, 1, false), "{anew:?}");
        assert_eq!(replica.get("task/c").await, Ok(Some(text("c"))));
    }
}
