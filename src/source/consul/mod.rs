//! Consul: what it knows of services and keys, by blocking queries.

mod agenda;
mod answer;
mod book;
pub mod client;
pub mod error;
pub mod hub;
mod plan;
pub mod registration;
mod request;
pub mod settings;

pub use client::Client;
pub use error::ConsulError;
pub use hub::{Health, Hub, Update};
pub use registration::Registrar;
pub use settings::Settings;
