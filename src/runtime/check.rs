//! What an agent needs of its machine, looked at without making anything: for whoever checks a configuration. The start
//! itself finds the same by doing it, with the same errors.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use quorate_proto::MemberId;

use super::agent::StartError;
use super::{address, core};
use crate::store::{OpenError, Store};

/// Whether this agent could work with a data directory.
pub fn data_dir(path: &Path, id: &MemberId) -> Result<(), StartError> {
    Store::check(path, id).map_err(|source| StartError::Store { path: path.to_owned(), source })
}

/// Whether gossip and the control connections could listen, and others be told where.
pub fn network(bind: SocketAddr, advertise: Option<SocketAddr>) -> Result<(), StartError> {
    let refused = |what| move |source| StartError::Bind { addr: bind, what, source };
    core::bind(bind).map_err(refused("gossip (UDP)"))?;
    TcpListener::bind(bind).map_err(refused("control (TCP)"))?;
    match advertise.or_else(|| address::advertised(bind, &[])) {
        Some(_) => Ok(()),
        None => Err(StartError::Advertise(bind)),
    }
}

/// Whether runs could have their directories below this one: it is there, or can be made.
pub fn directory(path: &Path) -> std::io::Result<()> {
    crate::store::check_directory(path)
}

impl StartError {
    /// Whether it is only so while another process runs: this very agent, perhaps.
    pub fn is_in_use(&self) -> bool {
        match self {
            Self::Store { source, .. } => matches!(source, OpenError::InUse { .. }),
            Self::Bind { source, .. } => source.kind() == std::io::ErrorKind::AddrInUse,
            _ => false,
        }
    }
}
