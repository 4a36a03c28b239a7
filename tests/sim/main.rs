//! The simulator: the pure core under virtual time, on a network that loses, delays, repeats and cuts.
//!
//! Nothing here waits or reads a clock; a run is a function of its seed. A failing seed of the leadership world prints
//! the command that replays it (`scripts/sim --seed N ...`).

#![expect(clippy::print_stdout, reason = "counts, seeds and traces are for the person who runs it")]
#![expect(clippy::unwrap_used, reason = "the simulator's own mistakes shall stop it")]

mod cluster;
mod gossip;
mod history;
mod leadership;
mod net;
