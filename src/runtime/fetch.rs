//! Contents of large values, from the control port of a peer to the disk: a connection for each, a few at a time.
//!
//! Nothing here is on the way of renewals or other messages. What arrives goes straight to a file, and only when it
//! is whole, and what it should be, does anybody hear of it.

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use quorate_proto::BlobHash;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::debug;

use super::blobs::Blobs;
use super::control::{Control, Transfer};
use super::core::Command;
use super::persist;
use crate::store::{StoreError, Whole};

/// Transfers at once.
const PARALLEL: usize = 4;
/// Pieces read from the network and not yet written.
const PIECES: usize = 16;
/// A peer that sends nothing for so long is not there.
const SILENCE: Duration = Duration::from_secs(10);

/// What the core asks for.
#[derive(Debug, Clone, Copy)]
pub struct Fetch {
    /// Of the contents.
    pub hash: BlobHash,
    /// How many bytes.
    pub len: u32,
    /// The peer's gossip address.
    pub from: SocketAddr,
}

/// Why there are no contents.
enum Failed {
    /// The peer has none of them.
    Gone,
    /// The disk.
    Store(StoreError),
    Network(std::io::Error),
}

/// Obeys for ever.
pub async fn run(
    mut asked: mpsc::UnboundedReceiver<Fetch>,
    control: Control,
    blobs: Blobs,
    disk: persist::Store,
    commands: mpsc::Sender<Command>,
) {
    let mut queue: VecDeque<Fetch> = VecDeque::new();
    let mut running: BTreeSet<BlobHash> = BTreeSet::new();
    let mut transfers = JoinSet::new();
    loop {
        tokio::select! {
            fetch = asked.recv() => {
                let Some(fetch) = fetch else { return };
                if running.contains(&fetch.hash) {
                    continue;
                }
                // Asked again, perhaps elsewhere: the newest word counts.
                queue.retain(|queued| queued.hash != fetch.hash);
                queue.push_back(fetch);
            }
            Some(ended) = transfers.join_next() => {
                let Ok((fetch, result)) = ended else { continue };
                let Fetch { hash, from, .. } = fetch;
                running.remove(&hash);
                let gone = match result {
                    Ok(whole) => {
                        blobs.keep(whole);
                        continue;
                    }
                    Err(Failed::Gone) => true,
                    Err(Failed::Store(error)) => {
                        debug!(%hash, %from, %error, "contents not stored");
                        if error.is_disk_full() {
                            disk.wait_for_room(usize::try_from(fetch.len).unwrap_or(usize::MAX));
                        }
                        false
                    }
                    Err(Failed::Network(error)) => {
                        debug!(%hash, %from, %error, "contents not received");
                        false
                    }
                };
                drop(commands.send(Command::BlobFailed { hash, from, gone }).await);
            }
        }
        while running.len() < PARALLEL {
            let Some(fetch) = queue.pop_front() else { break };
            running.insert(fetch.hash);
            let (control, blobs) = (control.clone(), blobs.clone());
            transfers.spawn(async move { (fetch, transfer(fetch, &control, &blobs).await) });
        }
    }
}

async fn transfer(Fetch { hash, len, from }: Fetch, control: &Control, blobs: &Blobs) -> Result<Whole, Failed> {
    let mut transfer = control.fetch(from, hash, len).await.map_err(Failed::Network)?;
    let (pieces, mut written) = mpsc::channel::<Vec<u8>>(PIECES);
    let files = blobs.files.clone();
    let writer = tokio::task::spawn_blocking(move || {
        let mut incoming = files.begin(hash, len)?;
        while let Some(piece) = written.blocking_recv() {
            incoming.write(&piece)?;
        }
        incoming.finish()
    });
    let received = receive(&mut transfer, len, &pieces).await;
    drop(pieces);
    let stored = writer.await.map_err(|e| Failed::Network(std::io::Error::other(e)))?;
    received?;
    stored.map_err(Failed::Store)
}

async fn receive(transfer: &mut Transfer, len: u32, pieces: &mpsc::Sender<Vec<u8>>) -> Result<(), Failed> {
    let mut left = usize::try_from(len).unwrap_or(usize::MAX);
    while left > 0 {
        let piece = tokio::time::timeout(SILENCE, transfer.next()).await;
        let piece = piece.map_err(|e| Failed::Network(e.into()))?.map_err(Failed::Network)?;
        let Some(piece) = piece else { return Err(Failed::Gone) };
        left = left.saturating_sub(piece.len());
        if pieces.send(piece).await.is_err() {
            return Ok(()); // The writer has failed, and says why.
        }
    }
    Ok(())
}
