//! Who asks: what a connection shows by itself, and what a request shows on it.

use std::fs;

use actix_web::HttpRequest;

use super::Face;
use super::stream::Stream;
use crate::access::{Identity, NAME_MAX, NAMES_MAX};
use crate::runtime::handle::Caller;
use crate::tls;

/// Where the machine has the names of its users.
const USERS: &str = "/etc/passwd";

/// What a connection shows by itself, looked at once when it is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Shown {
    /// Nothing.
    Nothing,
    /// A certificate that the handshake has checked, with these names.
    Certificate(Vec<String>),
    /// The process at the other end of a Unix socket belongs to this user, says the kernel.
    User(u32, Option<String>),
}

impl Shown {
    /// On this connection of the server.
    pub(super) fn on(connection: &Stream) -> Self {
        match connection {
            Stream::Local(stream) => {
                let Ok(peer) = stream.peer_cred() else { return Self::Nothing };
                let users = fs::read_to_string(USERS).unwrap_or_default();
                Self::User(peer.uid(), user(&users, peer.uid()))
            }
            Stream::Sealed(stream) => match stream.get_ref().1.peer_certificates().and_then(<[_]>::first) {
                Some(certificate) => Self::Certificate(usable(tls::names(certificate))),
                None => Self::Nothing,
            },
            Stream::Plain(_) => Self::Nothing,
        }
    }
}

/// Names that can be logged and compared.
fn usable(names: Vec<String>) -> Vec<String> {
    let good = |name: &String| name.len() <= NAME_MAX && !name.is_empty() && !name.chars().any(char::is_control);
    names.into_iter().filter(good).take(NAMES_MAX).collect()
}

/// The name of a user, in the form of `passwd(5)`.
fn user(users: &str, uid: u32) -> Option<String> {
    let lines = users.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let mut fits = lines.filter(|fields| fields.get(2).and_then(|text| text.parse().ok()) == Some(uid));
    fits.find_map(|fields| fields.first().filter(|name| !name.is_empty()).map(|name| (*name).to_owned()))
}

/// Who asks, as far as the connection knows.
pub(super) fn of(request: &HttpRequest, face: &Face) -> Caller {
    let agent = face.handle.cluster().view.observer.to_string();
    let address = request.peer_addr().map_or_else(|| "a local socket".to_owned(), |peer| peer.to_string());
    let identity = match request.conn_data::<Shown>() {
        None | Some(Shown::Nothing) => Identity::Anonymous,
        Some(Shown::Certificate(names)) => Identity::Certificate(names.clone()),
        Some(Shown::User(uid, user)) => Identity::Socket { uid: *uid, user: user.clone(), admin: face.admin },
    };
    Caller { address, agent, identity }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_known_by_its_number() {
        let users = "root:x:0:0:root:/root:/bin/sh\n# a comment\nweb:x:33:33::/:\n:x:7:7::/:\nwww:x:33:33::/:\n";
        assert_eq!(user(users, 0).as_deref(), Some("root"));
        assert_eq!(user(users, 33).as_deref(), Some("web"));
        assert_eq!((user(users, 7), user(users, 1), user("", 0)), (None, None, None));
    }

    #[test]
    fn names_that_would_spoil_a_log_are_left_out() {
        let names = ["ops", "a\nb", ""].map(str::to_owned).into_iter().chain(["x".repeat(257)]);
        assert_eq!(usable(names.collect()), ["ops"]);
        assert_eq!(usable(vec!["n".to_owned(); 99]).len(), NAMES_MAX);
    }
}
