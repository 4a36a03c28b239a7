//! The only room that holds both the pure core and the drivers: clock, sockets, the loop, the handle. (being written)

pub mod clock;
pub mod handle;
pub mod metrics;

pub use handle::Handle;
