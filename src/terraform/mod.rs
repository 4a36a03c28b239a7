//! (being written)

pub mod settings;

pub use settings::{Backend, Provider, RequiredProvider, Settings};
