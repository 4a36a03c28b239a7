//! Connections that others made: what comes on them is passed on, and answered.

use std::net::SocketAddr;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tracing::debug;

use super::frames::{CALLERS_PATH, Frame, next, write};
use super::inbound::Place;
use super::{Control, IDLE, QUEUE};
use crate::runtime::core::Command;
use crate::runtime::handle::{ApiRequest, ApiResponse, Forwarded};

impl Control {
    /// Until the other side hangs up, its key is removed, or it has to make room.
    pub(super) async fn serve(&self, mut stream: TcpStream, place: Place) -> std::io::Result<()> {
        let mut rings = self.shared.keys.watch();
        let proved = tokio::select! {
            proved = self.prove(&mut stream) => proved,
            () = place.evicted.cancelled() => return Err(std::io::Error::other("made room for another stranger")),
        };
        let (mut channel, by, mut first) =
            proved.inspect_err(|_| self.shared.metrics.connection_refused("unproven"))?;
        drop(place);
        let Ok(_room) = self.shared.proven.try_acquire() else {
            self.shared.metrics.connection_refused("members");
            return Err(std::io::Error::other("members have too many connections"));
        };
        // The ring may have changed meanwhile.
        Self::still_ours(by, &mut rings)?;
        let (answers, mut ready) = mpsc::channel::<Frame>(QUEUE);
        let mut buffer = vec![0; 16 * 1024];
        let mut peer: Option<SocketAddr> = None;
        loop {
            while let Some(frame) = first.take().map_or_else(|| next(&mut channel), |frame| Ok(Some(frame)))? {
                if let Frame::Fetch(hash, len) = frame {
                    return self.send_contents(hash, len, &mut stream, &mut channel).await;
                }
                self.handle(frame, &mut peer, &answers).await;
            }
            tokio::select! {
                Some(frame) = ready.recv() => write(&mut stream, &mut channel, &frame).await?,
                Ok(()) = rings.changed() => Self::still_ours(by, &mut rings)?,
                read = timeout(IDLE, stream.read(&mut buffer)) => {
                    let size = read??;
                    if size == 0 {
                        return Ok(());
                    }
                    channel.feed(&buffer[..size]);
                }
            }
        }
    }

    async fn handle(&self, frame: Frame, peer: &mut Option<SocketAddr>, answers: &mpsc::Sender<Frame>) {
        match frame {
            Frame::Hello(addr) => *peer = Some(addr),
            Frame::Message(bytes) => {
                if let Some(from) = *peer {
                    drop(self.shared.commands.send(Command::Frame { from, bytes }).await);
                }
            }
            Frame::Request(number, request) if request.target == CALLERS_PATH => {
                let response = ApiResponse { status: 200, content_type: String::new(), body: Vec::new() };
                // Asked once a connection: there is room, or nobody waits for it.
                drop(answers.try_send(Frame::Answer(number, response)));
            }
            Frame::Request(number, request) => self.pass_on(number, request.signed(), answers).await,
            Frame::Forward(number, request) => self.pass_on(number, request, answers).await,
            Frame::Remove(id) => {
                let (reply, answer) = oneshot::channel();
                drop(self.shared.commands.send(Command::RemoveVoter(id.clone(), reply)).await);
                if let Ok(Err(why)) = answer.await {
                    debug!(%id, why, "not removed from the voters");
                }
            }
            Frame::Answer(..) | Frame::Fetch(..) | Frame::Chunk(_) | Frame::Gone => {
                debug!("a frame that nobody asked for");
            }
        }
    }

    /// To whoever answers requests here, and the answer back.
    async fn pass_on(&self, number: u64, request: ApiRequest, answers: &mpsc::Sender<Frame>) {
        let (reply, answer) = oneshot::channel();
        if self.shared.forwarded.send(Forwarded { request, reply }).await.is_err() {
            return;
        }
        let answers = answers.clone();
        tokio::spawn(async move {
            if let Ok(response) = answer.await {
                drop(answers.send(Frame::Answer(number, response)).await);
            }
        });
    }
}
