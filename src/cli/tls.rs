//! TLS of the client: what went wrong, with the flags that help.

use std::path::PathBuf;

use crate::tls::{Authorities, Client, Trouble};

/// Whom to trust and what to show.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Trust {
    /// A PEM file, or a directory of some; `None`: those of the system.
    pub(super) authorities: Option<PathBuf>,
    /// Certificate and key.
    pub(super) identity: Option<(PathBuf, PathBuf)>,
    /// Whether the certificate of the agent is checked.
    pub(super) verify: bool,
}

impl Trust {
    /// As the TLS room has it.
    pub(super) fn client(&self) -> Client {
        let authorities = |path: &PathBuf| {
            let path = path.clone();
            if path.is_dir() { Authorities::Directory(path) } else { Authorities::File(path) }
        };
        Client {
            verify: self.verify,
            authorities: self.authorities.as_ref().map(authorities),
            identity: self.identity.clone(),
        }
    }
}

/// Why two sides do not come together, and which flag helps.
pub(super) fn told(trouble: Trouble) -> String {
    let help = match trouble {
        Trouble::OnlyWe => "\nwrite http:// in the address (-http-addr), or give the agent a `tls` block",
        Trouble::OnlyThey => "\nwrite https:// in the address (-http-addr)",
        Trouble::Stranger => "\nname the authority with -ca-cert or -ca-path",
        Trouble::Unknown => "\nshow one with -client-cert and -client-key",
        Trouble::Purpose | Trouble::Refused => "",
    };
    format!("{trouble}{help}")
}
