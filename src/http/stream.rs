//! The bytes of one connection, watched: what it does is noted in the table of its listener, and a head that is too long
//! is refused.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::net::sockopt;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::server::TlsStream;

use super::connections::{Id, Phase, Table};
use super::limits;
use crate::runtime::clock;

/// What a client hears whose request's head is too long.
const TOO_LONG: &[u8] =
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// A connection as it was accepted, or made of that.
#[derive(Debug)]
pub(super) enum Stream {
    Plain(TcpStream),
    Sealed(Box<TlsStream<TcpStream>>),
    Local(UnixStream),
}

impl Stream {
    fn tcp(&self) -> Option<&TcpStream> {
        match self {
            Self::Plain(stream) => Some(stream),
            Self::Sealed(stream) => Some(stream.get_ref().0),
            Self::Local(_) => None,
        }
    }
}

/// A connection's place in the table. Handlers find it in the data of their connection.
#[derive(Debug, Clone)]
pub(super) struct Place {
    table: Rc<RefCell<Table>>,
    id: Id,
    /// The head of the next request is being read.
    in_head: Rc<Cell<bool>>,
}

impl Place {
    pub(super) fn new(table: Rc<RefCell<Table>>, id: Id) -> Self {
        Self { table, id, in_head: Rc::new(Cell::new(true)) }
    }

    fn now() -> Duration {
        clock::now().mono
    }

    pub(super) fn set(&self, phase: Phase) {
        self.table.borrow_mut().set(self.id, phase, Self::now());
    }

    fn phase(&self) -> Option<Phase> {
        self.table.borrow().phase(self.id)
    }

    /// A request has come; until what is returned is dropped, it is being answered.
    pub(super) fn busy(&self) -> Busy {
        self.in_head.set(false);
        self.set(Phase::Reading);
        Busy(self.clone())
    }
}

/// A request under way.
#[derive(Debug)]
pub(super) struct Busy(Place);

impl Busy {
    /// All of it has come, and it changes something.
    pub(super) fn changes(&self) {
        self.0.set(Phase::Changing);
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.in_head.set(true);
        self.0.set(Phase::Resting);
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Watched {
    stream: Stream,
    place: Place,
    head: Head,
}

impl Watched {
    pub(super) fn new(stream: Stream, place: Place) -> Self {
        place.set(Phase::New);
        Self { stream, place, head: Head::default() }
    }

    pub(super) fn stream(&self) -> &Stream {
        &self.stream
    }

    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// Looks at bytes that came. `Err`: the head is too long.
    fn came(&mut self, bytes: &[u8]) -> Result<(), ()> {
        if !self.place.in_head.get() {
            return Ok(());
        }
        if matches!(self.place.phase(), Some(Phase::New | Phase::Resting)) {
            self.head = Head::default();
            self.place.set(Phase::Head);
        }
        let over = self.head.take(bytes);
        if over {
            self.place.in_head.set(false);
        }
        if self.head.bytes > limits::HEAD_BYTES { Err(()) } else { Ok(()) }
    }

    /// [`limits::bound_silence`] lets the kernel time a client out.
    fn failed(&self, error: &io::Error) {
        if error.kind() == io::ErrorKind::TimedOut {
            self.place.table.borrow_mut().give_up(self.place.id);
        }
    }

    fn wrote(&self, outcome: &Poll<io::Result<usize>>, offered: usize) {
        let blocked = match outcome {
            Poll::Pending => true,
            Poll::Ready(Ok(taken)) if *taken == offered => false,
            Poll::Ready(Ok(_)) => return,
            Poll::Ready(Err(error)) => return self.failed(error),
        };
        self.place.table.borrow_mut().set_blocked(self.place.id, blocked, Place::now());
    }
}

impl Drop for Watched {
    /// What was ended from here leaves nothing behind: the kernel throws away what the client did not take.
    fn drop(&mut self) {
        if self.place.phase().is_none()
            && let Some(stream) = self.stream.tcp()
        {
            let _refused = sockopt::set_socket_linger(stream, Some(Duration::ZERO));
        }
    }
}

/// How much of a head has come.
#[derive(Debug, Default)]
struct Head {
    bytes: usize,
    last: [u8; 4],
}

impl Head {
    /// Counts bytes up to the empty line that ends the head; whether it came.
    fn take(&mut self, bytes: &[u8]) -> bool {
        for byte in bytes {
            self.bytes += 1;
            self.last.rotate_left(1);
            self.last[3] = *byte;
            // A line may end without the carriage return.
            if self.last == *b"\r\n\r\n" || self.last[2..] == *b"\n\n" {
                return true;
            }
        }
        false
    }
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let outcome = match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::Sealed(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::Local(stream) => Pin::new(stream).poll_read(cx, buf),
        };
        if let Poll::Ready(Err(error)) = &outcome {
            self.failed(error);
        }
        let new = buf.filled().get(before..).unwrap_or_default();
        if !new.is_empty() && self.came(new).is_err() {
            buf.set_filled(before);
            // Nothing else is being written: the request has not even begun. What does not go out is not worth waiting for.
            let _told = self.as_mut().poll_write(cx, TOO_LONG);
            let _told = self.as_mut().poll_flush(cx);
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "the request's head is too long")));
        }
        outcome
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Stream::Sealed(stream) => Pin::new(stream).poll_write(cx, buf),
            Stream::Local(stream) => Pin::new(stream).poll_write(cx, buf),
        };
        self.wrote(&outcome, buf.len());
        outcome
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Sealed(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Local(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Sealed(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Local(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_ends_with_an_empty_line_wherever_it_is_cut() {
        let text = b"GET / HTTP/1.1\r\nhost: a\r\n\r\nbody";
        for cut in 0..text.len() {
            let mut head = Head::default();
            let over = head.take(&text[..cut]) || head.take(&text[cut..]);
            assert!(over, "{cut}");
            assert_eq!(head.bytes, text.len() - 4, "{cut}");
        }
        assert!(Head::default().take(b"GET / HTTP/1.1\nhost: a\n\n"));
        assert!(!Head::default().take(b"GET / HTTP/1.1\r\nhost: a\r\n"));
    }
}
