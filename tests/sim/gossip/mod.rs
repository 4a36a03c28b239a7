//! Membership alone on the simulated network: one test for each rule of its driver.

mod chaos;
mod faults;
mod joining;
mod leaving;
mod loss;
#[cfg(feature = "mutations")]
mod mutations;
mod names;
mod world;
