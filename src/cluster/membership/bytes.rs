//! An identity as bytes, and the reader under all decoding here.
//!
//! Written by hand rather than derived: an idle agent sends little but Ping and Ack, each with a whole identity in it,
//! so every byte of it is sent eight times a second. What has its usual value is a bit in a flag byte instead.
//!
//! # Invariants
//!
//! Every value has exactly one encoding, and decoding refuses the others: what is accepted encodes to the same bytes.
//! Decoding never panics, never allocates more than it was given, and checks every byte.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use quorate_proto::identity::{ADDRESS_MAX, IDENTITY_MAX, Versions};
use quorate_proto::ids::MEMBER_ID_MAX;
use quorate_proto::{Generation, Identity, Instance, MemberId};

/// Generations travel as 48 bits: milliseconds since 1970 until the year 10889.
pub(super) const GENERATION_LIMIT: u64 = 1 << 48;

const GOSSIP_V6: u8 = 1;
const API_ELSEWHERE: u8 = 1 << 1;
const API_V6: u8 = 1 << 2;
const ADDRESS: u8 = 1 << 3;
const BUMP: u8 = 1 << 4;
const VERSIONS: u8 = 1 << 5;
const KNOWN_FLAGS: u8 = GOSSIP_V6 | API_ELSEWHERE | API_V6 | ADDRESS | BUMP | VERSIONS;
const USUAL_VERSIONS: Versions = Versions { min: 1, max: 1 };

/// Why bytes are not a packet, or a packet cannot be bytes. Nothing changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum BytesError {
    /// Cut off.
    #[error("read past the end")]
    Short,
    /// A byte or field has a value that this version does not know, or not in this place.
    #[error("understand the field {0}")]
    Field(&'static str),
    /// The packet is full. Expected while packing.
    #[error("fit the packet")]
    Full,
}

/// Reads from the front of a slice.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    /// How many bytes are left.
    pub(super) fn left(&self) -> usize {
        self.rest.len()
    }

    pub(super) fn slice(&mut self, length: usize) -> Result<&'a [u8], BytesError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(BytesError::Short)?;
        self.rest = rest;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], BytesError> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(BytesError::Short)?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(super) fn byte(&mut self) -> Result<u8, BytesError> {
        Ok(self.array::<1>()?[0])
    }

    pub(super) fn u16(&mut self) -> Result<u16, BytesError> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    /// A number in groups of seven bits, lowest first, shortest form only.
    fn varint(&mut self, name: &'static str) -> Result<u32, BytesError> {
        let mut value = 0u64;
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                let shortest = shift == 0 || byte != 0;
                return u32::try_from(value).ok().filter(|_| shortest).ok_or(BytesError::Field(name));
            }
        }
        Err(BytesError::Field(name))
    }

    /// A varint that is written only when it is not zero.
    pub(super) fn nonzero(&mut self, present: bool, name: &'static str) -> Result<u32, BytesError> {
        if !present {
            return Ok(0);
        }
        Some(self.varint(name)?).filter(|value| *value != 0).ok_or(BytesError::Field(name))
    }

    pub(super) fn generation(&mut self) -> Result<Generation, BytesError> {
        let mut all = [0; 8];
        all[2..].copy_from_slice(&self.array::<6>()?);
        Ok(Generation(u64::from_be_bytes(all)))
    }

    fn ip(&mut self, six: bool) -> Result<IpAddr, BytesError> {
        Ok(if six { Ipv6Addr::from(self.array::<16>()?).into() } else { Ipv4Addr::from(self.array::<4>()?).into() })
    }

    fn text(&mut self, longest: usize, name: &'static str) -> Result<&'a str, BytesError> {
        let length = usize::from(self.byte()?);
        if length == 0 || length > longest {
            return Err(BytesError::Field(name));
        }
        std::str::from_utf8(self.slice(length)?).map_err(|_| BytesError::Field(name))
    }

    pub(super) fn identity(&mut self) -> Result<Identity, BytesError> {
        let before = self.left();
        let flags = self.byte()?;
        let has = |flag: u8| flags & flag != 0;
        if flags & !KNOWN_FLAGS != 0 || (has(API_V6) && !has(API_ELSEWHERE)) {
            return Err(BytesError::Field("identity flags"));
        }
        let id = MemberId::new(self.text(MEMBER_ID_MAX, "id")?).map_err(|_| BytesError::Field("id"))?;
        let instance = Instance(self.array()?);
        let generation = self.generation()?;
        let bump = self.nonzero(has(BUMP), "bump")?;
        let gossip_addr = SocketAddr::new(self.ip(has(GOSSIP_V6))?, self.u16()?);
        if !is_reachable(gossip_addr) {
            return Err(BytesError::Field("gossip address"));
        }
        let api_ip = if has(API_ELSEWHERE) { self.ip(has(API_V6))? } else { gossip_addr.ip() };
        if has(API_ELSEWHERE) && api_ip == gossip_addr.ip() {
            return Err(BytesError::Field("api address"));
        }
        let api_addr = SocketAddr::new(api_ip, self.u16()?);
        let address = if has(ADDRESS) { self.text(ADDRESS_MAX, "address")?.to_owned() } else { String::new() };
        if !is_printable(&address) {
            return Err(BytesError::Field("address"));
        }
        let versions = if has(VERSIONS) { Versions { min: self.byte()?, max: self.byte()? } } else { USUAL_VERSIONS };
        if versions.min > versions.max || (has(VERSIONS) && versions == USUAL_VERSIONS) {
            return Err(BytesError::Field("versions"));
        }
        let mut number = || u16::try_from(self.varint("software")?).map_err(|_| BytesError::Field("software"));
        let software = (number()?, number()?, number()?);
        if before - self.left() > IDENTITY_MAX {
            return Err(BytesError::Field("identity size"));
        }
        Ok(Identity { id, instance, generation, bump, gossip_addr, api_addr, address, versions, software })
    }
}

