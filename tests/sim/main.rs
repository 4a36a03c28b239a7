//! The simulator: the pure core under virtual time, on a network that loses, delays, repeats and cuts.
//!
//! Nothing here waits or reads a clock; a run is a function of its seed. Scenarios live in modules beside this file.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall stop")]

mod gossip;
mod net;
