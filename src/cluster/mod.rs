//! The pure core: who is here, who leads, what is agreed.
//!
//! Inputs and the time go in, a list of things to do comes out. Nothing here awaits, locks, reads a clock or a disk.

pub mod clock;
pub mod durable;
pub mod leadership;
pub mod membership;
pub mod output;
pub mod settings;
pub mod view;

pub use clock::Now;
pub use durable::Durable;
pub use output::{Event, Output, Ticket, WriteId};
pub use settings::Settings;
pub use view::View;