fn is_reachable(addr: SocketAddr) -> bool {
    addr.port() != 0 && !addr.ip().is_unspecified() && !addr.ip().is_multicast()
}

/// Whether a host name may travel: it ends up in logs and tables.
pub(super) fn is_printable(address: &str) -> bool {
    address.len() <= ADDRESS_MAX && !address.chars().any(char::is_control)
}

pub(super) fn put_generation(out: &mut Vec<u8>, generation: Generation) -> Result<(), BytesError> {
    if generation.0 >= GENERATION_LIMIT {
        return Err(BytesError::Field("generation"));
    }
    out.extend_from_slice(&generation.0.to_be_bytes()[2..]);
    Ok(())
}

pub(super) fn put_varint(out: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

fn put_ip(out: &mut Vec<u8>, ip: IpAddr) {
    match ip {
        IpAddr::V4(ip) => out.extend_from_slice(&ip.octets()),
        IpAddr::V6(ip) => out.extend_from_slice(&ip.octets()),
    }
}

fn put_text(out: &mut Vec<u8>, text: &str, name: &'static str) -> Result<(), BytesError> {
    out.push(u8::try_from(text.len()).map_err(|_| BytesError::Field(name))?);
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

pub(super) fn put_identity(out: &mut Vec<u8>, identity: &Identity) -> Result<(), BytesError> {
    let (gossip, api) = (identity.gossip_addr, identity.api_addr);
    let elsewhere = gossip.ip() != api.ip();
    let flag = |set: bool, flag: u8| if set { flag } else { 0 };
    if !is_printable(&identity.address) {
        return Err(BytesError::Field("address"));
    }
    out.push(
        flag(gossip.is_ipv6(), GOSSIP_V6)
            | flag(elsewhere, API_ELSEWHERE)
            | flag(elsewhere && api.is_ipv6(), API_V6)
            | flag(!identity.address.is_empty(), ADDRESS)
            | flag(identity.bump != 0, BUMP)
            | flag(identity.versions != USUAL_VERSIONS, VERSIONS),
    );
    put_text(out, identity.id.as_str(), "id")?;
    out.extend_from_slice(&identity.instance.0);
    put_generation(out, identity.generation)?;
    if identity.bump != 0 {
        put_varint(out, identity.bump);
    }
    put_ip(out, gossip.ip());
    out.extend_from_slice(&gossip.port().to_be_bytes());
    if elsewhere {
        put_ip(out, api.ip());
    }
    out.extend_from_slice(&api.port().to_be_bytes());
    if !identity.address.is_empty() {
        put_text(out, &identity.address, "address")?;
    }
    if identity.versions != USUAL_VERSIONS {
        out.extend_from_slice(&[identity.versions.min, identity.versions.max]);
    }
    for number in [identity.software.0, identity.software.1, identity.software.2] {
        put_varint(out, number.into());
    }
    Ok(())
}
