//! Consul: what it knows of services and keys, by blocking queries.

mod answer;
pub mod client;
pub mod error;
mod plan;
mod query_schedule;
pub mod registration;
mod request;
pub mod settings;
pub mod watcher;
mod watches;

pub use client::Client;
pub use error::ConsulError;
pub use registration::Registrar;
pub use settings::Settings;
pub use watcher::{Health, Update, Watcher};
