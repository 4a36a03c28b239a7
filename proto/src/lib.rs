//! What travels between agents: ids, messages, their encoding and their sealing.
//!
//! This crate does no I/O and reads no clock. `WIRE.md` beside it is the specification that an
//! implementer in another language could work from; `tests/vectors.rs` holds it to golden bytes.
//!
//! # Not here
//!
//! What the messages *mean* is decided in the agent's `cluster` room.

pub mod at_rest;
pub mod codec;
pub mod fuzzing;
mod hex;
pub mod identity;
pub mod ids;
pub mod message;
mod network;
pub mod noise;
pub mod renewal;
pub mod seal;

pub use hex::hex;
pub use identity::Identity;
pub use ids::{BlobHash, BootNonce, ClusterId, Epoch, Generation, Instance, MemberId, Seq, Stamp};
pub use network::network;

/// The derives of the encoding, for types that the agent adds on the control connection.
pub use bincode as bincode_derive;
