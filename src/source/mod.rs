//! Watchers that notice change and turn it into what tasks are fed: the cluster's own members, Consul. Vault is asked once.

pub mod consul;
mod http;
pub mod members;
pub mod vault;
