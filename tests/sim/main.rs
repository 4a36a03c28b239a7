//! The simulator: whole clusters of the pure core under virtual time and seeded faults.
//!
//! A failing seed prints the command that replays it (`scripts/sim --seed N ...`).

#![expect(clippy::print_stdout, reason = "counts, seeds and traces are for the person who runs it")]
#![expect(clippy::unwrap_used, reason = "the simulator's own mistakes shall stop it")]

mod leadership;
