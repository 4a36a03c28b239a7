//! Who a member is, as gossip carries it.

use std::net::SocketAddr;

use bincode::{Decode, Encode};

use crate::{Generation, Instance, MemberId};

/// Longest encoded identity, in bytes: a SWIM header holds three and must leave room for one record
/// in a datagram of 1,200 bytes, or probing stops for good (gossip reference 1.5).
pub const IDENTITY_MAX: usize = 240;

/// Longest advertised host name ([`Identity::address`]), in bytes.
pub const ADDRESS_MAX: usize = 100;

/// Protocol versions that an agent speaks, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct Versions {
    /// Lowest understood.
    pub min: u8,
    /// Highest understood.
    pub max: u8,
}

impl Versions {
    /// What this build speaks.
    pub const OURS: Self = Self { min: 1, max: 3 };

    /// Whether a member understands the short forms: [`crate::message::Renewal`] and an Ack that names its sender by a tag.
    pub const fn has_short_forms(self) -> bool {
        self.max >= 2
    }

    /// Whether a member knows what a [`crate::message::Horizon`] is.
    pub const fn has_horizon(self) -> bool {
        self.max >= 3
    }
}

/// A member as gossip sees it. Ordered by (generation, bump) within one id and instance: the higher wins.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct Identity {
    /// Its name.
    pub id: MemberId,
    /// Its data directory.
    pub instance: Instance,
    /// Its start, durable and growing.
    pub generation: Generation,
    /// Renewals since that start. A change of this alone means nothing to the application.
    pub bump: u32,
    /// Where its gossip and control ports are.
    pub gossip_addr: SocketAddr,
    /// Where its HTTP API listens (as seen by others; a loopback address is of use only on its own host).
    pub api_addr: SocketAddr,
    /// `instance { address }` of CTS: the host name that people are told; empty when not configured.
    pub address: String,
    /// Protocol versions it speaks.
    pub versions: Versions,
    /// Software version: major, minor, patch.
    pub software: (u16, u16, u16),
}
