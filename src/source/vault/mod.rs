//! Vault: secrets for provider arguments, read once at start.

pub mod client;
pub mod settings;
pub mod token;

pub use client::{Client, VaultError};
pub use settings::Settings;
