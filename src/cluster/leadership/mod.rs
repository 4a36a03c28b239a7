//! Who may lead, until when. (being written)

pub mod lease;
pub use lease::Lease;
