//! Where the API listens: an address, or a Unix socket.
//!
//! Who may write to the file of a socket may control every task, so it is made for its owner alone. One that an agent left
//! behind when it was killed goes away; one that somebody listens on stays.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use rustix::fs::Mode;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use super::limits;

/// Where the API listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Addr {
    /// An IP address and a port.
    Tcp(SocketAddr),
    /// The path of a socket; absolute.
    Unix(PathBuf),
}

impl Addr {
    /// The IP address, when it is one.
    pub fn tcp(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(addr) => Some(*addr),
            Self::Unix(_) => None,
        }
    }
}

impl From<SocketAddr> for Addr {
    fn from(addr: SocketAddr) -> Self {
        Self::Tcp(addr)
    }
}

impl FromStr for Addr {
    type Err = std::net::AddrParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_prefix("unix://") {
            Some(path) => Ok(Self::Unix(path.into())),
            None => text.parse().map(Self::Tcp),
        }
    }
}

impl fmt::Display for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(addr) => addr.fmt(f),
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
        }
    }
}

/// What connections come from.
#[derive(Debug)]
pub(super) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    /// Listens, and says where.
    pub(super) fn bind(addr: &Addr) -> io::Result<(Self, Addr)> {
        match addr {
            Addr::Tcp(addr) => {
                let listener = TcpListener::bind(addr)?;
                // Again, with our own number of connections that wait.
                rustix::net::listen(&listener, limits::BACKLOG)?;
                let addr = listener.local_addr()?;
                Ok((Self::Tcp(listener), Addr::Tcp(addr)))
            }
            Addr::Unix(path) => {
                if let Stale::Yes = stale(path)? {
                    std::fs::remove_file(path)?;
                }
                Ok((Self::Unix(bind(path)?), addr.clone()))
            }
        }
    }
}

/// Whether somebody could listen here, without doing so. Nothing is changed.
pub fn check(addr: &Addr) -> io::Result<()> {
    match addr {
        Addr::Tcp(addr) => TcpListener::bind(addr).map(drop),
        Addr::Unix(path) => {
            stale(path)?;
            let parent = path.parent().unwrap_or(Path::new("/"));
            if parent.is_dir() {
                return rustix::fs::access(parent, rustix::fs::Access::WRITE_OK).map_err(io::Error::from);
            }
            Err(io::Error::new(io::ErrorKind::NotFound, format!("there is no directory {}", parent.display())))
        }
    }
}

/// Whether a socket is left from an agent that is gone.
enum Stale {
    Yes,
    /// There is none at all.
    Absent,
}

fn stale(path: &Path) -> io::Result<Stale> {
    let meta = match std::fs::symlink_metadata(path) {
        Ok(meta) => meta,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Stale::Absent),
        Err(error) => return Err(error),
    };
    if !meta.file_type().is_socket() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "it is a file that is no socket; it stays as it is"));
    }
    match UnixStream::connect(path) {
        Ok(_) => Err(io::Error::new(io::ErrorKind::AddrInUse, "another process listens on it")),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(Stale::Yes),
        Err(error) => Err(error),
    }
}

/// The mode is the socket's before it has a name, so there is no moment in which others may connect.
fn bind(path: &Path) -> io::Result<UnixListener> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    rustix::net::listen(&socket, limits::BACKLOG)?;
    Ok(UnixListener::from(socket))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_socket_is_its_owners_alone_and_a_stale_one_goes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("api.sock");
        let addr: Addr = format!("unix://{}", path.display()).parse().unwrap();
        check(&addr).unwrap();
        assert!(!path.exists(), "a check changes nothing");
        let (listener, at) = Listener::bind(&addr).unwrap();
        assert_eq!(at, addr);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        for refused in [Listener::bind(&addr).map(drop), check(&addr)] {
            assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::AddrInUse);
        }
        drop(listener);
        assert!(path.exists());
        check(&addr).unwrap();
        drop(Listener::bind(&addr).unwrap());
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "precious").unwrap();
        assert!(Listener::bind(&addr).is_err() && check(&addr).is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"precious");
        let none = Addr::Unix(dir.path().join("none/api.sock"));
        assert!(check(&none).unwrap_err().to_string().contains("there is no directory"));
    }
}
