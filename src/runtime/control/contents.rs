//! Contents of large values, from one agent to another, each on a connection of its own.

use std::net::SocketAddr;

use quorate_proto::BlobHash;
use quorate_proto::noise::Channel;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Control;
use super::frames::{Frame, next, write};

/// Bytes of contents in one frame: what is sent meanwhile on other connections is not kept waiting by a large one.
pub(super) const CHUNK: usize = 64 * 1024;

/// An answer to [`Control::fetch`], piece by piece.
pub struct Transfer {
    stream: TcpStream,
    channel: Channel,
    buffer: Vec<u8>,
}

impl Transfer {
    /// The next piece; `None`: the peer does not have the contents.
    pub async fn next(&mut self) -> std::io::Result<Option<Vec<u8>>> {
        loop {
            match next(&mut self.channel)? {
                Some(Frame::Chunk(bytes)) if !bytes.is_empty() => return Ok(Some(bytes)),
                Some(Frame::Gone) => return Ok(None),
                Some(_) => return Err(std::io::ErrorKind::InvalidData.into()),
                None => {}
            }
            let size = self.stream.read(&mut self.buffer).await?;
            if size == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            self.channel.feed(&self.buffer[..size]);
        }
    }
}

impl Control {
    /// Asks a peer for the contents of a large value, on a connection of its own.
    pub async fn fetch(&self, from: SocketAddr, hash: BlobHash, len: u32) -> std::io::Result<Transfer> {
        let (mut stream, mut channel, _) = self.connect(from).await?;
        write(&mut stream, &mut channel, &Frame::Fetch(hash, len)).await?;
        Ok(Transfer { stream, channel, buffer: vec![0; CHUNK] })
    }

    /// The other side of it.
    pub(super) async fn send_contents(
        &self,
        hash: BlobHash,
        len: u32,
        stream: &mut TcpStream,
        channel: &mut Channel,
    ) -> std::io::Result<()> {
        let _turn = self.shared.sending.acquire().await.map_err(std::io::Error::other)?;
        let found = self.shared.blobs.file(hash).ok().filter(|(_, length)| *length == u64::from(len));
        let Some((file, _)) = found else { return write(stream, channel, &Frame::Gone).await };
        let mut file = tokio::fs::File::from_std(file);
        let mut left = usize::try_from(len).unwrap_or_default();
        while left > 0 {
            let mut piece = vec![0; left.min(CHUNK)];
            file.read_exact(&mut piece).await?;
            left -= piece.len();
            write(stream, channel, &Frame::Chunk(piece)).await?;
        }
        stream.shutdown().await
    }
}
