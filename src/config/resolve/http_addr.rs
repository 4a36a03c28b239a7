//! `http_addr` and `port`: where the API listens.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::{World, address};
use crate::config::diagnostic::{Diagnostic, Problems};
use crate::config::raw::RawRoot;
use crate::config::read::Spanned;
use crate::config::settings::{HTTP_ADDR, HTTP_PORT};
use crate::http::Addr;
use crate::http::tls::Tls;

/// Longest path that the kernel takes for a socket.
pub(super) const SOCKET_MAX: usize = 107;

/// The port alone moves only the port, as in CTS; an address with a port must agree with it.
pub(super) fn http_addr(raw: &RawRoot, tls: Option<&Tls>, world: &World<'_>, problems: &mut Problems) -> Addr {
    let port = raw.port.as_ref().map_or(HTTP_PORT, |port| port.value);
    let Some(text) = &raw.http_addr else { return SocketAddr::new(HTTP_ADDR.ip(), port).into() };
    if let Some(path) = text.value.strip_prefix("unix://") {
        return socket(path, text, tls, world, problems);
    }
    let trimmed = text.value.trim_start_matches("http://");
    let addr = match address::socket(trimmed, IpAddr::V4(Ipv4Addr::LOCALHOST), port) {
        Ok(addr) => addr,
        Err(why) => {
            problems.add(
                Diagnostic::error(format!("`http_addr` {:?} {why}", text.value))
                    .at(&text.span, "expected an IP address and a port")
                    .help(format!("for example \"{HTTP_ADDR}\", or \"0.0.0.0:{HTTP_PORT}\" for all interfaces")),
            );
            return HTTP_ADDR.into();
        }
    };
    if let Some(port) = raw.port.as_ref().filter(|port| port.value != addr.port() && port.span.file == text.span.file) {
        problems.add(
            Diagnostic::error(format!("`port` {} and `http_addr` {addr} name different ports", port.value))
                .at(&port.span, "one port here")
                .at(&text.span, "another one here")
                .help("keep one of the two"),
        );
    }
    addr.into()
}

/// A Unix socket: its permissions are its credentials, and nobody listens in.
fn socket(path: &str, text: &Spanned<String>, tls: Option<&Tls>, world: &World<'_>, problems: &mut Problems) -> Addr {
    let absolute = world.path(path);
    let length = absolute.as_os_str().len();
    if path.is_empty() || path.ends_with('/') || path.contains('\0') {
        let diagnostic = Diagnostic::error("`http_addr` names no socket").at(&text.span, "a path is missing");
        problems.add(diagnostic.help("for example \"unix:///run/quorate/api.sock\""));
    } else if length > SOCKET_MAX {
        let message = format!("the path of the socket has {length} bytes, the system takes {SOCKET_MAX}");
        problems.add(Diagnostic::error(message).at(&text.span, "too long").help("use a shorter directory, as /run"));
    }
    if tls.is_some() {
        let message = "a Unix socket speaks plain HTTP: its permissions say who may use it";
        let diagnostic = Diagnostic::error(message).at(&text.span, "a socket, and there is a `tls` block");
        problems.add(diagnostic.help("remove the `tls` block, or let the API listen on an address"));
    }
    Addr::Unix(absolute)
}
