//! Asks a server a second time, by a handshake alone, why it hung up.
//!
//! With TLS 1.3 a client has sent its request before the server has looked at the client's certificate. The server's
//! reason (an alert) and the end of the connection then race, and who writes into a closed connection reads no more. This
//! client writes nothing after the handshake: it reads until the reason is there.

use std::io::{self, Read as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use super::Client;
use super::words::{self, Trouble};

/// How long each step of it may take. A server that is content says nothing, so this is also what an answer of no reason
/// costs.
const LIMIT: Duration = Duration::from_secs(3);

/// A server that can be asked for its reason.
#[derive(Clone)]
pub struct Probe {
    host: String,
    port: u16,
    name: String,
    shown: bool,
    config: Arc<ClientConfig>,
}

impl std::fmt::Debug for Probe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Probe").field("host", &self.host).field("port", &self.port).finish_non_exhaustive()
    }
}

impl Probe {
    /// Of the server at `host` and `port`, which is to have `name`. `shown`: `config` shows a certificate.
    pub fn new(host: &str, port: u16, name: &str, shown: bool, config: &ClientConfig) -> Self {
        let plain = |host: &str| host.trim_matches(['[', ']']).to_owned();
        // Nothing is spoken above TLS.
        let mut config = config.clone();
        config.alpn_protocols.clear();
        Self { host: plain(host), port, name: plain(name), shown, config: Arc::new(config) }
    }

    /// Of any server: only whether it speaks TLS.
    pub fn for_anybody(host: &str, port: u16) -> Option<Self> {
        let config = Client { verify: false, ..Client::default() }.config().ok()?;
        Some(Self::new(host, port, host, true, &config))
    }

    /// Its reason not to speak with us; `None`: it has none, or cannot be reached. Blocks for some seconds at most.
    pub fn reason(&self) -> Option<Trouble> {
        let error = self.read().err()?;
        words::trouble(&error, self.shown)
    }

    /// Whether it speaks TLS, with us or not.
    pub fn speaks_tls(&self) -> bool {
        self.handshake().map_or_else(
            |error| words::trouble(&error, self.shown).is_some_and(|trouble| trouble != Trouble::OnlyWe),
            |_| true,
        )
    }

    fn read(&self) -> io::Result<()> {
        let mut stream = self.handshake()?;
        stream.read(&mut [0; 1]).map(drop)
    }

    fn handshake(&self) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
        let name = ServerName::try_from(self.name.clone()).map_err(io::Error::other)?;
        let connection = ClientConnection::new(Arc::clone(&self.config), name).map_err(io::Error::other)?;
        let mut refused = io::Error::from(io::ErrorKind::NotFound);
        for address in (self.host.as_str(), self.port).to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, LIMIT) {
                Ok(socket) => {
                    socket.set_read_timeout(Some(LIMIT))?;
                    socket.set_write_timeout(Some(LIMIT))?;
                    let mut stream = StreamOwned::new(connection, socket);
                    while stream.conn.is_handshaking() {
                        stream.conn.complete_io(&mut stream.sock)?;
                    }
                    return Ok(stream);
                }
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }
}
